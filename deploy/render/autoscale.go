package render

import (
	"cmp"

	"github.com/appspan-dev/appspan/appmodel"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
)

// autoscale moves the number of replicas by metrics.
func (b *builder) autoscale(c *appmodel.Component) {
	if c.Scale == nil || c.Scale.Auto == nil || c.Kind != appmodel.KindService && c.Kind != appmodel.KindStateful && c.Kind != appmodel.KindFunction {
		return
	}
	auto := c.Scale.Auto
	kind, err := workloadKind(c)
	if err != nil {
		return // workload has said so
	}
	target := autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: kind, Name: b.workloadName(c)}
	if b.onKeda(c) {
		b.scaledObject(c, target)
		return
	}
	keda := b.serves(kedaVersion, "ScaledObject")
	var metrics []autoscalingv2.MetricSpec
	for i := range auto.Metrics {
		if m, ok := b.metric(c, &auto.Metrics[i]); ok {
			metrics = append(metrics, m)
		}
	}
	switch {
	case len(auto.Schedules) > 0 && keda:
		b.cronTriggers(c) // says why there are none
	case len(auto.Schedules) > 0:
		b.note(Warning, c, "scale.auto.schedules", "the cluster has nothing that scales by schedules; they are left out; install KEDA there")
	}
	least := int32(leastReplicas(c))
	if least == 0 {
		least = 1
		next := "install KEDA there and name a trigger"
		if keda {
			next = "name a trigger of KEDA"
		}
		b.note(Warning, c, "scale.auto.min", "nothing on the cluster scales it to zero by these metrics; one replica stays; %s, or write min: 1", next)
	}
	if len(metrics) == 0 {
		b.note(Warning, c, "scale.auto.metrics", "no metric that the cluster can scale by is left; it stays at its first number of replicas")
		return
	}
	b.add(&autoscalingv2.HorizontalPodAutoscaler{TypeMeta: tm("autoscaling/v2", "HorizontalPodAutoscaler"), ObjectMeta: b.meta(cmp.Or(pinnedNames(c).Autoscaler, b.name(c.ID)), c),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: target, MinReplicas: &least, MaxReplicas: int32(auto.Max), Metrics: metrics, Behavior: scaleDown(auto)}},
		Object{Component: c.ID, Phase: PhaseWorkload})
}

// scaleDown is how long a lower need must last, if that is said.
func scaleDown(auto *appmodel.AutoScale) *autoscalingv2.HorizontalPodAutoscalerBehavior {
	if auto.ScaleDownDelay <= 0 {
		return nil
	}
	window := seconds(auto.ScaleDownDelay)
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &window}}
}

// metric is a metric as a HorizontalPodAutoscaler knows it, if it does.
func (b *builder) metric(c *appmodel.Component, m *appmodel.Metric) (autoscalingv2.MetricSpec, bool) {
	path := "scale.auto.metrics[" + m.Name + "]"
	resource := func(name corev1.ResourceName, r *appmodel.ResourceMetric) (autoscalingv2.MetricSpec, bool) {
		target := autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType}
		if r.Average != "" {
			q := b.quantity(r.Average, c, path)
			target.Type, target.AverageValue = autoscalingv2.AverageValueMetricType, &q
		} else {
			percent := int32(r.Utilization)
			target.AverageUtilization = &percent
		}
		return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: name, Target: target}}, true
	}
	switch {
	case m.CPU != nil:
		return resource(corev1.ResourceCPU, m.CPU)
	case m.Memory != nil:
		return resource(corev1.ResourceMemory, m.Memory)
	case m.Custom != nil:
		q := b.quantity(m.Custom.Target, c, path)
		return autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: m.Custom.Metric},
			Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &q}}}, true
	}
	next := "name a trigger of KEDA that measures it, such as prometheus, and install KEDA there"
	switch {
	case m.Trigger != nil:
		next = "install KEDA there"
	case b.serves(kedaVersion, "ScaledObject"):
		next = "name a trigger of KEDA that measures it, such as prometheus"
	}
	b.note(Warning, c, path, "the cluster has nothing that scales by this metric; it is left out; %s", next)
	return autoscalingv2.MetricSpec{}, false
}

// serves reports whether the cluster serves a kind.
func (b *builder) serves(apiVersion, kind string) bool {
	return b.in.Info.Has(apiVersion, kind)
}
