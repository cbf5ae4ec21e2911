package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
	"github.com/appspan-dev/appspan/deploy/status"
)

// view is what status is computed from: one application on one cluster.
type view struct {
	scope    scope
	app      *appmodel.Application
	expected []driver.Ref
	services []string
	revision int
	deployed bool
	// ended are Jobs that have run and may have been cleaned up since.
	ended []driver.Ref
	// causes are what stands in the way of all of it.
	causes []status.Cause
}

// observedKinds are the kinds that say how an application does.
func observedKinds(info driver.Info, kinds []kindRef) []kindRef {
	out := []kindRef{{"v1", "Pod"}, {"discovery.k8s.io/v1", "EndpointSlice"}, kindClaim}
	wanted := map[string]bool{"Deployment": true, "StatefulSet": true, "DaemonSet": true, "Job": true, "CronJob": true}
	for _, k := range kinds {
		if wanted[k.Kind] || k.APIVersion == "serving.knative.dev/v1" {
			out = append(out, k)
		}
		if k.Kind == "Deployment" {
			out = append(out, kindRef{"apps/v1", "ReplicaSet"})
		}
	}
	served := out[:0]
	for _, k := range out {
		if info.Has(k.APIVersion, k.Kind) {
			served = append(served, k)
		}
	}
	return served
}

// query selects the application's objects of a kind.
func (v view) query(k kindRef) cluster.Query {
	return cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: v.scope.namespace, Projection: cluster.Trimmed,
		Labels: appmodel.LabelApplication + "=" + v.scope.application}
}

// follower keeps a picture of what a cluster does with an application.
type follower struct {
	cluster *cluster.Cluster
	view    view
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	changed chan struct{} // holds a token when the picture changed

	mu      sync.Mutex
	objects map[driver.Ref]driver.Object
	written map[driver.Ref]int64 // the generation that each must have reached
	unheard int                  // kinds whose first list has not come yet
	stale   map[kindRef]cluster.Event
	err     error
}

// follow starts to watch; close ends it.
func follow(ctx context.Context, c *cluster.Cluster, v view, kinds []kindRef) *follower {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{cluster: c, view: v, cancel: cancel, changed: make(chan struct{}, 1),
		objects: map[driver.Ref]driver.Object{}, written: map[driver.Ref]int64{}, unheard: len(kinds), stale: map[kindRef]cluster.Event{}}
	for _, k := range kinds {
		f.wg.Go(func() { f.watch(ctx, k) })
	}
	return f
}

func (f *follower) close() {
	f.cancel()
	f.wg.Wait()
}

func (f *follower) watch(ctx context.Context, k kindRef) {
	heard := false
	for e, err := range f.cluster.Watch(ctx, f.view.query(k)) {
		f.mu.Lock()
		switch {
		case err != nil:
			f.err = err
		case e.Type == cluster.Synced:
			delete(f.stale, k)
			if !heard {
				heard = true
				f.unheard--
			}
		case e.Type == cluster.Stale:
			f.stale[k] = e
		case e.Type == cluster.Reset:
			for ref := range f.objects {
				if ref.APIVersion == k.APIVersion && ref.Kind == k.Kind {
					delete(f.objects, ref)
				}
			}
		case e.Type == cluster.Deleted:
			if !completed(f.objects[e.Object.Ref]) { // else it was cleaned up
				delete(f.objects, e.Object.Ref)
			}
		default:
			f.objects[e.Object.Ref] = e.Object
		}
		f.mu.Unlock()
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}
}

// wrote says that a workload was written: the picture before it is of no use.
func (f *follower) wrote(obj driver.Object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written[obj.Ref] = obj.Generation
}

// now is the status as it is seen, and whether everything was seen at all.
func (f *follower) now() (status.Cluster, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return status.Cluster{}, false, f.err
	}
	if f.unheard > 0 {
		return status.Cluster{}, false, nil
	}
	for ref, generation := range f.written {
		if f.objects[ref].Generation < generation {
			return status.Cluster{}, false, nil
		}
		delete(f.written, ref)
	}
	objects := make([]driver.Object, 0, len(f.objects))
	for _, o := range f.objects {
		objects = append(objects, o)
	}
	s := f.view.status(f.cluster.Name(), objects)
	for _, e := range f.stale {
		s = unknown(s, f.view, f.cluster, e.Cause)
		break
	}
	return s, true, nil
}

// status computes the application's status from objects.
func (v view) status(clusterName string, objects []driver.Object) status.Cluster {
	for _, ref := range v.ended {
		if !slices.ContainsFunc(objects, func(o driver.Object) bool { return o.Ref == ref }) {
			objects = append(objects, endedJob(ref))
		}
	}
	s := status.OfCluster(status.Input{Application: v.app, Name: clusterName, Namespace: v.scope.namespace,
		Objects: objects, Expected: v.expected, Deployed: v.deployed, Services: v.services, Causes: v.causes, Now: time.Now().UTC()})
	s.Revision = v.revision
	return s
}

// unknown is the status of what cannot be reached: last is what was known.
func unknown(last status.Cluster, v view, c *cluster.Cluster, cause error) status.Cluster {
	last.Name, last.Namespace, last.ObservedAt = c.Name(), v.scope.namespace, c.LastAnswer()
	return status.Stale(last, time.Now().UTC(), cause)
}

// coalesce is how long changes are gathered before status is computed again.
const coalesce = 50 * time.Millisecond

