package fake

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// gatewayVersion is the API version of the Gateway API that is served.
const gatewayVersion = "gateway.networking.k8s.io/v1"

// put creates an object of the cluster itself. What exists stays.
func (c *Cluster) put(obj object, manager string) {
	k := c.kinds.kind(obj.GetObjectKind().GroupVersionKind())
	if k == nil {
		return
	}
	_, _ = c.create(request{kind: k, key: key{obj.GetNamespace(), obj.GetName()}, manager: manager}, obj)
}

// bootstrap creates what every cluster has.
func (c *Cluster) bootstrap() {
	const installer = "kube-apiserver"
	for _, name := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		c.put(&corev1.Namespace{TypeMeta: typeMeta("v1", "Namespace"), ObjectMeta: metav1.ObjectMeta{Name: name}}, installer)
	}
	for name, rules := range map[string][]rbacv1.PolicyRule{
		"cluster-admin":     {{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}, {Verbs: []string{"*"}, NonResourceURLs: []string{"*"}}},
		"admin":             {{Verbs: []string{"*"}, APIGroups: namespacedGroups(), Resources: []string{"*"}}},
		"edit":              {{Verbs: []string{"*"}, APIGroups: namespacedGroups(), Resources: []string{"*"}}},
		"view":              {{Verbs: []string{"get", "list", "watch"}, APIGroups: namespacedGroups(), Resources: []string{"*"}}},
		"system:discovery":  {{Verbs: []string{"get"}, NonResourceURLs: []string{"/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"}}},
		"system:basic-user": {{Verbs: []string{"create"}, APIGroups: []string{"authorization.k8s.io", "authentication.k8s.io"}, Resources: []string{"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}}},
	} {
		c.put(&rbacv1.ClusterRole{TypeMeta: typeMeta("rbac.authorization.k8s.io/v1", "ClusterRole"), ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}, installer)
	}
	for name, group := range map[string]string{"cluster-admin": "system:masters", "system:discovery": "system:authenticated", "system:basic-user": "system:authenticated"} {
		c.put(&rbacv1.ClusterRoleBinding{
			TypeMeta: typeMeta("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"), ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:  rbacv1.RoleRef{Kind: "ClusterRole", Name: name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, Name: group}},
		}, installer)
	}
	for _, class := range c.opts.StorageClasses {
		o := &storagev1.StorageClass{
			TypeMeta: typeMeta("storage.k8s.io/v1", "StorageClass"), ObjectMeta: metav1.ObjectMeta{Name: class.Name, Annotations: defaultMark("storageclass.kubernetes.io", class.Default)},
			Provisioner: class.Provisioner, AllowVolumeExpansion: &class.AllowExpansion,
		}
		if class.ReclaimPolicy != "" {
			policy := corev1.PersistentVolumeReclaimPolicy(class.ReclaimPolicy)
			o.ReclaimPolicy = &policy
		}
		if class.WaitForConsumer {
			unsetPtr(&o.VolumeBindingMode, storagev1.VolumeBindingWaitForFirstConsumer)
		}
		c.put(o, installer)
	}
	for _, class := range c.opts.IngressClasses {
		c.put(&networkingv1.IngressClass{
			TypeMeta: typeMeta("networking.k8s.io/v1", "IngressClass"), ObjectMeta: metav1.ObjectMeta{Name: class.Name, Annotations: defaultMark("ingressclass.kubernetes.io", class.Default)},
			Spec: networkingv1.IngressClassSpec{Controller: class.Controller},
		}, installer)
	}
	c.addNodes()
	for _, e := range c.opts.ExtraKinds {
		c.kinds.addCustom(e)
	}
	c.addGateways()
	c.put(&corev1.Service{
		TypeMeta: typeMeta("v1", "Service"), ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: "default", Labels: map[string]string{"component": "apiserver", "provider": "kubernetes"}},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "https", Port: 443}}},
	}, installer)
}

func namespacedGroups() []string {
	return []string{"", "apps", "batch", "autoscaling", "networking.k8s.io", "policy", "discovery.k8s.io"}
}

func defaultMark(prefix string, on bool) map[string]string {
	if !on {
		return nil
	}
	return map[string]string{prefix + "/is-default-class": "true"}
}

func typeMeta(apiVersion, kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}
}

