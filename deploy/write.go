package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

// drainTime is what writes under way get when the context ends.
const drainTime = 10 * time.Second

// draining returns a context for one write: it outlives ctx by drainTime.
func draining(ctx context.Context) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(drainTime, cancel)
		context.AfterFunc(out, func() { timer.Stop() })
	})
	return out, func() { stop(); cancel() }
}

// begin records what is about to happen: the namespace, the record with every
// object that may come to exist, and the release. From here on an interrupted
// apply can be found and taken up.
func (a *applier) begin(ctx context.Context) error {
	w := a.fresh.work
	ctx, cancel := draining(ctx)
	defer cancel()
	a.began = true
	for _, c := range a.fresh.Changes {
		if c.Object.Kind == kindNamespace.Kind && c.Action == ActionCreate {
			if err := a.createNamespace(ctx); err != nil {
				return err
			}
		}
	}
	lineage, err := a.inherited(ctx)
	if err != nil {
		return err
	}
	if lineage != nil && lineage.At.IsZero() {
		made := *lineage
		made.At = time.Now().UTC()
		lineage = &made
	}
	a.record = nextRecord(w, a.plan, a.fresh.Changes, a.deployer.subject)
	a.record.Lineage = nil
	if lineage != nil {
		a.record.Lineage = &lineage.Lineage
	}
	if err := a.writeRecord(ctx); err != nil {
		a.record = nil
		return err
	}
	resolved, err := encodeApplication(w.app.app)
	if err != nil {
		return err
	}
	body := &releaseBody{Resolved: resolved, Params: w.app.params, Images: w.app.images, Bound: w.app.bound, Services: w.services, Intent: a.plan.intent.alone(w.live.cluster.Name()), Lineage: lineage}
	objects, err := a.deployer.releaseObjects(w.live.scope, a.record.id(a.record.Revision), body)
	if err != nil {
		return err
	}
	for _, obj := range objects {
		_, err := a.cluster.Apply(ctx, obj, driver.ApplyOptions{Manager: w.live.scope.manager(), IfAbsent: true})
		if err != nil {
			return err
		}
	}
	a.result.Revision = a.record.Revision
	return nil
}

func (a *applier) createNamespace(ctx context.Context) error {
	s := a.fresh.work.live.scope
	obj, err := driver.NewObject(&corev1.Namespace{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace, Labels: map[string]string{
			appmodel.LabelInstallation: s.installation, "app.kubernetes.io/managed-by": "appspan"}},
	})
	if err != nil {
		return err
	}
	_, err = a.cluster.Apply(ctx, obj, driver.ApplyOptions{Manager: s.manager(), IfAbsent: true})
	if errors.Is(err, appspan.ErrExists) {
		return nil
	}
	a.countCreated()
	return err
}

// nextRecord is the record while a release is applied.
func nextRecord(w *work, p *Plan, made []Change, subject appspan.Subject) *record {
	changes := make(map[driver.Ref]Action, len(made))
	for _, c := range made {
		changes[c.Object] = c.Action
	}
	r := &record{envelope: envelope{Format: recordFormat, MinReader: recordFormat}, Inventory: map[string]item{}}
	if old := w.live.state.record; old != nil {
		r = old.clone()
	}
	if last := r.newest(); last != nil && last.State == ReleaseApplying {
		last.State, last.Message = ReleaseInterrupted, "its process ended before it did; a later apply took it up"
	}
	r.Revision++
	r.Release = w.release
	r.States, r.Meant = w.states, w.meant
	for _, k := range kindsOf(w.objects) {
		if !slices.Contains(r.Kinds, k) {
			r.Kinds = append(r.Kinds, k)
		}
	}
	slices.SortFunc(r.Kinds, compareKinds)
	w.forgetGone(r)
	for _, o := range w.objects {
		r.Inventory[inventoryKey(o.Ref)] = before(w, o, r.Inventory[inventoryKey(o.Ref)], changes[o.Ref])
	}
	release := Release{Revision: r.Revision, Kind: p.Kind, State: ReleaseApplying, Started: time.Now().UTC(), PlanHash: p.Hash, Subject: subject.String()}
	release.RollbackTo = p.intent.FromRevision[w.live.cluster.Name()]
	r.Releases = append(r.Releases, release)
	r.Removing, r.Recycled = false, nil
	r.Gated = gatedBy(p, w.live.cluster.Name(), r.Gated)
	r.heals(p.intent.Heal, w.live.cluster.Name(), release.Started)
	return r
}

