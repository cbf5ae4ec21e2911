package render

import (
	"strconv"

	"github.com/appspan-dev/appspan/appmodel"
	netv1 "k8s.io/api/networking/v1"
)

func (b *builder) route(r *appmodel.Route) {
	if r.HTTP == nil {
		return
	}
	ing := &netv1.Ingress{TypeMeta: tm("networking.k8s.io/v1", "Ingress"), ObjectMeta: b.meta(b.name(r.ID), nil)}
	ing.Labels[appmodel.LabelRoute] = r.ID
	pt := netv1.PathTypePrefix
	var paths []netv1.HTTPIngressPath
	for _, rule := range r.HTTP.Rules {
		for _, t := range rule.To {
			c := b.comps[t.Component]
			n := int32(0)
			for _, p := range c.Ports {
				if t.Port == "" || p.Name == string(t.Port) || strconv.Itoa(p.Port) == string(t.Port) {
					n = int32(p.Number())
					break
				}
			}
			paths = append(paths, netv1.HTTPIngressPath{Path: rule.Path, PathType: &pt, Backend: netv1.IngressBackend{Service: &netv1.IngressServiceBackend{Name: b.serviceName(c), Port: netv1.ServiceBackendPort{Number: n}}}})
		}
	}
	hosts := r.HTTP.Hosts
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, h := range hosts {
		h, _, _ = b.expand(nil, h)
		ing.Spec.Rules = append(ing.Spec.Rules, netv1.IngressRule{Host: h, IngressRuleValue: netv1.IngressRuleValue{HTTP: &netv1.HTTPIngressRuleValue{Paths: paths}}})
	}
	b.add(ing, Object{Route: r.ID, Phase: PhaseNetwork})
}
