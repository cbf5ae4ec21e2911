package fake

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/rand"
)

// Annotations of the deployment controller.
const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	desiredAnnotation  = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation      = "deployment.kubernetes.io/max-replicas"
)

// rollout is one look at a Deployment and its ReplicaSets.
type rollout struct {
	c       *Cluster
	task    task
	d       *appsv1.Deployment
	all     []*appsv1.ReplicaSet // oldest first
	current *appsv1.ReplicaSet   // that of the template; nil when there is none yet
	surge   int32
	down    int32 // max unavailable
}

// syncDeployment is the deployment controller.
func (c *Cluster) syncDeployment(t task) {
	d, ok := fetch[*appsv1.Deployment](c, t)
	if !ok {
		return
	}
	r := &rollout{c: c, task: t, d: d}
	r.load()
	if d.DeletionTimestamp == nil {
		switch {
		case d.Spec.Paused:
			r.scaleOnly()
		case d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType:
			r.recreate()
		default:
			r.roll()
		}
	}
	r.load()
	r.prune()
	r.status()
}

// load reads the ReplicaSets and finds the one of the template.
func (r *rollout) load() {
	r.all = claimed[*appsv1.ReplicaSet](r.c, r.task, r.d)
	slices.SortStableFunc(r.all, func(a, b *appsv1.ReplicaSet) int {
		return cmp.Or(cmp.Compare(revisionOf(a), revisionOf(b)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time))
	})
	r.current = nil
	for _, rs := range r.all {
		template := rs.Spec.Template.DeepCopy()
		delete(template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
		if equality.Semantic.DeepEqual(*template, r.d.Spec.Template) {
			r.current = rs
			break
		}
	}
	r.surge, r.down = 0, 0
	if ru := r.d.Spec.Strategy.RollingUpdate; ru != nil {
		r.surge, r.down = scaled(ru.MaxSurge, *r.d.Spec.Replicas, true), scaled(ru.MaxUnavailable, *r.d.Spec.Replicas, false)
		if r.surge == 0 && r.down == 0 {
			r.down = 1
		}
	}
}

func revisionOf(o metav1.Object) int64 {
	n, _ := strconv.ParseInt(o.GetAnnotations()[revisionAnnotation], 10, 64)
	return n
}

// scaled is an absolute number, or a percentage of total.
func scaled(v *intstr.IntOrString, total int32, up bool) int32 {
	n, err := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(v, intstr.FromInt32(0)), int(total), up)
	if err != nil {
		return 0
	}
	return int32(n)
}

// ensure creates the ReplicaSet of the template with a first size, or gives
// an old one that fits the newest revision.
func (r *rollout) ensure(replicas int32) bool {
	var newest int64
	for _, rs := range r.all {
		if rs != r.current {
			newest = max(newest, revisionOf(rs))
		}
	}
	revision := strconv.FormatInt(newest+1, 10)
	if r.current != nil {
		if revisionOf(r.current) > newest {
			return true
		}
		r.annotate(r.current, map[string]string{revisionAnnotation: revision})
		return true
	}
	template := r.d.Spec.Template.DeepCopy()
	hash := templateHash(template, r.d.Status.CollisionCount)
	labels := map[string]string{appsv1.DefaultDeploymentUniqueLabelKey: hash}
	maps.Copy(labels, template.Labels)
	template.Labels = labels
	selector := r.d.Spec.Selector.DeepCopy()
	if selector.MatchLabels == nil {
		selector.MatchLabels = map[string]string{}
	}
	selector.MatchLabels[appsv1.DefaultDeploymentUniqueLabelKey] = hash
	annotations := map[string]string{}
	for k, v := range r.d.Annotations {
		if k != "kubectl.kubernetes.io/last-applied-configuration" {
			annotations[k] = v
		}
	}
	maps.Copy(annotations, map[string]string{
		revisionAnnotation: revision, desiredAnnotation: itoa(*r.d.Spec.Replicas), maxAnnotation: itoa(*r.d.Spec.Replicas + r.surge),
	})
	rs := &appsv1.ReplicaSet{
		TypeMeta: typeMeta("apps/v1", "ReplicaSet"),
		ObjectMeta: metav1.ObjectMeta{
			Name: r.d.Name + "-" + hash, Namespace: r.d.Namespace, Labels: maps.Clone(labels), Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(r.d, appsv1.SchemeGroupVersion.WithKind("Deployment"))},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: &replicas, MinReadySeconds: r.d.Spec.MinReadySeconds, Selector: selector, Template: *template},
	}
	k := r.c.kinds.find("apps/v1", "ReplicaSet")
	created, err := r.c.create(request{kind: k, key: keyOf(rs), manager: controllerManager}, rs)
	if err != nil {
		r.c.event(r.d, corev1.EventTypeWarning, "ReplicaSetCreateError", fmt.Sprintf("Failed to create new replica set %q: %v", rs.Name, err), "deployment-controller")
		r.c.retry(r.task)
		return false
	}
	r.c.event(r.d, corev1.EventTypeNormal, "ScalingReplicaSet", fmt.Sprintf("Scaled up replica set %s from 0 to %d", rs.Name, replicas), "deployment-controller")
	r.current = created.obj.(*appsv1.ReplicaSet)
	r.all = append(r.all, r.current)
	return true
}

func (r *rollout) annotate(rs *appsv1.ReplicaSet, annotations map[string]string) {
	_, _ = mutate(r.c, r.of(rs), "", controllerManager, func(o *appsv1.ReplicaSet) {
		if o.Annotations == nil {
			o.Annotations = map[string]string{}
		}
		maps.Copy(o.Annotations, annotations)
	})
}

