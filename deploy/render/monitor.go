package render

import (
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

// monitors tells Prometheus where a component's metrics are, where the cluster
// has its operator.
func (b *builder) monitors(c *appmodel.Component) {
	if len(c.Monitors) == 0 {
		return
	}
	const apiVersion, kind = "monitoring.coreos.com/v1", "ServiceMonitor"
	if !b.serves(apiVersion, kind) {
		b.note(Information, c, "monitors", "the cluster has no Prometheus operator; nothing is told to collect these metrics")
		return
	}
	m := &serviceMonitor{TypeMeta: tm(apiVersion, kind), ObjectMeta: b.meta(b.name(c.ID), c)}
	m.Spec.Selector.MatchLabels = b.selector(c.ID)
	m.Spec.Selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: appmodel.LabelPart, Operator: metav1.LabelSelectorOpDoesNotExist}} // not aliases: once is enough
	for _, mon := range c.Monitors {
		p := findPort(c, mon.Port)
		if p == nil {
			b.fail("%s: no port %q; name one of the component's ports", componentPath(c, "monitors"), mon.Port)
			continue
		}
		e := monitorEndpoint{TargetPort: p.Port, Path: mon.Path}
		if mon.Interval > 0 {
			e.Interval = mon.Interval.String()
		}
		m.Spec.Endpoints = append(m.Spec.Endpoints, e)
	}
	b.add(m, Object{Component: c.ID, Phase: PhaseNetwork})
}
