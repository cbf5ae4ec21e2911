package clustertest

import (
	"slices"

	"github.com/appspan-dev/appspan/cluster/driver"
)

const contractInfo = "driver.Info"

func infoPromises() []promise {
	return []promise{
		{name: "info identifies the cluster by the UID of kube-system", why: contractInfo, run: func(e *env) {
			info := e.info()
			e.NotEmpty(info.UID)
			e.Equal(e.get(driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: "kube-system"}).UID, info.UID)
		}},
		{name: "info has the server's version", why: contractInfo, run: func(e *env) {
			e.Regexp(`^v1\.\d+\.\d+`, e.info().Version)
		}},
		{name: "info says how a kind is called in URLs", why: contractInfo + ": KindInfo.Resource", run: func(e *env) {
			info := e.info()
			for kind, resource := range map[[2]string]string{{"apps/v1", "StatefulSet"}: "statefulsets", {"networking.k8s.io/v1", "Ingress"}: "ingresses", {"v1", "Endpoints"}: "endpoints"} {
				k, ok := info.Lookup(kind[0], kind[1])
				e.True(ok, kind)
				e.Equal(resource, k.Resource)
			}
		}},
		{name: "info tells namespaced kinds from cluster-scoped ones", why: contractInfo + ": KindInfo.Namespaced", run: func(e *env) {
			info := e.info()
			for kind, namespaced := range map[[2]string]bool{
				{"v1", "Namespace"}: false, {"v1", "PersistentVolume"}: false, {"rbac.authorization.k8s.io/v1", "ClusterRole"}: false,
				{"apps/v1", "Deployment"}: true, {"batch/v1", "Job"}: true, {"rbac.authorization.k8s.io/v1", "Role"}: true,
			} {
				k, _ := info.Lookup(kind[0], kind[1])
				e.Equal(namespaced, k.Namespaced, kind)
			}
		}},
		{name: "info has the verbs of a kind", why: contractInfo + ": KindInfo.Verbs", run: func(e *env) {
			k, _ := e.info().Lookup("v1", "ConfigMap")
			e.Subset(k.Verbs, []string{"create", "delete", "get", "list", "patch", "watch"})
		}},
		{name: "info has every kind that applications are made of", why: contractInfo + ": Kinds are the API kinds that are served", run: func(e *env) {
			info := e.info()
			for _, kind := range [][2]string{
				{"v1", "ConfigMap"}, {"v1", "Secret"}, {"v1", "Service"}, {"v1", "ServiceAccount"}, {"v1", "PersistentVolumeClaim"}, {"v1", "Pod"},
				{"apps/v1", "Deployment"}, {"apps/v1", "StatefulSet"}, {"apps/v1", "DaemonSet"}, {"apps/v1", "ReplicaSet"},
				{"batch/v1", "Job"}, {"batch/v1", "CronJob"}, {"autoscaling/v2", "HorizontalPodAutoscaler"}, {"policy/v1", "PodDisruptionBudget"},
				{"networking.k8s.io/v1", "Ingress"}, {"networking.k8s.io/v1", "NetworkPolicy"}, {"discovery.k8s.io/v1", "EndpointSlice"},
			} {
				e.True(info.Has(kind[0], kind[1]), kind)
			}
			e.False(info.Has("appspan.example/v1", "Nothing"))
		}},
		{name: "info shows storage classes", why: contractInfo + ": StorageClass", run: func(e *env) {
			class := e.clusterwide("storage.k8s.io/v1 StorageClass "+unique("class"),
				"provisioner: appspan.example/none\nreclaimPolicy: Retain\nallowVolumeExpansion: true\nvolumeBindingMode: WaitForFirstConsumer")
			e.apply(class)
			classes := e.info().StorageClasses
			i := slices.IndexFunc(classes, func(c driver.StorageClass) bool { return c.Name == class.Name })
			e.GreaterOrEqual(i, 0, "%v", classes)
			e.Equal(driver.StorageClass{
				Name: class.Name, Provisioner: "appspan.example/none", AllowExpansion: true, WaitForConsumer: true, ReclaimPolicy: "Retain",
			}, classes[i])
		}},
		{name: "info shows ingress classes", why: contractInfo + ": IngressClass", run: func(e *env) {
			class := e.clusterwide("networking.k8s.io/v1 IngressClass "+unique("class"), "spec: {controller: appspan.example/none}")
			e.apply(class)
			e.Contains(e.info().IngressClasses, driver.IngressClass{Name: class.Name, Controller: "appspan.example/none"})
		}},
		{name: "info shows nodes and whether they take pods", why: contractInfo + ": Node", run: func(e *env) {
			node := e.clusterwide("v1 Node "+unique("node"), // the taint keeps everything away, also DaemonSets
				"metadata: {labels: {appspan.example/zone: far}}\nspec: {unschedulable: true, taints: [{key: appspan.example/none, effect: NoExecute}]}")
			e.apply(node)
			nodes := e.info().Nodes
			i := slices.IndexFunc(nodes, func(n driver.Node) bool { return n.Name == node.Name })
			e.GreaterOrEqual(i, 0, "%v", nodes)
			e.Equal("far", nodes[i].Labels["appspan.example/zone"])
			e.True(nodes[i].Unschedulable)
		}},
	}
}

func (e *env) info() driver.Info {
	e.t.Helper()
	info, err := e.c.Info(e.ctx)
	e.NoError(err)
	return info
}
