package render

import (
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// services renders what others in the cluster connect to.
func (b *builder) services(c *appmodel.Component) {
	ports := b.servicePorts(c)
	if len(ports) > 0 {
		if c.Kind != appmodel.KindStateful || b.serviceName(c) != b.headlessName(c) { // one that exists may be both
			b.service(c, b.serviceName(c), "", ports)
		}
		for _, alias := range c.Aliases {
			b.service(c, alias, "alias", ports)
		}
		if b.hasEndpoints(c) {
			b.out.Services = append(b.out.Services, b.serviceName(c))
		}
	}
	if c.Kind == appmodel.KindStateful {
		b.service(c, b.headlessName(c), "headless", ports)
	}
}

// service adds one Service of a component.
func (b *builder) service(c *appmodel.Component, name, part string, ports []corev1.ServicePort) {
	s := &corev1.Service{TypeMeta: tm("v1", "Service"), ObjectMeta: b.meta(name, c), Spec: corev1.ServiceSpec{Selector: b.selector(c.ID), Ports: ports}}
	if part != "" {
		s.Labels[appmodel.LabelPart] = part
	}
	if part == "headless" { // its names are how replicas find each other before they are ready
		s.Spec.ClusterIP, s.Spec.PublishNotReadyAddresses = corev1.ClusterIPNone, true
	}
	b.add(s, Object{Component: c.ID, Phase: PhaseNetwork})
}

// servicePorts are the ports that others connect to: those with access, and
// those that a route or a monitor leads to.
func (b *builder) servicePorts(c *appmodel.Component) []corev1.ServicePort {
	var ports []corev1.ServicePort
	for i := range c.Ports {
		p := &c.Ports[i]
		if p.Access == appmodel.AccessNone && !b.routed(c, p) && !(monitored(c, p) && b.serves("monitoring.coreos.com/v1", "ServiceMonitor")) {
			continue
		}
		s := corev1.ServicePort{Name: p.Name, Port: int32(p.Number()), TargetPort: intstr.FromInt32(int32(p.Port)), Protocol: corev1.Protocol(p.Protocol)}
		if s.Name == "" {
			s.Name = strings.ToLower(string(p.Protocol)) + "-" + strconv.Itoa(p.Number())
		}
		if protocol := b.appProtocol(c, p); protocol != "" {
			s.AppProtocol = &protocol
		}
		ports = append(ports, s)
	}
	return ports
}

// appProtocol is what is spoken on a port. Gateways learn from it that
// WebSockets are meant (GEP-1911); Ingress controllers learn it otherwise.
func (b *builder) appProtocol(c *appmodel.Component, p *appmodel.Port) string {
	messages := webSocketProtocol(p.AppProtocol)
	if messages == "" {
		return p.AppProtocol
	}
	for i := range b.app.Routes {
		r := &b.app.Routes[i]
		if !r.IsEnabled() || r.HTTP == nil {
			continue
		}
		meant := slices.ContainsFunc(r.HTTP.Rules, func(rule appmodel.HTTPRule) bool {
			return rule.WebSocket && slices.ContainsFunc(rule.To, func(t appmodel.Backend) bool { return t.Component == c.ID && findPort(c, t.Port) == p })
		})
		if meant && b.attach(r, b.quietHosts(r)) != nil {
			return messages
		}
	}
	return p.AppProtocol
}

// webSocketProtocol is how a Service's port says that WebSockets are spoken over
// a protocol, or empty.
func webSocketProtocol(protocol string) string {
	switch protocol {
	case "", "http", "kubernetes.io/ws":
		return "kubernetes.io/ws"
	case "https", "kubernetes.io/wss":
		return "kubernetes.io/wss"
	}
	return ""
}

// hasEndpoints reports whether a component's Service leads somewhere once the
// application is ready.
func (b *builder) hasEndpoints(c *appmodel.Component) bool {
	switch c.Kind {
	case appmodel.KindService, appmodel.KindStateful, appmodel.KindFunction:
		return !c.Optional && firstReplicas(c) > 0 && !(leastReplicas(c) == 0 && b.onKeda(c))
	case appmodel.KindDaemon:
		return !c.Optional
	}
	return false
}
