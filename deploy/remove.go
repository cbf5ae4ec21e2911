package deploy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// RemoveOptions say what a removal takes with it.
type RemoveOptions struct {
	// Data removes volumes that hold data too. Without it they stay, together
	// with the sealed secrets that their data needs, and a later deployment of
	// the same name takes them up again.
	Data bool
	// Recycle keeps what it takes to bring the application back, with its
	// secrets: its newest release, and the namespace. See [Deployer.Recycled].
	Recycle bool
	// OnEvent hears how the plan goes.
	OnEvent func(appspan.Event)
}

// PlanRemove plans to remove an application from the clusters of a target.
// The namespace goes too if this installation made it and nothing else is left
// in it.
func (d *Deployer) PlanRemove(ctx context.Context, application string, to Target, opts *RemoveOptions) (*Plan, error) {
	var o RemoveOptions
	if opts != nil {
		o = *opts
	}
	to, err := d.reading(ctx, application, to)
	if err != nil {
		return nil, err
	}
	p := &Plan{Kind: KindRemove, Application: application, Installation: d.opts.Installation, Target: to,
		intent: &intent{envelope: envelope{Format: intentFormat, MinReader: intentFormat}, Kind: KindRemove, Data: o.Data, Recycle: o.Recycle}}
	events := newDispatcher(o.OnEvent)
	defer events.close()
	if err := d.planAll(ctx, p, events); err != nil {
		return nil, err
	}
	return p, p.finish(d)
}

// Remove plans a removal and applies it. It returns when everything that goes
// is gone.
func (d *Deployer) Remove(ctx context.Context, application string, to Target, opts *RemoveOptions, apply *ApplyOptions) (*Result, error) {
	p, err := d.PlanRemove(ctx, application, to, opts)
	if err != nil {
		return nil, err
	}
	return d.Apply(ctx, p, apply)
}

// planRemoval finds everything of the application: what the signed inventory
// lists, and claims, which outlive it. A copy that somebody made of an object,
// labels included, is theirs.
func (d *Deployer) planRemoval(p *Plan, l *live, out *ClusterPlan) {
	kinds := []kindRef{kindClaim}
	if r := l.state.record; r != nil {
		for _, k := range r.Kinds {
			if k != kindClaim {
				kinds = append(kinds, k)
			}
		}
	}
	slices.SortStableFunc(kinds, func(a, b kindRef) int { return removalRank(a.Kind) - removalRank(b.Kind) })
	for _, k := range kinds {
		for _, name := range slices.Sorted(maps.Keys(l.objects[k])) {
			obj := l.objects[k][name]
			known, _ := l.known(obj.Ref)
			if !l.scope.ours(obj.Labels) || obj.Deleting || k != kindClaim && !l.owns(obj) {
				continue
			}
			c := pruneChange(obj, known, p.intent.Data)
			c.Reason = ""
			if k == kindClaim && !p.intent.Data && (c.Action == ActionKeep || keptByTemplate(obj)) {
				if !l.state.record.runs() {
					continue // kept by an earlier removal
				}
				c.Action, c.Reason = ActionKeep, "it holds data"
			}
			out.Changes = append(out.Changes, c)
		}
	}
}

// keptByTemplate reports whether a claim was made from a template, not by an
// apply, and may hold data.
func keptByTemplate(obj driver.Object) bool { return obj.Labels[applySetPartOf] == "" }

// removalRank orders a removal: what lets traffic in, what runs, the rest,
// data last.
func removalRank(kind string) int {
	switch kind {
	case "Ingress", "HTTPRoute", "TLSRoute", "TCPRoute", "UDPRoute":
		return 0
	case "HorizontalPodAutoscaler", "ScaledObject":
		return 1
	case "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob":
		return 2
	case "PersistentVolumeClaim":
		return 9
	}
	return 3
}

