package fake

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// object is what the store holds: a typed object of a built-in kind, or an
// Unstructured of a custom one.
type object interface {
	runtime.Object
	metav1.Object
}

// kind is one API kind that the cluster serves.
type kind struct {
	gvk        schema.GroupVersionKind
	resource   string
	short      string
	namespaced bool
	status     bool // has the subresource status
	scale      bool // has the subresource scale
	generation bool // counts generations
	custom     bool // has no Go type
	typ        reflect.Type
	managers   map[string]*managedfields.FieldManager // by subresource
}

// Flags of the table of built-in kinds.
const (
	cluster    = "c" // cluster-scoped
	status     = "s"
	scale      = "x"
	generation = "g"
)

// builtin are the kinds of a new cluster: API version, kind, plural, short
// name, flags.
var builtin = [][5]string{
	{"v1", "Namespace", "namespaces", "ns", cluster + status},
	{"v1", "Node", "nodes", "no", cluster + status},
	{"v1", "PersistentVolume", "persistentvolumes", "pv", cluster + status},
	{"v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", status},
	{"v1", "Pod", "pods", "po", status + generation},
	{"v1", "PodTemplate", "podtemplates", "", generation},
	{"v1", "ReplicationController", "replicationcontrollers", "rc", status + scale + generation},
	{"v1", "Service", "services", "svc", status},
	{"v1", "Endpoints", "endpoints", "ep", ""},
	{"v1", "ConfigMap", "configmaps", "cm", ""},
	{"v1", "Secret", "secrets", "", ""},
	{"v1", "ServiceAccount", "serviceaccounts", "sa", ""},
	{"v1", "Event", "events", "ev", ""},
	{"v1", "LimitRange", "limitranges", "limits", ""},
	{"v1", "ResourceQuota", "resourcequotas", "quota", status},
	{"apps/v1", "Deployment", "deployments", "deploy", status + scale + generation},
	{"apps/v1", "ReplicaSet", "replicasets", "rs", status + scale + generation},
	{"apps/v1", "StatefulSet", "statefulsets", "sts", status + scale + generation},
	{"apps/v1", "DaemonSet", "daemonsets", "ds", status + generation},
	{"apps/v1", "ControllerRevision", "controllerrevisions", "", ""},
	{"batch/v1", "Job", "jobs", "", status + generation},
	{"batch/v1", "CronJob", "cronjobs", "cj", status + generation},
	{"autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", status + generation},
	{"networking.k8s.io/v1", "Ingress", "ingresses", "ing", status + generation},
	{"networking.k8s.io/v1", "IngressClass", "ingressclasses", "", cluster + generation},
	{"networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", "netpol", generation},
	{"policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", status + generation},
	{"rbac.authorization.k8s.io/v1", "Role", "roles", "", ""},
	{"rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", "", ""},
	{"rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", "", cluster},
	{"rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", "", cluster},
	{"storage.k8s.io/v1", "StorageClass", "storageclasses", "sc", cluster},
	{"storage.k8s.io/v1", "VolumeAttachment", "volumeattachments", "", cluster + status},
	{"scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", "pc", cluster + generation},
	{"discovery.k8s.io/v1", "EndpointSlice", "endpointslices", "", generation},
	{"coordination.k8s.io/v1", "Lease", "leases", "", ""},
	{"admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "", cluster + generation},
	{"admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "", cluster + generation},
}

// kinds is the registry of one cluster. It grows with definitions of custom
// kinds.
type kinds struct {
	mu         sync.RWMutex
	order      []*kind
	byKind     map[schema.GroupVersionKind]*kind
	byResource map[schema.GroupVersionResource]*kind
	typed      managedfields.TypeConverter
	deduced    managedfields.TypeConverter
}

// crdKind is the kind that defines custom kinds; it is itself kept untyped.
const crdKind = "CustomResourceDefinition"

func newKinds() *kinds {
	ks := &kinds{
		byKind:     map[schema.GroupVersionKind]*kind{},
		byResource: map[schema.GroupVersionResource]*kind{},
		typed:      applyconfigurations.NewTypeConverter(scheme.Scheme),
		deduced:    managedfields.NewDeducedTypeConverter(),
	}
	for _, b := range builtin {
		gvk := schema.FromAPIVersionAndKind(b[0], b[1])
		ks.add(&kind{
			gvk: gvk, resource: b[2], short: b[3], namespaced: !strings.Contains(b[4], cluster), status: strings.Contains(b[4], status),
			scale: strings.Contains(b[4], scale), generation: strings.Contains(b[4], generation), typ: scheme.Scheme.AllKnownTypes()[gvk],
		})
	}
	ks.addCustom(ExtraKind{APIVersion: "apiextensions.k8s.io/v1", Kind: crdKind, ClusterScoped: true})
	return ks
}

// addCustom makes a custom kind known; it is a no-op for one that is.
func (ks *kinds) addCustom(e ExtraKind) {
	if e.Resource == "" {
		e.Resource = strings.ToLower(e.Kind) + "s"
	}
	ks.add(&kind{
		gvk: schema.FromAPIVersionAndKind(e.APIVersion, e.Kind), resource: e.Resource, namespaced: !e.ClusterScoped,
		status: !e.NoStatus, generation: true, custom: true,
	})
}

func (ks *kinds) add(k *kind) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	if ks.byKind[k.gvk] != nil {
		return
	}
	k.managers = map[string]*managedfields.FieldManager{}
	for _, sub := range []string{"", "status", "scale"} {
		k.managers[sub] = ks.fieldManager(k, sub)
	}
	ks.order = append(ks.order, k)
	ks.byKind[k.gvk] = k
	ks.byResource[k.gvr()] = k
}

// fieldManager builds the machinery's own field manager for one endpoint. As
// in a real server, a write through the main endpoint never owns status, and
// a write through status owns nothing else.
func (ks *kinds) fieldManager(k *kind, sub string) *managedfields.FieldManager {
	build, types := managedfields.NewDefaultFieldManager, ks.typed
	if k.custom {
		build, types = managedfields.NewDefaultCRDFieldManager, ks.deduced
	}
	var reset map[fieldpath.APIVersion]fieldpath.Filter
	version := fieldpath.APIVersion(k.gvk.GroupVersion().String())
	switch {
	case sub == "status":
		reset = map[fieldpath.APIVersion]fieldpath.Filter{version: fieldpath.NewExcludeSetFilter(fieldpath.NewSet(
			fieldpath.MakePathOrDie("spec"), fieldpath.MakePathOrDie("metadata", "labels"),
			fieldpath.MakePathOrDie("metadata", "finalizers"), fieldpath.MakePathOrDie("metadata", "ownerReferences")))}
	case sub == "" && k.status:
		reset = map[fieldpath.APIVersion]fieldpath.Filter{version: fieldpath.NewExcludeSetFilter(fieldpath.NewSet(fieldpath.MakePathOrDie("status")))}
	}
	m, err := build(types, machinery{k}, machinery{k}, machinery{k}, k.gvk, k.gvk.GroupVersion(), sub, reset)
	if err != nil { // only for a missing type converter
		return nil
	}
	return m
}

func (ks *kinds) kind(gvk schema.GroupVersionKind) *kind {
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	return ks.byKind[gvk]
}

func (ks *kinds) find(apiVersion, name string) *kind {
	return ks.kind(schema.FromAPIVersionAndKind(apiVersion, name))
}

func (ks *kinds) forResource(gvr schema.GroupVersionResource) *kind {
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	return ks.byResource[gvr]
}

// all returns the kinds in the order in which they became known.
func (ks *kinds) all() []*kind {
	ks.mu.RLock()
	defer ks.mu.RUnlock()
	return ks.order[:len(ks.order):len(ks.order)]
}

func (k *kind) gvr() schema.GroupVersionResource {
	return k.gvk.GroupVersion().WithResource(k.resource)
}
func (k *kind) groupResource() schema.GroupResource {
	return schema.GroupResource{Group: k.gvk.Group, Resource: k.resource}
}
func (k *kind) apiVersion() string { return k.gvk.GroupVersion().String() }
func (k *kind) is(name string) bool {
	return k.gvk.Kind == name && !k.custom
}

// new returns an empty object of the kind.
func (k *kind) new() object {
	var o object
	if k.custom {
		o = &unstructured.Unstructured{Object: map[string]any{}}
	} else {
		o = reflect.New(k.typ).Interface().(object)
	}
	o.GetObjectKind().SetGroupVersionKind(k.gvk)
	return o
}

// verbs are those of every resource.
func verbs() []string {
	return []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
}

// machinery is what the field manager needs to convert, default and create
// objects of one kind. Every kind has one version, so that a conversion only
// gives an untyped object its Go type.
type machinery struct{ k *kind }

// Convert is never called by the field manager.
func (machinery) Convert(_, _, _ any) error { return nil }

// ConvertToVersion gives an untyped object its Go type.
func (m machinery) ConvertToVersion(in runtime.Object, _ runtime.GroupVersioner) (runtime.Object, error) {
	u, ok := in.(*unstructured.Unstructured)
	if !ok || m.k.custom {
		return in, nil
	}
	out := m.k.new()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, out); err != nil {
		return nil, fmt.Errorf("unable to convert unstructured object to %v: %w", m.k.gvk, err)
	}
	out.GetObjectKind().SetGroupVersionKind(m.k.gvk)
	return out, nil
}

// ConvertFieldLabel is never called by the field manager.
func (machinery) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

// Default fills in what the server defaults.
func (machinery) Default(in runtime.Object) { setDefaults(in) }

// New returns an empty object.
func (m machinery) New(schema.GroupVersionKind) (runtime.Object, error) { return m.k.new(), nil }
