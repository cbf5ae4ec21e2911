package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/deploy/status"
)

// Wait says what an Apply waits for.
type Wait int

const (
	// WaitReady waits until every required component is ready.
	WaitReady Wait = iota
	// WaitWritten returns once everything is written.
	WaitWritten
)

// ApplyOptions shape an Apply.
type ApplyOptions struct {
	// Wait is what Apply waits for; the default is readiness.
	Wait Wait
	// ReadyTimeout bounds the wait for readiness; default 10 min.
	ReadyTimeout time.Duration
	// FailAfter is how long a component may be failed before the wait ends
	// with the causes; default 1 min. Some failures heal, as when an image is
	// pushed late.
	FailAfter time.Duration
	// OnEvent hears how it goes.
	OnEvent func(appspan.Event)

	// Key, where there is a journal, makes the apply of a plan idempotent: with the
	// key of an earlier call of the same subject it is the same operation, as long as
	// the journal keeps that. With another plan it is appspan.ErrConflict.
	Key string

	passed bool // the gates of its environment, and so Key is a stage's
}

func (o *ApplyOptions) normal() ApplyOptions {
	var out ApplyOptions
	if o != nil {
		out = *o
	}
	if out.ReadyTimeout <= 0 {
		out.ReadyTimeout = 10 * time.Minute
	}
	if out.FailAfter <= 0 {
		out.FailAfter = time.Minute
	}
	return out
}

// Result is what an Apply did.
type Result struct {
	Application string `json:"application"`
	PlanHash    string `json:"planHash"`
	// Clusters are sorted by name.
	Clusters []ClusterResult `json:"clusters"`
}

// Outcome is how an Apply ended on one cluster.
type Outcome string

// The outcomes on a cluster.
const (
	OutcomeUnchanged Outcome = "unchanged" // nothing was to do
	OutcomeDone      Outcome = "done"      // everything was written, and became ready if that was awaited
	OutcomeFailed    Outcome = "failed"    // see Error and Status
	OutcomeStale     Outcome = "stale"     // the cluster is not as the plan says; nothing was written
	OutcomeRefused   Outcome = "refused"   // something stands in the way; nothing was written
	OutcomeSkipped   Outcome = "skipped"   // of a component: the command is not for such a one
	OutcomeUnknown   Outcome = "unknown"   // the cluster does not answer; what was under way may or may not have happened
)

// ClusterResult is what an Apply did on one cluster.
type ClusterResult struct {
	Cluster  string  `json:"cluster"`
	Outcome  Outcome `json:"outcome"`
	Revision int     `json:"revision,omitempty"`
	Created  int     `json:"created"`
	Updated  int     `json:"updated"`
	Deleted  int     `json:"deleted"`
	// Components say, for a [Command], what became of each component that it
	// was for.
	Components []ComponentResult `json:"components,omitempty"`
	// Kept are objects that hold data and were left.
	Kept []string `json:"kept,omitempty"`
	// Notes are what a person should know of how it went.
	Notes []string `json:"notes,omitempty"`
	// Status is the last one that was seen.
	Status status.Cluster `json:"status"`
	// Started and Finished are in UTC.
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	// Error is why it is not done; LastAnswer is when an unknown cluster
	// last answered, zero if it never did.
	Error      string    `json:"error,omitempty"`
	LastAnswer time.Time `json:"lastAnswer,omitzero"`

	err error
}

// ComponentResult is what a [Command] did to one component.
type ComponentResult struct {
	Component string `json:"component"`
	// Outcome is OutcomeDone, OutcomeUnchanged, OutcomeFailed, or
	// OutcomeSkipped.
	Outcome Outcome `json:"outcome"`
	// Message says why it was skipped or has failed.
	Message string `json:"message,omitempty"`
}

// Err is why the cluster is not done, nil if it is.
func (r *ClusterResult) Err() error {
	if r.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", r.Cluster, r.err)
}

// Cluster returns the result of one cluster, or nil.
func (r *Result) Cluster(name string) *ClusterResult {
	for i := range r.Clusters {
		if r.Clusters[i].Cluster == name {
			return &r.Clusters[i]
		}
	}
	return nil
}

