package fake

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Info implements driver.Cluster. It reads what is in the cluster now.
func (cl client) Info(ctx context.Context) (info driver.Info, err error) {
	done, err := cl.begin(ctx, access{verb: "info", path: "/version"})
	if err != nil {
		return info, err
	}
	defer done(&err)
	c := cl.c
	info.Version = c.opts.Version
	if ns := c.store.get(c.kinds.find("v1", "Namespace"), key{"", "kube-system"}); ns != nil {
		info.UID = string(ns.obj.GetUID())
	}
	for _, k := range c.kinds.all() {
		info.Kinds = append(info.Kinds, driver.KindInfo{
			APIVersion: k.apiVersion(), Kind: k.gvk.Kind, Resource: k.resource, Namespaced: k.namespaced, Verbs: verbs(),
		})
	}
	slices.SortFunc(info.Kinds, func(a, b driver.KindInfo) int {
		return strings.Compare(a.APIVersion+" "+a.Kind, b.APIVersion+" "+b.Kind)
	})
	for _, r := range c.all("storage.k8s.io/v1", "StorageClass") {
		o := r.obj.(*storagev1.StorageClass)
		info.StorageClasses = append(info.StorageClasses, driver.StorageClass{
			Name: o.Name, Provisioner: o.Provisioner, Default: o.Annotations["storageclass.kubernetes.io/is-default-class"] == "true",
			AllowExpansion: deref(o.AllowVolumeExpansion), WaitForConsumer: deref(o.VolumeBindingMode) == storagev1.VolumeBindingWaitForFirstConsumer,
			ReclaimPolicy: string(deref(o.ReclaimPolicy)),
		})
	}
	for _, r := range c.all("networking.k8s.io/v1", "IngressClass") {
		o := r.obj.(*networkingv1.IngressClass)
		info.IngressClasses = append(info.IngressClasses, driver.IngressClass{
			Name: o.Name, Controller: o.Spec.Controller, Default: o.Annotations["ingressclass.kubernetes.io/is-default-class"] == "true",
		})
	}
	for _, r := range c.all(gatewayVersion, "Gateway") {
		info.Gateways = append(info.Gateways, gatewayInfo(r.obj.(*unstructured.Unstructured)))
	}
	for _, r := range c.all("v1", "Node") {
		info.Nodes = append(info.Nodes, nodeInfo(r.obj.(*corev1.Node)))
	}
	return info, nil
}

// all are the records of a kind, none when it is not known.
func (c *Cluster) all(apiVersion, kind string) []*record {
	k := c.kinds.find(apiVersion, kind)
	if k == nil {
		return nil
	}
	records, _ := c.store.list(k, "")
	return records
}

func gatewayInfo(o *unstructured.Unstructured) driver.Gateway {
	g := driver.Gateway{Namespace: o.GetNamespace(), Name: o.GetName()}
	listeners, _, _ := unstructured.NestedSlice(o.Object, "spec", "listeners")
	for _, l := range listeners {
		m, ok := l.(map[string]any)
		if !ok {
			continue
		}
		port, _ := m["port"].(int64)
		name, _ := m["name"].(string)
		protocol, _ := m["protocol"].(string)
		hostname, _ := m["hostname"].(string)
		g.Listeners = append(g.Listeners, driver.Listener{Name: name, Protocol: protocol, Port: int(port), Hostname: hostname})
	}
	return g
}

func nodeInfo(o *corev1.Node) driver.Node {
	n := driver.Node{
		Name: o.Name, Labels: clonedLabels(o.Labels), Architecture: o.Status.NodeInfo.Architecture, Unschedulable: o.Spec.Unschedulable,
		Allocatable: map[string]string{},
	}
	for name, q := range o.Status.Allocatable {
		n.Allocatable[string(name)] = q.String()
	}
	for _, c := range o.Status.Conditions {
		if c.Type == corev1.NodeReady {
			n.Ready = c.Status == corev1.ConditionTrue
		}
	}
	return n
}

// Usage implements driver.UsageReader. Pods are simulated to use exactly what
// they request.
func (cl client) Usage(ctx context.Context) (list []driver.Usage, err error) {
	c := cl.c
	nodes := c.kinds.find("v1", "Node")
	done, err := cl.begin(ctx, access{verb: "list", kind: nodes})
	if err != nil {
		return nil, err
	}
	defer done(&err)
	records, _ := c.store.list(nodes, "")
	c.store.mu.RLock()
	defer c.store.mu.RUnlock()
	for _, r := range records {
		use := c.pods.use[r.key.name]
		list = append(list, driver.Usage{Node: r.key.name, Measured: time.Now(), Used: map[string]string{
			"cpu":    resource.NewMilliQuantity(use[corev1.ResourceCPU], resource.DecimalSI).String(),
			"memory": resource.NewQuantity(use[corev1.ResourceMemory], resource.BinarySI).String(),
		}})
	}
	return list, nil
}