// remove makes a removal.
func (a *applier) remove(ctx context.Context) error {
	l := a.fresh.work.live
	if len(a.fresh.Changes) == 0 && (l.state.record == nil || l.state.record.Recycled != nil && a.plan.intent.Recycle) {
		a.result.Outcome = OutcomeUnchanged
		a.result.Notes = append(a.result.Notes, "it is not there")
		a.listKept()
		if newest := l.state.record.newest(); newest != nil { // an interrupted removal may have left older releases
			return a.deployer.forgetReleases(ctx, a.cluster, l.scope, func(revision int) bool { return revision < newest.Revision })
		}
		if l.state.record != nil {
			return nil
		}
		return a.forget(ctx) // an interrupted removal may have left the namespace
	}
	a.began = true
	a.record = &record{envelope: envelope{Format: recordFormat, MinReader: recordFormat}, Inventory: map[string]item{}}
	if l.state.record != nil {
		a.record = l.state.record.clone()
		a.record.Removing = true
		if err := a.announce(ctx); err != nil {
			return err
		}
	}
	var deletes []*Change
	for i := range a.fresh.Changes {
		c := &a.fresh.Changes[i]
		if c.Action != ActionKeep {
			deletes = append(deletes, c)
			continue
		}
		if err := a.keep(ctx, c); err != nil {
			return err
		}
	}
	if err := a.deleteObjects(ctx, deletes); err != nil {
		return err
	}
	if err := a.awaitGone(ctx); err != nil {
		return err
	}
	return a.forget(ctx)
}

// announce writes down that a removal has begun. A record that goes with its
// namespace, because the removal before this one came that far, needs no more to
// be said.
func (a *applier) announce(ctx context.Context) error {
	l := a.fresh.work.live
	going := l.namespace != nil && l.namespace.Deleting
	if going && !a.plan.intent.Recycle {
		return nil
	}
	ctx, cancel := draining(ctx)
	defer cancel()
	err := a.writeRecord(ctx)
	if errors.Is(err, appspan.ErrConflict) && !a.plan.intent.Recycle {
		if _, gone := a.cluster.Get(ctx, l.state.parent.Ref); errors.Is(gone, appspan.ErrNotFound) {
			l.state.parent = driver.Object{Ref: l.state.parent.Ref}
			return nil
		}
	}
	return err
}

// listKept names the claims that an earlier removal left.
func (a *applier) listKept() {
	l := a.fresh.work.live
	for _, claim := range l.objects[kindClaim] {
		if l.scope.ours(claim.Labels) && !claim.Deleting {
			a.result.Kept = append(a.result.Kept, claim.String())
		}
	}
	slices.Sort(a.result.Kept)
}

// keep leaves a claim, with the sealed secrets that its data needs.
func (a *applier) keep(ctx context.Context, c *Change) error {
	a.result.Kept = append(a.result.Kept, c.Object.String())
	l := a.fresh.work.live
	if len(l.state.generated) == 0 || c.Object.Kind != kindClaim.Kind {
		return nil
	}
	ctx, cancel := draining(ctx)
	defer cancel()
	return a.deployer.keepWith(ctx, a.cluster, l.scope, c.Object, c.UID, l.state.generated)
}

// keepWith seals generated secrets onto the claim whose data needs them.
func (d *Deployer) keepWith(ctx context.Context, c *cluster.Cluster, s scope, claim driver.Ref, uid string, values secretValues) error {
	sealed, err := d.sealKept(s, values)
	if err != nil {
		return err
	}
	data, err := json.Marshal(map[string]any{
		"apiVersion": claim.APIVersion, "kind": claim.Kind,
		"metadata": map[string]any{"name": claim.Name, "namespace": claim.Namespace,
			"annotations": map[string]string{appmodel.AnnotationKept: sealed}},
	})
	if err != nil {
		return err
	}
	_, err = c.Apply(ctx, driver.Object{Ref: claim, JSON: data}, driver.ApplyOptions{Manager: s.manager() + "-kept", Force: true, IfUID: uid})
	return err
}