func (r *rollout) of(rs *appsv1.ReplicaSet) task {
	return task{replicaSets, r.c.kinds.find("apps/v1", "ReplicaSet"), keyOf(rs)}
}

// scale sets the size of a ReplicaSet.
func (r *rollout) scale(rs *appsv1.ReplicaSet, n int32) {
	desired, most := itoa(*r.d.Spec.Replicas), itoa(*r.d.Spec.Replicas+r.surge)
	if *rs.Spec.Replicas == n && rs.Annotations[desiredAnnotation] == desired && rs.Annotations[maxAnnotation] == most {
		return
	}
	was := *rs.Spec.Replicas
	updated, err := mutate(r.c, r.of(rs), "", controllerManager, func(o *appsv1.ReplicaSet) {
		o.Spec.Replicas = &n
		if o.Annotations == nil {
			o.Annotations = map[string]string{}
		}
		o.Annotations[desiredAnnotation], o.Annotations[maxAnnotation] = desired, most
	})
	if err != nil {
		return
	}
	if was != n {
		way := "up"
		if n < was {
			way = "down"
		}
		r.c.event(r.d, corev1.EventTypeNormal, "ScalingReplicaSet", fmt.Sprintf("Scaled %s replica set %s from %d to %d", way, rs.Name, was, n), "deployment-controller")
	}
	for i := range r.all {
		if r.all[i] == rs {
			r.all[i] = updated
		}
	}
	if r.current == rs {
		r.current = updated
	}
}

// total sums a number over the ReplicaSets.
func (r *rollout) total(n func(*appsv1.ReplicaSet) int32) int32 {
	var sum int32
	for _, rs := range r.all {
		sum += n(rs)
	}
	return sum
}

func size(rs *appsv1.ReplicaSet) int32      { return *rs.Spec.Replicas }
func available(rs *appsv1.ReplicaSet) int32 { return rs.Status.AvailableReplicas }

// roll moves pods from the old ReplicaSets to the new one within maxSurge and
// maxUnavailable.
func (r *rollout) roll() {
	want := *r.d.Spec.Replicas
	if r.current == nil {
		if !r.ensure(max(0, min(want, want+r.surge-r.total(size)))) {
			return
		}
	} else {
		r.ensure(0)
		n := size(r.current)
		switch {
		case n > want:
			n = want
		case n < want:
			n = min(want, n+max(0, want+r.surge-r.total(size)))
		}
		r.scale(r.current, n)
	}
	r.shrink(want)
}

// shrink takes pods from old ReplicaSets: first those that are not available
// anyway, then as many as may be unavailable.
func (r *rollout) shrink(want int32) {
	least := want - r.down
	budget := r.total(size) - least - (size(r.current) - available(r.current))
	for _, rs := range slices.Clone(r.all) {
		if sick := size(rs) - available(rs); rs.UID != r.current.UID && size(rs) > 0 && sick > 0 && budget > 0 {
			n := min(sick, budget)
			budget -= n
			r.scale(rs, size(rs)-n)
		}
	}
	spare := r.total(func(rs *appsv1.ReplicaSet) int32 { return min(available(rs), size(rs)) }) - least
	for _, rs := range slices.Clone(r.all) {
		if rs.UID != r.current.UID && size(rs) > 0 && spare > 0 {
			n := min(size(rs), spare)
			spare -= n
			r.scale(rs, size(rs)-n)
		}
	}
}

// recreate ends all old pods before it makes new ones.
func (r *rollout) recreate() {
	old := false
	for _, rs := range slices.Clone(r.all) {
		if r.current != nil && rs.UID == r.current.UID {
			continue
		}
		r.scale(rs, 0)
		for range children[*corev1.Pod](r.c, rs.UID) {
			old = true
		}
	}
	if old {
		return
	}
	want := *r.d.Spec.Replicas
	if r.current == nil {
		r.ensure(want)
		return
	}
	r.ensure(want)
	r.scale(r.current, want)
}

// scaleOnly obeys changes of spec.replicas while the Deployment is paused.
func (r *rollout) scaleOnly() {
	var active *appsv1.ReplicaSet
	for _, rs := range r.all {
		if size(rs) > 0 {
			active = rs
		}
	}
	if active == nil {
		active = r.current
	}
	if active == nil { // the newest, as the controller does
		for _, rs := range r.all {
			if active == nil || active.CreationTimestamp.Before(&rs.CreationTimestamp) {
				active = rs
			}
		}
	}
	if active != nil {
		r.scale(active, *r.d.Spec.Replicas)
	}
}

// prune deletes old, empty ReplicaSets beyond the history limit.
func (r *rollout) prune() {
	var old []*appsv1.ReplicaSet
	for _, rs := range r.all {
		if (r.current == nil || rs.UID != r.current.UID) && size(rs) == 0 && rs.Status.Replicas == 0 && rs.DeletionTimestamp == nil {
			old = append(old, rs)
		}
	}
	if r.current == nil || r.current.Status.AvailableReplicas < *r.d.Spec.Replicas {
		return
	}
	for i := range max(0, len(old)-int(*r.d.Spec.RevisionHistoryLimit)) {
		_, _ = r.c.remove(r.c.ctx, request{kind: r.c.kinds.find("apps/v1", "ReplicaSet"), key: keyOf(old[i])}, metav1.DeleteOptions{})
	}
}

// templateHash is the label that tells the pods of ReplicaSets apart.
func templateHash(template *corev1.PodTemplateSpec, collisions *int32) string {
	data, _ := json.Marshal(template)
	h := fnv.New32a()
	_, _ = h.Write(data)
	if n := deref(collisions); n != 0 { // none yet is zero
		_, _ = h.Write([]byte(itoa(n)))
	}
	return rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
}

func itoa(n int32) string { return strconv.Itoa(int(n)) }