// writeRecord writes the parent Secret onto the revision that was read, so
// that of two applies at one time one is refused.
func (a *applier) writeRecord(ctx context.Context) error {
	w := a.fresh.work
	obj, err := a.deployer.parentObject(w.live.scope, a.record, mergeValues(w.live.state.generated, w.values))
	if err != nil {
		return err
	}
	opts := driver.ApplyOptions{Manager: w.live.scope.manager(), IfAbsent: true}
	if w.live.state.parent.Revision != "" {
		opts = driver.ApplyOptions{Manager: w.live.scope.manager(), Force: true, IfRevision: w.live.state.parent.Revision, IfUID: w.live.state.parent.UID}
	}
	written, err := a.cluster.Apply(ctx, obj, opts)
	if errors.Is(err, appspan.ErrPrecondition) || errors.Is(err, appspan.ErrExists) {
		return fmt.Errorf("%w: another apply of %s is under way on this cluster, or ended meanwhile; plan again: %w", appspan.ErrConflict, a.plan.Application, err)
	}
	if err != nil {
		return err
	}
	w.live.state.parent = written
	return nil
}

func mergeValues(a, b secretValues) secretValues {
	out := secretValues{}
	for _, v := range []secretValues{a, b} {
		for group, items := range v {
			for name, value := range items {
				out.set(group, name, value)
			}
		}
	}
	return out
}

// stage is a run of phases that are written together.
type stage struct{ from, to render.Phase }

// stages: definitions first, then everything that pods need, then what runs
// pods, because the controllers' work on those slows the server down for
// everybody.
func stages() []stage {
	return []stage{
		{render.PhaseDefinition, render.PhaseDefinition},
		{render.PhaseIdentity, render.PhaseNetwork},
		{render.PhaseWorkload, render.PhaseWorkload},
	}
}

// write makes every change but the deletions, stage after stage. Objects that
// wait for another component are written once that is so far.
func (a *applier) write(ctx context.Context) error {
	var held []task
	tasks := a.tasks()
	ordered := a.ordered(tasks)
	for _, s := range stages() {
		var now []task
		for _, t := range tasks {
			switch {
			case t.object.Phase < s.from || t.object.Phase > s.to:
			case len(t.waits(ordered)) > 0:
				held = append(held, t)
			default:
				now = append(now, t)
			}
		}
		if err := a.writeAll(ctx, now); err != nil {
			return err
		}
		if s.to == render.PhaseDefinition {
			if err := a.established(ctx); err != nil {
				return err
			}
		}
	}
	for len(held) > 0 {
		ready, err := a.awaitAny(ctx, held, ordered)
		if err != nil {
			return err
		}
		if err := a.writeAll(ctx, ready); err != nil {
			return err
		}
		held = slices.DeleteFunc(held, func(t task) bool {
			return slices.ContainsFunc(ready, func(r task) bool { return r.change == t.change })
		})
	}
	return nil
}

// task is one object to write.
type task struct {
	change *Change
	object *desired
}

// tasks are the objects to write, in the order of rendering.
func (a *applier) tasks() []task {
	byRef := make(map[driver.Ref]*Change, len(a.fresh.Changes))
	for i := range a.fresh.Changes {
		byRef[a.fresh.Changes[i].Object] = &a.fresh.Changes[i]
	}
	var out []task
	for _, o := range slices.Concat(a.fresh.work.grown, a.fresh.work.objects) {
		if c := byRef[o.Ref]; c != nil {
			out = append(out, task{change: c, object: o})
		}
	}
	return out
}

