package fake

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// syncIngress gives an Ingress of a class that exists its address.
func (c *Cluster) syncIngress(t task) {
	o, ok := fetch[*networkingv1.Ingress](c, t)
	if !ok || o.DeletionTimestamp != nil || len(o.Status.LoadBalancer.Ingress) > 0 {
		return
	}
	class := deref(o.Spec.IngressClassName)
	if class == "" {
		class = o.Annotations["kubernetes.io/ingress.class"]
	}
	if c.store.get(c.kinds.find("networking.k8s.io/v1", "IngressClass"), key{"", class}) == nil {
		return
	}
	_, _ = mutate(c, t, "status", "ingress-controller", func(o *networkingv1.Ingress) {
		o.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: c.externalIP("ingress-" + class)}}
	})
}

// syncRoute accepts a route of the Gateway API whose gateways exist.
func (c *Cluster) syncRoute(t task) {
	o, ok := fetch[*unstructured.Unstructured](c, t)
	if !ok || o.GetDeletionTimestamp() != nil {
		return
	}
	refs, _, _ := unstructured.NestedSlice(o.Object, "spec", "parentRefs")
	if seen, _, _ := unstructured.NestedSlice(o.Object, "status", "parents"); len(seen) == len(refs) && len(refs) > 0 {
		if g, _, _ := unstructured.NestedInt64(seen[0].(map[string]any)["conditions"].([]any)[0].(map[string]any), "observedGeneration"); g == o.GetGeneration() {
			return
		}
	}
	var parents []any
	for _, ref := range refs {
		m, ok := ref.(map[string]any)
		if !ok {
			continue
		}
		name, _ := m["name"].(string)
		namespace, _ := m["namespace"].(string)
		if namespace == "" {
			namespace = o.GetNamespace()
		}
		accepted := condition("Accepted", o.GetGeneration())
		if c.store.get(c.kinds.find(gatewayVersion, "Gateway"), key{namespace, name}) == nil {
			accepted["status"], accepted["reason"] = "False", "NoMatchingParent"
		}
		parents = append(parents, map[string]any{
			"parentRef": m, "controllerName": "fake.appspan.dev/gateway", "conditions": []any{accepted, condition("ResolvedRefs", o.GetGeneration())},
		})
	}
	_, _ = mutate(c, t, "status", "gateway-controller", func(o *unstructured.Unstructured) {
		o.Object["status"] = map[string]any{"parents": parents}
	})
}

// syncDefinition makes the kinds of a CustomResourceDefinition known.
func (c *Cluster) syncDefinition(t task) {
	o, ok := fetch[*unstructured.Unstructured](c, t)
	if !ok {
		return
	}
	group, _, _ := unstructured.NestedString(o.Object, "spec", "group")
	kindName, _, _ := unstructured.NestedString(o.Object, "spec", "names", "kind")
	plural, _, _ := unstructured.NestedString(o.Object, "spec", "names", "plural")
	scope, _, _ := unstructured.NestedString(o.Object, "spec", "scope")
	versions, _, _ := unstructured.NestedSlice(o.Object, "spec", "versions")
	for _, v := range versions {
		m, _ := v.(map[string]any)
		name, _ := m["name"].(string)
		if served, _ := m["served"].(bool); !served || group == "" || kindName == "" {
			continue
		}
		_, hasStatus, _ := unstructured.NestedMap(m, "subresources", "status")
		c.kinds.addCustom(ExtraKind{APIVersion: group + "/" + name, Kind: kindName, Resource: plural, ClusterScoped: scope == "Cluster", NoStatus: !hasStatus})
	}
	if conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions"); len(conditions) > 0 {
		return
	}
	_, _ = mutate(c, t, "status", "kube-apiserver", func(o *unstructured.Unstructured) {
		names, _, _ := unstructured.NestedMap(o.Object, "spec", "names")
		o.Object["status"] = map[string]any{
			"acceptedNames": names, "conditions": []any{condition("NamesAccepted", o.GetGeneration()), condition("Established", o.GetGeneration())},
		}
	})
}

// syncBudget counts the pods of a PodDisruptionBudget.
func (c *Cluster) syncBudget(t task) {
	b, ok := fetch[*policyv1.PodDisruptionBudget](c, t)
	if !ok {
		return
	}
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil {
		return
	}
	var total, healthy int32
	pods, _ := c.store.list(c.kinds.find("v1", "Pod"), b.Namespace)
	for _, r := range pods {
		p := r.obj.(*corev1.Pod)
		if !selector.Matches(labels.Set(p.Labels)) || terminated(p) {
			continue
		}
		total++
		if podReady(p) && p.DeletionTimestamp == nil {
			healthy++
		}
	}
	desired := total
	switch {
	case b.Spec.MaxUnavailable != nil:
		desired = max(0, total-scaled(b.Spec.MaxUnavailable, total, true))
	case b.Spec.MinAvailable != nil:
		desired = scaled(b.Spec.MinAvailable, total, true)
	}
	_, _ = mutate(c, t, "status", controllerManager, func(o *policyv1.PodDisruptionBudget) {
		s := &o.Status
		s.ObservedGeneration, s.ExpectedPods, s.CurrentHealthy, s.DesiredHealthy = o.Generation, total, healthy, desired
		s.DisruptionsAllowed = max(0, healthy-desired)
		if total == 0 {
			s.DisruptionsAllowed = 0
		}
		cond := metav1.Condition{Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionTrue, Reason: policyv1.SufficientPodsReason, ObservedGeneration: o.Generation, LastTransitionTime: now()}
		if s.DisruptionsAllowed == 0 {
			cond.Status, cond.Reason = metav1.ConditionFalse, policyv1.InsufficientPodsReason
		}
		if len(s.Conditions) == 1 && s.Conditions[0].Status == cond.Status {
			cond.LastTransitionTime = s.Conditions[0].LastTransitionTime
		}
		s.Conditions = []metav1.Condition{cond}
	})
}
