package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

// PlanOptions shape a plan.
type PlanOptions struct {
	// Answers are the answers to the application's parameters.
	Answers map[string]appmodel.JSON
	// Overrides are applied in this order, on every cluster.
	Overrides []*appmodel.Override
	// ClusterOverrides are applied after Overrides, in this order, each on the
	// clusters that it chooses.
	ClusterOverrides []ClusterOverride
	// Images maps image references to those that are used in their place.
	Images map[string]string
	// Bindings say where the needs lead whose other end is not a component of
	// the application, the same on every cluster. They are sealed into the plan
	// and its releases, so that a rollback has those of its release. A required
	// need without one is appspan.ErrInvalid.
	Bindings map[render.NeedRef]render.Endpoint
	// Adopt takes over objects that have the names of ours and belong to
	// nobody else of our kind. Without it they are refusals.
	Adopt bool
	// Yield leaves fields to whoever else owns them.
	Yield []Yield
	// DataLoss allows what would lose data: shrinking or replacing claims.
	DataLoss bool
	// OnEvent hears how the plan goes.
	OnEvent func(appspan.Event)
}

// Plan computes what it would take to make the application run as it says on
// the clusters of the target, and changes nothing. A cluster that does not
// answer, or on which something stands in the way, is a state of its
// [ClusterPlan], not an error; an application that is not valid is
// appspan.ErrInvalid.
func (d *Deployer) Plan(ctx context.Context, app *appmodel.Application, to Target, opts *PlanOptions) (*Plan, error) {
	var o PlanOptions
	if opts != nil {
		o = *opts
	}
	p, err := d.newPlan(ctx, KindDeploy, app, to, &o, nil)
	if err != nil {
		return nil, err
	}
	return d.planned(ctx, p, o.OnEvent)
}

// newPlan begins a plan with what is meant; a nil lineage is that which the
// application has.
func (d *Deployer) newPlan(ctx context.Context, kind PlanKind, app *appmodel.Application, to Target, o *PlanOptions, lineage *storedLineage) (*Plan, error) {
	if app == nil {
		return nil, fmt.Errorf("plan: %w: no application", appspan.ErrInvalid)
	}
	name := app.Metadata.Name
	to, err := d.reading(ctx, name, to)
	if err != nil {
		return nil, err
	}
	r, err := newResolver(app, o)
	if err != nil {
		return nil, fmt.Errorf("plan of %s: %w", name, err)
	}
	r.lineage = lineage
	overrides, err := storeOverrides(r.overrides)
	if err != nil {
		return nil, err
	}
	in := &intent{envelope: envelope{Format: intentFormat, MinReader: intentFormat}, Kind: kind,
		meaning: meaning{Application: r.raw, Answers: o.Answers, Overrides: overrides, Yield: o.Yield}, Adopt: o.Adopt, DataLoss: o.DataLoss}
	if err := r.into(ctx, d, in, to); err != nil {
		return nil, fmt.Errorf("plan of %s: %w", name, err)
	}
	return &Plan{Kind: kind, Application: name, Installation: d.opts.Installation, Target: to, intent: in}, nil
}