// writeAll writes objects in parallel, in their order. What fails does not
// keep the others from being written.
func (a *applier) writeAll(ctx context.Context, tasks []task) error {
	return a.parallel(ctx, len(tasks), func(ctx context.Context, i int) error {
		t := tasks[i]
		if err := a.writeOne(ctx, t); err != nil {
			return err
		}
		a.progress(PhaseApply, t.change)
		return nil
	})
}

// parallel calls do for 0 to n-1 with bounded concurrency, and returns the
// first errors joined. When ctx ends nothing new is begun.
func (a *applier) parallel(ctx context.Context, n int, do func(context.Context, int) error) error {
	var mu sync.Mutex
	var errs []error
	next := 0
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		if next >= n || len(errs) >= maxErrors || ctx.Err() != nil {
			return 0, false
		}
		next++
		return next - 1, true
	}
	var wg sync.WaitGroup
	for range min(a.deployer.opts.Concurrency, n) {
		wg.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				limited, cancel := draining(ctx)
				err := do(limited, i)
				cancel()
				if err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil && next < n {
		errs = append(errs, fmt.Errorf("%d of %d objects were not written: %w", n-next, n, context.Cause(ctx)))
	}
	return errors.Join(errs...)
}

// maxErrors is after how many errors an apply gives up on a cluster.
const maxErrors = 10

func (a *applier) writeOne(ctx context.Context, t task) error {
	l := a.fresh.work.live
	manager := l.scope.manager()
	opts := driver.ApplyOptions{Manager: manager}
	var current *driver.Object
	switch t.change.Action {
	case ActionUpdate, ActionAdopt:
		obj, _ := l.find(t.object.Ref)
		current = &obj
		opts.Force, opts.IfUID = true, obj.UID
		if len(t.object.External) > 0 {
			opts.IfRevision = obj.Revision
		}
	case ActionReplace:
		if err := a.deleteAndWait(ctx, t.change); err != nil {
			return err
		}
	}
	written, err := a.send(ctx, t.object, current, opts)
	for n := 1; n < sendAttempts && opts.IfRevision != "" && errors.Is(err, appspan.ErrPrecondition); n++ {
		obj, failed := a.cluster.Get(ctx, t.object.Ref) // a controller was faster
		if failed != nil {
			return failed
		}
		opts.IfRevision = obj.Revision
		written, err = a.send(ctx, t.object, &obj, opts)
	}
	if err != nil {
		return err
	}
	if a.eyes != nil && isWorkload(t.object) {
		a.eyes.wrote(written)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.object.hash != "" { // a claim that a template made is not ours to list
		known := item{UID: written.UID, Revision: written.Revision, Generation: written.Generation, Hash: t.object.hash, Keep: t.object.Keep, Passing: passing(t.object)}
		if len(t.object.additions) > 0 || t.object.partly {
			known.Revision, known.Generation = "", 0 // the next plan looks again
		}
		a.record.Inventory[inventoryKey(t.object.Ref)] = known
	}
	if t.change.Action == ActionCreate {
		a.result.Created++
	} else {
		a.result.Updated++
	}
	return nil
}

// sendAttempts is how often an object is sent that others change all the time.
const sendAttempts = 10

// send sends an object onto what is there.
func (a *applier) send(ctx context.Context, o *desired, current *driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
	obj, err := o.object(current, opts.Manager)
	if err != nil {
		return driver.Object{}, err
	}
	return a.cluster.Apply(ctx, obj, opts)
}

func (a *applier) countCreated() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.result.Created++
}

// deleteAndWait deletes an object and returns when it is gone.
func (a *applier) deleteAndWait(ctx context.Context, c *Change) error {
	err := a.cluster.Delete(ctx, c.Object, driver.DeleteOptions{UID: c.UID, Propagation: propagation(c)})
	if err != nil && !errors.Is(err, appspan.ErrNotFound) {
		return err
	}
	return waitGone(ctx, a.cluster, c.Object, a.options.ReadyTimeout)
}

