package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/storage/journal"
)

// operationKind is the kind of an installation's operations in a journal.
func operationKind(installation string) string { return "deploy." + installation }

// operationBody is what an apply needs in another process.
type operationBody struct {
	Plan *Plan `json:"plan"`
	// Direct: the plan has no parts; each cluster is planned when its turn comes.
	Direct       bool          `json:"direct,omitempty"`
	Wait         Wait          `json:"wait,omitempty"`
	ReadyTimeout time.Duration `json:"readyTimeoutNanoseconds"`
	FailAfter    time.Duration `json:"failAfterNanoseconds"`
	// Passed: the gates of its environment.
	Passed bool `json:"passed,omitempty"`
}

// localRuns are the applies that this process has begun, by operation, and how
// many are under way, by place.
type localRuns struct {
	mu   sync.Mutex
	runs map[string]*localRun
	at   map[place]int
}

// localRun is what an apply in this process need not read back.
type localRun struct {
	plan   *Plan // with what was rendered
	result atomic.Pointer[Result]
}

func (l *localRuns) get(id string) *localRun {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[id]
}

func (l *localRuns) put(id string, run *localRun) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if run == nil {
		delete(l.runs, id)
		return
	}
	l.runs[id] = run
}

// operate applies a plan as an operation of the journal.
func (d *Deployer) operate(ctx context.Context, p *Plan, direct bool, o ApplyOptions) (*Result, error) {
	j := d.opts.Journal
	op, err := d.writeDown(ctx, p, direct, o)
	if err != nil {
		return nil, err
	}
	run := &localRun{}
	if op.PlanHash == p.Hash { // else a stage was begun with another plan, and ends with that
		run.plan = p
	}
	d.local.put(op.ID, run)
	defer d.local.put(op.ID, nil)
	events := newDispatcher(o.OnEvent)
	op, err = j.Execute(ctx, op.ID, &journal.ExecuteOptions{OnEvent: events.send})
	events.close()
	result := run.result.Load()
	if result == nil { // another process has executed it
		var corrupt error
		if result, corrupt = d.ResultOf(op); corrupt != nil {
			return nil, corrupt
		}
	}
	if err != nil {
		return result, fmt.Errorf("operation %s, %s of %s: %w; it goes on when a process runs the journal", op.ID, p.Kind, p.Application, err)
	}
	if result == nil {
		return nil, fmt.Errorf("operation %s, %s of %s is %s: %w", op.ID, p.Kind, p.Application, op.State, cmp.Or(op.Err(), appspan.ErrUnavailable))
	}
	return result, result.err()
}

// handle executes an operation of the journal, whoever began it.
func (d *Deployer) handle(ctx context.Context, r *journal.Run) error {
	var body operationBody
	if err := json.Unmarshal(r.Body(), &body); err != nil || body.Plan == nil {
		return fmt.Errorf("%w: the operation holds no plan: %w", appspan.ErrCorrupt, err)
	}
	op := r.Operation()
	view := d.For(op.Subject)
	local := d.local.get(op.ID)
	if local == nil {
		local = &localRun{}
	}
	p := cmp.Or(local.plan, body.Plan)
	if p.Installation != d.opts.Installation {
		return fmt.Errorf("%w: the plan is of installation %q", appspan.ErrInvalid, p.Installation)
	}
	if err := p.open(view); err != nil {
		return err
	}
	o := (&ApplyOptions{Wait: body.Wait, ReadyTimeout: body.ReadyTimeout, FailAfter: body.FailAfter, passed: body.Passed}).normal()
	events := newDispatcher(func(e appspan.Event) { r.Event(ctx, e) })
	result := view.perform(ctx, p, body.Direct, o, events, func(ctx context.Context, name string, do func(context.Context) ClusterResult) ClusterResult {
		return clusterStep(ctx, r, name, do)
	})
	events.close()
	local.result.Store(result)
	if err := r.SetOutcome(result.slim()); err != nil {
		return errors.Join(result.err(), err)
	}
	return result.err()
}

// clusterStep applies one cluster's part as a step. That it failed is its result: a
// process that takes the operation up leaves it at that.
func clusterStep(ctx context.Context, r *journal.Run, name string, do func(context.Context) ClusterResult) ClusterResult {
	var full *ClusterResult
	kept, err := journal.Value(ctx, r, "cluster/"+name, func(ctx context.Context) (ClusterResult, error) {
		out := do(ctx)
		full = &out
		return out.slim(), ctx.Err()
	})
	if full == nil {
		full = &kept
		full.restore()
	}
	if full.Cluster == "" { // the step could not be begun
		*full = ClusterResult{Cluster: name, Outcome: OutcomeFailed}
	}
	if err != nil && full.err == nil {
		full.err, full.Error = err, err.Error()
	}
	return *full
}

// slim is a result without what is read from the cluster at any time.
func (r *Result) slim() *Result {
	out := *r
	out.Clusters = make([]ClusterResult, len(r.Clusters))
	for i := range r.Clusters {
		out.Clusters[i] = r.Clusters[i].slim()
	}
	return &out
}

// maxListed is how many names and notes an operation keeps of a cluster.
const maxListed = 100

func (r ClusterResult) slim() ClusterResult {
	r.Status = status.Cluster{Name: r.Status.Name, Namespace: r.Status.Namespace, Value: r.Status.Value, ObservedAt: r.Status.ObservedAt}
	r.Kept = r.Kept[:min(len(r.Kept), maxListed)]
	r.Notes = r.Notes[:min(len(r.Notes), maxListed)]
	r.Error = r.Error[:min(len(r.Error), 4096)]
	return r
}

// restore makes the error of a result that was read back: of its category,
// with its text.
func (r *ClusterResult) restore() {
	if r.Error == "" || r.err != nil {
		return
	}
	category := map[Outcome]error{OutcomeStale: appspan.ErrPrecondition, OutcomeRefused: appspan.ErrConflict, OutcomeUnknown: appspan.ErrUnavailable}[r.Outcome]
	r.err = &restoredError{text: r.Error, category: category}
}

// restoredError is an error that another process had.
type restoredError struct {
	text     string
	category error // or nil
}

func (e *restoredError) Error() string { return e.text }
func (e *restoredError) Unwrap() error { return e.category }
