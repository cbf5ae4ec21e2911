package fake

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// furnish gives a new namespace its service account and root certificate. It
// is done with the creation itself, so that tests need not wait before they
// create pods.
func (c *Cluster) furnish(name string) {
	c.put(&corev1.ServiceAccount{TypeMeta: typeMeta("v1", "ServiceAccount"), ObjectMeta: metav1.ObjectMeta{Name: "default", Namespace: name}}, controllerManager)
	c.put(&corev1.ConfigMap{
		TypeMeta: typeMeta("v1", "ConfigMap"), ObjectMeta: metav1.ObjectMeta{
			Name: "kube-root-ca.crt", Namespace: name, Annotations: map[string]string{"kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver."},
		},
		Data: map[string]string{"ca.crt": "-----BEGIN CERTIFICATE-----\nZmFrZQ==\n-----END CERTIFICATE-----\n"},
	}, controllerManager)
}

// syncNamespace gives a new namespace its service account and root
// certificate, and empties one that is being deleted.
func (c *Cluster) syncNamespace(t task) {
	ns, ok := fetch[*corev1.Namespace](c, t)
	if !ok {
		return
	}
	if ns.DeletionTimestamp == nil {
		c.furnish(ns.Name)
		return
	}
	left := 0
	for _, k := range c.kinds.all() {
		if !k.namespaced {
			continue
		}
		records, _ := c.store.list(k, ns.Name)
		for _, r := range records {
			left++
			if r.obj.GetDeletionTimestamp() == nil {
				background := metav1.DeletePropagationBackground
				_, _ = c.remove(c.ctx, request{kind: k, key: r.key}, metav1.DeleteOptions{PropagationPolicy: &background})
			}
		}
	}
	if left > 0 {
		return // the last object to go wakes it
	}
	r := c.store.get(t.kind, t.key)
	if r == nil {
		return
	}
	next := r.obj.DeepCopyObject().(*corev1.Namespace)
	next.Spec.Finalizers = nil
	var commit object
	if !finished(next) {
		commit = next
	}
	if _, ok := c.store.commit(t.kind, r, commit); !ok {
		c.work.add(t)
	}
}
