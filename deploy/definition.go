package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

var kindDefinition = kindRef{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"}

// planCluster fills in one cluster's part of a plan. Where the cluster lacks
// something it is asked once more what it can do: kinds come and go.
func (d *Deployer) planCluster(ctx context.Context, c *cluster.Cluster, p *Plan, out *ClusterPlan) error {
	known, err := c.Info(ctx)
	if err != nil {
		return err
	}
	again := *out
	err = d.planOnce(ctx, c, p, out)
	if !errors.Is(err, appspan.ErrUnsupported) {
		return err
	}
	if info, failed := c.Refresh(ctx); failed != nil || abilities(info) == abilities(known) {
		return err
	}
	*out = again
	return d.planOnce(ctx, c, p, out)
}

// learn reads what the cluster can do again where it is not known to serve one
// of the kinds: its definition may have been written since it was asked.
func (l *live) learn(ctx context.Context, kinds []kindRef) error {
	if !slices.ContainsFunc(kinds, func(k kindRef) bool { return !l.info.Has(k.APIVersion, k.Kind) }) {
		return nil
	}
	info, err := l.cluster.Refresh(ctx)
	if err == nil {
		l.info = info
	}
	return err
}

// definedKinds are the kinds that an application defines itself.
func definedKinds(defines []driver.KindInfo) []kindRef {
	out := make([]kindRef, len(defines))
	for i, k := range defines {
		out[i] = kindRef{APIVersion: k.APIVersion, Kind: k.Kind}
	}
	return out
}

// abilitiesBeside are the abilities of a cluster without the kinds that the
// application defines itself: that they have come is its own doing, and does
// not make its plan stale.
func abilitiesBeside(info driver.Info, defines []driver.KindInfo) string {
	own := definedKinds(defines)
	info.Kinds = slices.DeleteFunc(slices.Clone(info.Kinds), func(k driver.KindInfo) bool {
		return slices.Contains(own, kindRef{APIVersion: k.APIVersion, Kind: k.Kind})
	})
	return abilities(info)
}

// established waits until the cluster serves the kinds that the application
// defines, whose objects cannot be written before.
func (a *applier) established(ctx context.Context) error {
	w := a.fresh.work
	ctx, cancel := context.WithTimeout(ctx, a.options.ReadyTimeout)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		missing := slices.DeleteFunc(definedKinds(w.defines), func(k kindRef) bool { return w.live.info.Has(k.APIVersion, k.Kind) })
		if len(missing) == 0 {
			return nil
		}
		if err := w.live.learn(ctx, missing); err != nil && !appspan.Retryable(err) {
			return err
		}
		if w.live.info.Has(missing[0].APIVersion, missing[0].Kind) {
			continue
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster does not serve %s of %s: %w; look at the conditions of its CustomResourceDefinition", missing[0].Kind, missing[0].APIVersion, context.Cause(ctx))
		case <-time.After(wait):
		}
	}
}

// keepDefinitions lets definitions stay whose deletion would take objects of
// others with it.
func (l *live) keepDefinitions(ctx context.Context, changes []Change) error {
	for i := range changes {
		c := &changes[i]
		if c.Action != ActionDelete || c.Object.Kind != kindDefinition.Kind {
			continue
		}
		obj, _ := l.find(c.Object)
		other, err := l.foreignInstance(ctx, obj)
		if err != nil {
			return err
		}
		if other != "" {
			c.Action, c.Reason = ActionKeep, other+" is of the kind that it defines, and not of this application"
		}
	}
	return nil
}

// foreignInstance names an object, anywhere in the cluster, of a kind that a
// definition defines, and which is not ours. It returns "" if there is none.
func (l *live) foreignInstance(ctx context.Context, definition driver.Object) (string, error) {
	var d struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Served bool
			}
		}
	}
	if err := json.Unmarshal(definition.JSON, &d); err != nil {
		return "", fmt.Errorf("%s: %w: %w", definition.Ref, appspan.ErrCorrupt, err)
	}
	for _, v := range d.Spec.Versions {
		if !v.Served {
			continue
		}
		q := cluster.Query{APIVersion: d.Spec.Group + "/" + v.Name, Kind: d.Spec.Names.Kind, Projection: cluster.Metadata}
		for obj, err := range l.cluster.List(ctx, q) {
			switch {
			case errors.Is(err, appspan.ErrUnsupported): // it is not established
				return "", nil
			case errors.Is(err, appspan.ErrDenied):
				return "what may not be listed in all namespaces", nil
			case err != nil:
				return "", err
			case !l.labelled(obj) || obj.Namespace != "" && obj.Namespace != l.scope.namespace:
				return obj.Ref.String(), nil
			}
		}
		return "", nil // each served version has all objects
	}
	return "", nil
}

// definitionsLast splits deletions: what defines kinds goes after everything
// else, or it would take the objects of those kinds with it.
func definitionsLast(changes []*Change) (others, definitions []*Change) {
	for _, c := range changes {
		if c.Object.Kind == kindDefinition.Kind && strings.HasPrefix(c.Object.APIVersion, "apiextensions.k8s.io/") {
			definitions = append(definitions, c)
			continue
		}
		others = append(others, c)
	}
	return others, definitions
}
