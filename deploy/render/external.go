package render

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// external renders what runs elsewhere: addresses become a Service with
// endpoints of its own; a DNS name needs nothing but its aliases, and a Service
// where a route leads to it.
func (b *builder) external(c *appmodel.Component) {
	if c.External == nil {
		return
	}
	families := map[corev1.IPFamily][]string{}
	name := ""
	for _, h := range c.External.Hosts {
		addr, err := netip.ParseAddr(h)
		switch {
		case err != nil:
			name = h
		case addr.Unmap().Is4():
			families[corev1.IPv4Protocol] = append(families[corev1.IPv4Protocol], addr.Unmap().String())
		default:
			families[corev1.IPv6Protocol] = append(families[corev1.IPv6Protocol], addr.String())
		}
	}
	for _, addresses := range families {
		slices.Sort(addresses)
	}
	ports := b.servicePorts(c)
	if name != "" {
		b.externalNames(c, name, ports)
		return
	}
	if len(families[corev1.IPv4Protocol]) == 0 {
		b.note(Information, c, "external.hosts", "all addresses are of IPv6; a cluster whose Services have none refuses this one")
	}
	for _, service := range append([]string{b.serviceName(c)}, c.Aliases...) {
		s := &corev1.Service{TypeMeta: tm("v1", "Service"), ObjectMeta: b.meta(service, c), Spec: corev1.ServiceSpec{Ports: ports}}
		if len(ports) == 0 { // without ports it can be but a name for the addresses
			s.Spec.ClusterIP = corev1.ClusterIPNone
		}
		setFamilies(&s.Spec, slices.Sorted(maps.Keys(families)))
		b.add(s, Object{Component: c.ID, Phase: PhaseNetwork})
		for family, addresses := range families {
			b.endpoints(c, service, discoveryv1.AddressType(family), addresses, ports)
		}
	}
}

// setFamilies has the Service use endpoints of these families. Of both a
// cluster uses those that it has; only one must be the cluster's.
func setFamilies(s *corev1.ServiceSpec, families []corev1.IPFamily) {
	policy := corev1.IPFamilyPolicyPreferDualStack
	if len(families) == 1 {
		policy, s.IPFamilies = corev1.IPFamilyPolicySingleStack, families
	}
	s.IPFamilyPolicy = &policy
}

// externalNames are the names in the cluster for a DNS name elsewhere.
func (b *builder) externalNames(c *appmodel.Component, name string, ports []corev1.ServicePort) {
	services := c.Aliases
	for i := range c.Ports {
		if b.routed(c, &c.Ports[i]) {
			services = append([]string{b.serviceName(c)}, c.Aliases...)
			break
		}
	}
	for _, service := range services {
		b.add(&corev1.Service{TypeMeta: tm("v1", "Service"), ObjectMeta: b.meta(service, c),
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: name, Ports: ports}}, Object{Component: c.ID, Phase: PhaseNetwork})
	}
	for _, p := range c.Ports {
		if p.Number() != p.Port {
			b.note(Warning, c, "ports["+cmp.Or(p.Name, strconv.Itoa(p.Port))+"].servicePort", "a name cannot change the port of %s; it stays %d", name, p.Port)
		}
	}
}

// externalName reports whether a component is a DNS name elsewhere.
func externalName(c *appmodel.Component) bool {
	if c.External == nil {
		return false
	}
	return slices.ContainsFunc(c.External.Hosts, func(h string) bool { _, err := netip.ParseAddr(h); return err != nil })
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
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &name, Port: &number, Protocol: &protocol, AppProtocol: p.AppProtocol})
	}
	b.add(slice, Object{Component: c.ID, Phase: PhaseNetwork})
}
