package fake

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// version answers /version.
func (c *Cluster) version() version.Info {
	parts := strings.SplitN(strings.TrimPrefix(c.opts.Version, "v"), ".", 3)
	info := version.Info{GitVersion: c.opts.Version, Platform: "linux/amd64", Compiler: "gc", GoVersion: "go1.26", GitTreeState: "clean"}
	if len(parts) >= 2 {
		info.Major, info.Minor = parts[0], parts[1]
	}
	return info
}

// groupVersions are what is served, the core first.
func (c *Cluster) groupVersions() ([]schema.GroupVersion, map[schema.GroupVersion][]*kind) {
	var order []schema.GroupVersion
	served := map[schema.GroupVersion][]*kind{}
	for _, k := range c.kinds.all() {
		gv := k.gvk.GroupVersion()
		if served[gv] == nil {
			order = append(order, gv)
		}
		served[gv] = append(served[gv], k)
	}
	for _, gv := range reviewVersions() {
		order = append(order, gv)
		served[gv] = []*kind{}
	}
	slices.SortStableFunc(order, func(a, b schema.GroupVersion) int {
		return cmp.Or(cmp.Compare(min(len(a.Group), 1), min(len(b.Group), 1)), cmp.Compare(a.Group, b.Group))
	})
	return order, served
}

// discovery answers /api, /apis and what is directly below.
func (x *exchange) discovery(path []string) error {
	order, served := x.c.groupVersions()
	switch {
	case len(path) == 1 && x.output.v2:
		x.w.Header().Set("Content-Type", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
		x.w.WriteHeader(http.StatusOK)
		_, _ = x.w.Write(mustJSON(aggregated(path[0] == "api", order, served)))
		return nil
	case path[0] == "api" && len(path) == 1:
		return x.answer(metav1.APIVersions{
			TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"},
			ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: x.r.Host}},
		})
	case path[0] == "api":
		return x.resources(schema.GroupVersion{Version: path[1]}, served)
	case len(path) == 3:
		return x.resources(schema.GroupVersion{Group: path[1], Version: path[2]}, served)
	}
	groups := apiGroups(order)
	if len(path) == 1 {
		return x.answer(metav1.APIGroupList{TypeMeta: typeMeta("v1", "APIGroupList"), Groups: groups})
	}
	for _, g := range groups {
		if g.Name == path[1] {
			g.TypeMeta = typeMeta("v1", "APIGroup")
			return x.answer(g)
		}
	}
	return noSuchPath()
}

func apiGroups(order []schema.GroupVersion) []metav1.APIGroup {
	var groups []metav1.APIGroup
	for _, gv := range order {
		if gv.Group == "" {
			continue
		}
		v := metav1.GroupVersionForDiscovery{GroupVersion: gv.String(), Version: gv.Version}
		if n := len(groups); n > 0 && groups[n-1].Name == gv.Group {
			groups[n-1].Versions = append(groups[n-1].Versions, v)
			continue
		}
		groups = append(groups, metav1.APIGroup{Name: gv.Group, Versions: []metav1.GroupVersionForDiscovery{v}, PreferredVersion: v})
	}
	return groups
}

// resources answers for one group and version.
func (x *exchange) resources(gv schema.GroupVersion, served map[schema.GroupVersion][]*kind) error {
	list, ok := served[gv]
	if !ok {
		return noSuchPath()
	}
	out := metav1.APIResourceList{TypeMeta: typeMeta("v1", "APIResourceList"), GroupVersion: gv.String(), APIResources: []metav1.APIResource{}}
	for _, k := range list {
		r := metav1.APIResource{Name: k.resource, SingularName: strings.ToLower(k.gvk.Kind), Namespaced: k.namespaced, Kind: k.gvk.Kind, Verbs: verbs()}
		if k.short != "" {
			r.ShortNames = []string{k.short}
		}
		if k.inAll() {
			r.Categories = []string{"all"}
		}
		out.APIResources = append(out.APIResources, r)
		for _, sub := range subresources(k) {
			out.APIResources = append(out.APIResources, metav1.APIResource{
				Name: k.resource + "/" + sub.name, Namespaced: k.namespaced, Kind: sub.gvk.Kind, Group: sub.gvk.Group, Version: sub.gvk.Version, Verbs: sub.verbs,
			})
		}
	}
	for _, name := range reviewKinds(gv) {
		out.APIResources = append(out.APIResources, metav1.APIResource{Name: strings.ToLower(name) + "s", SingularName: strings.ToLower(name), Kind: name, Verbs: []string{"create"}})
	}
	return x.answer(out)
}

