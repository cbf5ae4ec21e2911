package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

var (
	kindSecret    = kindRef{APIVersion: "v1", Kind: "Secret"}
	kindClaim     = kindRef{APIVersion: "v1", Kind: "PersistentVolumeClaim"}
	kindJob       = kindRef{APIVersion: "batch/v1", Kind: "Job"}
	kindNamespace = kindRef{APIVersion: "v1", Kind: "Namespace"}
)

// maxForeign is how many objects of others, of one kind, are read whole to find
// namesakes. In a namespace with more, ours are selected by their label, and
// namesakes are read one by one.
const maxForeign = 500

// live is what a cluster has, read with one LIST a kind.
type live struct {
	cluster *cluster.Cluster
	scope   scope
	info    driver.Info

	// namespace is the namespace itself, nil if it does not exist.
	namespace *driver.Object
	// state is the record of the application there; its record is nil if the
	// application has never been on the cluster.
	state *state

	mu      sync.Mutex
	objects map[kindRef]map[string]driver.Object // by name
	partly  map[kindRef]bool                     // without what is not labelled
}

// read gets what is needed before rendering: the cluster's abilities, the
// namespace, the record, and claims that may hold kept secrets.
func (d *Deployer) read(ctx context.Context, c *cluster.Cluster, app, namespace string) (*live, error) {
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	l := &live{cluster: c, info: info, objects: map[kindRef]map[string]driver.Object{}, partly: map[kindRef]bool{},
		scope: scope{installation: d.opts.Installation, application: app, namespace: namespace, clusterUID: info.UID}}
	g, reading := errgroup.WithContext(ctx)
	g.Go(func() error {
		obj, err := c.Get(reading, driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: namespace})
		switch {
		case errors.Is(err, appspan.ErrNotFound):
		case err != nil:
			return err
		default:
			l.namespace = &obj
		}
		return nil
	})
	g.Go(func() error { return l.list(reading, kindSecret) })
	g.Go(func() error { return l.list(reading, kindClaim) })
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := l.fill(ctx, []driver.Ref{l.scope.parentRef()}); err != nil {
		return nil, err
	}
	l.state = &state{generated: secretValues{}}
	if parent, ok := l.objects[kindSecret][l.scope.parent()]; ok {
		st, err := d.openState(l.scope, parent)
		if err != nil {
			return nil, err
		}
		l.state = st
	}
	if l.state.record == nil {
		return l, d.readKept(l)
	}
	return l, nil
}

// readKept takes generated secrets from claims that outlived the application:
// data moves with its password.
func (d *Deployer) readKept(l *live) error {
	for _, claim := range l.objects[kindClaim] {
		if !l.scope.ours(claim.Labels) {
			continue
		}
		var m objectMeta
		if json.Unmarshal(claim.JSON, &m) != nil || m.Metadata.Annotations[appmodel.AnnotationKept] == "" {
			continue
		}
		values, err := d.openKept(l.scope, m.Metadata.Annotations[appmodel.AnnotationKept])
		if err != nil {
			return fmt.Errorf("%s: the secrets kept with its data: %w; remove the annotation %s to deploy with new ones", claim.Ref, err, appmodel.AnnotationKept)
		}
		for group, items := range values {
			for name, value := range items {
				l.state.generated.set(group, name, value)
			}
		}
	}
	return nil
}

// readKinds lists the kinds that have not been read, in parallel.
func (l *live) readKinds(ctx context.Context, kinds []kindRef) error {
	g, ctx := errgroup.WithContext(ctx)
	kinds = slices.Clone(kinds)
	slices.SortFunc(kinds, compareKinds)
	for _, k := range slices.Compact(kinds) {
		if k == kindNamespace || l.has(k) {
			continue
		}
		g.Go(func() error { return l.list(ctx, k) })
	}
	return g.Wait()
}

func (l *live) has(k kindRef) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.objects[k]
	return ok
}

// list reads all objects of one kind in the namespace, or, of a cluster-scoped
// kind, those of the application. Foreign objects are read too: a namesake
// that is not ours must be seen before it is written over.
func (l *live) list(ctx context.Context, k kindRef) error {
	info, served := l.info.Lookup(k.APIVersion, k.Kind)
	if !served {
		l.put(k, nil)
		return nil
	}
	q := cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: l.scope.namespace}
	if !info.Namespaced {
		q.Namespace = ""
		q.Labels = appmodel.LabelInstallation + "=" + l.scope.installation
	}
	if k == kindSecret {
		q.Fields = "type!=" + releaseType
	}
	found, foreign := map[string]driver.Object{}, 0
	for obj, err := range l.cluster.List(ctx, q) {
		if err != nil {
			return err
		}
		if !l.scope.ours(obj.Labels) {
			foreign++
		}
		if foreign > maxForeign {
			return l.listOurs(ctx, k, q)
		}
		found[obj.Name] = obj
	}
	l.put(k, found)
	return nil
}

// listOurs reads what has our labels; the rest of the kind may be endless.
func (l *live) listOurs(ctx context.Context, k kindRef, q cluster.Query) error {
	q.Labels = appmodel.LabelInstallation + "=" + l.scope.installation + "," + appmodel.LabelApplication + "=" + l.scope.application
	found := map[string]driver.Object{}
	for obj, err := range l.cluster.List(ctx, q) {
		if err != nil {
			return err
		}
		found[obj.Name] = obj
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.objects[k], l.partly[k] = found, true
	return nil
}

// fill reads objects that a list by label has left out.
func (l *live) fill(ctx context.Context, refs []driver.Ref) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, ref := range refs {
		k := kindRef{APIVersion: ref.APIVersion, Kind: ref.Kind}
		l.mu.Lock()
		_, known := l.objects[k][ref.Name]
		left := l.partly[k] && !known
		l.mu.Unlock()
		if !left {
			continue
		}
		g.Go(func() error {
			obj, err := l.cluster.Get(ctx, ref)
			if errors.Is(err, appspan.ErrNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			l.objects[k][ref.Name] = obj
			return nil
		})
	}
	return g.Wait()
}

func (l *live) put(k kindRef, found map[string]driver.Object) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.objects[k] = found
}

// find returns a live object.
func (l *live) find(ref driver.Ref) (driver.Object, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	obj, ok := l.objects[kindRef{APIVersion: ref.APIVersion, Kind: ref.Kind}][ref.Name]
	return obj, ok
}

// objectMeta is the metadata of an object's JSON.
type objectMeta struct {
	Metadata struct {
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
		Finalizers  []string          `json:"finalizers"`
	} `json:"metadata"`
}