// planAll plans every cluster in parallel.
func (d *Deployer) planAll(ctx context.Context, p *Plan, events *dispatcher) error {
	p.Clusters = make([]ClusterPlan, len(p.Target.Clusters))
	var wg sync.WaitGroup
	for i, name := range p.Target.Clusters {
		wg.Go(func() {
			p.Clusters[i] = d.planOne(ctx, p, name)
			events.send(planEvent(&p.Clusters[i]))
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i := range p.Clusters {
		if err := p.Clusters[i].err; errors.Is(err, appspan.ErrInvalid) {
			return fmt.Errorf("plan of %s for %s: %w", p.Application, p.Clusters[i].Cluster, err)
		}
	}
	return nil
}

func planEvent(c *ClusterPlan) appspan.Event {
	e := appspan.Event{Cluster: c.Cluster, Kind: appspan.EventState, Phase: PhasePlan,
		Message: fmt.Sprintf("%d to change, %d unchanged", len(c.Changes), c.Unchanged)}
	if err := c.Err(); err != nil {
		e.Kind, e.Message = appspan.EventFailure, err.Error()
	}
	return e
}

// planOne plans one cluster within its time limit.
func (d *Deployer) planOne(ctx context.Context, p *Plan, name string) ClusterPlan {
	limited, cancel := d.limit(ctx)
	defer cancel()
	out := ClusterPlan{Cluster: name}
	c, err := d.clusters.Cluster(limited, name)
	if err == nil {
		err = p.failed[name]
	}
	if err == nil {
		err = d.planCluster(limited, c, p, &out)
	}
	if err == nil {
		return out
	}
	out.err, out.Error, out.State = err, err.Error(), ClusterUnknown
	if errors.Is(err, appspan.ErrUnsupported) || errors.Is(err, appspan.ErrCorrupt) || errors.Is(err, appspan.ErrDenied) || errors.Is(err, appspan.ErrConflict) || p.failed[name] != nil && errors.Is(err, appspan.ErrNotFound) {
		out.State = ClusterRefused
		out.Refusals = append(out.Refusals, Refusal{Object: driver.Ref{Kind: "Application", Namespace: p.Target.Namespace, Name: p.Application},
			Reason: err.Error(), Next: "mend this, then plan again"})
	}
	if c != nil {
		out.LastAnswer = c.LastAnswer()
	}
	return out
}

// work is what applying a cluster's part needs and a stored plan does not
// hold; it is computed again from the intent.
type work struct {
	live    *live
	app     resolvedApplication
	objects []*desired
	values  secretValues
	// byRef finds the desired object of a change.
	byRef map[driver.Ref]*desired
	// grown are claims that were made from templates and grow with them.
	grown []*desired
	// states are what components are asked to be after this.
	states states
	// meant is what tells that which is meant from something else.
	meant string
	// release is what jobs that run at each release are made for.
	release string
	// services must have endpoints when the application is ready.
	services []string
	// defines are the kinds that the application defines itself.
	defines []driver.KindInfo
}

// planOnce fills in one cluster's part of a plan, by what the cluster is known
// to be able to do.
func (d *Deployer) planOnce(ctx context.Context, c *cluster.Cluster, p *Plan, out *ClusterPlan) error {
	l, err := d.read(ctx, c, p.Application, p.Target.Namespace)
	if err != nil {
		return err
	}
	w := &work{live: l, byRef: map[driver.Ref]*desired{}, values: secretValues{}}
	if r := l.state.record; r != nil {
		if err := l.learn(ctx, r.Kinds); err != nil {
			return err
		}
	}
	out.work, out.UID, out.Abilities = w, l.info.UID, abilities(l.info)
	if r := l.state.record; r != nil && p.intent.Command != nil { // how many replicas there are decides what is rendered
		if err := l.readKinds(ctx, r.Kinds); err != nil {
			return err
		}
	}
	var both errgroup.Group // rendering, while the cluster lists what we know of
	if p.Kind != KindRemove {
		w.release = out.release
		if w.release == "" || p.Kind == KindHeal { // which runs no job again
			w.release = l.state.record.release()
		}
		both.Go(func() error { return d.prepare(l, p, w, out) })
	}
	if r := l.state.record; r != nil {
		both.Go(func() error { return l.readKinds(ctx, r.Kinds) })
	}
	if err := both.Wait(); err != nil {
		return err
	}
	if err := l.learn(ctx, definedKinds(w.defines)); err != nil {
		return err
	}
	out.Abilities = abilitiesBeside(l.info, w.defines)
	if err := l.readKinds(ctx, kindsOf(w.objects)); err != nil {
		return err
	}
	if err := l.fill(ctx, slices.Collect(maps.Keys(w.byRef))); err != nil {
		return err
	}
	if err := d.unpause(p, l, w); err != nil {
		return err
	}
	if l.namespace != nil && l.namespace.Deleting && p.Kind != KindRemove {
		out.Refusals = append(out.Refusals, Refusal{Object: l.namespace.Ref, Reason: "it is being deleted", Next: "wait until it is gone, or use another namespace"})
	}
	if p.Kind == KindRemove {
		d.planRemoval(p, l, out)
	} else {
		d.planChanges(p, l, w, out)
		if p.intent.Heal == nil {
			if err := d.planGrowth(l, w, out); err != nil {
				return err
			}
		}
		if err := d.nextRelease(ctx, p, l, w, out); err != nil {
			return err
		}
	}
	if err := l.keepDefinitions(ctx, out.Changes); err != nil {
		return err
	}
	if r := l.state.record; r != nil {
		out.Revision, out.From, out.Recycled = r.Revision, r.Revision, !r.runs()
		last := r.newest()
		out.Unfinished = p.Kind != KindRemove && (last == nil || last.State != ReleaseDeployed)
	}
	if p.Kind != KindRemove {
		if w.meant, err = d.sign(p.intent.means(l.cluster.Name()), w.app); err != nil {
			return err
		}
		r := l.state.record
		out.Asked = r.runs() && !(w.states.same(r.States) && r.means(w.meant) && (p.Kind != KindRollback && w.app.lineage == nil || w.app.lineage.same(r.Lineage)))
	}
	if out.begins() {
		out.Revision++
	}
	out.State = ClusterPlanned
	if len(out.Refusals) > 0 {
		out.State = ClusterRefused
	}
	return out.seal()
}

// prepare renders and stamps the application.
func (d *Deployer) prepare(l *live, p *Plan, w *work, out *ClusterPlan) error {
	app, layers, err := p.intent.application(l.cluster.Name())
	if err != nil {
		return err
	}
	values := d.secretsFor(l, app.app)
	w.app, w.values, out.Layers = app, values, layers
	w.states = p.intent.Command.apply(l.states(p.Kind), app.app, l.replicas)
	if before := out.prior; before != nil && before.live.scope == l.scope && abilities(before.live.info) == out.Abilities &&
		before.release == w.release && maps.Equal(before.live.cluster.Labels(), l.cluster.Labels()) && sameValue(before.values, values) && before.states.same(w.states) {
		w.objects, w.byRef, w.services, w.defines = before.objects, before.byRef, before.services, before.defines
		return nil
	}
	app.app = w.states.apply(app.app)
	rendered, err := d.renderFor(l, app, values, w.release)
	if err != nil {
		return err
	}
	w.services, w.defines, out.Notes = rendered.Services, rendered.Defines, rendered.Notes
	w.objects, w.byRef = make([]*desired, len(rendered.Objects)), map[driver.Ref]*desired{}
	err = each(len(w.objects), func(i int) (err error) {
		w.objects[i], err = d.stamp(l.scope, rendered.Objects[i], p.intent.means(l.cluster.Name()).Yield, w.states)
		return err
	})
	if err != nil {
		return err
	}
	autoscale(w.objects)
	for _, o := range w.objects {
		w.byRef[o.Ref] = o
	}
	return nil
}

// planChanges compares what is to be with what is.
func (d *Deployer) planChanges(p *Plan, l *live, w *work, out *ClusterPlan) {
	if l.namespace == nil {
		out.Changes = append(out.Changes, Change{Action: ActionCreate,
			Object: driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: l.scope.namespace}, Reason: "it does not exist"})
	}
	changes := make([]*Change, len(w.objects))
	refusals := make([][]Refusal, len(w.objects))
	_ = each(len(w.objects), func(i int) error {
		changes[i], refusals[i] = d.planObject(p, l, w.objects[i])
		return nil
	})
	out.Additions = nil
	for i, change := range changes {
		out.Additions = append(out.Additions, w.objects[i].additions...)
		out.Refusals = append(out.Refusals, refusals[i]...)
		if change == nil {
			out.Unchanged++
			continue
		}
		out.Changes = append(out.Changes, *change)
	}
	if p.intent.Heal == nil {
		out.Changes = append(out.Changes, d.planPrune(l, w)...)
	}
}

// each calls do for 0 to n-1 on all processors, and returns the errors joined.
func each(n int, do func(int) error) error {
	errs := make([]error, n)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		g.Go(func() error {
			errs[i] = do(i)
			return nil
		})
	}
	_ = g.Wait()
	return errors.Join(errs...)
}

// planObject compares one object.
func (d *Deployer) planObject(p *Plan, l *live, o *desired) (*Change, []Refusal) {
	change := &Change{Object: o.Ref, Component: o.Component, Route: o.Route, Want: o.hash}
	if fields, all := p.intent.Heal.of(l.cluster.Name(), o); !all && len(fields) == 0 {
		return nil, nil
	}
	obj, exists := l.find(o.Ref)
	if !exists {
		if l.hasEnded(o) {
			return nil, nil
		}
		change.Action = ActionCreate
		if known, _ := l.known(o.Ref); known.UID != "" {
			change.Reason, change.Drift = "it was deleted", true
		}
		return change, nil
	}
	change.UID = obj.UID
	known, _ := l.known(o.Ref)
	mine := l.owns(obj)
	if obj.Deleting && mine && o.Kind != kindClaim.Kind { // as after a replacement that died; it is waited for
		change.Action, change.Reason = ActionReplace, "it is being deleted"
		return change, nil
	}
	if obj.Deleting {
		return change, []Refusal{{Object: o.Ref, Reason: "it is being deleted", Next: "wait until it is gone, then plan again"}}
	}
	if mine && known.UID == obj.UID && known.Hash == o.hash && untouched(known, o, obj) {
		return nil, nil
	}
	if !mine {
		if owner := obj.Labels[appmodel.LabelApplication]; owner != "" && obj.Labels[appmodel.LabelInstallation] != "" && !l.scope.ours(obj.Labels) {
			return change, []Refusal{{Object: o.Ref, Reason: fmt.Sprintf("it belongs to application %q of installation %q", owner, obj.Labels[appmodel.LabelInstallation]),
				Next: "use another namespace or another application name"}}
		}
		if !p.intent.Adopt {
			reason := "an object of this name is there and is not ours"
			if l.scope.ours(obj.Labels) {
				reason = "an object of this name and with our labels is there, and is not the one that we made"
			}
			return change, []Refusal{{Object: o.Ref, Reason: reason, Next: "use another namespace, rename it, or set PlanOptions.Adopt to take it over"}}
		}
	}
	return d.planUpdate(p, l, o, obj, change, mine)
}

// untouched reports whether nobody has changed what we sent since it was
// written: the object is the same to the byte, or its specification is the one
// of that generation and our labels and annotations are in place.
func untouched(known item, o *desired, obj driver.Object) bool {
	if known.Revision != "" && known.Revision == obj.Revision {
		return true
	}
	return obj.Generation != 0 && known.Generation == obj.Generation && sameMeta(o, obj)
}

// planUpdate compares the leaves of an object that exists.
func (d *Deployer) planUpdate(p *Plan, l *live, o *desired, obj driver.Object, change *Change, mine bool) (*Change, []Refusal) {
	var current map[string]any
	if err := json.Unmarshal(obj.JSON, &current); err != nil {
		return change, []Refusal{{Object: o.Ref, Reason: "its JSON does not parse: " + err.Error(), Next: "look at it with kubectl"}}
	}
	m := readManagers(obj.JSON)
	self := l.scope.manager()
	o.wake(current, m, self)
	if mine {
		o.additions = additions(o, current, m, self)
	}
	differences := compare(o.compared, current)
	if fields, all := p.intent.Heal.of(l.cluster.Name(), o); !all {
		differences = o.leave(fields, current, m, self)
	}
	sent := annotation(current, appmodel.AnnotationHash)
	entry, applied := m.applied(self)
	var gone []difference
	if applied && sent != o.hash {
		gone = dropped(entry.Fields, o.tree, current)
	}
	if len(differences) == 0 && len(gone) == 0 && sent == o.hash && mine {
		return nil, nil
	}
	change.Action = ActionUpdate
	if !mine {
		change.Action = ActionAdopt
	}
	change.Base = d.baseHash(o, current)
	for _, diff := range differences {
		if bookkeeping(diff.at) {
			continue
		}
		f := FieldChange{Path: diff.at.String(), Old: leafJSON(diff.live, o.Sensitive), New: leafJSON(diff.want, o.Sensitive)}
		owned := applied && owns(entry.Fields, diff.at)
		others := m.owners(diff.at, self)
		switch {
		case !mine || owned && diff.live != nil:
		case len(others) > 0:
			f.Drift, f.Manager = true, others[0]
		case sent == o.hash: // we sent it, and it is not there any more
			f.Drift, f.Manager = true, m.remover(diff.at, current, self)
		}
		change.Fields = append(change.Fields, f)
	}
	for _, diff := range gone {
		if !bookkeeping(diff.at) {
			change.Fields = append(change.Fields, FieldChange{Path: diff.at.String(), Old: leafJSON(diff.live, o.Sensitive)})
		}
	}
	slices.SortStableFunc(change.Fields, func(a, b FieldChange) int { return strings.Compare(a.Path, b.Path) })
	if len(change.Fields) == 0 {
		change.Reason = "only what is recorded about it changes"
	}
	return change, judgeUpdate(p, l, o, current, m, append(differences, gone...), change)
}

// baseHash is the hash of the leaves that are ours or are to be, as they are.
func (d *Deployer) baseHash(o *desired, current map[string]any) string {
	var values []any
	leaves(nil, o.compared, func(at trail, _ any) {
		if !bookkeeping(at) {
			values = append(values, at.String(), lookup(current, at))
		}
	})
	data, _ := json.Marshal(values)
	return d.opts.Keys.Digest("deploy base", data)[:32]
}

// bookkeeping reports whether a leaf is ours to record and nothing that a
// person asked for.
func bookkeeping(at trail) bool {
	return len(at) == 3 && at[0].field == "metadata" && at[1].field == "annotations" && at[2].field == appmodel.AnnotationHash
}

// planPrune finds what is ours and not desired any more.
func (d *Deployer) planPrune(l *live, w *work) []Change {
	r := l.state.record
	if r == nil {
		return nil
	}
	var out []Change
	for _, k := range r.Kinds {
		for _, name := range slices.Sorted(maps.Keys(l.objects[k])) {
			obj := l.objects[k][name]
			known, listed := l.known(obj.Ref)
			if listed && w.byRef[obj.Ref] == nil && !obj.Deleting && l.labelled(obj) && l.owns(obj) {
				out = append(out, pruneChange(obj, known, false))
			}
		}
	}
	return out
}

// pruneChange deletes an object, or keeps it if it holds data: by the signed
// inventory, or by the object's own annotation.
func pruneChange(obj driver.Object, known item, data bool) Change {
	c := Change{Action: ActionDelete, Object: obj.Ref, UID: obj.UID, Component: obj.Labels[appmodel.LabelComponent], Route: obj.Labels[appmodel.LabelRoute]}
	var m objectMeta
	_ = json.Unmarshal(obj.JSON, &m) // no annotations: nothing to keep
	if !data && (known.Keep || m.Metadata.Annotations[annotationKeep] == "true") {
		c.Action, c.Reason = ActionKeep, "it holds data"
		return c
	}
	c.Reason = "the application does not have it any more"
	return c
}

// sameMeta reports whether our labels and annotations are on the object.
func sameMeta(o *desired, obj driver.Object) bool {
	for k, v := range o.Labels {
		if obj.Labels[k] != v {
			return false
		}
	}
	var m objectMeta
	if json.Unmarshal(obj.JSON, &m) != nil {
		return false
	}
	meta, _ := o.tree["metadata"].(map[string]any)
	annotations, _ := meta["annotations"].(map[string]any)
	for k, v := range annotations {
		if m.Metadata.Annotations[k] != v {
			return false
		}
	}
	return true
}

func annotation(tree map[string]any, name string) string {
	v, _ := lookup(tree, trail{{field: "metadata"}, {field: "annotations"}, {field: name}}).(string)
	return v
}

// leafJSON is a value as a plan shows it.
func leafJSON(v any, secret bool) json.RawMessage {
	if v == nil {
		return nil
	}
	if secret {
		v = appmodel.Redacted
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return data
}

// abilities is a hash of what plans depend on: not nodes, which come and go.
func abilities(info driver.Info) string {
	info.Nodes = nil
	data, _ := json.Marshal(info)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// age is how long ago a cluster last answered, for messages.
func age(last time.Time) string {
	if last.IsZero() {
		return "it has never answered"
	}
	return "its last answer is " + time.Since(last).Round(time.Second).String() + " old"
}
