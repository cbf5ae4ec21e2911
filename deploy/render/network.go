package render

import (
	"maps"
	"slices"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// networkPolicy lets in who may connect to a component's ports. What leaves is
// not confined; nodes, and so probes, are always let in by Kubernetes.
func (b *builder) networkPolicy(c *appmodel.Component) {
	if bare(c) || c.Security != nil && c.Security.HostNetwork {
		return
	}
	var rules []netv1.NetworkPolicyIngressRule
	for i := range c.Ports {
		p := &c.Ports[i]
		peers, reachable := b.peers(c, p)
		if !reachable {
			continue
		}
		protocol, number := corev1.Protocol(p.Protocol), intstr.FromInt32(int32(p.Port))
		rules = append(rules, netv1.NetworkPolicyIngressRule{From: peers, Ports: []netv1.NetworkPolicyPort{{Protocol: &protocol, Port: &number}}})
	}
	b.add(&netv1.NetworkPolicy{TypeMeta: tm("networking.k8s.io/v1", "NetworkPolicy"), ObjectMeta: b.meta(b.name(c.ID), c),
		Spec: netv1.NetworkPolicySpec{PodSelector: *b.labelSelector(c), PolicyTypes: []netv1.PolicyType{netv1.PolicyTypeIngress}, Ingress: rules}},
		Object{Component: c.ID, Phase: PhaseNetwork})
}

// peers are who may connect to a port: none listed and reachable is everybody.
// What routes and monitors reach is open to all, as ingress controllers and
// collectors run anywhere. The replicas of a stateful component may always
// connect to each other.
func (b *builder) peers(c *appmodel.Component, p *appmodel.Port) ([]netv1.NetworkPolicyPeer, bool) {
	if p.Access == appmodel.AccessAny || b.routed(c, p) || monitored(c, p) {
		return nil, true
	}
	pods := func(labels map[string]string) netv1.NetworkPolicyPeer {
		return netv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: labels}}
	}
	var own []netv1.NetworkPolicyPeer
	if c.Kind == appmodel.KindStateful { // whose replicas find each other by name, as those of a cluster do
		own = append(own, pods(b.selector(c.ID)))
	}
	switch p.Access {
	case appmodel.AccessNone:
		return own, len(own) > 0
	case appmodel.AccessTeam: // a team's namespace is the one that the application is in
		return []netv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}, true
	case appmodel.AccessNeeds:
		peers := own
		for _, id := range slices.Sorted(maps.Keys(b.comps)) {
			other := b.comps[id]
			needs := slices.ContainsFunc(other.Needs, func(n appmodel.Need) bool {
				return n.Application == "" && n.Component == c.ID && (n.Port == "" || findPort(c, n.Port) == p)
			})
			if needs && id != c.ID {
				peers = append(peers, pods(b.selector(id)))
			}
		}
		return peers, len(peers) > 0
	}
	return []netv1.NetworkPolicyPeer{pods(map[string]string{appmodel.LabelApplication: b.app.Metadata.Name})}, true
}

// routed reports whether a route leads to a port.
func (b *builder) routed(c *appmodel.Component, p *appmodel.Port) bool {
	leads := func(to []appmodel.Backend) bool {
		return slices.ContainsFunc(to, func(t appmodel.Backend) bool { return t.Component == c.ID && findPort(c, t.Port) == p })
	}
	for i := range b.app.Routes {
		r := &b.app.Routes[i]
		if !r.IsEnabled() {
			continue
		}
		switch {
		case r.HTTP != nil:
			if slices.ContainsFunc(r.HTTP.Rules, func(rule appmodel.HTTPRule) bool { return leads(rule.To) }) {
				return true
			}
		case r.TCP != nil && leads(r.TCP.To), r.UDP != nil && leads(r.UDP.To), r.TLS != nil && leads(r.TLS.To):
			return true
		}
	}
	return false
}

// monitored reports whether a port serves metrics.
func monitored(c *appmodel.Component, p *appmodel.Port) bool {
	return slices.ContainsFunc(c.Monitors, func(m appmodel.Monitor) bool { return findPort(c, m.Port) == p })
}
