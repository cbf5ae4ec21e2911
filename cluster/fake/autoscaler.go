package fake

import (
	"fmt"
	"math"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// syncPeriod is how often the autoscaler looks at its metrics.
const syncPeriod = 15 * time.Second

// metrics are the scripted loads, by namespace and name of the target.
type metrics struct {
	mu   sync.Mutex
	load map[key]int32
}

// SetLoad says how much the pods of a workload use together, in percent of
// what one of them requests: 300 over four pods is 75 each. Autoscalers act on
// it; without it they have no metrics.
func (c *Cluster) SetLoad(namespace, workload string, percent int32) {
	c.metrics.mu.Lock()
	if c.metrics.load == nil {
		c.metrics.load = map[key]int32{}
	}
	c.metrics.load[key{namespace, workload}] = percent
	c.metrics.mu.Unlock()
	k := c.kinds.find("autoscaling/v2", "HorizontalPodAutoscaler")
	records, _ := c.store.list(k, namespace)
	for _, r := range records {
		c.work.add(task{autoscalers, k, r.key})
	}
}

// syncAutoscaler is the horizontal pod autoscaler. It has no memory: the
// stabilisation window and scaling policies are not simulated.
func (c *Cluster) syncAutoscaler(t task) {
	h, ok := fetch[*autoscalingv2.HorizontalPodAutoscaler](c, t)
	if !ok || h.DeletionTimestamp != nil {
		return
	}
	ref := h.Spec.ScaleTargetRef
	target := task{kind: c.kinds.find(ref.APIVersion, ref.Kind), key: key{h.Namespace, ref.Name}}
	var have, ready int32
	var r *record
	if target.kind != nil && target.kind.scale {
		r = c.store.get(target.kind, target.key)
	}
	if r == nil {
		c.autoscalerStatus(t, 0, 0, nil, "FailedGetScale", fmt.Sprintf("the HPA controller was unable to get the target's current scale: %s %q not found", ref.Kind, ref.Name))
		c.again(t, syncPeriod)
		return
	}
	have, ready = replicasOf(r.obj)
	c.metrics.mu.Lock()
	percent, measured := c.metrics.load[target.key]
	c.metrics.mu.Unlock()
	want := min(max(have, *h.Spec.MinReplicas), h.Spec.MaxReplicas)
	var current *int32
	if measured && have > 0 {
		percent = (percent + have - 1) / have
		current = &percent
		goal := int32(80)
		for _, m := range h.Spec.Metrics {
			if m.Resource != nil && m.Resource.Target.AverageUtilization != nil {
				goal = *m.Resource.Target.AverageUtilization
			}
		}
		if ratio := float64(percent) / float64(goal); math.Abs(ratio-1) > 0.1 {
			want = min(max(int32(math.Ceil(ratio*float64(have))), *h.Spec.MinReplicas), h.Spec.MaxReplicas)
		}
	}
	if have == 0 {
		c.autoscalerStatus(t, 0, 0, nil, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
		return
	}
	if want != have {
		_, _ = c.setReplicas(request{kind: target.kind, key: target.key, sub: "scale", manager: controllerManager}, want)
		c.event(h, corev1.EventTypeNormal, "SuccessfulRescale", fmt.Sprintf("New size: %d; reason: cpu resource utilization (percentage of request)", want), "horizontal-pod-autoscaler")
	}
	c.autoscalerStatus(t, ready, want, current, "", "")
	c.again(t, syncPeriod)
}

// replicasOf is what a workload should have, and has.
func replicasOf(o object) (spec, status int32) {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return *o.Spec.Replicas, o.Status.Replicas
	case *appsv1.StatefulSet:
		return *o.Spec.Replicas, o.Status.Replicas
	case *appsv1.ReplicaSet:
		return *o.Spec.Replicas, o.Status.Replicas
	case *corev1.ReplicationController:
		return deref(o.Spec.Replicas), o.Status.Replicas
	}
	return 0, 0
}

func (c *Cluster) autoscalerStatus(t task, have, want int32, percent *int32, failed, message string) {
	_, _ = mutate(c, t, "status", controllerManager, func(o *autoscalingv2.HorizontalPodAutoscaler) {
		s := &o.Status
		if s.DesiredReplicas != want && want != 0 {
			at := now()
			s.LastScaleTime = &at
		}
		s.CurrentReplicas, s.DesiredReplicas = have, want
		s.ObservedGeneration = nil
		s.CurrentMetrics = nil
		if percent != nil {
			s.CurrentMetrics = []autoscalingv2.MetricStatus{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricStatus{
				Name: corev1.ResourceCPU, Current: autoscalingv2.MetricValueStatus{AverageUtilization: percent}}}}
		}
		set := func(kind autoscalingv2.HorizontalPodAutoscalerConditionType, ok bool, reason, message string) {
			status := corev1.ConditionFalse
			if ok {
				status = corev1.ConditionTrue
			}
			for i := range s.Conditions {
				if c := &s.Conditions[i]; c.Type == kind {
					if c.Status != status {
						c.LastTransitionTime = now()
					}
					c.Status, c.Reason, c.Message = status, reason, message
					return
				}
			}
			s.Conditions = append(s.Conditions, autoscalingv2.HorizontalPodAutoscalerCondition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: now()})
		}
		switch {
		case failed == "ScalingDisabled":
			set(autoscalingv2.AbleToScale, true, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
			set(autoscalingv2.ScalingActive, false, failed, message)
		case failed != "":
			set(autoscalingv2.AbleToScale, false, failed, message)
		case percent == nil:
			set(autoscalingv2.AbleToScale, true, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
			set(autoscalingv2.ScalingActive, false, "FailedGetResourceMetric", "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API")
		default:
			set(autoscalingv2.AbleToScale, true, "ReadyForNewScale", "recommended size matches current size")
			set(autoscalingv2.ScalingActive, true, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)")
			set(autoscalingv2.ScalingLimited, want == o.Spec.MaxReplicas, "DesiredWithinRange", "the desired count is within the acceptable range")
		}
	})
}