// awaitGone waits until nothing of ours runs or is being deleted.
func (a *applier) awaitGone(ctx context.Context) error {
	l := a.fresh.work.live
	kinds := []kindRef{{"v1", "Pod"}, {"apps/v1", "ReplicaSet"}, {"apps/v1", "ControllerRevision"}, {"discovery.k8s.io/v1", "EndpointSlice"}}
	for _, k := range append(slices.Clone(a.record.Kinds), kindClaim) {
		if k != kindSecret && !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	kept := map[string]bool{}
	for _, c := range a.fresh.Changes {
		if c.Action == ActionKeep {
			kept[c.Object.String()] = true
		}
	}
	ctx, cancel := context.WithTimeout(ctx, a.options.ReadyTimeout)
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		left, err := a.left(ctx, l, kinds, kept)
		if err != nil && !appspan.Retryable(err) {
			return err
		}
		if err == nil && len(left) == 0 {
			return nil
		}
		a.events.send(appspan.Event{Cluster: a.part.Cluster, Kind: appspan.EventProgress, Phase: PhasePrune, Message: fmt.Sprintf("%d objects are still there", len(left))})
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s still there; look at finalizers, then remove again", context.Cause(ctx), some(left))
		case <-time.After(wait):
		}
	}
}

// some names a few of many.
func some(names []string) string {
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more are", len(names)-3)
	}
	return strings.Join(names, ", ") + " is"
}