// Apply does what a plan says, on all its clusters in parallel. It reads each
// cluster again first: where what it would write or remove is not as the plan
// saw it, that cluster is stale and left alone (appspan.ErrPrecondition), and
// the others proceed. After any interruption the same plan, or a new one, can
// be applied again.
//
// The result is never nil once the plan could be read; the error joins those
// of the clusters. When the context ends, nothing new is begun, what is under
// way gets ten seconds, and readiness is not awaited.
func (d *Deployer) Apply(ctx context.Context, p *Plan, opts *ApplyOptions) (*Result, error) {
	if err := d.applicable(p); err != nil {
		return nil, err
	}
	return d.apply(ctx, p, opts.keyed(d.subject))
}

func (d *Deployer) apply(ctx context.Context, p *Plan, o ApplyOptions) (*Result, error) {
	if d.opts.Journal != nil && (p.changes() || o.Key != "") {
		return d.operate(ctx, p, false, o)
	}
	return d.carryOut(ctx, p, false, o)
}

// changes reports whether there is something to do.
func (p *Plan) changes() bool {
	return slices.ContainsFunc(p.Clusters, func(c ClusterPlan) bool { return c.begins() })
}

// carryOut applies a plan in this call.
func (d *Deployer) carryOut(ctx context.Context, p *Plan, direct bool, o ApplyOptions) (*Result, error) {
	events := newDispatcher(o.OnEvent)
	defer events.close()
	result := d.perform(ctx, p, direct, o, events, func(ctx context.Context, _ string, do func(context.Context) ClusterResult) ClusterResult {
		return do(ctx)
	})
	return result, result.err()
}

// perform applies a plan on all its clusters in parallel, each through run. A
// direct plan has no parts yet: each cluster is planned on its own.
func (d *Deployer) perform(ctx context.Context, p *Plan, direct bool, o ApplyOptions, events *dispatcher,
	run func(ctx context.Context, cluster string, do func(context.Context) ClusterResult) ClusterResult) *Result {
	names := p.Target.Clusters
	if !direct {
		names = make([]string, len(p.Clusters))
		for i := range p.Clusters {
			names[i] = p.Clusters[i].Cluster
		}
	}
	result := &Result{Application: p.Application, PlanHash: p.Hash, Clusters: make([]ClusterResult, len(names))}
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			result.Clusters[i] = run(ctx, name, func(ctx context.Context) ClusterResult {
				if !direct {
					return d.applyOne(ctx, p, &p.Clusters[i], o, events)
				}
				part := d.planOne(ctx, p, name)
				part.current = true
				events.send(planEvent(&part))
				return d.applyOne(ctx, p, &part, o, events)
			})
		})
	}
	wg.Wait()
	return result
}

// err joins the errors of the clusters.
func (r *Result) err() error {
	var errs []error
	for i := range r.Clusters {
		errs = append(errs, r.Clusters[i].Err())
	}
	return errors.Join(errs...)
}

// Deploy plans and applies in one call, each cluster on its own: no cluster
// waits for another, and none is read twice. Where something stands in the way of the plan on a
// cluster, nothing is written there.
func (d *Deployer) Deploy(ctx context.Context, app *appmodel.Application, to Target, opts *DeployOptions) (*Result, error) {
	var o DeployOptions
	if opts != nil {
		o = *opts
	}
	p, err := d.newPlan(ctx, KindDeploy, app, to, &o.Plan, nil)
	if err != nil {
		return nil, err
	}
	if err := p.finish(d); err != nil {
		return nil, err
	}
	if d.opts.Journal != nil {
		return d.operate(ctx, p, true, o.Apply.keyed(d.subject))
	}
	return d.carryOut(ctx, p, true, o.Apply.normal())
}

// DeployOptions shape a Deploy. Events go to Apply.OnEvent.
type DeployOptions struct {
	Plan  PlanOptions
	Apply ApplyOptions
}

