package render

import (
	"fmt"
	"maps"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// labelDomain is the label of a cluster under which routes without hosts get
// one.
const labelDomain = "appspan.dev/domain"

// route renders a route by what the cluster has: the Gateway API where there
// is a gateway, else an Ingress, or a Service that is open to the outside.
func (b *builder) route(r *appmodel.Route) {
	switch {
	case r.HTTP != nil:
		if g := b.gateway(r, "HTTP", "HTTPS"); g != nil && b.serves(gatewayVersion, "HTTPRoute") {
			b.httpRoute(r, g)
			return
		}
		b.ingress(r)
	case r.TLS != nil:
		if g := b.gateway(r, "TLS"); g != nil && b.serves(gatewayAlpha, "TLSRoute") {
			b.streamRoute(r, g, "TLSRoute", b.routeHosts(r, r.TLS.Hosts), r.TLS.Port, r.TLS.To)
			return
		}
		b.exposed(r, corev1.ProtocolTCP, r.TLS.Port, r.TLS.To, "auto")
	case r.TCP != nil:
		b.stream(r, "TCP", r.TCP)
	case r.UDP != nil:
		b.stream(r, "UDP", r.UDP)
	}
}

// stream renders a TCP or UDP route.
func (b *builder) stream(r *appmodel.Route, protocol string, s *appmodel.StreamRoute) {
	if s.Expose == "auto" || s.Expose == "gateway" {
		if g := b.gateway(r, protocol); g != nil && b.serves(gatewayAlpha, protocol+"Route") {
			b.streamRoute(r, g, protocol+"Route", nil, s.Port, s.To)
			return
		}
		if s.Expose == "gateway" {
			b.routeNote(r, "expose", "the cluster has no gateway with a %s listener; a Service of type LoadBalancer takes its place", protocol)
		}
	}
	b.exposed(r, corev1.Protocol(protocol), s.Port, s.To, s.Expose)
}

// exposed renders a Service that is open to the outside. It leads to one
// component: a Service knows no weights.
func (b *builder) exposed(r *appmodel.Route, protocol corev1.Protocol, port int, to []appmodel.Backend, expose string) {
	c, p := b.backend(r, to[0])
	if c == nil {
		return
	}
	if len(to) > 1 {
		b.routeNote(r, "to", "without a gateway a port leads to one component: %s", c.ID)
	}
	meta := b.routeMeta(r)
	if r.ObjectName == "" {
		meta.Name += "-public" // a component of the same id has a Service too
	}
	meta.Labels[appmodel.LabelPart] = "public"
	s := &corev1.Service{TypeMeta: tm("v1", "Service"), ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, Selector: b.selector(c.ID),
		Ports: []corev1.ServicePort{{Name: "route", Port: int32(port), TargetPort: intstr.FromInt32(int32(p.Port)), Protocol: protocol}}}}
	if expose == "nodePort" {
		s.Spec.Type = corev1.ServiceTypeNodePort
	}
	b.add(s, Object{Route: r.ID, Phase: PhaseNetwork})
}

// routeMeta is the metadata of a route's object.
func (b *builder) routeMeta(r *appmodel.Route) metav1.ObjectMeta {
	name := r.ObjectName
	if name == "" {
		name = b.name(r.ID)
	}
	m := b.meta(name, nil)
	maps.Copy(m.Labels, r.Labels)
	m.Labels[appmodel.LabelRoute] = r.ID
	m.Annotations = maps.Clone(r.Annotations)
	return m
}

// routeNote warns of what the cluster cannot do for a route.
func (b *builder) routeNote(r *appmodel.Route, path, format string, args ...any) {
	b.out.Notes = append(b.out.Notes, Note{Severity: Warning, Route: r.ID, Path: "routes[" + r.ID + "]." + path, Message: fmt.Sprintf(format, args...)})
}

// backend is the component and port that a route leads to; nil if the
// component is disabled.
func (b *builder) backend(r *appmodel.Route, t appmodel.Backend) (*appmodel.Component, *appmodel.Port) {
	c := b.comps[t.Component]
	if c == nil {
		b.routeNote(r, "to", "component %s is disabled; the route leads nowhere", t.Component)
		return nil, nil
	}
	p := findPort(c, t.Port)
	if p == nil && len(c.Ports) > 0 && t.Port == "" {
		p = &c.Ports[0]
	}
	if p == nil {
		b.fail("routes[%s]: component %q has no port %q; name one of its ports", r.ID, t.Component, t.Port)
		return nil, nil
	}
	return c, p
}

// routeHosts are a route's host names, expanded; without any, one under the
// cluster's own domain, if it has one.
func (b *builder) routeHosts(r *appmodel.Route, names []string) []string {
	var out []string
	for _, h := range names {
		host, _, err := b.expand(nil, h)
		if err != nil {
			b.failed(fmt.Errorf("routes[%s].hosts: %w", r.ID, err))
			continue
		}
		out = append(out, host)
	}
	if domain := b.in.Cluster.Labels[labelDomain]; len(names) == 0 && domain != "" {
		out = append(out, b.name(r.ID)+"."+domain)
	}
	return out
}

// certificate is the Secret with a route's certificate, and the annotation
// that has cert-manager fill it.
func (b *builder) certificate(r *appmodel.Route) (secret string, annotations map[string]string) {
	t := r.HTTP.TLS
	switch {
	case t == nil:
		return "", nil
	case t.Secret != "":
		if g := b.secret(t.Secret, "routes["+r.ID+"].http.tls.secret"); g != nil {
			return b.secretName(g), nil
		}
		return "", nil
	}
	return b.name(r.ID) + "-tls", map[string]string{"cert-manager.io/cluster-issuer": t.Issuer}
}
