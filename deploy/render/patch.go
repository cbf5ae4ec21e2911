package render

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	netv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	sjson "sigs.k8s.io/json"
)

// maxPatch bounds one patch.
const maxPatch = 64 << 10

// patches edits rendered objects as the application says.
func (b *builder) patches() {
	for i := range b.app.Patches {
		p := &b.app.Patches[i]
		if err := b.patch(p); err != nil {
			b.failed(fmt.Errorf("patches[%s]: %w", p.ID, err))
		}
	}
}

// patch edits the one object that its target means.
func (b *builder) patch(p *appmodel.Patch) error {
	if len(p.Apply) > maxPatch {
		return invalid("apply has %d bytes, at most %d are allowed; make it smaller", len(p.Apply), maxPatch)
	}
	o, err := b.target(p)
	if err != nil || o == nil {
		return err
	}
	var tree map[string]any
	if err := kjson.Unmarshal(o.JSON, &tree); err != nil {
		return err
	}
	before := runtime.DeepCopyJSON(tree)
	for _, path := range p.Remove {
		if err := removePath(tree, path); err != nil {
			return err
		}
	}
	if tree, err = apply(o.Ref, tree, p.Apply); err != nil {
		return err
	}
	if !reflect.DeepEqual(protected(before), protected(tree)) {
		return invalid("%s: identity, owners, finalizers, selectors, labels of ours, the data of Secrets and the status are out of a patch's reach; leave them out", o.Ref)
	}
	data, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	if err := strict(o.Ref, data); err != nil {
		return err
	}
	if err := b.level(o, before, tree); err != nil {
		return err
	}
	parsed, err := driver.ParseObject(data)
	o.Object = parsed
	return err
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errInvalid}, args...)...)
}

// target finds the object of a patch; nil if its component or route is
// disabled.
func (b *builder) target(p *appmodel.Patch) (*Object, error) {
	t := p.Target
	if t.Component != "" && b.comps[t.Component] == nil {
		return nil, nil
	}
	var found []*Object
	for i := range b.out.Objects {
		o := &b.out.Objects[i]
		if o.Kind == t.Kind && (t.Component == "" || o.Component == t.Component) && (t.Route == "" || o.Route == t.Route) &&
			(t.Volume == "" || o.Labels[appmodel.LabelVolume] == t.Volume) && (t.Name == "" || o.Name == t.Name) {
			found = append(found, o)
		}
	}
	switch len(found) {
	case 0:
		return nil, invalid("no rendered object matches its target; look at what the plan creates")
	case 1:
		return found[0], nil
	}
	names := make([]string, len(found))
	for i, o := range found {
		names[i] = o.Name
	}
	return nil, invalid("its target matches %d objects; set target.name to one of %s", len(found), strings.Join(names, ", "))
}

// schema is an empty object of a built-in kind that we render, or nil.
func schema(r driver.Ref) any {
	switch r.APIVersion + " " + r.Kind {
	case "apps/v1 Deployment":
		return &appsv1.Deployment{}
	case "apps/v1 StatefulSet":
		return &appsv1.StatefulSet{}
	case "apps/v1 DaemonSet":
		return &appsv1.DaemonSet{}
	case "batch/v1 Job":
		return &batchv1.Job{}
	case "batch/v1 CronJob":
		return &batchv1.CronJob{}
	case "v1 Service":
		return &corev1.Service{}
	case "v1 ConfigMap":
		return &corev1.ConfigMap{}
	case "v1 Secret":
		return &corev1.Secret{}
	case "v1 ServiceAccount":
		return &corev1.ServiceAccount{}
	case "v1 PersistentVolumeClaim":
		return &corev1.PersistentVolumeClaim{}
	case "networking.k8s.io/v1 Ingress":
		return &netv1.Ingress{}
	case "networking.k8s.io/v1 NetworkPolicy":
		return &netv1.NetworkPolicy{}
	case "policy/v1 PodDisruptionBudget":
		return &policyv1.PodDisruptionBudget{}
	case "autoscaling/v2 HorizontalPodAutoscaler":
		return &autoscalingv2.HorizontalPodAutoscaler{}
	case "discovery.k8s.io/v1 EndpointSlice":
		return &discoveryv1.EndpointSlice{}
	}
	return nil
}

// apply merges a partial object: by the kind's own merge keys where it has a
// schema, else maps granular and lists atomic.
func apply(r driver.Ref, tree map[string]any, patch appmodel.JSON) (map[string]any, error) {
	if len(patch) == 0 {
		return tree, nil
	}
	var partial map[string]any
	if err := kjson.Unmarshal(patch, &partial); err != nil {
		return nil, invalid("apply is no object: %v; write a partial %s", err, r.Kind)
	}
	if directives(partial) {
		return nil, invalid("apply has null values or patch directives; use remove")
	}
	typed := schema(r)
	if typed == nil {
		return mergeMaps(tree, partial), nil
	}
	merged, err := strategicpatch.StrategicMergeMapPatch(tree, partial, typed)
	if err != nil {
		return nil, invalid("apply does not fit a %s: %v; correct it", r.Kind, err)
	}
	return merged, nil
}

// directives reports whether a partial object holds what would delete: nulls
// and the $-keys of strategic merge patches.
func directives(v any) bool {
	switch t := v.(type) {
	case nil:
		return true
	case map[string]any:
		for k, x := range t {
			if strings.HasPrefix(k, "$") || directives(x) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(t, directives)
	}
	return false
}

func mergeMaps(base, over map[string]any) map[string]any {
	for k, v := range over {
		a, okA := base[k].(map[string]any)
		b, okB := v.(map[string]any)
		if okA && okB {
			base[k] = mergeMaps(a, b)
			continue
		}
		base[k] = v
	}
	return base
}

// strict checks that an object of a kind with a schema has no unknown field.
func strict(r driver.Ref, data []byte) error {
	typed := schema(r)
	if typed == nil {
		return nil
	}
	unknown, err := sjson.UnmarshalStrict(data, typed)
	if err != nil {
		return invalid("the patched %s is not valid: %v; correct apply", r.Kind, err)
	}
	if len(unknown) > 0 {
		return invalid("the patched %s is not valid: %v; correct apply", r.Kind, unknown[0])
	}
	return nil
}

// protected is what of an object is out of a patch's reach.
func protected(tree map[string]any) []any {
	meta, spec := child(tree, "metadata"), child(tree, "spec")
	job := child(spec, "jobTemplate")
	out := []any{tree["apiVersion"], tree["kind"], tree["status"], spec["selector"], spec["podSelector"], spec["volumeClaimTemplates"],
		child(job, "spec")["selector"], child(job, "spec")["manualSelector"]}
	for _, f := range []string{"name", "namespace", "ownerReferences", "finalizers", "uid", "resourceVersion", "generateName", "managedFields", "deletionTimestamp"} {
		out = append(out, meta[f])
	}
	if tree["kind"] == "Secret" {
		out = append(out, tree["data"], tree["stringData"], tree["type"])
	}
	return append(out, ownKeys(meta), ownKeys(child(job, "metadata")), ownKeys(child(podTemplate(tree), "metadata")))
}

// ownKeys are the labels and annotations that are ours.
func ownKeys(meta map[string]any) map[string]any {
	out := map[string]any{}
	for _, field := range []string{"labels", "annotations"} {
		for k, v := range child(meta, field) {
			if strings.HasPrefix(k, "appspan.dev/") || strings.HasPrefix(k, "applyset.kubernetes.io/") || strings.HasPrefix(k, "app.kubernetes.io/managed-by") {
				out[field+k] = v
			}
		}
	}
	return out
}
