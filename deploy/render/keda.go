package render

import (
	"maps"
	"slices"
	"strconv"

	"github.com/appspan-dev/appspan/appmodel"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const kedaVersion = "keda.sh/v1alpha1"

// The ScaledObject of KEDA, as far as it is used here.
type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              scaledSpec `json:"spec"`
}

type scaledSpec struct {
	ScaleTargetRef  autoscalingv2.CrossVersionObjectReference `json:"scaleTargetRef"`
	MinReplicaCount int                                       `json:"minReplicaCount"`
	MaxReplicaCount int                                       `json:"maxReplicaCount"`
	CooldownPeriod  int32                                     `json:"cooldownPeriod,omitempty"` // before the last replica goes
	Advanced        *scaledAdvanced                           `json:"advanced,omitempty"`
	Triggers        []scaledTrigger                           `json:"triggers"`
}

type scaledAdvanced struct {
	HorizontalPodAutoscalerConfig struct {
		Behavior *autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior"`
	} `json:"horizontalPodAutoscalerConfig"`
}

type scaledTrigger struct {
	Type              string                         `json:"type"`
	Name              string                         `json:"name,omitempty"`
	MetricType        autoscalingv2.MetricTargetType `json:"metricType,omitempty"`
	Metadata          map[string]string              `json:"metadata"`
	AuthenticationRef *scaledAuthentication          `json:"authenticationRef,omitempty"`
}

type scaledAuthentication struct {
	Name string `json:"name"`
}

// The TriggerAuthentication of KEDA, as far as it is used here.
type triggerAuthentication struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		SecretTargetRef []triggerSecret `json:"secretTargetRef"`
	} `json:"spec"`
}

type triggerSecret struct {
	Parameter string `json:"parameter"`
	Name      string `json:"name"`
	Key       string `json:"key"`
}

// onKeda reports whether KEDA scales a component: the cluster has it, and the
// component asks for what a HorizontalPodAutoscaler cannot do and KEDA can.
func (b *builder) onKeda(c *appmodel.Component) bool {
	if c.Scale == nil || c.Scale.Auto == nil || !b.serves(kedaVersion, "ScaledObject") {
		return false
	}
	if slices.ContainsFunc(c.Scale.Auto.Metrics, func(m appmodel.Metric) bool { return m.Trigger != nil }) {
		return true
	}
	return slices.ContainsFunc(windows(c.Scale.Auto), func(w window) bool { return w.from.Replicas > leastReplicas(c) })
}

// scaledObject has KEDA move the number of replicas.
func (b *builder) scaledObject(c *appmodel.Component, target autoscalingv2.CrossVersionObjectReference) {
	auto := c.Scale.Auto
	o := &scaledObject{TypeMeta: tm(kedaVersion, "ScaledObject"), ObjectMeta: b.meta(b.name(c.ID), c),
		Spec: scaledSpec{ScaleTargetRef: target, MinReplicaCount: leastReplicas(c), MaxReplicaCount: auto.Max}}
	for i := range auto.Metrics {
		if t, ok := b.trigger(c, &auto.Metrics[i]); ok {
			o.Spec.Triggers = append(o.Spec.Triggers, t)
		}
	}
	o.Spec.Triggers = append(o.Spec.Triggers, b.cronTriggers(c)...)
	if behavior := scaleDown(auto); behavior != nil {
		o.Spec.CooldownPeriod = seconds(auto.ScaleDownDelay)
		o.Spec.Advanced = &scaledAdvanced{}
		o.Spec.Advanced.HorizontalPodAutoscalerConfig.Behavior = behavior
	}
	b.add(o, Object{Component: c.ID, Phase: PhaseWorkload})
}

// trigger is a metric as KEDA knows it, if it does.
func (b *builder) trigger(c *appmodel.Component, m *appmodel.Metric) (scaledTrigger, bool) {
	path := "scale.auto.metrics[" + m.Name + "]"
	resource := func(kind string, r *appmodel.ResourceMetric) (scaledTrigger, bool) {
		if r.Average != "" {
			return scaledTrigger{Type: kind, MetricType: autoscalingv2.AverageValueMetricType, Metadata: map[string]string{"value": string(r.Average)}}, true
		}
		return scaledTrigger{Type: kind, MetricType: autoscalingv2.UtilizationMetricType, Metadata: map[string]string{"value": strconv.Itoa(r.Utilization)}}, true
	}
	switch {
	case m.CPU != nil:
		return resource("cpu", m.CPU)
	case m.Memory != nil:
		return resource("memory", m.Memory)
	case m.Trigger != nil:
		t := scaledTrigger{Type: m.Trigger.Type, Name: m.Name, Metadata: maps.Clone(m.Trigger.Settings)}
		if t.Metadata == nil {
			t.Metadata = map[string]string{}
		}
		if m.Trigger.Secret != "" {
			t.AuthenticationRef = b.triggerAuthentication(c, m, path)
		}
		return t, true
	}
	b.note(Warning, c, path, "KEDA has no trigger for this metric; it is left out; name a trigger that measures it, such as prometheus")
	return scaledTrigger{}, false
}

// triggerAuthentication gives a trigger the items of a secret group, each as
// the parameter of its name.
func (b *builder) triggerAuthentication(c *appmodel.Component, m *appmodel.Metric, path string) *scaledAuthentication {
	g := b.secret(m.Trigger.Secret, componentPath(c, path+".trigger.secret"))
	if g == nil { // which is an error already
		return nil
	}
	if len(g.Items) == 0 {
		b.note(Warning, c, path+".trigger.secret", "the items of secret %s are not known here, so the trigger gets no credentials; list them in a group of its own", g.Name)
		return nil
	}
	a := &triggerAuthentication{TypeMeta: tm(kedaVersion, "TriggerAuthentication"), ObjectMeta: b.meta(b.name(c.ID+"-"+m.Name), c)}
	for _, i := range g.Items {
		a.Spec.SecretTargetRef = append(a.Spec.SecretTargetRef, triggerSecret{Parameter: i.Name, Name: b.secretName(g), Key: i.Name})
	}
	b.add(a, Object{Component: c.ID, Phase: PhaseData})
	return &scaledAuthentication{Name: a.Name}
}