// inAll reports whether kubectl get all shows the kind.
func (k *kind) inAll() bool {
	return !k.custom && slices.Contains([]string{
		"Pod", "Service", "ReplicationController", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "HorizontalPodAutoscaler",
	}, k.gvk.Kind)
}

type subresource struct {
	name  string
	gvk   schema.GroupVersionKind
	verbs []string
}

func subresources(k *kind) []subresource {
	var list []subresource
	own := schema.GroupVersionKind{Kind: k.gvk.Kind}
	if k.status {
		list = append(list, subresource{"status", own, []string{"get", "patch", "update"}})
	}
	if k.scale {
		list = append(list, subresource{"scale", schema.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}, []string{"get", "patch", "update"}})
	}
	if k.is("Pod") {
		list = append(list, subresource{"log", own, []string{"get"}},
			subresource{"eviction", schema.GroupVersionKind{Group: "policy", Version: "v1", Kind: "Eviction"}, []string{"create"}})
	}
	if k.is("ServiceAccount") {
		list = append(list, subresource{"token", schema.GroupVersionKind{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"}, []string{"create"}})
	}
	return list
}

// aggregated is discovery in one document (KEP-3352).
func aggregated(core bool, order []schema.GroupVersion, served map[schema.GroupVersion][]*kind) apidiscoveryv2.APIGroupDiscoveryList {
	out := apidiscoveryv2.APIGroupDiscoveryList{TypeMeta: typeMeta("apidiscovery.k8s.io/v2", "APIGroupDiscoveryList"), Items: []apidiscoveryv2.APIGroupDiscovery{}}
	for _, gv := range order {
		if (gv.Group == "") != core {
			continue
		}
		v := apidiscoveryv2.APIVersionDiscovery{Version: gv.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}
		for _, k := range served[gv] {
			v.Resources = append(v.Resources, aggregatedResource(k))
		}
		for _, name := range reviewKinds(gv) {
			v.Resources = append(v.Resources, apidiscoveryv2.APIResourceDiscovery{
				Resource: strings.ToLower(name) + "s", SingularResource: strings.ToLower(name), Scope: apidiscoveryv2.ScopeCluster, Verbs: []string{"create"},
				ResponseKind: &metav1.GroupVersionKind{Group: gv.Group, Version: gv.Version, Kind: name},
			})
		}
		if n := len(out.Items); n > 0 && out.Items[n-1].Name == gv.Group {
			out.Items[n-1].Versions = append(out.Items[n-1].Versions, v)
			continue
		}
		out.Items = append(out.Items, apidiscoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: gv.Group}, Versions: []apidiscoveryv2.APIVersionDiscovery{v}})
	}
	return out
}

func aggregatedResource(k *kind) apidiscoveryv2.APIResourceDiscovery {
	r := apidiscoveryv2.APIResourceDiscovery{
		Resource: k.resource, SingularResource: strings.ToLower(k.gvk.Kind), Scope: apidiscoveryv2.ScopeCluster, Verbs: verbs(),
		ResponseKind: &metav1.GroupVersionKind{Group: k.gvk.Group, Version: k.gvk.Version, Kind: k.gvk.Kind},
	}
	if k.namespaced {
		r.Scope = apidiscoveryv2.ScopeNamespace
	}
	if k.short != "" {
		r.ShortNames = []string{k.short}
	}
	if k.inAll() {
		r.Categories = []string{"all"}
	}
	for _, sub := range subresources(k) {
		gvk := sub.gvk
		if gvk.Version == "" {
			gvk = k.gvk
		}
		r.Subresources = append(r.Subresources, apidiscoveryv2.APISubresourceDiscovery{
			Subresource: sub.name, Verbs: sub.verbs, ResponseKind: &metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind},
		})
	}
	return r
}