// applyOne applies one cluster's part and says how it ended.
func (d *Deployer) applyOne(ctx context.Context, p *Plan, part *ClusterPlan, o ApplyOptions, events *dispatcher) ClusterResult {
	defer d.local.enter(place{part.Cluster, p.Target.Namespace, p.Application})()
	r := ClusterResult{Cluster: part.Cluster, Revision: part.Revision, Started: time.Now().UTC()}
	verb := p.Kind.verb()
	c, err := d.clusters.Cluster(ctx, part.Cluster)
	if err == nil {
		err = d.authorize(ctx, verb, p.Application, p.Target, part.Cluster)
	}
	if err == nil {
		err = part.obstacle()
	}
	wrote, seen := false, (*work)(nil)
	if err == nil {
		a := &applier{deployer: d, plan: p, part: part, cluster: c, options: o, events: events, result: &r, told: map[string]status.Value{}}
		err = a.run(ctx)
		if wrote = a.began; wrote {
			seen = a.fresh.work
		}
		if noted := a.indexed(ctx, err); noted != nil {
			r.Notes = append(r.Notes, "the list of applications is not up to date: "+account(noted, nil))
		}
	}
	r.Finished = time.Now().UTC()
	if wrote {
		err = errors.Join(err, d.audit(ctx, verb, p, part.Cluster, seen, err))
	}
	if err != nil {
		err = withhold(err, cmp.Or(seen, part.work).secretTexts())
	}
	r.err = err
	if err == nil {
		if r.Outcome == "" {
			r.Outcome = OutcomeDone
		}
		events.send(appspan.Event{Cluster: r.Cluster, Kind: appspan.EventState, Phase: PhaseRecord, Message: r.summary(p.Kind)})
		return r
	}
	r.Error, r.Outcome = err.Error(), outcomeOf(part, err, wrote)
	told := account(err, cmp.Or(seen, part.work).secretTexts())
	if r.Outcome == OutcomeUnknown && c != nil {
		r.LastAnswer = c.LastAnswer()
		r.Error += " (" + age(r.LastAnswer) + ")"
		told += " (" + age(r.LastAnswer) + ")"
		r.Status = status.Cluster{Name: r.Cluster, Namespace: p.Target.Namespace, Value: status.Unknown, ObservedAt: r.LastAnswer, Error: r.Error}
	}
	events.send(appspan.Event{Cluster: r.Cluster, Kind: appspan.EventFailure, Phase: PhaseRecord, Message: string(r.Outcome) + ": " + told})
	return r
}

func outcomeOf(part *ClusterPlan, err error, wrote bool) Outcome {
	switch {
	case part.State == ClusterUnknown, errors.Is(err, appspan.ErrUnavailable):
		return OutcomeUnknown
	case wrote, errors.Is(err, ErrNotReady):
		return OutcomeFailed
	case errors.Is(err, appspan.ErrPrecondition):
		return OutcomeStale
	case part.State == ClusterRefused, errors.Is(err, appspan.ErrDenied), errors.Is(err, appspan.ErrConflict), errors.Is(err, appspan.ErrExhausted):
		return OutcomeRefused
	}
	return OutcomeFailed
}

func (r *ClusterResult) summary(kind PlanKind) string {
	switch {
	case r.Outcome == OutcomeUnchanged:
		return "unchanged"
	case kind == KindRemove:
		return fmt.Sprintf("removed: %d deleted, %d kept", r.Deleted, len(r.Kept))
	}
	return fmt.Sprintf("revision %d: %d created, %d updated, %d deleted, %d kept", r.Revision, r.Created, r.Updated, r.Deleted, len(r.Kept))
}

// applier applies one cluster's part of a plan.
type applier struct {
	deployer *Deployer
	plan     *Plan
	part     *ClusterPlan
	cluster  *cluster.Cluster
	options  ApplyOptions
	events   *dispatcher
	result   *ClusterResult

	fresh  *ClusterPlan // the part as it would be planned now
	record *record      // as it was written last
	began  bool         // something was written
	gone   bool         // nothing knows of the application any more
	eyes   *follower    // what the cluster is seen to do, once needed

	told map[string]status.Value // what events have said of components

	mu   sync.Mutex
	done int // changes that were made
}

