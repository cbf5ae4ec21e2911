package manifests

import (
	"maps"
	"slices"

	"github.com/appspan-dev/appspan/appmodel"
)

// scaling reads HorizontalPodAutoscalers and PodDisruptionBudgets into the
// components that they are about.
func (im *importer) scaling() {
	for _, o := range im.reader.objects {
		switch {
		case o.aside():
		case o.is("autoscaling", "HorizontalPodAutoscaler"), o.is("keda.sh", "ScaledObject"):
			ref := o.at("spec", "scaleTargetRef")
			kind := ref.get("kind").text()
			if kind == "" {
				kind = "Deployment"
			}
			p := im.partOf(kind, ref.get("name").text())
			if p == nil || ref.get("apiVersion") != nil && !ref.get("apiVersion").is(p.obj.apiVersion) {
				continue
			}
			if o.kind == "ScaledObject" || o.forced != "" || !im.autoscale(p, o) {
				im.app.Policies = append(im.app.Policies, appmodel.Policy{Path: p.at + ".scale", Policy: appmodel.PolicyExternal})
				im.note("%s is scaled by the %s %s, which is kept as it is", p.at, o.kind, o.name)
			}
		case o.is("policy", "PodDisruptionBudget") && o.forced == "":
			im.disruption(o)
		}
	}
}

// autoscale reads an autoscaler whose metrics the model has; false if it has
// others.
func (im *importer) autoscale(p *part, o *object) bool {
	spec := o.at("spec")
	least, most := int(max(1, spec.get("minReplicas").count())), int(spec.get("maxReplicas").count())
	if spec.get("minReplicas").is("0") || p.comp.Scale != nil && p.comp.Scale.Auto != nil || p.comp.Kind != appmodel.KindService && p.comp.Kind != appmodel.KindStateful {
		return false
	}
	auto, at := &appmodel.AutoScale{Max: most}, p.at+".scale.auto"
	if least != 1 {
		auto.Min = &least
	}
	type use struct {
		p  *place
		to string
	}
	var used []use
	if cpu := spec.get("targetCPUUtilizationPercentage"); cpu.count() > 0 { // of autoscaling/v1
		auto.Metrics = append(auto.Metrics, appmodel.Metric{CPU: &appmodel.ResourceMetric{Utilization: int(cpu.count())}})
		used = append(used, use{cpu, at + ".metrics[cpu].cpu.utilization"})
	}
	for _, m := range spec.get("metrics").list() {
		var metric appmodel.Metric
		target := m.get("resource", "target")
		amount := &appmodel.ResourceMetric{Utilization: int(target.get("averageUtilization").count()), Average: appmodel.Quantity(target.get("averageValue").text())}
		name := m.get("resource", "name").text()
		switch {
		case m.get("type").is("Resource") && (name == "cpu" || name == "memory") &&
			(amount.Utilization > 0 && target.get("type").is("Utilization")) != (amount.Average != "" && target.get("type").is("AverageValue")) && len(target.entries()) == 2:
			if metric.CPU = amount; name == "memory" {
				metric.CPU, metric.Memory = nil, amount
			}
		case m.get("type").is("Pods") && m.get("pods", "metric", "selector") == nil && m.get("pods", "target", "averageValue") != nil &&
			m.get("pods", "target", "type").is("AverageValue"):
			name = m.get("pods", "metric", "name").text()
			metric.Name = name
			metric.Custom = &appmodel.CustomMetric{Metric: name, Target: appmodel.Quantity(m.get("pods", "target", "averageValue").text())}
		default:
			return false
		}
		auto.Metrics = append(auto.Metrics, metric)
		used = append(used, use{m, at + ".metrics[" + name + "]"})
	}
	if len(auto.Metrics) == 0 { // which is cpu to 80 percent
		return false
	}
	im.owns(at, o)
	im.owns(p.at+".kubernetes.names.autoscaler", o)
	o.mapped = true
	p.kubernetes.Names.Autoscaler = o.name
	o.identity(p.at + ".kubernetes.names.autoscaler")
	o.provides(p.comp.Labels, p.at+".labels")
	spec.get("scaleTargetRef").take(at)
	spec.get("minReplicas").take(at + ".min")
	spec.get("maxReplicas").take(at + ".max")
	for _, u := range used {
		u.p.take(u.to)
	}
	if delay := spec.get("behavior", "scaleDown", "stabilizationWindowSeconds"); delay.count() > 0 {
		auto.ScaleDownDelay = seconds(delay.num(at + ".scaleDownDelay"))
	}
	if p.comp.Scale == nil {
		p.comp.Scale = &appmodel.Scale{}
	}
	p.comp.Scale.Auto = auto
	im.patchLater(o, appmodel.PatchTarget{Kind: "HorizontalPodAutoscaler", Component: p.comp.ID}, nil)
	return true
}

// disruption reads a budget of exactly one component's pods.
func (im *importer) disruption(o *object) {
	spec := o.at("spec")
	if spec.get("selector", "matchExpressions") != nil || (spec.get("minAvailable").text() != "") == (spec.get("maxUnavailable").text() != "") {
		return
	}
	labels := spec.get("selector", "matchLabels").texts()
	parts := im.selected(labels)
	if len(parts) != 1 || !maps.Equal(parts[0].selector, labels) || parts[0].comp.Disruption != nil ||
		!slices.Contains([]appmodel.ComponentKind{appmodel.KindService, appmodel.KindStateful}, parts[0].comp.Kind) {
		return
	}
	p := parts[0]
	at := p.at + ".disruption"
	im.owns(at, o)
	o.mapped = true
	p.comp.Disruption = &appmodel.Disruption{MinAvailable: appmodel.IntOrPercent(spec.get("minAvailable").str(at + ".minAvailable")),
		MaxUnavailable: appmodel.IntOrPercent(spec.get("maxUnavailable").str(at + ".maxUnavailable"))}
	p.kubernetes.Names.Disruption = o.name
	o.identity(p.at + ".kubernetes.names.disruption")
	o.provides(p.comp.Labels, p.at+".labels")
	spec.get("selector").take(p.at + ".kubernetes.selector")
	im.patchLater(o, appmodel.PatchTarget{Kind: "PodDisruptionBudget", Component: p.comp.ID}, nil)
}