// left lists what of ours is there and does not stay.
func (a *applier) left(ctx context.Context, l *live, kinds []kindRef, kept map[string]bool) ([]string, error) {
	found := make([][]string, len(kinds))
	gone := map[string]bool{} // what was deleted, and may take its time
	for _, c := range a.fresh.Changes {
		gone[c.UID] = true
	}
	g, ctx := errgroup.WithContext(ctx)
	for i, k := range kinds {
		info, served := l.info.Lookup(k.APIVersion, k.Kind)
		if !served {
			continue
		}
		g.Go(func() error {
			q := cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Projection: cluster.Metadata, Labels: appmodel.LabelApplication + "=" + l.scope.application}
			if info.Namespaced {
				q.Namespace = l.scope.namespace
			}
			for obj, err := range a.cluster.List(ctx, q) {
				if errors.Is(err, appspan.ErrUnsupported) {
					return nil // its definition is gone, and what it defined with it
				}
				if err != nil {
					return err
				}
				_, listed := a.record.Inventory[inventoryKey(obj.Ref)]
				applied := slices.Contains(a.record.Kinds, k) && k != kindClaim
				foreign := obj.Labels[appmodel.LabelInstallation] != "" && !l.scope.ours(obj.Labels) || applied && !(listed && l.owns(obj)) && !gone[obj.UID]
				if !foreign && !kept[obj.Ref.String()] && !a.plan.keptBefore(obj) {
					found[i] = append(found[i], obj.Ref.String())
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

// keptBefore reports whether a claim stays because an earlier removal kept it.
func (p *Plan) keptBefore(obj driver.Object) bool {
	return !p.intent.Data && obj.Kind == kindClaim.Kind && !obj.Deleting
}

// forget removes the releases, and the record or, if it is ours and holds nothing
// else, the namespace: last, so that an interrupted removal can be found.
func (a *applier) forget(ctx context.Context) error {
	l := a.fresh.work.live
	ctx, cancel := draining(ctx)
	defer cancel()
	if a.plan.intent.Recycle && l.state.record != nil {
		return a.recycle(ctx)
	}
	if err := a.deployer.forgetReleases(ctx, a.cluster, l.scope, func(revision int) bool {
		return l.state.record == nil || revision <= l.state.record.Revision // a later one is of somebody who deploys it anew
	}); err != nil {
		return err
	}
	last, err := a.lastInside(ctx, l)
	if err != nil {
		return err
	}
	if last {
		err := a.vacate(ctx, l)
		if !errors.Is(err, appspan.ErrDenied) {
			a.gone = err == nil
			return err
		}
		a.result.Notes = append(a.result.Notes, fmt.Sprintf("namespace %s stays: %v", l.scope.namespace, err))
	}
	if l.state.parent.UID != "" {
		err := a.cluster.Delete(ctx, l.state.parent.Ref, driver.DeleteOptions{UID: l.state.parent.UID, Revision: l.state.parent.Revision})
		if errors.Is(err, appspan.ErrPrecondition) {
			return a.deployedAnew()
		}
		if err != nil && !errors.Is(err, appspan.ErrNotFound) {
			return err
		}
	}
	a.gone = true
	a.deployer.last.forget(place{a.cluster.Name(), l.scope.namespace, l.scope.application})
	return nil
}

func (a *applier) deployedAnew() error {
	return fmt.Errorf("%w: %s was deployed anew while it was removed; it stays", appspan.ErrConflict, a.plan.Application)
}

// lastInside reports whether the namespace is ours and holds nothing else.
func (a *applier) lastInside(ctx context.Context, l *live) (bool, error) {
	inside := func(kept string) bool { return strings.Contains(kept, "/") } // not cluster-scoped
	if slices.ContainsFunc(a.result.Kept, inside) || l.namespace == nil || l.namespace.Labels[appmodel.LabelInstallation] != l.scope.installation {
		return false, nil
	}
	other, err := a.foreign(ctx, l)
	if other != "" {
		a.result.Notes = append(a.result.Notes, fmt.Sprintf("namespace %s stays: %s is in it", l.scope.namespace, other))
	}
	return other == "" && err == nil, err
}

// vacate removes the namespace, and the record with it: as long as one is there,
// so is the other, and an interrupted removal is found.
func (a *applier) vacate(ctx context.Context, l *live) error {
	if l.state.parent.UID != "" {
		now, err := a.cluster.Get(ctx, l.state.parent.Ref)
		if err == nil && (now.UID != l.state.parent.UID || now.Revision != l.state.parent.Revision) {
			return a.deployedAnew()
		}
		if err != nil && !errors.Is(err, appspan.ErrNotFound) {
			return err
		}
	}
	if !l.namespace.Deleting {
		err := a.cluster.Delete(ctx, l.namespace.Ref, driver.DeleteOptions{UID: l.namespace.UID})
		if err != nil && !errors.Is(err, appspan.ErrNotFound) {
			return err
		}
	}
	a.deployer.last.forget(place{a.cluster.Name(), l.scope.namespace, l.scope.application})
	return waitGone(ctx, a.cluster, l.namespace.Ref, a.options.ReadyTimeout)
}

// foreign names something in the namespace that is neither the record nor in
// every namespace, or returns "".
func (a *applier) foreign(ctx context.Context, l *live) (string, error) {
	for _, k := range l.info.Kinds {
		if !k.Namespaced || !slices.Contains(k.Verbs, "list") || !slices.Contains(k.Verbs, "delete") || k.Kind == "Event" {
			continue
		}
		q := cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: l.scope.namespace, Projection: cluster.Metadata}
		for obj, err := range a.cluster.List(ctx, q) {
			if errors.Is(err, appspan.ErrUnsupported) && l.state.record != nil && slices.Contains(l.state.record.Kinds, kindRef{k.APIVersion, k.Kind}) {
				break // its definition is gone
			}
			if errors.Is(err, appspan.ErrDenied) || errors.Is(err, appspan.ErrUnsupported) {
				return k.Kind + " objects, which cannot be listed, may be", nil
			}
			if err != nil {
				return "", err
			}
			if !everywhere(obj) && !obj.Deleting && obj.UID != l.state.parent.UID {
				return obj.Ref.String(), nil
			}
		}
	}
	return "", nil
}

// everywhere reports whether every namespace has such an object, made by
// Kubernetes itself.
func everywhere(obj driver.Object) bool {
	return obj.Kind == "ConfigMap" && obj.Name == "kube-root-ca.crt" || obj.Kind == "ServiceAccount" && obj.Name == "default"
}

// sealKept seals generated secrets for a claim that stays.
func (d *Deployer) sealKept(s scope, v secretValues) (string, error) {
	packed, err := pack(v)
	if err != nil {
		return "", err
	}
	sealed, err := d.opts.Keys.Seal(packed, s.seal("kept"))
	return base64.StdEncoding.EncodeToString(sealed), err
}

func (d *Deployer) openKept(s scope, text string) (secretValues, error) {
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrCorrupt, err)
	}
	packed, err := d.opts.Keys.Open(sealed, s.seal("kept"))
	if err != nil {
		return nil, err
	}
	v := secretValues{}
	return v, unpack(packed, &v)
}
