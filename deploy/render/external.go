package render

import (
	"net/netip"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// external renders what runs elsewhere: addresses become a Service with
// endpoints of its own, a DNS name needs nothing but its aliases.
func (b *builder) external(c *appmodel.Component) {
	if c.External == nil {
		return
	}
	families := map[discoveryv1.AddressType][]string{}
	name := ""
	for _, h := range c.External.Hosts {
		host, _, err := b.expand(c, h)
		if err != nil {
			b.failed(err)
			continue
		}
		addr, err := netip.ParseAddr(host)
		switch {
		case err != nil:
			name = host
		case addr.Is4():
			families[discoveryv1.AddressTypeIPv4] = append(families[discoveryv1.AddressTypeIPv4], host)
		default:
			families[discoveryv1.AddressTypeIPv6] = append(families[discoveryv1.AddressTypeIPv6], host)
		}
	}
	if name != "" {
		for _, alias := range c.Aliases {
			b.add(&corev1.Service{TypeMeta: tm("v1", "Service"), ObjectMeta: b.meta(alias, c),
				Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: name}}, Object{Component: c.ID, Phase: PhaseNetwork})
		}
		return
	}
	ports := b.servicePorts(c)
	for _, service := range append([]string{b.serviceName(c)}, c.Aliases...) {
		b.add(&corev1.Service{TypeMeta: tm("v1", "Service"), ObjectMeta: b.meta(service, c), Spec: corev1.ServiceSpec{Ports: ports}},
			Object{Component: c.ID, Phase: PhaseNetwork})
		for family, addresses := range families {
			b.endpoints(c, service, family, addresses, ports)
		}
	}
}

// endpoints are the addresses behind a Service without a selector.
func (b *builder) endpoints(c *appmodel.Component, service string, family discoveryv1.AddressType, addresses []string, ports []corev1.ServicePort) {
	slice := &discoveryv1.EndpointSlice{TypeMeta: tm("discovery.k8s.io/v1", "EndpointSlice"),
		ObjectMeta: b.meta(service+"-"+strings.ToLower(string(family)), c), AddressType: family}
	slice.Labels[discoveryv1.LabelServiceName] = service
	slice.Labels[discoveryv1.LabelManagedBy] = "appspan.dev"
	ready := true
	for _, a := range addresses {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
	}
	for _, p := range ports {
		name, number, protocol := p.Name, p.TargetPort.IntVal, p.Protocol
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &name, Port: &number, Protocol: &protocol})
	}
	b.add(slice, Object{Component: c.ID, Phase: PhaseNetwork})
}
