package fake

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// syncReplicaSet is the replica set controller.
func (c *Cluster) syncReplicaSet(t task) {
	rs, ok := fetch[*appsv1.ReplicaSet](c, t)
	if !ok {
		return
	}
	var failure error
	if rs.DeletionTimestamp == nil {
		active := activePods(claimed[*corev1.Pod](c, t, rs))
		diff := len(active) - int(*rs.Spec.Replicas)
		for ; diff < 0 && failure == nil; diff++ {
			_, failure = c.createPod(rs, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"), &rs.Spec.Template, nil)
		}
		if diff > 0 {
			c.deletePods(victims(active)[:diff])
		}
	}
	pods := children[*corev1.Pod](c, rs.UID)
	var next time.Duration
	_, _ = mutate(c, t, "status", controllerManager, func(o *appsv1.ReplicaSet) {
		s := &o.Status
		s.ObservedGeneration = o.Generation
		var terminating int32
		s.Replicas, s.FullyLabeledReplicas, s.ReadyReplicas, s.AvailableReplicas = 0, 0, 0, 0
		for _, p := range pods {
			if p.DeletionTimestamp != nil && !terminated(p) {
				terminating++
			}
		}
		s.TerminatingReplicas = &terminating
		for _, p := range activePods(pods) {
			s.Replicas++
			if selects(o.Spec.Template.Labels, p.Labels) || len(o.Spec.Template.Labels) == 0 {
				s.FullyLabeledReplicas++
			}
			if podReady(p) {
				s.ReadyReplicas++
			}
			ok, wait := podAvailable(p, o.Spec.MinReadySeconds)
			if ok {
				s.AvailableReplicas++
			} else if wait > 0 && (next == 0 || wait < next) {
				next = wait
			}
		}
		s.Conditions = slices.DeleteFunc(s.Conditions, func(c appsv1.ReplicaSetCondition) bool {
			return c.Type == appsv1.ReplicaSetReplicaFailure && failure == nil // the first message stays: it names a pod
		})
		if failure != nil && len(s.Conditions) == 0 {
			s.Conditions = append(s.Conditions, appsv1.ReplicaSetCondition{
				Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: failure.Error(), LastTransitionTime: now(),
			})
		}
	})
	if next > 0 {
		c.again(t, next)
	}
	if failure != nil {
		c.retry(t)
	} else {
		c.forget(t)
	}
}

// createPod makes a pod of a template for an owner. edit may change it first.
func (c *Cluster) createPod(owner object, gvk groupVersionKind, template *corev1.PodTemplateSpec, edit func(*corev1.Pod)) (*corev1.Pod, error) {
	copied := template.DeepCopy()
	pod := &corev1.Pod{
		TypeMeta: typeMeta("v1", "Pod"),
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: owner.GetName() + "-", Namespace: owner.GetNamespace(), Labels: copied.Labels, Annotations: copied.Annotations, Finalizers: copied.Finalizers,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, gvk)},
		},
		Spec: copied.Spec,
	}
	if edit != nil {
		edit(pod)
	}
	r, err := c.create(request{kind: c.kinds.find("v1", "Pod"), key: keyOf(pod), manager: controllerManager}, pod)
	by := componentOf(gvk.Kind)
	if err != nil {
		c.event(owner, corev1.EventTypeWarning, "FailedCreate", "Error creating: "+err.Error(), by)
		return nil, err
	}
	c.event(owner, corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: "+r.key.name, by)
	return r.obj.(*corev1.Pod), nil
}

// deletePods deletes pods for their controller.
func (c *Cluster) deletePods(pods []*corev1.Pod) {
	for _, p := range pods {
		_, err := c.remove(c.ctx, request{kind: c.kinds.find("v1", "Pod"), key: keyOf(p)}, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID}})
		ref := metav1.GetControllerOf(p)
		if err != nil || ref == nil {
			continue
		}
		if owner := c.store.withUID(ref.UID); owner != nil {
			c.event(owner.obj, corev1.EventTypeNormal, "SuccessfulDelete", fmt.Sprintf("Deleted pod: %s", p.Name), componentOf(ref.Kind))
		}
	}
}

// componentOf is the name under which the controller of a kind reports.
func componentOf(kind string) string {
	return map[string]string{
		"ReplicaSet": "replicaset-controller", "StatefulSet": "statefulset-controller", "DaemonSet": "daemonset-controller", "Job": "job-controller",
	}[kind]
}

// terminated reports whether a pod has ended for good.
func terminated(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// activePods leaves out what has ended or is ending.
func activePods(pods []*corev1.Pod) []*corev1.Pod {
	var active []*corev1.Pod
	for _, p := range pods {
		if !terminated(p) && p.DeletionTimestamp == nil {
			active = append(active, p)
		}
	}
	return active
}

// victims orders pods by how little would be lost with them.
func victims(pods []*corev1.Pod) []*corev1.Pod {
	rank := func(p *corev1.Pod) int {
		switch {
		case p.Spec.NodeName == "":
			return 0
		case p.Status.Phase != corev1.PodRunning:
			return 1
		case !podReady(p):
			return 2
		}
		return 3
	}
	pods = slices.Clone(pods)
	slices.SortStableFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), b.CreationTimestamp.Compare(a.CreationTimestamp.Time))
	})
	return pods
}

// podReady reports whether the condition Ready is true.
func podReady(p *corev1.Pod) bool { return readyCondition(p) != nil }

func readyCondition(p *corev1.Pod) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// podAvailable reports whether the pod has been ready for long enough, or how
// long that will take.
func podAvailable(p *corev1.Pod, minReady int32) (bool, time.Duration) {
	c := readyCondition(p)
	if c == nil {
		return false, 0
	}
	if minReady == 0 {
		return true, 0
	}
	wait := seconds(int64(minReady)) - time.Since(c.LastTransitionTime.Time)
	return wait <= 0, wait
}

// clonedLabels is a copy that may be added to.
func clonedLabels(labels map[string]string) map[string]string {
	if labels == nil {
		return map[string]string{}
	}
	return maps.Clone(labels)
}
