package render

import (
	"maps"
	"strconv"

	"github.com/appspan-dev/appspan/appmodel"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The ServiceMonitor of the Prometheus operator, as far as it is used here.
type serviceMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []monitorEndpoint    `json:"endpoints"`
	} `json:"spec"`
}

type monitorEndpoint struct {
	TargetPort int    `json:"targetPort"`
	Path       string `json:"path,omitempty"`
	Interval   string `json:"interval,omitempty"`
}

// The PodMonitor of the Prometheus operator, as far as it is used here.
type podMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []monitorEndpoint    `json:"podMetricsEndpoints"`
	} `json:"spec"`
}

const monitoring = "monitoring.coreos.com/v1"

// monitors tells Prometheus where a component's metrics are, where the cluster
// has its operator. Elsewhere annotations of the pods do; see
// [builder.scrape].
func (b *builder) monitors(c *appmodel.Component) {
	if len(c.Monitors) == 0 {
		return
	}
	if !b.serves(monitoring, monitorKind(b.onKnative(c))) {
		return
	}
	var endpoints []monitorEndpoint
	for _, mon := range c.Monitors {
		p := findPort(c, mon.Port)
		if p == nil {
			b.fail("%s: no port %q; name one of the component's ports", componentPath(c, "monitors"), mon.Port)
			continue
		}
		if b.onKnative(c) && p != b.functionPort(c) {
			b.note(Warning, c, "monitors", "Knative leaves a function one port, so the metrics on port %d are not collected; serve them on the function's port", p.Port)
			continue
		}
		e := monitorEndpoint{TargetPort: p.Port, Path: mon.Path}
		if mon.Interval > 0 {
			e.Interval = mon.Interval.String()
		}
		endpoints = append(endpoints, e)
	}
	if len(endpoints) == 0 {
		return
	}
	selector := metav1.LabelSelector{MatchLabels: b.selector(c.ID)}
	if b.onKnative(c) { // whose Services are not ours
		m := &podMonitor{TypeMeta: tm(monitoring, "PodMonitor"), ObjectMeta: b.meta(b.name(c.ID), c)}
		m.Spec.Selector, m.Spec.Endpoints = selector, endpoints
		b.add(m, Object{Component: c.ID, Phase: PhaseNetwork})
		return
	}
	selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: appmodel.LabelPart, Operator: metav1.LabelSelectorOpDoesNotExist}} // not aliases: once is enough
	m := &serviceMonitor{TypeMeta: tm(monitoring, "ServiceMonitor"), ObjectMeta: b.meta(b.name(c.ID), c)}
	m.Spec.Selector, m.Spec.Endpoints = selector, endpoints
	b.add(m, Object{Component: c.ID, Phase: PhaseNetwork})
}

// monitorKind is the kind by which metrics are found.
func monitorKind(knative bool) string {
	if knative {
		return "PodMonitor"
	}
	return "ServiceMonitor"
}

// scrape annotates the pods of a component whose metrics no monitor can name,
// in the way that Prometheus is usually set up to look for. The annotations
// that the author wrote win. They tell of one endpoint only.
func (b *builder) scrape(c *appmodel.Component, annotations map[string]string) map[string]string {
	if len(c.Monitors) == 0 || b.serves(monitoring, monitorKind(b.onKnative(c))) {
		return annotations
	}
	if bare(c) {
		b.note(Information, c, "monitors", "the cluster has no Prometheus operator, and nothing of ours may stand in the pods; nothing tells where these metrics are")
		return annotations
	}
	mon := c.Monitors[0]
	p := findPort(c, mon.Port)
	if p == nil {
		b.fail("%s: no port %q; name one of the component's ports", componentPath(c, "monitors"), mon.Port)
		return annotations
	}
	b.note(Information, c, "monitors", "the cluster has no Prometheus operator; annotations prometheus.io/scrape, port and path of the pods tell where the metrics are, if Prometheus is set up to read them")
	if len(c.Monitors) > 1 {
		b.note(Warning, c, "monitors", "annotations tell of one endpoint only, which is the first; install the Prometheus operator to have all collected")
	}
	out := map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": strconv.Itoa(p.Port), "prometheus.io/path": mon.Path}
	maps.Copy(out, annotations)
	return out
}
