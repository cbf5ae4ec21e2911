package fake

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// remove deletes an object, or begins to when finalizers, dependents or a
// running pod keep it. It returns the last state.
func (c *Cluster) remove(ctx context.Context, q request, opts metav1.DeleteOptions) (*record, error) {
	for {
		live := c.store.get(q.kind, q.key)
		if live == nil {
			return nil, apierrors.NewNotFound(q.kind.groupResource(), q.key.name)
		}
		if p := opts.Preconditions; p != nil {
			if p.UID != nil && *p.UID != live.obj.GetUID() {
				return nil, uidMismatch(q.kind, q.key.name, string(*p.UID), string(live.obj.GetUID()))
			}
			if p.ResourceVersion != nil && *p.ResourceVersion != live.obj.GetResourceVersion() {
				return nil, apierrors.NewConflict(q.kind.groupResource(), q.key.name, fmt.Errorf(
					"Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v", *p.ResourceVersion, live.obj.GetResourceVersion()))
			}
		}
		if q.kind.is("Namespace") && (q.key.name == "default" || q.key.name == "kube-system" || q.key.name == "kube-public") {
			return nil, apierrors.NewForbidden(q.kind.groupResource(), q.key.name, fmt.Errorf("this namespace may not be deleted"))
		}
		next := deletion(q.kind, live.obj, opts)
		if q.dryRun || next != nil && unchanged(live.obj, next) {
			return live, nil
		}
		var commit object
		if next != nil {
			commit = next
		}
		if r, ok := c.store.commit(q.kind, live, commit); ok {
			return r, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// deletion is the state of an object once its deletion began, nil when
// nothing keeps it.
func deletion(k *kind, live object, opts metav1.DeleteOptions) object {
	obj := shallow(live)
	finalizers := without(without(obj.GetFinalizers(), metav1.FinalizerOrphanDependents), metav1.FinalizerDeleteDependents)
	switch propagation(k, opts, live) {
	case metav1.DeletePropagationOrphan:
		finalizers = append(finalizers, metav1.FinalizerOrphanDependents)
	case metav1.DeletePropagationForeground:
		finalizers = append(finalizers, metav1.FinalizerDeleteDependents)
	}
	obj.SetFinalizers(finalizers)
	grace := int64(0)
	if pod, ok := obj.(*corev1.Pod); ok {
		switch {
		case opts.GracePeriodSeconds != nil:
			grace = *opts.GracePeriodSeconds
		case pod.Spec.TerminationGracePeriodSeconds != nil:
			grace = *pod.Spec.TerminationGracePeriodSeconds
		}
		if pod.Spec.NodeName == "" || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			grace = 0
		}
		if old := pod.DeletionGracePeriodSeconds; old != nil {
			grace = min(grace, *old)
		}
	}
	if obj.GetDeletionTimestamp() == nil || *obj.GetDeletionGracePeriodSeconds() != grace {
		at := metav1.Now().Rfc3339Copy()
		at = metav1.NewTime(at.Add(seconds(grace)))
		if old := obj.GetDeletionTimestamp(); old == nil || at.Before(old) {
			obj.SetDeletionTimestamp(&at)
		}
		obj.SetDeletionGracePeriodSeconds(&grace)
		if obj.GetGeneration() > 0 && live.GetDeletionTimestamp() == nil {
			obj.SetGeneration(obj.GetGeneration() + 1)
		}
	}
	if ns, ok := obj.(*corev1.Namespace); ok {
		ns.Status.Phase = corev1.NamespaceTerminating
	}
	if finished(obj) {
		return nil
	}
	return obj
}

// propagation is what the options, the object's finalizers or the kind's
// default say becomes of the dependents.
func propagation(k *kind, opts metav1.DeleteOptions, live object) metav1.DeletionPropagation {
	if opts.PropagationPolicy != nil {
		return *opts.PropagationPolicy
	}
	//lint:ignore SA1019 old clients send it
	if orphan := opts.OrphanDependents; orphan != nil {
		if *orphan {
			return metav1.DeletePropagationOrphan
		}
		return metav1.DeletePropagationBackground
	}
	for _, f := range live.GetFinalizers() {
		switch f {
		case metav1.FinalizerOrphanDependents:
			return metav1.DeletePropagationOrphan
		case metav1.FinalizerDeleteDependents:
			return metav1.DeletePropagationForeground
		}
	}
	if k.gvk.Group == batchv1.GroupName && k.is("Job") {
		return metav1.DeletePropagationOrphan
	}
	return metav1.DeletePropagationBackground
}

// collect is the garbage collector for one object: it deletes an object none
// of whose owners lives, and finishes deletions with dependents.
func (c *Cluster) collectGarbage(t task) {
	r := c.store.get(t.kind, t.key)
	if r == nil {
		return
	}
	for _, f := range r.obj.GetFinalizers() {
		if f == metav1.FinalizerOrphanDependents && r.obj.GetDeletionTimestamp() != nil {
			c.orphan(r)
			return
		}
		if f == metav1.FinalizerDeleteDependents && r.obj.GetDeletionTimestamp() != nil {
			c.deleteDependents(r)
		}
	}
	refs := r.obj.GetOwnerReferences()
	if len(refs) == 0 {
		return
	}
	foreground := false
	var solid []metav1.OwnerReference
	for _, ref := range refs {
		owner := c.store.withUID(ref.UID)
		if owner == nil || owner.kind.namespaced && owner.key.namespace != r.key.namespace {
			continue
		}
		if owner.obj.GetDeletionTimestamp() != nil && hasFinalizer(owner.obj, metav1.FinalizerDeleteDependents) {
			foreground = true
			continue
		}
		solid = append(solid, ref)
	}
	q := request{kind: r.kind, key: r.key, manager: controllerManager}
	switch {
	case len(solid) == len(refs) || r.obj.GetDeletionTimestamp() != nil:
	case len(solid) > 0:
		_, _ = c.update(c.ctx, q, func(live object) (object, error) {
			live.SetOwnerReferences(solid)
			return live, nil
		})
	default:
		uid := r.obj.GetUID()
		policy := metav1.DeletePropagationBackground
		if foreground && len(c.store.dependents(uid)) > 0 {
			policy = metav1.DeletePropagationForeground
		}
		opts := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &policy}
		if propagation(r.kind, metav1.DeleteOptions{}, r.obj) == metav1.DeletePropagationOrphan && hasFinalizer(r.obj, metav1.FinalizerOrphanDependents) {
			opts.PropagationPolicy = nil
		}
		_, _ = c.remove(c.ctx, q, opts)
	}
}

// orphan takes the owner out of its dependents, then lets it go.
func (c *Cluster) orphan(owner *record) {
	for _, d := range c.store.dependents(owner.obj.GetUID()) {
		_, _ = c.update(c.ctx, request{kind: d.kind, key: d.key, manager: controllerManager}, func(live object) (object, error) {
			var refs []metav1.OwnerReference
			for _, ref := range live.GetOwnerReferences() {
				if ref.UID != owner.obj.GetUID() {
					refs = append(refs, ref)
				}
			}
			live.SetOwnerReferences(refs)
			return live, nil
		})
	}
	c.dropFinalizer(owner, metav1.FinalizerOrphanDependents)
}

// deleteDependents goes on with a foreground deletion.
func (c *Cluster) deleteDependents(owner *record) {
	blocked := false
	for _, d := range c.store.dependents(owner.obj.GetUID()) {
		for _, ref := range d.obj.GetOwnerReferences() {
			if ref.UID == owner.obj.GetUID() && ref.BlockOwnerDeletion != nil && *ref.BlockOwnerDeletion {
				blocked = true
			}
		}
		c.work.add(task{garbage, d.kind, d.key})
	}
	if !blocked {
		c.dropFinalizer(owner, metav1.FinalizerDeleteDependents)
	}
}

// dropFinalizer removes one finalizer, and with the last one the object.
func (c *Cluster) dropFinalizer(r *record, name string) {
	_, _ = c.update(c.ctx, request{kind: r.kind, key: r.key, manager: controllerManager}, func(live object) (object, error) {
		live.SetFinalizers(without(live.GetFinalizers(), name))
		return live, nil
	})
}

func hasFinalizer(o object, name string) bool {
	for _, f := range o.GetFinalizers() {
		if f == name {
			return true
		}
	}
	return false
}

// dataSize is how much data a Secret or ConfigMap holds.
func dataSize(o object) int {
	n := 0
	switch o := o.(type) {
	case *corev1.Secret:
		for _, v := range o.Data {
			n += len(v)
		}
	case *corev1.ConfigMap:
		for _, v := range o.Data {
			n += len(v)
		}
		for _, v := range o.BinaryData {
			n += len(v)
		}
	}
	return n
}