// waitGone waits until an object does not exist.
func waitGone(ctx context.Context, c *cluster.Cluster, ref driver.Ref, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		_, err := c.Get(ctx, ref)
		if errors.Is(err, appspan.ErrNotFound) {
			return nil
		}
		if err != nil && !appspan.Retryable(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is still being deleted: %w; look at its finalizers", ref, context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

// prune deletes what is not desired any more, and lets go of what is kept.
func (a *applier) prune(ctx context.Context) error {
	var changes []*Change
	for i := range a.fresh.Changes {
		c := &a.fresh.Changes[i]
		switch c.Action {
		case ActionDelete:
			changes = append(changes, c)
		case ActionKeep:
			a.result.Kept = append(a.result.Kept, c.Object.String())
			delete(a.record.Inventory, inventoryKey(c.Object))
		}
	}
	return a.deleteObjects(ctx, changes)
}

// deleteObjects deletes in parallel, definitions of kinds last.
func (a *applier) deleteObjects(ctx context.Context, changes []*Change) error {
	others, definitions := definitionsLast(changes)
	if err := a.deleteAll(ctx, others); err != nil {
		return err
	}
	return a.deleteAll(ctx, definitions)
}

func (a *applier) deleteAll(ctx context.Context, changes []*Change) error {
	return a.parallel(ctx, len(changes), func(ctx context.Context, i int) error {
		c := changes[i]
		err := a.cluster.Delete(ctx, c.Object, driver.DeleteOptions{UID: c.UID})
		if err != nil && !errors.Is(err, appspan.ErrNotFound) {
			return err
		}
		a.mu.Lock()
		delete(a.record.Inventory, inventoryKey(c.Object))
		a.result.Deleted++
		a.mu.Unlock()
		a.progress(PhasePrune, c)
		return nil
	})
}

// progress tells that one change was made.
func (a *applier) progress(phase string, c *Change) {
	a.mu.Lock()
	a.done++
	done := a.done
	a.mu.Unlock()
	a.events.send(appspan.Event{Cluster: a.part.Cluster, Kind: appspan.EventProgress, Phase: phase, Object: c.Object.String(), Component: c.Component,
		Message: string(c.Action) + " " + c.Object.String(), Done: done, Total: len(a.fresh.Changes)})
}

// finish records how the release ended, and forgets the oldest one.
func (a *applier) finish(ctx context.Context, failed error) error {
	if ctx.Err() == nil && errors.Is(failed, appspan.ErrUnavailable) {
		return nil // the cluster does not answer; the record says "applying", and the next apply finds it so
	}
	ctx, cancel := draining(ctx)
	defer cancel()
	last := a.record.newest()
	last.Finished, last.State = time.Now().UTC(), ReleaseDeployed
	last.Created, last.Updated, last.Deleted = a.result.Created, a.result.Updated, a.result.Deleted
	if failed != nil {
		last.State, last.Message = ReleaseFailed, account(failed, a.fresh.work.secretTexts())
	}
	a.forgetKinds()
	before := len(a.record.Releases)
	a.record.Releases = a.record.kept()
	if err := a.writeRecord(ctx); err != nil || len(a.record.Releases) == before {
		return err
	}
	return a.deployer.forgetReleases(ctx, a.cluster, a.fresh.work.live.scope, func(revision int) bool {
		return revision < a.record.Revision && !slices.ContainsFunc(a.record.Releases, func(r Release) bool { return r.Revision == revision })
	})
}

// forgetKinds drops kinds of which nothing is left.
func (a *applier) forgetKinds() {
	used := map[string]bool{}
	for key := range a.record.Inventory {
		used[key[:strings.LastIndexByte(key, '|')]] = true
	}
	a.record.Kinds = slices.DeleteFunc(a.record.Kinds, func(k kindRef) bool { return !used[k.APIVersion+"|"+k.Kind] })
}