// run is the whole apply on one cluster.
func (a *applier) run(ctx context.Context) error {
	if err := a.reread(ctx); err != nil {
		return err
	}
	defer a.closeEyes()
	if err := a.deployer.unpassed(ctx, a.plan, a.fresh.work.live, a.options.passed); err != nil {
		return err
	}
	if a.plan.Kind == KindRemove {
		err := a.remove(ctx)
		return errors.Join(err, a.settleGate(ctx, err))
	}
	if len(a.fresh.Changes) == 0 && !a.fresh.Asked && !a.unfinished() {
		a.result.Outcome = OutcomeUnchanged
		err := a.settle(ctx)
		a.result.Components = a.components(err)
		return err
	}
	if err := a.admit(ctx); err != nil {
		return err
	}
	err := a.begin(ctx)
	if err != nil && a.record == nil {
		return err // nothing says that an apply has begun
	}
	steps := []func(context.Context) error{a.write, a.prune}
	if a.plan.Kind == KindStop {
		slices.Reverse(steps) // whoever scales goes before what it scales
	}
	for _, step := range steps {
		if err == nil {
			err = step(ctx)
		}
	}
	if err == nil {
		err = a.settle(ctx)
	}
	a.result.Components = a.components(err)
	err = errors.Join(err, a.finish(ctx, err))
	return errors.Join(err, a.settleGate(ctx, err))
}

// unfinished reports whether the last release did not end well, so that an
// apply without changes still has something to record.
func (a *applier) unfinished() bool {
	last := a.fresh.work.live.state.record.newest()
	return last == nil || last.State != ReleaseDeployed
}

// reread plans the cluster again and checks that the plan still holds: each
// change that it makes is the one that would be planned now, or is done
// already.
func (a *applier) reread(ctx context.Context) error {
	if a.part.current {
		a.fresh = a.part
		return nil
	}
	fresh := ClusterPlan{Cluster: a.part.Cluster, prior: a.part.work, applying: true, release: a.part.madeFor()}
	limited, cancel := a.deployer.limit(ctx)
	defer cancel()
	if err := a.deployer.planCluster(limited, a.cluster, a.plan, &fresh); err != nil {
		return err
	}
	a.fresh = &fresh
	stale := func(format string, args ...any) error {
		return fmt.Errorf("%w: the plan is stale: %s; plan again", appspan.ErrPrecondition, fmt.Sprintf(format, args...))
	}
	if fresh.UID != a.part.UID {
		return stale("the cluster is another one")
	}
	if a.plan.Kind != KindRemove && fresh.Abilities != a.part.Abilities {
		return stale("what the cluster can do has changed")
	}
	removed := a.plan.Kind == KindRemove && fresh.work.live.state.record == nil // by this plan, before it was interrupted
	last := fresh.work.live.state.record.newest()
	made := last != nil && last.PlanHash == a.plan.Hash
	if fresh.From != a.part.From && !removed && !made {
		return stale("release %d was made meanwhile", fresh.From)
	}
	switch {
	case fresh.Recycled && !a.part.Recycled && !a.plan.intent.Recycle:
		return stale("it was removed meanwhile, and may be restored")
	case !fresh.Recycled && a.part.Recycled && !removed && !made:
		return stale("it was restored or deployed meanwhile")
	}
	for _, r := range fresh.Refusals {
		return stale("%s", r)
	}
	planned := make(map[inventoryRef]*Change, len(a.part.Changes))
	for i := range a.part.Changes {
		planned[refOf(a.part.Changes[i])] = &a.part.Changes[i]
	}
	fresh.Changes = slices.DeleteFunc(fresh.Changes, func(c Change) bool { return planned[refOf(c)] == nil })
	for _, now := range fresh.Changes {
		was := planned[refOf(now)]
		switch {
		case was.Action != now.Action:
			return stale("%s was to be a %s and would be a %s now", now.Object, was.Action, now.Action)
		case was.UID != now.UID:
			return stale("%s is another object than it was", now.Object)
		case was.Base != now.Base:
			return stale("%s was changed", now.Object)
		case was.Want != now.Want:
			return stale("%s would be written otherwise", now.Object)
		}
	}
	return nil
}

// inventoryRef is what a change is about.
type inventoryRef struct{ apiVersion, kind, name string }

func refOf(c Change) inventoryRef {
	return inventoryRef{c.Object.APIVersion, c.Object.Kind, c.Object.Name}
}
