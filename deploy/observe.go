package deploy

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/status"
)

// Status reads how an application does on the clusters of a target. A cluster
// that does not answer is unknown, with the last value that this Deployer saw
// and its age. The error is about the call; no cluster's failure is one.
func (d *Deployer) Status(ctx context.Context, application string, to Target) (status.Application, error) {
	to, err := d.reading(ctx, application, to)
	if err != nil {
		return status.Application{}, err
	}
	clusters := make([]status.Cluster, len(to.Clusters))
	var wg sync.WaitGroup
	for i, name := range to.Clusters {
		wg.Go(func() { clusters[i] = d.statusOf(ctx, application, to, name) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return status.Application{}, context.Cause(ctx)
	}
	return status.Of(application, clusters), nil
}

// reading checks a target and the right to read it.
func (d *Deployer) reading(ctx context.Context, application string, to Target) (Target, error) {
	to, err := d.choose(ctx, application, to)
	if err != nil {
		return to, err
	}
	if to, err = to.normal(application); err != nil {
		return to, err
	}
	if to.Team == "" {
		to.Team = d.subject.Team
	}
	if err := d.sameTeam(application, to); err != nil {
		return to, err
	}
	for _, c := range to.Clusters {
		if err := d.authorize(ctx, appspan.VerbRead, application, to, c); err != nil {
			return to, err
		}
		if _, err := d.clusters.Cluster(ctx, c); errors.Is(err, appspan.ErrNotFound) {
			return to, fmt.Errorf("target of %s: %w", application, err) // a typing error is no outage
		}
	}
	return to, nil
}

// statusOf is the status on one cluster.
func (d *Deployer) statusOf(ctx context.Context, application string, to Target, name string) status.Cluster {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	at := place{name, to.Namespace, application}
	c, err := d.clusters.Cluster(ctx, name)
	if err != nil {
		return status.Cluster{Name: name, Namespace: to.Namespace, Value: status.Unknown, Error: err.Error()}
	}
	v := view{scope: scope{installation: d.opts.Installation, application: application, namespace: to.Namespace}}
	s, err := d.readStatus(ctx, c, &v)
	if err != nil {
		last, _ := d.last.get(at)
		return unknown(last, v, c, err)
	}
	d.last.put(at, s)
	return s
}

// readStatus lists what says how an application does.
func (d *Deployer) readStatus(ctx context.Context, c *cluster.Cluster, v *view) (status.Cluster, error) {
	kinds, err := d.readView(ctx, c, v)
	if err != nil {
		return status.Cluster{}, err
	}
	var mu sync.Mutex
	var objects []driver.Object
	g, ctx := errgroup.WithContext(ctx)
	for _, k := range kinds {
		g.Go(func() error {
			for obj, err := range c.List(ctx, v.query(k)) {
				if err != nil {
					return err
				}
				mu.Lock()
				objects = append(objects, obj)
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return status.Cluster{}, err
	}
	s := v.status(c.Name(), objects)
	if s.Value == status.Ready || s.Value == status.Stopped || s.Value == status.Absent {
		return s, nil
	}
	return v.status(c.Name(), append(objects, warnings(ctx, c, v.scope.namespace)...)), nil
}

// maxWarnings bounds how many Kubernetes Events are looked at for causes.
const maxWarnings = 1000

// warnings are the namespace's warning Events: they say why where conditions
// do not. Without them a status is less precise, not wrong.
func warnings(ctx context.Context, c *cluster.Cluster, namespace string) []driver.Object {
	var out []driver.Object
	q := cluster.Query{APIVersion: "v1", Kind: "Event", Namespace: namespace, Fields: "type=Warning", Projection: cluster.Trimmed}
	for obj, err := range c.List(ctx, q) {
		if err != nil || len(out) >= maxWarnings {
			break
		}
		out = append(out, obj)
	}
	return out
}

// readView reads the record and the newest release of an application.
func (d *Deployer) readView(ctx context.Context, c *cluster.Cluster, v *view) ([]kindRef, error) {
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	v.scope.clusterUID = info.UID
	all := []kindRef{{"apps/v1", "Deployment"}, {"apps/v1", "StatefulSet"}, {"apps/v1", "DaemonSet"}, {"batch/v1", "Job"}, {"batch/v1", "CronJob"}}
	var both errgroup.Group
	both.Go(func() (err error) {
		v.causes, err = ending(ctx, c, v.scope.namespace)
		return err
	})
	parent, err := c.Get(ctx, v.scope.parentRef())
	if failed := both.Wait(); failed != nil {
		return nil, failed
	}
	if errors.Is(err, appspan.ErrNotFound) {
		return observedKinds(info, all), nil
	}
	if err != nil {
		return nil, err
	}
	st, err := d.openState(v.scope, parent)
	if err != nil {
		return nil, err
	}
	cause, err := d.interrupted(ctx, c, v.scope, st.record)
	if err != nil {
		return nil, err
	}
	if cause != nil {
		v.causes = append(v.causes, *cause)
	}
	if !st.record.runs() {
		return observedKinds(info, all), nil
	}
	v.revision, v.deployed = st.record.Revision, true
	for key, known := range st.record.Inventory {
		ref := refOfKey(key, v.scope.namespace)
		v.expected = append(v.expected, ref)
		if last := st.record.newest(); known.Passing && known.UID != "" && last != nil && last.State == ReleaseDeployed {
			v.ended = append(v.ended, ref)
		}
	}
	if body, err := d.readRelease(ctx, c, v.scope, st.record.id(v.revision)); err == nil {
		if app, err := decodeApplication(body.Resolved); err == nil {
			v.app, v.services = st.record.States.apply(app), body.Services
		}
	}
	return observedKinds(info, st.record.Kinds), nil
}

// Watch follows how an application does: a status whenever it changes, the
// first once every cluster has been read or found not to answer. It ends when
// the loop does, or with the context: then the last is its error, alone.
func (d *Deployer) Watch(ctx context.Context, application string, to Target) iter.Seq2[status.Application, error] {
	return func(yield func(status.Application, error) bool) {
		to, err := d.reading(ctx, application, to)
		if err != nil {
			yield(status.Application{}, err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		updates := make(chan status.Cluster)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		for _, name := range to.Clusters {
			wg.Go(func() { d.watchOne(ctx, application, to, name, updates) })
		}
		current := map[string]status.Cluster{}
		for {
			select {
			case s := <-updates:
				current[s.Name] = s
			case <-ctx.Done():
				yield(status.Application{}, context.Cause(ctx))
				return
			}
			if len(current) < len(to.Clusters) {
				continue
			}
			clusters := make([]status.Cluster, 0, len(current))
			for _, name := range to.Clusters {
				clusters = append(clusters, current[name])
			}
			if !yield(status.Of(application, clusters), nil) {
				return
			}
		}
	}
}

// rereadEvery is how often a watch reads the record again, for releases that
// others made, and tries a cluster that did not answer.
const rereadEvery = 30 * time.Second

// watchOne follows one cluster.
func (d *Deployer) watchOne(ctx context.Context, application string, to Target, name string, updates chan<- status.Cluster) {
	at := place{name, to.Namespace, application}
	send := func(s status.Cluster) bool {
		select {
		case updates <- s:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for ctx.Err() == nil {
		first := d.statusOf(ctx, application, to, name)
		if !send(first) {
			return
		}
		c, err := d.clusters.Cluster(ctx, name)
		wait := time.NewTimer(rereadEvery)
		if err != nil || !first.Fresh {
			select {
			case <-wait.C:
			case <-ctx.Done():
			}
			wait.Stop()
			continue
		}
		v := view{scope: scope{installation: d.opts.Installation, application: application, namespace: to.Namespace}}
		d.followOne(ctx, c, &v, at, first, wait.C, send)
		wait.Stop()
	}
}

// followOne sends changes until the limit, or until something fails.
func (d *Deployer) followOne(ctx context.Context, c *cluster.Cluster, v *view, at place, last status.Cluster, limit <-chan time.Time, send func(status.Cluster) bool) {
	kinds, err := d.readView(ctx, c, v)
	if err != nil {
		return
	}
	f := follow(ctx, c, *v, kinds)
	defer f.close()
	for {
		s, seen, err := f.now()
		if err != nil {
			return
		}
		if seen && !sameStatus(s, last) {
			last = s
			d.last.put(at, s)
			if !send(s) {
				return
			}
		}
		select {
		case <-f.changed:
			select {
			case <-time.After(coalesce):
			case <-ctx.Done():
				return
			}
		case <-limit:
			return
		case <-ctx.Done():
			return
		}
	}
}

// sameStatus compares what a person would see.
func sameStatus(a, b status.Cluster) bool {
	if a.Value != b.Value || a.Revision != b.Revision || len(a.Components) != len(b.Components) || a.Error != b.Error || !slices.Equal(a.Causes, b.Causes) {
		return false
	}
	for i := range a.Components {
		x, y := a.Components[i], b.Components[i]
		if x.ID != y.ID || x.Value != y.Value || x.Replicas != y.Replicas || len(x.Causes) != len(y.Causes) || x.Message != y.Message {
			return false
		}
	}
	return true
}

// Releases lists the releases of an application on one cluster, the newest
// first: the last ten. An application that was never there has none.
func (d *Deployer) Releases(ctx context.Context, application string, to Target) (map[string][]Release, error) {
	to, err := d.reading(ctx, application, to)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]Release, len(to.Clusters))
	err = d.eachState(ctx, application, to, func(name string, st *state) {
		out[name] = []Release{}
		if st != nil {
			out[name] = append(out[name], st.record.Releases...)
			slices.Reverse(out[name])
		}
	})
	return out, err
}

// eachState reads the record of an application on each cluster, nil where it
// has none. Clusters that fail are in the error.
func (d *Deployer) eachState(ctx context.Context, application string, to Target, do func(cluster string, st *state)) error {
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for _, name := range to.Clusters {
		wg.Go(func() {
			st, _, err := d.readState(ctx, application, to, name)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				return
			}
			do(name, st)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// readState reads the record of an application on a cluster; nil if it has
// none.
func (d *Deployer) readState(ctx context.Context, application string, to Target, name string) (*state, scope, error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	s := scope{installation: d.opts.Installation, application: application, namespace: to.Namespace}
	c, err := d.clusters.Cluster(ctx, name)
	if err != nil {
		return nil, s, err
	}
	info, err := c.Info(ctx)
	if err != nil {
		return nil, s, err
	}
	s.clusterUID = info.UID
	parent, err := c.Get(ctx, s.parentRef())
	if errors.Is(err, appspan.ErrNotFound) {
		return nil, s, nil
	}
	if err != nil {
		return nil, s, err
	}
	st, err := d.openState(s, parent)
	return st, s, err
}

// ReleasedApplication returns the application as it was resolved for a cluster
// of the target in one of its releases, with secret values redacted.
func (d *Deployer) ReleasedApplication(ctx context.Context, application string, to Target, clusterName string, revision int) (*appmodel.Application, error) {
	to, err := d.reading(ctx, application, to)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(to.Clusters, clusterName) { // nobody was asked about it
		return nil, fmt.Errorf("release %d of %s: %w: cluster %q is none of the target's", revision, application, appspan.ErrInvalid, clusterName)
	}
	st, s, err := d.readState(ctx, application, to, clusterName)
	if err != nil {
		return nil, err
	}
	if st == nil {
		return nil, fmt.Errorf("release %d of %s: %w: it is not on %s", revision, application, appspan.ErrNotFound, clusterName)
	}
	c, err := d.clusters.Cluster(ctx, clusterName)
	if err != nil {
		return nil, err
	}
	body, err := d.readRelease(ctx, c, s, st.record.id(revision))
	if err != nil {
		return nil, err
	}
	app, err := decodeApplication(body.Resolved)
	if err != nil {
		return nil, err
	}
	return appmodel.Redact(app), nil
}
