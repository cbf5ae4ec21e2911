package render

import (
	"strconv"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// knativeScale says how Knative moves the number of replicas, which it does by
// one metric.
func (b *builder) knativeScale(c *appmodel.Component, annotations map[string]string) {
	if c.Scale == nil || c.Scale.Auto == nil {
		return
	}
	const prefix = "autoscaling.knative.dev/"
	auto, least := c.Scale.Auto, leastReplicas(c)
	class, metric := "", ""
	for i := range auto.Metrics {
		m := &auto.Metrics[i]
		path := "scale.auto.metrics[" + m.Name + "]"
		own, target, by := "", appmodel.Quantity(""), "kpa"
		switch {
		case m.Concurrency != nil:
			own, target = "concurrency", m.Concurrency.Target
		case m.RequestRate != nil:
			own, target = "rps", m.RequestRate.Target
		case m.CPU != nil && m.CPU.Utilization > 0:
			own, target, by = "cpu", appmodel.Quantity(strconv.Itoa(m.CPU.Utilization)), "hpa"
		default:
			b.note(Warning, c, path, "Knative does not scale by this metric; it is left out; use concurrency, requestRate or cpu utilization")
			continue
		}
		if metric != "" {
			b.note(Warning, c, path, "Knative scales by one metric, which is %s; this one is left out", metric)
			continue
		}
		class, metric = by, own
		q := b.quantity(target, c, path)
		annotations[prefix+"metric"], annotations[prefix+"target"] = metric, strconv.FormatFloat(q.AsApproximateFloat64(), 'f', -1, 64)
	}
	if len(auto.Schedules) > 0 {
		b.note(Warning, c, "scale.auto.schedules", "Knative does not scale by schedules; they are left out; make it a service, which KEDA scales by them")
	}
	if class == "hpa" && least == 0 {
		least = 1
		b.note(Warning, c, "scale.auto.min", "Knative does not scale to zero by cpu; one replica stays; use concurrency or requestRate")
	}
	if class != "" {
		annotations[prefix+"class"] = class + ".autoscaling.knative.dev"
	}
	annotations[prefix+"min-scale"], annotations[prefix+"max-scale"] = strconv.Itoa(least), strconv.Itoa(auto.Max)
	if n := c.Scale.Replicas; n != nil && *n > 1 {
		annotations[prefix+"initial-scale"] = strconv.Itoa(*n)
	}
	if auto.ScaleDownDelay > 0 && class != "hpa" {
		annotations[prefix+"scale-down-delay"] = strconv.Itoa(int(seconds(auto.ScaleDownDelay))) + "s"
	}
}

// knativeAliases are further names of a function. Knative finds a function by
// the host that a request names, so clients must name the function's own.
func (b *builder) knativeAliases(c *appmodel.Component) {
	if len(c.Aliases) == 0 {
		return
	}
	host := b.name(c.ID) + "." + b.in.Namespace + ".svc.cluster.local"
	for _, alias := range c.Aliases {
		s := &corev1.Service{TypeMeta: tm("v1", "Service"), ObjectMeta: b.meta(alias, c), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: host,
			Ports: []corev1.ServicePort{{Name: "http", Port: knativePort, TargetPort: intstr.FromInt32(knativePort), Protocol: corev1.ProtocolTCP}}}}
		s.Labels[appmodel.LabelPart] = "alias"
		b.add(s, Object{Component: c.ID, Phase: PhaseNetwork})
	}
	b.note(Warning, c, "aliases", "Knative finds the function by the host that a request names; clients of an alias must send the header Host: %s", host)
}

// knativePolicy lets requests in, which all come through Knative and by its
// proxy in the pod; who sent them is not seen there.
func (b *builder) knativePolicy(c *appmodel.Component) {
	if bare(c) || c.Security != nil && c.Security.HostNetwork {
		return
	}
	var ports []netv1.NetworkPolicyPort
	open := func(number int) {
		protocol, port := corev1.ProtocolTCP, intstr.FromInt32(int32(number))
		ports = append(ports, netv1.NetworkPolicyPort{Protocol: &protocol, Port: &port})
	}
	for _, n := range queuePorts() {
		open(n)
	}
	if p := b.functionPort(c); p != nil && monitored(c, p) {
		open(p.Port)
	}
	b.note(Information, c, "ports", "requests come through Knative, so the function's NetworkPolicy cannot tell who sends them")
	b.add(&netv1.NetworkPolicy{TypeMeta: tm("networking.k8s.io/v1", "NetworkPolicy"), ObjectMeta: b.meta(b.name(c.ID), c),
		Spec: netv1.NetworkPolicySpec{PodSelector: *b.labelSelector(c), PolicyTypes: []netv1.PolicyType{netv1.PolicyTypeIngress}, Ingress: []netv1.NetworkPolicyIngressRule{{Ports: ports}}}},
		Object{Component: c.ID, Phase: PhaseNetwork})
}
