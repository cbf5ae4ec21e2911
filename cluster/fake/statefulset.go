package fake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// syncStatefulSet is the stateful set controller.
func (c *Cluster) syncStatefulSet(t task) {
	s, ok := fetch[*appsv1.StatefulSet](c, t)
	if !ok {
		return
	}
	revision := s.Name + "-" + templateHash(&s.Spec.Template, s.Status.CollisionCount)
	current := s.Status.CurrentRevision
	if current == "" {
		current = revision
	}
	pods := inOrder(claimed[*corev1.Pod](c, t, s))
	var failure error
	if s.DeletionTimestamp == nil {
		c.recordRevision(s, revision)
		failure = c.driveStatefulSet(s, pods, current, revision)
		pods = inOrder(children[*corev1.Pod](c, s.UID))
	}
	var next time.Duration
	_, _ = mutate(c, t, "status", controllerManager, func(o *appsv1.StatefulSet) {
		st := &o.Status
		st.ObservedGeneration = s.Generation
		st.Replicas, st.ReadyReplicas, st.AvailableReplicas, st.CurrentReplicas, st.UpdatedReplicas = 0, 0, 0, 0, 0
		for _, p := range pods {
			st.Replicas++
			if podReady(p) {
				st.ReadyReplicas++
			}
			ok, wait := podAvailable(p, o.Spec.MinReadySeconds)
			if ok {
				st.AvailableReplicas++
			} else if wait > 0 && (next == 0 || wait < next) {
				next = wait
			}
			if p.DeletionTimestamp != nil {
				continue
			}
			if p.Labels[appsv1.ControllerRevisionHashLabelKey] == current {
				st.CurrentReplicas++
			}
			if p.Labels[appsv1.ControllerRevisionHashLabelKey] == revision {
				st.UpdatedReplicas++
			}
		}
		st.CurrentRevision, st.UpdateRevision = current, revision
		if current != revision && st.UpdatedReplicas == st.Replicas && st.ReadyReplicas == st.Replicas && st.Replicas == *o.Spec.Replicas {
			st.CurrentRevision, st.CurrentReplicas = revision, st.UpdatedReplicas
		}
		unsetPtr(&st.CollisionCount, 0)
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

// recordRevision keeps the template as a ControllerRevision.
func (c *Cluster) recordRevision(o object, name string) {
	k := c.kinds.find("apps/v1", "ControllerRevision")
	if c.store.get(k, key{o.GetNamespace(), name}) != nil {
		return
	}
	gvk := o.GetObjectKind().GroupVersionKind()
	list := children[*appsv1.ControllerRevision](c, o.GetUID())
	var newest int64
	for _, r := range list {
		newest = max(newest, r.Revision)
	}
	template := templateOf(o)
	rev := &appsv1.ControllerRevision{
		TypeMeta: typeMeta("apps/v1", "ControllerRevision"),
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: o.GetNamespace(), Labels: clonedLabels(template.Labels), OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(o, gvk)},
		},
		Revision: newest + 1,
	}
	rev.Data.Raw = mustJSON(map[string]any{"spec": map[string]any{"template": template}})
	c.put(rev, controllerManager)
	slices.SortFunc(list, func(a, b *appsv1.ControllerRevision) int { return int(a.Revision - b.Revision) })
	for i := range len(list) - 10 {
		_, _ = c.remove(c.ctx, request{kind: k, key: keyOf(list[i])}, metav1.DeleteOptions{})
	}
}

func templateOf(o object) *corev1.PodTemplateSpec {
	switch o := o.(type) {
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	case *appsv1.DaemonSet:
		return &o.Spec.Template
	}
	return &corev1.PodTemplateSpec{}
}

// inOrder sorts the pods of a set by their numbers.
func inOrder(pods []*corev1.Pod) []*corev1.Pod {
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return ordinal(a) - ordinal(b) })
	return pods
}

func ordinal(p *corev1.Pod) int {
	n, err := strconv.Atoi(p.Name[strings.LastIndex(p.Name, "-")+1:])
	if err != nil {
		return -1
	}
	return n
}

