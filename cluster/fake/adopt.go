package fake

import (
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// claimed are the objects of one type that an owner controls, once its
// controller has adopted what it selects and nobody controls, and let go of what
// it selects no more. An owner that is being deleted does neither.
func claimed[T object](c *Cluster, t task, owner object) []T {
	selector, err := metav1.LabelSelectorAsSelector(selectorOf(owner))
	if err != nil || selector.Empty() || owner.GetDeletionTimestamp() != nil {
		return children[T](c, owner.GetUID())
	}
	for _, o := range children[T](c, owner.GetUID()) {
		if o.GetDeletionTimestamp() == nil && !selector.Matches(labels.Set(o.GetLabels())) {
			_, _ = mutate(c, c.taskOf(o), "", controllerManager, func(o T) {
				o.SetOwnerReferences(slices.DeleteFunc(slices.Clone(o.GetOwnerReferences()), func(ref metav1.OwnerReference) bool { return ref.UID == owner.GetUID() }))
			})
		}
	}
	for _, o := range orphans[T](c, owner.GetNamespace()) {
		if o.GetDeletionTimestamp() == nil && selector.Matches(labels.Set(o.GetLabels())) && adoptable(owner, o) {
			_, _ = mutate(c, c.taskOf(o), "", controllerManager, func(o T) {
				if metav1.GetControllerOf(o) == nil {
					o.SetOwnerReferences(append(slices.Clone(o.GetOwnerReferences()), *metav1.NewControllerRef(owner, t.kind.gvk)))
				}
			})
		}
	}
	return children[T](c, owner.GetUID())
}

// adoptable reports whether an owner takes an object that it selects: a
// ReplicaSet none that has ended, a StatefulSet one with a name of its own.
func adoptable(owner, o object) bool {
	switch owner.(type) {
	case *appsv1.ReplicaSet:
		pod, ok := o.(*corev1.Pod)
		return ok && !terminated(pod)
	case *appsv1.StatefulSet:
		pod, ok := o.(*corev1.Pod)
		return ok && ordinal(pod) >= 0 && strings.HasPrefix(pod.Name, owner.GetName()+"-") && strings.LastIndex(pod.Name, "-") == len(owner.GetName())
	}
	return true
}

// selectorOf is what a controller selects, nil for kinds that adopt nothing.
func selectorOf(o object) *metav1.LabelSelector {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return o.Spec.Selector
	case *appsv1.ReplicaSet:
		return o.Spec.Selector
	case *appsv1.StatefulSet:
		return o.Spec.Selector
	case *appsv1.DaemonSet:
		return o.Spec.Selector
	case *batchv1.Job:
		return o.Spec.Selector
	}
	return nil
}

// orphan reports whether an object is of a kind that controllers adopt, and
// none has.
func orphan(o object) bool {
	switch o.(type) {
	case *corev1.Pod, *appsv1.ReplicaSet:
		return metav1.GetControllerOf(o) == nil
	}
	return false
}

// orphans are the objects of one type in a namespace that nobody controls.
func orphans[T object](c *Cluster, namespace string) []T {
	c.store.mu.RLock()
	var records []*record
	for r := range c.store.orphans[namespace] {
		if _, ok := r.obj.(T); ok {
			records = append(records, r)
		}
	}
	c.store.mu.RUnlock()
	sortRecords(records)
	list := make([]T, len(records))
	for i, r := range records {
		list[i] = r.obj.(T)
	}
	return list
}

func (c *Cluster) taskOf(o object) task {
	gvk := o.GetObjectKind().GroupVersionKind()
	return task{kind: c.kinds.find(gvk.GroupVersion().String(), gvk.Kind), key: keyOf(o)}
}

// observeOrphan has the controllers that select an orphan look at it, when it
// is new, or its labels or owners have changed. The store's lock is held.
func (c *Cluster) observeOrphan(ch change) {
	if ch.after == nil || !orphan(ch.after.obj) {
		return
	}
	set := labels.Set(ch.after.obj.GetLabels())
	if ch.before != nil && orphan(ch.before.obj) && labels.Equals(ch.before.obj.GetLabels(), set) {
		return
	}
	kinds := []string{"ReplicaSet", "StatefulSet", "DaemonSet", "Job"}
	if _, ok := ch.after.obj.(*appsv1.ReplicaSet); ok {
		kinds = []string{"Deployment"}
	}
	for _, name := range kinds {
		version := "apps/v1"
		if name == "Job" {
			version = "batch/v1"
		}
		k := c.kinds.find(version, name)
		for _, r := range c.store.objects[k][ch.after.key.namespace] {
			selector, err := metav1.LabelSelectorAsSelector(selectorOf(r.obj))
			if p, ok := byKind(k); ok && err == nil && !selector.Empty() && selector.Matches(set) {
				c.work.add(task{p, k, r.key})
			}
		}
	}
}
