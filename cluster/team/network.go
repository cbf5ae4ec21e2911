package team

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// nodeLocalDNS is the address at which node-local DNS caches listen by
// convention.
const nodeLocalDNS = "169.254.20.10/32"

// network denies every connection but those of the team's pods on this cluster
// with each other and with the cluster's DNS, and what the allocation's
// Network adds. A network without support for NetworkPolicies ignores it.
func (w *writer) network(a Allocation, n Namespace) {
	if a.Network.Open {
		return
	}
	own := networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{
		MatchLabels: map[string]string{LabelTeam: w.team.ID, LabelInstallation: w.installation}}}
	named := func(namespace string) networkingv1.NetworkPolicyPeer {
		return networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{
			MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}}
	}
	addresses := func(cidr string, except ...string) networkingv1.NetworkPolicyPeer {
		return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}
	}
	from := []networkingv1.NetworkPolicyPeer{own}
	for _, namespace := range a.Network.From {
		from = append(from, named(namespace))
	}
	dns, udp, tcp := intstr.FromInt32(53), corev1.ProtocolUDP, corev1.ProtocolTCP
	to := []networkingv1.NetworkPolicyEgressRule{
		{To: []networkingv1.NetworkPolicyPeer{own}},
		{To: []networkingv1.NetworkPolicyPeer{named("kube-system"), addresses(nodeLocalDNS)},
			Ports: []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: &dns}, {Protocol: &tcp, Port: &dns}}},
	}
	if a.Network.Internet { // RFC 6890: everything but private, shared and local addresses
		to = append(to, networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{
			addresses("0.0.0.0/0", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
			addresses("::/0", "::1/128", "fc00::/7", "fe80::/10"),
		}})
	}
	w.add(&networkingv1.NetworkPolicy{TypeMeta: typeMeta("networking.k8s.io/v1", "NetworkPolicy"), ObjectMeta: w.meta(n.Name, objectName, "network"),
		Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: from}},
			Egress:      to,
		}})
}