// driveStatefulSet takes the next steps: create and delete in order, one at a
// time unless the set says parallel, then update from the highest number.
func (c *Cluster) driveStatefulSet(s *appsv1.StatefulSet, pods []*corev1.Pod, current, revision string) error {
	first := 0
	if s.Spec.Ordinals != nil {
		first = int(s.Spec.Ordinals.Start)
	}
	end := first + int(*s.Spec.Replicas)
	ordered := s.Spec.PodManagementPolicy == appsv1.OrderedReadyPodManagement
	have := map[int]*corev1.Pod{}
	for _, p := range pods {
		have[ordinal(p)] = p
	}
	partition := 0
	if ru := s.Spec.UpdateStrategy.RollingUpdate; ru != nil {
		partition = int(deref(ru.Partition))
	}
	for i := first; i < end; i++ {
		p := have[i]
		if p == nil {
			hash := revision
			if s.Spec.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType && i < partition {
				hash = current
			}
			if err := c.createOrdinal(s, i, hash); err != nil {
				return err
			}
			if ordered {
				return nil
			}
			continue
		}
		if terminated(p) && p.DeletionTimestamp == nil {
			c.deletePods([]*corev1.Pod{p})
			return nil
		}
		if ordered && (p.DeletionTimestamp != nil || !podReady(p)) {
			if p.DeletionTimestamp == nil && p.Labels[appsv1.ControllerRevisionHashLabelKey] != revision && i >= partition &&
				s.Spec.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType && !newerWaits(have, i, end, revision) {
				c.deletePods([]*corev1.Pod{p}) // a broken pod of an old revision is replaced, not waited for
			}
			return nil
		}
		if ok, _ := podAvailable(p, s.Spec.MinReadySeconds); ordered && !ok {
			return nil
		}
	}
	for _, p := range slices.Backward(pods) {
		if i := ordinal(p); i >= end || i < first {
			if p.DeletionTimestamp == nil {
				c.deletePods([]*corev1.Pod{p})
			}
			if ordered {
				return nil
			}
		}
	}
	if s.Spec.UpdateStrategy.Type != appsv1.RollingUpdateStatefulSetStrategyType {
		return nil
	}
	for i := end - 1; i >= max(first, partition); i-- {
		p := have[i]
		if p == nil || p.DeletionTimestamp != nil {
			return nil
		}
		if p.Labels[appsv1.ControllerRevisionHashLabelKey] != revision {
			c.deletePods([]*corev1.Pod{p})
			return nil
		}
		if ok, _ := podAvailable(p, s.Spec.MinReadySeconds); !ok {
			return nil
		}
	}
	return nil
}

// newerWaits reports whether a pod with a higher number is of the new revision
// and not ready yet: an update replaces one pod at a time.
func newerWaits(have map[int]*corev1.Pod, i, end int, revision string) bool {
	for j := i + 1; j < end; j++ {
		if p := have[j]; p != nil && p.Labels[appsv1.ControllerRevisionHashLabelKey] == revision && !podReady(p) {
			return true
		}
	}
	return false
}

// createOrdinal creates one pod of the set, and its claims first.
func (c *Cluster) createOrdinal(s *appsv1.StatefulSet, i int, hash string) error {
	name := fmt.Sprintf("%s-%d", s.Name, i)
	var volumes []corev1.Volume
	for _, template := range s.Spec.VolumeClaimTemplates {
		claim := template.DeepCopy()
		claim.TypeMeta = typeMeta("v1", "PersistentVolumeClaim")
		claim.Name = template.Name + "-" + name
		claim.Namespace = s.Namespace
		claim.Status = corev1.PersistentVolumeClaimStatus{}
		labels := clonedLabels(claim.Labels)
		for k, v := range s.Spec.Selector.MatchLabels {
			labels[k] = v
		}
		claim.Labels = labels
		if !c.exists("PersistentVolumeClaim", s.Namespace, claim.Name) {
			k := c.kinds.find("v1", "PersistentVolumeClaim")
			if _, err := c.create(request{kind: k, key: keyOf(claim), manager: controllerManager}, claim); err != nil {
				c.event(s, corev1.EventTypeWarning, "FailedCreate", fmt.Sprintf("create Claim %s Pod %s in StatefulSet %s failed error: %v", claim.Name, name, s.Name, err), "statefulset-controller")
				return err
			}
		}
		volumes = append(volumes, corev1.Volume{Name: template.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim.Name}}})
	}
	template := &s.Spec.Template
	if rev, ok := fetch[*appsv1.ControllerRevision](c, task{kind: c.kinds.find("apps/v1", "ControllerRevision"), key: key{s.Namespace, hash}}); ok {
		template = templateFrom(rev, template)
	}
	_, err := c.createPod(s, appsv1.SchemeGroupVersion.WithKind("StatefulSet"), template, func(p *corev1.Pod) {
		p.GenerateName, p.Name = s.Name+"-", name
		labels := clonedLabels(p.Labels)
		labels[appsv1.ControllerRevisionHashLabelKey] = hash
		labels[appsv1.StatefulSetPodNameLabel] = name
		labels[appsv1.PodIndexLabel] = strconv.Itoa(i)
		p.Labels = labels
		p.Spec.Hostname, p.Spec.Subdomain = name, s.Spec.ServiceName
		p.Spec.Volumes = append(volumes, p.Spec.Volumes...)
	})
	return err
}
