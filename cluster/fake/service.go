package fake

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Ranges of what is allocated to Services, as in a real server's defaults.
const (
	firstNodePort = 30000
	lastNodePort  = 32767
)

// serviceRange is the range of cluster IPs.
func serviceRange() netip.Prefix { return netip.MustParsePrefix("10.96.0.0/12") }

// allocateService gives a Service its cluster IP and node ports, and takes
// back what its type does not have. live is nil for a new one.
func (c *Cluster) allocateService(q request, live, obj object) error {
	o, ok := obj.(*corev1.Service)
	if !ok || q.sub == "status" {
		return nil
	}
	var before *corev1.Service
	if live != nil {
		before = live.(*corev1.Service)
	}
	c.services.Lock()
	defer c.services.Unlock()
	ips, ports := c.servicesInUse(o)
	if o.Spec.Type == corev1.ServiceTypeExternalName {
		if before == nil || before.Spec.Type != o.Spec.Type {
			o.Spec.ClusterIP, o.Spec.ClusterIPs, o.Spec.IPFamilies, o.Spec.IPFamilyPolicy = "", nil, nil, nil
		}
		return nil
	}
	if before != nil && before.Spec.Type != corev1.ServiceTypeExternalName && o.Spec.ClusterIP == "" {
		o.Spec.ClusterIP, o.Spec.ClusterIPs = before.Spec.ClusterIP, before.Spec.ClusterIPs
	}
	if o.Spec.ClusterIP == "" {
		for {
			c.nextIP = c.nextIP.Next()
			if !ips[c.nextIP.String()] {
				break
			}
		}
		o.Spec.ClusterIP = c.nextIP.String()
	} else if o.Spec.ClusterIP != corev1.ClusterIPNone && (before == nil || before.Spec.ClusterIP != o.Spec.ClusterIP) {
		all := field.NewPath("spec", "clusterIPs")
		path := all.Index(0)
		ip, err := netip.ParseAddr(o.Spec.ClusterIP)
		var bad *field.Error
		switch {
		case err != nil:
			bad = field.Invalid(path, o.Spec.ClusterIP, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
		case !serviceRange().Contains(ip):
			bad = field.Invalid(all, []string{o.Spec.ClusterIP}, fmt.Sprintf("failed to allocate IP %s: the provided network does not match the current range", ip))
		case ips[o.Spec.ClusterIP]:
			bad = field.Invalid(all, []string{o.Spec.ClusterIP}, fmt.Sprintf("failed to allocate IP %s: provided IP is already allocated", ip))
		}
		if bad != nil && before == nil {
			return apierrors.NewInvalid(q.kind.gvk.GroupKind(), o.Name, field.ErrorList{bad})
		}
	}
	if len(o.Spec.ClusterIPs) == 0 || o.Spec.ClusterIPs[0] != o.Spec.ClusterIP {
		o.Spec.ClusterIPs = []string{o.Spec.ClusterIP}
	}
	if len(o.Spec.IPFamilies) == 0 {
		o.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	unsetPtr(&o.Spec.IPFamilyPolicy, corev1.IPFamilyPolicySingleStack)
	return c.allocatePorts(q, before, o, ports)
}

func (c *Cluster) allocatePorts(q request, before, o *corev1.Service, used map[int32]bool) error {
	wanted := o.Spec.Type == corev1.ServiceTypeNodePort ||
		o.Spec.Type == corev1.ServiceTypeLoadBalancer && (o.Spec.AllocateLoadBalancerNodePorts == nil || *o.Spec.AllocateLoadBalancerNodePorts)
	if o.Spec.Type == corev1.ServiceTypeClusterIP && before != nil && before.Spec.Type != o.Spec.Type {
		ports := append([]corev1.ServicePort(nil), o.Spec.Ports...)
		for i := range ports {
			ports[i].NodePort = 0
		}
		o.Spec.Ports = ports
		o.Spec.ExternalTrafficPolicy, o.Spec.AllocateLoadBalancerNodePorts = "", nil
	}
	if !wanted {
		return nil
	}
	ports := append([]corev1.ServicePort(nil), o.Spec.Ports...)
	for i := range ports {
		p := &ports[i]
		if p.NodePort == 0 && before != nil {
			for _, b := range before.Spec.Ports {
				if b.Port == p.Port && b.Protocol == p.Protocol {
					p.NodePort = b.NodePort
				}
			}
		}
		if p.NodePort == 0 {
			for n := int32(firstNodePort); n <= lastNodePort; n++ {
				if !used[n] {
					p.NodePort = n
					break
				}
			}
			if p.NodePort == 0 {
				return apierrors.NewInternalError(fmt.Errorf("failed to allocate a nodePort: range is full"))
			}
		} else if used[p.NodePort] {
			return apierrors.NewInvalid(q.kind.gvk.GroupKind(), o.Name, field.ErrorList{
				field.Invalid(field.NewPath("spec", "ports").Index(i).Child("nodePort"), p.NodePort, "provided port is already allocated")})
		}
		used[p.NodePort] = true
	}
	o.Spec.Ports = ports
	return nil
}

// servicesInUse lists the addresses and node ports of all other Services.
func (c *Cluster) servicesInUse(o *corev1.Service) (map[string]bool, map[int32]bool) {
	ips, ports := map[string]bool{}, map[int32]bool{}
	explicit := o.Spec.ClusterIP != "" || o.Spec.Type == corev1.ServiceTypeNodePort || o.Spec.Type == corev1.ServiceTypeLoadBalancer
	if !explicit && !c.explicitIPs {
		return ips, ports // addresses that are only counted up cannot collide
	}
	if o.Spec.ClusterIP != "" && o.Spec.ClusterIP != corev1.ClusterIPNone {
		c.explicitIPs = true
	}
	c.store.mu.RLock()
	defer c.store.mu.RUnlock()
	for _, r := range c.store.collect(c.kinds.find("v1", "Service"), "") {
		if r.key == keyOf(o) {
			continue
		}
		s := r.obj.(*corev1.Service)
		ips[s.Spec.ClusterIP] = true
		for _, p := range s.Spec.Ports {
			if p.NodePort != 0 {
				ports[p.NodePort] = true
			}
		}
	}
	return ips, ports
}