// next waits for a change of the picture.
func (f *follower) next(ctx context.Context, limit <-chan time.Time) error {
	select {
	case <-f.changed:
	case <-limit:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-time.After(coalesce):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// see starts the follower once.
func (a *applier) see(ctx context.Context) *follower {
	if a.eyes == nil {
		w := a.fresh.work
		v := view{scope: w.live.scope, app: w.states.apply(w.app.app), services: w.services, revision: a.result.Revision, deployed: true}
		for _, o := range w.objects {
			if o.Component != "" {
				v.expected = append(v.expected, o.Ref)
				if _, there := w.live.find(o.Ref); !there && w.live.hasEnded(o) {
					v.ended = append(v.ended, o.Ref)
				}
			}
		}
		a.eyes = follow(ctx, a.cluster, v, observedKinds(w.live.info, kindsOf(w.objects)))
	}
	return a.eyes
}

func (a *applier) closeEyes() {
	if a.eyes != nil {
		a.eyes.close()
	}
}

// settle waits until the application is ready. A component that stays failed,
// or a time limit, ends the wait with the causes.
func (a *applier) settle(ctx context.Context) error {
	if a.options.Wait == WaitWritten {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("everything was written; readiness was not awaited: %w", context.Cause(ctx))
	}
	f := a.see(ctx)
	_, err := a.await(ctx, f, func(s status.Cluster) bool {
		return s.Value == status.Ready || s.Value == status.Stopped || onlyOptional(s)
	})
	return err
}

// onlyOptional reports whether nothing but optional components keeps the
// application from being ready.
func onlyOptional(s status.Cluster) bool {
	if s.Value != status.Degraded {
		return false
	}
	for _, c := range s.Components {
		if !c.Optional && c.Value != status.Ready && c.Value != status.Stopped {
			return false
		}
	}
	return true
}

// await waits until a status holds, tells of changes meanwhile, and gives up
// by the rules of ApplyOptions.
func (a *applier) await(ctx context.Context, f *follower, enough func(status.Cluster) bool) (status.Cluster, error) {
	deadline := time.Now().Add(a.options.ReadyTimeout)
	var failedSince time.Time
	for {
		s, seen, err := f.now()
		if err != nil {
			return s, err
		}
		if seen {
			a.result.Status = s
			a.deployer.last.put(place{a.cluster.Name(), f.view.scope.namespace, f.view.scope.application}, s)
			a.tell(s)
			if enough(s) {
				return s, nil
			}
			switch {
			case s.Value != status.Failed:
				failedSince = time.Time{}
			case failedSince.IsZero():
				failedSince = time.Now()
			case time.Since(failedSince) >= a.options.FailAfter:
				return s, notReady(s, "failed for "+a.options.FailAfter.String())
			}
		}
		left := time.Until(deadline)
		if left <= 0 {
			return s, notReady(s, "not ready after "+a.options.ReadyTimeout.String())
		}
		if !failedSince.IsZero() {
			left = min(left, time.Until(failedSince.Add(a.options.FailAfter)))
		}
		if err := f.next(ctx, time.After(max(left, 0))); err != nil {
			return s, fmt.Errorf("everything so far was written; readiness was not awaited: %w", err)
		}
	}
}

// tell sends an event for each component whose status changed.
func (a *applier) tell(s status.Cluster) {
	ready := 0
	for _, c := range s.Components {
		if c.Value == status.Ready || c.Value == status.Stopped {
			ready++
		}
	}
	for _, c := range s.Components {
		if a.told[c.ID] == c.Value {
			continue
		}
		a.told[c.ID] = c.Value
		e := appspan.Event{Cluster: a.part.Cluster, Kind: appspan.EventState, Phase: PhaseReady, Component: c.ID,
			Message: string(c.Value), Done: ready, Total: len(s.Components)}
		if len(c.Causes) > 0 {
			e.Message += ": " + c.Causes[0].Message
		}
		if c.Value == status.Failed {
			e.Kind = appspan.EventWarning
		}
		a.events.send(e)
	}
}

// notReady is the error that names the causes.
func notReady(s status.Cluster, why string) error {
	var parts []string
	for _, c := range s.Components {
		if c.Value == status.Ready || c.Value == status.Stopped {
			continue
		}
		text := c.ID + " is " + string(c.Value)
		if len(c.Causes) > 0 {
			text += ": " + c.Causes[0].Message
			if c.Causes[0].Next != "" {
				text += " (" + c.Causes[0].Next + ")"
			}
		}
		if parts = append(parts, text); len(parts) == 3 {
			break
		}
	}
	return fmt.Errorf("%w: %s: %s", ErrNotReady, why, strings.Join(parts, "; "))
}

// awaitAny waits until some of the held tasks may be written, and returns
// those.
func (a *applier) awaitAny(ctx context.Context, held []task, ordered map[string][]render.Wait) ([]task, error) {
	var ready []task
	heldBack := map[string]bool{}
	for _, t := range held {
		heldBack[t.object.Component] = true
	}
	_, err := a.await(ctx, a.see(ctx), func(s status.Cluster) bool {
		values := map[string]status.Component{}
		for _, c := range s.Components {
			values[c.ID] = c
		}
		for _, t := range held {
			if conditionsHold(t.waits(ordered), values, heldBack) {
				ready = append(ready, t)
			}
		}
		return len(ready) > 0
	})
	return ready, err
}
