package render

import (
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The ports of nodes, where the cluster was not told otherwise.
const (
	firstNodePort = 30000
	lastNodePort  = 32767
)

// stream renders a TCP or UDP route. It takes no listener of another port:
// what comes in there is meant for somebody else.
func (b *builder) stream(r *appmodel.Route, at string, protocol corev1.Protocol, s *appmodel.StreamRoute) {
	if s.Expose == "auto" || s.Expose == "gateway" {
		version := b.gatewayKind(string(protocol) + "Route")
		g, listeners := b.gateway(r, func(l driver.Listener) bool { return l.Protocol == string(protocol) && l.Port == s.Port })
		if version != "" && g != nil {
			b.gatewayStream(r, version, string(protocol)+"Route", parents(g, listeners[:1]), nil, b.targets(r, at+".to", s.To))
			return
		}
		if s.Expose == "gateway" {
			b.routeNote(r, Warning, at+".expose", "the cluster has no gateway with a %s listener of port %d, or no %sRoute; a Service of type LoadBalancer takes its place", protocol, s.Port, protocol)
		}
	}
	b.exposed(r, at, protocol, s.Port, s.To, s.Expose)
}

// tlsRoute renders a route that passes TLS through. Hosts tell it from others
// of the same listener, so it needs one.
func (b *builder) tlsRoute(r *appmodel.Route) {
	t := r.TLS
	hosts := b.routeHosts(r, t.Hosts)
	version := b.gatewayKind("TLSRoute")
	find := func(port int) (*driver.Gateway, []driver.Listener) {
		return b.gateway(r, func(l driver.Listener) bool {
			return l.Protocol == "TLS" && (port == 0 || l.Port == port) && servesHost(l, hosts)
		})
	}
	g, listeners := find(t.Port)
	if g == nil {
		g, listeners = find(0)
	}
	if version != "" && g != nil && len(hosts) > 0 {
		if listeners[0].Port != t.Port {
			b.routeNote(r, Warning, "tls.port", "gateway %s/%s passes TLS through on port %d, not on %d", g.Namespace, g.Name, listeners[0].Port, t.Port)
		}
		b.gatewayStream(r, version, "TLSRoute", parents(g, listeners[:1]), hosts, b.targets(r, "tls.to", t.To))
		return
	}
	switch {
	case len(hosts) > 0:
		names := strings.Join(hosts, ", ")
		b.routeNote(r, Warning, "tls.hosts", "the cluster has no gateway that passes TLS for %s through; a port of its own takes any host: point the names at its address", names)
	case g != nil:
		b.routeNote(r, Information, "tls.hosts", "names no host, by which a gateway would know the route; it gets a port of its own")
	}
	b.exposed(r, "tls", corev1.ProtocolTCP, t.Port, t.To, "auto")
}

// gatewayStream renders a TCP, UDP or TLS route for a gateway.
func (b *builder) gatewayStream(r *appmodel.Route, version, kind string, parents []parentRef, hosts []string, to []target) {
	if len(to) == 0 {
		return
	}
	b.gatewayClass(r, parents[0].Namespace, parents[0].Name)
	route := &gatewayRoute{TypeMeta: tm(version, kind), ObjectMeta: b.routeMeta(r, "")}
	route.Spec = gatewayRouteSpec{ParentRefs: parents, Hostnames: hosts, Rules: []gatewayRule{{BackendRefs: b.backendRefs(to)}}}
	b.add(route, Object{Route: r.ID, Phase: PhaseNetwork})
}

// exposed renders a Service that is open to the outside. It leads to one
// component: a Service knows no weights.
func (b *builder) exposed(r *appmodel.Route, at string, protocol corev1.Protocol, port int, to []appmodel.Backend, expose string) {
	targets := b.targets(r, at+".to", to)
	if len(targets) == 0 {
		return
	}
	t, instead := heaviest(targets)
	if len(targets) > 1 {
		b.routeNote(r, Warning, at+".to", "without a gateway a port leads to one component: %s", instead)
	}
	if t.component.Kind == appmodel.KindExternal {
		b.routeNote(r, Warning, at+".to", "component %s runs elsewhere; without a gateway no port leads there", t.component.ID)
		return
	}
	if b.onKnative(t.component) {
		b.routeNote(r, Warning, at+".to", "function %s is reached while it runs; nothing starts it, as Knative sees HTTP alone", t.component.ID)
	}
	if r.Class != "" {
		b.routeNote(r, Warning, "class", "the cluster has no gateway %q for the route, and a Service open to the outside has no such class", r.Class)
	}
	suffix := ""
	if r.ObjectName == "" {
		suffix = "-public" // a component of the same id has a Service too
	}
	meta := b.routeMeta(r, suffix)
	meta.Labels[appmodel.LabelPart] = "public"
	s := &corev1.Service{TypeMeta: tm("v1", "Service"), ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, Selector: b.selector(t.component.ID),
		Ports: []corev1.ServicePort{{Name: "route", Port: int32(port), TargetPort: intstr.FromInt32(int32(t.port.Port)), Protocol: protocol}}}}
	if expose == "nodePort" {
		s.Spec.Type = corev1.ServiceTypeNodePort
		if port >= firstNodePort && port <= lastNodePort {
			s.Spec.Ports[0].NodePort = int32(port)
		} else {
			b.routeNote(r, Information, at+".port", "nodes open ports from %d to %d: the cluster picks one, which the Service tells", firstNodePort, lastNodePort)
		}
	}
	b.add(s, Object{Route: r.ID, Phase: PhaseNetwork})
}

// servesHost reports whether a listener takes one of the hosts; it takes any
// if there are none.
func servesHost(l driver.Listener, hosts []string) bool {
	under := func(name, pattern string) bool {
		return name == pattern || len(pattern) > 2 && pattern[:2] == "*." && len(name) > len(pattern)-1 && name[len(name)-len(pattern)+1:] == pattern[1:]
	}
	return l.Hostname == "" || len(hosts) == 0 || slices.ContainsFunc(hosts, func(h string) bool { return under(h, l.Hostname) || under(l.Hostname, h) })
}
