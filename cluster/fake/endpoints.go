package fake

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// maxEndpoints is how many endpoints one slice holds, as in a real cluster.
const maxEndpoints = 100

// syncEndpoints keeps the endpoint slices of a Service, and gives one of type
// LoadBalancer its address.
func (c *Cluster) syncEndpoints(t task) {
	s, ok := fetch[*corev1.Service](c, t)
	if !ok || s.DeletionTimestamp != nil {
		return
	}
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer && len(s.Status.LoadBalancer.Ingress) == 0 {
		mode := corev1.LoadBalancerIPModeVIP
		_, _ = mutate(c, t, "status", "cloud-controller-manager", func(o *corev1.Service) {
			o.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: c.externalIP(string(o.UID)), IPMode: &mode}}
		})
	}
	if len(s.Spec.Selector) == 0 || s.Spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	var list []discoveryv1.Endpoint
	var ports []discoveryv1.EndpointPort
	for _, r := range c.store.find(c.kinds.find("v1", "Pod"), s.Namespace, func(r *record) bool {
		return selects(s.Spec.Selector, r.obj.GetLabels())
	}) {
		p := r.obj.(*corev1.Pod)
		if p.Status.PodIP == "" || terminated(p) {
			continue
		}
		if ports == nil {
			ports = endpointPorts(s, p)
		}
		ready := podReady(p)
		ending := p.DeletionTimestamp != nil
		serving, usable := ready, (ready || s.Spec.PublishNotReadyAddresses) && !ending
		e := discoveryv1.Endpoint{
			Addresses: []string{p.Status.PodIP}, NodeName: &p.Spec.NodeName,
			Conditions: discoveryv1.EndpointConditions{Ready: &usable, Serving: &serving, Terminating: &ending},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID},
		}
		if p.Spec.Hostname != "" && p.Spec.Subdomain == s.Name {
			e.Hostname = &p.Spec.Hostname
		}
		if n, ok := fetch[*corev1.Node](c, task{kind: c.kinds.find("v1", "Node"), key: key{"", p.Spec.NodeName}}); ok {
			if zone := n.Labels[corev1.LabelTopologyZone]; zone != "" {
				e.Zone = &zone
			}
		}
		list = append(list, e)
	}
	if ports == nil {
		ports = endpointPorts(s, nil)
	}
	slices.SortFunc(list, func(a, b discoveryv1.Endpoint) int { return strings.Compare(a.TargetRef.Name, b.TargetRef.Name) })
	c.writeSlices(s, list, ports)
}

func (c *Cluster) writeSlices(s *corev1.Service, list []discoveryv1.Endpoint, ports []discoveryv1.EndpointPort) {
	k := c.kinds.find("discovery.k8s.io/v1", "EndpointSlice")
	labels := clonedLabels(s.Labels)
	labels[discoveryv1.LabelServiceName] = s.Name
	labels[discoveryv1.LabelManagedBy] = "endpointslice-controller.k8s.io"
	if s.Spec.ClusterIP == corev1.ClusterIPNone {
		labels[corev1.IsHeadlessService] = ""
	}
	old := children[*discoveryv1.EndpointSlice](c, s.UID)
	for i := 0; i == 0 || i*maxEndpoints < len(list); i++ {
		part := list[min(len(list), i*maxEndpoints):min(len(list), (i+1)*maxEndpoints)]
		if i < len(old) {
			_, _ = mutate(c, task{kind: k, key: keyOf(old[i])}, "", controllerManager, func(o *discoveryv1.EndpointSlice) {
				if !equality.Semantic.DeepEqual(o.Endpoints, part) {
					o.Endpoints = part
				}
				o.Ports, o.Labels = ports, labels
			})
			continue
		}
		at := now().UTC().Format("2006-01-02T15:04:05Z")
		slice := &discoveryv1.EndpointSlice{
			TypeMeta: typeMeta("discovery.k8s.io/v1", "EndpointSlice"),
			ObjectMeta: metav1.ObjectMeta{
				GenerateName: s.Name + "-", Namespace: s.Namespace, Labels: labels, Annotations: map[string]string{corev1.EndpointsLastChangeTriggerTime: at},
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(s, corev1.SchemeGroupVersion.WithKind("Service"))},
			},
			AddressType: discoveryv1.AddressTypeIPv4, Endpoints: part, Ports: ports,
		}
		_, _ = c.create(request{kind: k, key: keyOf(slice), manager: controllerManager}, slice)
	}
	for i := (len(list) + maxEndpoints - 1) / maxEndpoints; i < len(old); i++ {
		if i > 0 {
			_, _ = c.remove(c.ctx, request{kind: k, key: keyOf(old[i])}, metav1.DeleteOptions{})
		}
	}
}

// endpointPorts are the ports of a Service as numbers; names are looked up in
// a pod.
func endpointPorts(s *corev1.Service, p *corev1.Pod) []discoveryv1.EndpointPort {
	ports := []discoveryv1.EndpointPort{}
	for _, sp := range s.Spec.Ports {
		number := sp.TargetPort.IntVal
		if sp.TargetPort.Type == intstr.String {
			number = namedPort(p, sp.TargetPort.StrVal)
			if number == 0 {
				continue
			}
		}
		name, proto := sp.Name, sp.Protocol
		ports = append(ports, discoveryv1.EndpointPort{Name: &name, Protocol: &proto, Port: &number, AppProtocol: sp.AppProtocol})
	}
	return ports
}

func namedPort(p *corev1.Pod, name string) int32 {
	if p == nil {
		return 0
	}
	for _, c := range append(append([]corev1.Container(nil), p.Spec.Containers...), p.Spec.InitContainers...) {
		for _, port := range c.Ports {
			if port.Name == name {
				return port.ContainerPort
			}
		}
	}
	return 0
}

// externalIP is a stable documentation address (RFC 5737) for something.
func (c *Cluster) externalIP(of string) string {
	var n uint32
	for _, b := range []byte(of) {
		n = n*31 + uint32(b)
	}
	return fmt.Sprintf("203.0.113.%d", n%254+1)
}