// addNodes registers the nodes, as their kubelets would.
func (c *Cluster) addNodes() {
	for i, n := range c.opts.Nodes {
		labels := map[string]string{"kubernetes.io/hostname": n.Name, "kubernetes.io/os": "linux", "kubernetes.io/arch": n.Architecture}
		if n.Architecture == "" {
			labels["kubernetes.io/arch"] = "amd64"
		}
		for k, v := range n.Labels {
			labels[k] = v
		}
		node := &corev1.Node{
			TypeMeta: typeMeta("v1", "Node"), ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: labels},
			Spec: corev1.NodeSpec{Unschedulable: n.Unschedulable, PodCIDR: "10.244." + strconv.Itoa(i) + ".0/24"},
		}
		if n.Unschedulable {
			node.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}}
		}
		c.put(node, kubeletName)
		t := task{kind: c.kinds.find("v1", "Node"), key: key{"", n.Name}}
		mutate(c, t, "status", kubeletName, func(o *corev1.Node) {
			o.Status.Allocatable = corev1.ResourceList{}
			for name, q := range n.Allocatable {
				o.Status.Allocatable[corev1.ResourceName(name)] = quantity(q)
			}
			if _, ok := o.Status.Allocatable[corev1.ResourcePods]; !ok {
				o.Status.Allocatable[corev1.ResourcePods] = quantity("110")
			}
			o.Status.Capacity = o.Status.Allocatable
			o.Status.Conditions = []corev1.NodeCondition{nodeReady(n.Ready)}
			o.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodeAddress(i)}, {Type: corev1.NodeHostName, Address: n.Name}}
			o.Status.NodeInfo = corev1.NodeSystemInfo{
				KubeletVersion: c.opts.Version, OperatingSystem: "linux", Architecture: labels["kubernetes.io/arch"], ContainerRuntimeVersion: "fake://1.0",
			}
		})
	}
}

func nodeAddress(i int) string { return "192.168.0." + strconv.Itoa(i%250+1) }

func nodeReady(ready bool) corev1.NodeCondition {
	cond := corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status",
		LastHeartbeatTime: now(), LastTransitionTime: now(),
	}
	if !ready {
		cond.Status, cond.Reason, cond.Message = corev1.ConditionFalse, "KubeletNotReady", "container runtime network not ready"
	}
	return cond
}

func now() metav1.Time { return metav1.Now().Rfc3339Copy() }

// addGateways makes the Gateway API known and creates the gateways.
func (c *Cluster) addGateways() {
	if len(c.opts.Gateways) == 0 {
		return
	}
	c.kinds.addCustom(ExtraKind{APIVersion: gatewayVersion, Kind: "GatewayClass", Resource: "gatewayclasses", ClusterScoped: true})
	for _, name := range []string{"Gateway", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"} {
		c.kinds.addCustom(ExtraKind{APIVersion: gatewayVersion, Kind: name})
	}
	for i, g := range c.opts.Gateways {
		if g.Namespace != "" {
			c.put(&corev1.Namespace{TypeMeta: typeMeta("v1", "Namespace"), ObjectMeta: metav1.ObjectMeta{Name: g.Namespace}}, "kube-apiserver")
		}
		var listeners []any
		for _, l := range g.Listeners {
			m := map[string]any{"name": l.Name, "protocol": l.Protocol, "port": int64(l.Port)}
			if l.Hostname != "" {
				m["hostname"] = l.Hostname
			}
			listeners = append(listeners, m)
		}
		c.put(&unstructured.Unstructured{Object: map[string]any{
			"apiVersion": gatewayVersion, "kind": "Gateway", "metadata": map[string]any{"name": g.Name, "namespace": g.Namespace},
			"spec": map[string]any{"gatewayClassName": "fake", "listeners": listeners},
		}}, "kube-apiserver")
		t := task{kind: c.kinds.find(gatewayVersion, "Gateway"), key: key{g.Namespace, g.Name}}
		mutate(c, t, "status", provisionerName, func(o *unstructured.Unstructured) {
			o.Object["status"] = map[string]any{
				"addresses":  []any{map[string]any{"type": "IPAddress", "value": "203.0.113." + strconv.Itoa(i%250+1)}},
				"conditions": []any{condition("Accepted", o.GetGeneration()), condition("Programmed", o.GetGeneration())},
			}
		})
	}
}

// condition is a true condition of a custom kind.
func condition(kind string, generation int64) map[string]any {
	return map[string]any{
		"type": kind, "status": "True", "reason": strings.TrimSuffix(kind, "."), "message": "", "observedGeneration": generation,
		"lastTransitionTime": now().UTC().Format("2006-01-02T15:04:05Z"),
	}
}
