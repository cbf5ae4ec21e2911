package fake

import (
	"context"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// mutate changes one object for a simulated component. fn gets a copy of its
// own. A missing object is no error: components look at things again.
func mutate[T object](c *Cluster, t task, sub, manager string, fn func(T)) (T, error) {
	var none T
	r, err := c.update(context.WithoutCancel(c.ctx), request{kind: t.kind, key: t.key, sub: sub, manager: manager}, func(live object) (object, error) {
		o := live.DeepCopyObject().(T)
		fn(o)
		return o, nil
	})
	if err != nil {
		return none, err
	}
	return r.obj.(T), nil
}

// fetch reads an object for a component; it reports false when there is none.
func fetch[T object](c *Cluster, t task) (T, bool) {
	var none T
	r := c.store.get(t.kind, t.key)
	if r == nil {
		return none, false
	}
	o, ok := r.obj.(T)
	return o, ok
}

// children are the objects of one type that an owner controls.
func children[T object](c *Cluster, owner types.UID) []T {
	var list []T
	for _, r := range c.store.dependents(owner) {
		o, ok := r.obj.(T)
		if !ok {
			continue
		}
		if ref := metav1.GetControllerOf(o); ref != nil && ref.UID == owner {
			list = append(list, o)
		}
	}
	return list
}

// byKind is the component that looks after objects of a kind.
func byKind(k *kind) (part, bool) {
	if k.custom {
		switch k.gvk.Kind {
		case crdKind:
			return definitions, true
		case "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute":
			return routes, k.apiVersion() == gatewayVersion
		}
		return 0, false
	}
	p, ok := map[string]part{
		"Namespace": namespaces, "Deployment": deployments, "ReplicaSet": replicaSets, "StatefulSet": statefulSets, "DaemonSet": daemonSets,
		"Job": jobs, "CronJob": cronJobs, "PersistentVolumeClaim": claims, "Service": endpoints, "HorizontalPodAutoscaler": autoscalers,
		"PodDisruptionBudget": budgets, "Ingress": ingresses, "ResourceQuota": quotaStatus,
	}[k.gvk.Kind]
	return p, ok
}

// observe turns a commit into tasks. It runs under the store's lock and only
// plans work.
func (c *Cluster) observe(ch change) {
	k := ch.kind()
	r := ch.after
	if r == nil {
		r = ch.before
	}
	if p, ok := byKind(k); ok {
		c.work.add(task{p, k, r.key})
	}
	if len(r.obj.GetOwnerReferences()) > 0 || r.obj.GetDeletionTimestamp() != nil && len(r.obj.GetFinalizers()) > 0 {
		c.work.add(task{garbage, k, r.key})
	}
	for _, ref := range r.obj.GetOwnerReferences() {
		if owner := c.store.byUID[ref.UID]; owner != nil {
			if p, ok := byKind(owner.kind); ok && deref(ref.Controller) {
				c.work.add(task{p, owner.kind, owner.key})
			}
			if owner.obj.GetDeletionTimestamp() != nil {
				c.work.add(task{garbage, owner.kind, owner.key})
			}
		}
	}
	if ch.after == nil {
		for d := range c.store.owned[r.obj.GetUID()] {
			c.work.add(task{garbage, d.kind, d.key})
		}
		if k.namespaced {
			c.wakeNamespace(r.key.namespace)
		}
	}
	c.observeKind(ch, r)
	c.observeOrphan(ch)
	if ch.before == nil || ch.after == nil {
		c.touchQuotas(r)
	}
}

// wakeNamespace has a namespace that is going looked at again.
func (c *Cluster) wakeNamespace(name string) {
	k := c.kinds.find("v1", "Namespace")
	if ns := c.store.objects[k][""][name]; ns != nil && ns.obj.GetDeletionTimestamp() != nil {
		c.work.add(task{namespaces, k, ns.key})
	}
}

func (c *Cluster) touchQuotas(r *record) {
	k := c.kinds.find("v1", "ResourceQuota")
	for _, q := range c.store.objects[k][r.key.namespace] {
		c.work.add(task{quotaStatus, k, q.key})
	}
}

// observeKind plans what changes of particular kinds mean to others.
func (c *Cluster) observeKind(ch change, r *record) {
	switch o := r.obj.(type) {
	case *corev1.Pod:
		c.observePod(ch, r, o)
	case *corev1.Node:
		c.wake(scheduling, c.pods.unschedulable, "")
		for _, byName := range c.store.objects[c.kinds.find("apps/v1", "DaemonSet")] {
			for _, d := range byName {
				c.work.add(task{daemonSets, d.kind, d.key})
			}
		}
	case *corev1.PersistentVolumeClaim:
		c.wake(scheduling, c.pods.unschedulable, r.key.namespace)
	case *corev1.ConfigMap, *corev1.Secret:
		c.wake(kubelets, c.pods.waiting, r.key.namespace)
	}
}

// wake has the pods of a set that are in a namespace ("" is any) looked at
// again.
func (c *Cluster) wake(p part, set map[key]bool, namespace string) {
	k := c.kinds.find("v1", "Pod")
	for at := range set {
		if namespace == "" || at.namespace == namespace {
			c.work.add(task{p, k, at})
		}
	}
}

func (c *Cluster) observePod(ch change, r *record, o *corev1.Pod) {
	k := r.kind
	c.logs.wake(o.UID, ch.after == nil)
	c.countNode(ch)
	if ch.after != nil && o.Spec.NodeName == "" {
		c.work.add(task{scheduling, k, r.key})
	} else if ch.after != nil {
		c.work.add(task{kubelets, k, r.key})
	}
	if ch.after == nil || terminated(o) {
		delete(c.pods.unschedulable, r.key)
		delete(c.pods.waiting, r.key)
		c.wake(scheduling, c.pods.unschedulable, "")
	}
	if ch.after != nil && ch.before != nil && sameToOthers(ch.before.obj.(*corev1.Pod), o) {
		return
	}
	services := c.kinds.find("v1", "Service")
	for _, s := range c.store.objects[services][r.key.namespace] {
		selector := s.obj.(*corev1.Service).Spec.Selector
		if selects(selector, o.Labels) || ch.before != nil && selects(selector, ch.before.obj.GetLabels()) {
			c.work.add(task{endpoints, services, s.key})
		}
	}
	pdbs := c.kinds.find("policy/v1", "PodDisruptionBudget")
	for _, b := range c.store.objects[pdbs][r.key.namespace] {
		c.work.add(task{budgets, pdbs, b.key})
	}
	if ch.after == nil || terminated(o) {
		claimKind := c.kinds.find("v1", "PersistentVolumeClaim")
		for _, v := range o.Spec.Volumes {
			if v.PersistentVolumeClaim != nil {
				c.work.add(task{claims, claimKind, key{r.key.namespace, v.PersistentVolumeClaim.ClaimName}})
			}
		}
	}
}

// sameToOthers reports whether a change of a pod means nothing to Services,
// budgets and claims.
func sameToOthers(a, b *corev1.Pod) bool {
	return podReady(a) == podReady(b) && a.Status.PodIP == b.Status.PodIP && a.Status.Phase == b.Status.Phase &&
		(a.DeletionTimestamp == nil) == (b.DeletionTimestamp == nil) && maps.Equal(a.Labels, b.Labels)
}

// selects reports whether a plain selector, which is not empty, selects.
func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	return len(selector) > 0
}

// reconcile runs one task.
func (c *Cluster) reconcile(t task) {
	switch t.part {
	case garbage:
		c.collectGarbage(t)
	case namespaces:
		c.syncNamespace(t)
	case deployments:
		c.syncDeployment(t)
	case replicaSets:
		c.syncReplicaSet(t)
	case statefulSets:
		c.syncStatefulSet(t)
	case daemonSets:
		c.syncDaemonSet(t)
	case jobs:
		c.syncJob(t)
	case cronJobs:
		c.syncCronJob(t)
	case scheduling:
		c.schedulePod(t)
	case kubelets:
		c.syncPod(t)
	case claims:
		c.syncClaim(t)
	case endpoints:
		c.syncEndpoints(t)
	case autoscalers:
		c.syncAutoscaler(t)
	case budgets:
		c.syncBudget(t)
	case ingresses:
		c.syncIngress(t)
	case quotaStatus:
		c.syncQuota(t)
	case definitions:
		c.syncDefinition(t)
	case routes:
		c.syncRoute(t)
	}
}

// again plans the task for later.
func (c *Cluster) again(t task, d time.Duration) { c.work.addAfter(t, d) }
