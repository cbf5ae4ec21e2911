package fake

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
)

// admitQuota refuses what would exceed a ResourceQuota of the namespace. The
// returned function ends the reservation: until then no other object of the
// cluster is counted.
func (c *Cluster) admitQuota(q request, live, obj object) (func(), error) {
	none := func() {}
	delta := usage(q.kind, obj)
	if live != nil {
		for name, n := range usage(q.kind, live) {
			have := delta[name]
			have.Sub(n)
			delta[name] = have
		}
	}
	grows := false
	for _, n := range delta {
		grows = grows || n.Sign() > 0
	}
	if q.sub != "" || !grows {
		return none, nil
	}
	quotas, _ := c.store.list(c.kinds.find("v1", "ResourceQuota"), obj.GetNamespace())
	if len(quotas) == 0 || obj.GetNamespace() == "" {
		return none, nil
	}
	c.quotas.Lock()
	for _, r := range quotas {
		rq := r.obj.(*corev1.ResourceQuota)
		if err := c.withinQuota(q, rq, obj, delta); err != nil {
			c.quotas.Unlock()
			return none, err
		}
	}
	return c.quotas.Unlock, nil
}

func (c *Cluster) withinQuota(q request, rq *corev1.ResourceQuota, obj object, delta corev1.ResourceList) error {
	used := c.quotaUsed(rq)
	var asked, have, limited, missing []string
	for _, name := range sortedNames(rq.Spec.Hard) {
		hard := rq.Spec.Hard[name]
		n, ok := delta[name]
		if _, pod := obj.(*corev1.Pod); pod && !ok && compute(name) {
			missing = append(missing, string(name))
			continue
		}
		if !ok || n.Sign() <= 0 {
			continue
		}
		total := used[name].DeepCopy()
		total.Add(n)
		if total.Cmp(hard) > 0 {
			before := used[name]
			asked = append(asked, fmt.Sprintf("%s=%s", name, n.String()))
			have = append(have, fmt.Sprintf("%s=%s", name, before.String()))
			limited = append(limited, fmt.Sprintf("%s=%s", name, hard.String()))
		}
	}
	switch {
	case len(missing) > 0:
		var per []string
		for _, name := range missing {
			per = append(per, name+" for: "+strings.Join(containersWithout(obj.(*corev1.Pod), corev1.ResourceName(name)), ","))
		}
		return apierrors.NewForbidden(q.kind.groupResource(), obj.GetName(), fmt.Errorf("failed quota: %s: must specify %s", rq.Name, strings.Join(per, "; ")))
	case len(asked) > 0:
		return apierrors.NewForbidden(q.kind.groupResource(), obj.GetName(), fmt.Errorf("exceeded quota: %s, requested: %s, used: %s, limited: %s",
			rq.Name, strings.Join(asked, ","), strings.Join(have, ","), strings.Join(limited, ",")))
	}
	return nil
}

// quotaUsed counts what a quota limits in its namespace.
func (c *Cluster) quotaUsed(rq *corev1.ResourceQuota) corev1.ResourceList {
	total := corev1.ResourceList{}
	for name := range rq.Spec.Hard {
		total[name] = zeroOf(name)
	}
	for _, k := range c.kinds.all() {
		if !k.namespaced {
			continue
		}
		records, _ := c.store.list(k, rq.Namespace)
		for _, r := range records {
			for name, n := range usage(k, r.obj) {
				if have, ok := total[name]; ok {
					have.Add(n)
					total[name] = have
				}
			}
		}
	}
	return total
}

func zeroOf(name corev1.ResourceName) resource.Quantity {
	if strings.Contains(string(name), "memory") || strings.Contains(string(name), "storage") {
		return *resource.NewQuantity(0, resource.BinarySI)
	}
	return *resource.NewQuantity(0, resource.DecimalSI)
}

// usage is what one object counts for in quotas.
func usage(k *kind, obj object) corev1.ResourceList {
	list := corev1.ResourceList{}
	one := *resource.NewQuantity(1, resource.DecimalSI)
	count := "count/" + k.resource
	if k.gvk.Group != "" {
		count += "." + k.gvk.Group
	}
	list[corev1.ResourceName(count)] = one
	switch o := obj.(type) {
	case *corev1.Pod:
		if o.Status.Phase == corev1.PodSucceeded || o.Status.Phase == corev1.PodFailed {
			return list
		}
		list[corev1.ResourcePods] = one
		for name, n := range requests(o) {
			list["requests."+name] = n
			list[name] = n
		}
		for name, n := range podResources(o, true) {
			list["limits."+name] = n
		}
	case *corev1.PersistentVolumeClaim:
		list[corev1.ResourcePersistentVolumeClaims] = one
		if n, ok := o.Spec.Resources.Requests[corev1.ResourceStorage]; ok {
			list[corev1.ResourceRequestsStorage] = n
			if class := deref(o.Spec.StorageClassName); class != "" {
				list[corev1.ResourceName(class+".storageclass.storage.k8s.io/requests.storage")] = n
				list[corev1.ResourceName(class+".storageclass.storage.k8s.io/persistentvolumeclaims")] = one
			}
		}
	case *corev1.Service:
		list[corev1.ResourceServices] = one
		switch o.Spec.Type {
		case corev1.ServiceTypeLoadBalancer:
			list[corev1.ResourceServicesLoadBalancers] = one
			list[corev1.ResourceServicesNodePorts] = *resource.NewQuantity(int64(len(o.Spec.Ports)), resource.DecimalSI)
		case corev1.ServiceTypeNodePort:
			list[corev1.ResourceServicesNodePorts] = *resource.NewQuantity(int64(len(o.Spec.Ports)), resource.DecimalSI)
		}
	case *corev1.ConfigMap:
		list[corev1.ResourceConfigMaps] = one
	case *corev1.Secret:
		list[corev1.ResourceSecrets] = one
	case *corev1.ReplicationController:
		list[corev1.ResourceReplicationControllers] = one
	case *corev1.ResourceQuota:
		list[corev1.ResourceQuotas] = one
	}
	return list
}

// compute reports whether a pod must state the resource once a quota has it.
func compute(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory:
		return true
	}
	return false
}

func containersWithout(o *corev1.Pod, name corev1.ResourceName) []string {
	var names []string
	for _, c := range o.Spec.Containers {
		list := c.Resources.Requests
		short, limits := strings.CutPrefix(string(name), "limits.")
		if limits {
			list = c.Resources.Limits
		}
		if _, ok := list[corev1.ResourceName(strings.TrimPrefix(short, "requests."))]; !ok {
			names = append(names, c.Name)
		}
	}
	return names
}

func sortedNames(list corev1.ResourceList) []corev1.ResourceName {
	var names []corev1.ResourceName
	for name := range list {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// syncQuota writes what is used into the status of a ResourceQuota.
func (c *Cluster) syncQuota(t task) {
	mutate(c, t, "status", controllerManager, func(rq *corev1.ResourceQuota) {
		status := corev1.ResourceQuotaStatus{Hard: rq.Spec.Hard, Used: c.quotaUsed(rq)}
		if !equality.Semantic.DeepEqual(status, rq.Status) {
			rq.Status = status
		}
	})
}
