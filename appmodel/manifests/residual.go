package manifests

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// mergeKey is the field by which a patch finds the entries of a list in the
// object it patches; empty where the list is replaced as a whole.
func mergeKey(kind, field string) string {
	switch field {
	case "containers", "initContainers", "volumes", "env", "imagePullSecrets":
		return "name"
	case "ports":
		if kind == "Service" {
			return "port"
		}
		return "containerPort"
	case "volumeMounts":
		return "mountPath"
	case "volumeDevices":
		return "devicePath"
	case "hostAliases":
		return "ip"
	case "topologySpreadConstraints":
		return "topologyKey"
	}
	return ""
}

// remainder is what of a place a patch has to write: leaves of which no field
// speaks, and those whose form is to stay.
func (p *place) remainder(kind string) (any, bool) {
	if p == nil {
		return nil, false
	}
	kept := func(l *place) bool { return l.fate == nil || l.form }
	switch p.shape {
	case mapping:
		out, any := map[string]any{}, false
		for _, f := range p.fields {
			if v, some := f.remainder(kind); some {
				out[f.key], any = v, true
			}
		}
		if len(p.fields) == 0 {
			return out, kept(p)
		}
		return out, any
	case list:
		if len(p.items) == 0 {
			return []any{}, kept(p)
		}
		key := mergeKey(kind, p.key)
		var out []any
		for _, i := range p.items {
			v, some := i.remainder(kind)
			if !some {
				continue
			}
			m, isMap := v.(map[string]any)
			if key == "" || !isMap || i.get(key) == nil {
				return p.written(), true
			}
			m[key] = i.get(key).plain()
			out = append(out, m)
		}
		return out, len(out) > 0
	}
	return p.value, p.value != nil && kept(p)
}

// written is the value without nulls, which a patch may not hold.
func (p *place) written() any {
	v := p.plain()
	var prune func(v any)
	prune = func(v any) {
		switch t := v.(type) {
		case map[string]any:
			for k, x := range t {
				if x == nil {
					delete(t, k)
				}
				prune(x)
			}
		case []any:
			for _, x := range t {
				prune(x)
			}
		}
	}
	prune(v)
	return v
}

// patch is what has to be changed in an object once it is rendered.
type patch struct {
	obj    *object
	target appmodel.PatchTarget
	remove []string
	extra  map[string]any // fields of spec to write besides
}

// patchLater keeps what no field said about an object in a patch.
func (im *importer) patchLater(o *object, target appmodel.PatchTarget, remove []string) *patch {
	p := &patch{obj: o, target: target, remove: remove}
	im.pending = append(im.pending, p)
	return p
}

// patch writes one patch, if there is anything to write.
func (im *importer) patch(p *patch) {
	o := p.obj
	im.unreachable(o)
	apply := map[string]any{}
	for _, f := range o.root.fields {
		if v, some := f.remainder(o.kind); some {
			apply[f.key] = v
		}
	}
	if spec, some := apply["spec"]; some && o.is("", "Pod") { // its workload has it in its template
		apply["spec"] = map[string]any{"template": map[string]any{"spec": spec}}
	}
	if len(p.extra) > 0 {
		spec, _ := apply["spec"].(map[string]any)
		if spec == nil {
			spec = map[string]any{}
			apply["spec"] = spec
		}
		overlay(spec, p.extra)
	}
	if len(apply) == 0 && len(p.remove) == 0 {
		return
	}
	out := appmodel.Patch{ID: im.patchIDs.take(o.name + "-" + strings.ToLower(p.target.Kind)), Target: p.target, Remove: p.remove}
	if len(apply) > 0 {
		out.Apply, _ = json.Marshal(apply) // of JSON values
	}
	at := "patches[" + out.ID + "]"
	im.owns(at, o)
	o.root.settle(fidelity.Raw, at, "no field says it")
	im.app.Patches = append(im.app.Patches, out)
}

// unreachable accounts for what no patch may touch.
func (im *importer) unreachable(o *object) {
	meta := o.at("metadata")
	for _, f := range meta.entries() {
		if f.key != "labels" && f.key != "annotations" {
			f.settle(fidelity.Unsupported, "", "owners, finalizers and the like are those of the cluster that the object was in")
		}
	}
	for _, field := range []string{"labels", "annotations"} {
		for _, f := range meta.get(field).entries() {
			switch {
			case strings.HasPrefix(f.key, "app.kubernetes.io/managed-by"):
				f.settle(fidelity.Degraded, "", "Appspan manages it, and says so")
			case strings.HasPrefix(f.key, "appspan.dev/"), strings.HasPrefix(f.key, "applyset.kubernetes.io/"):
				f.settle(fidelity.Unsupported, "", "the key is reserved")
			case strings.HasPrefix(f.key, "meta.helm.sh/"):
				f.settle(fidelity.Unsupported, "", "the release is Helm's, which does not manage it any more")
			case f.key == "helm.sh/hook", f.key == "helm.sh/hook-weight", f.key == "helm.sh/hook-delete-policy", f.key == "helm.sh/resource-policy":
				f.settle(fidelity.Unsupported, "", "an instruction for Helm; needs with a condition say what comes first")
			case strings.HasPrefix(f.key, "argocd.argoproj.io/"), strings.HasPrefix(f.key, "kustomize.toolkit.fluxcd.io/"):
				f.settle(fidelity.Unsupported, "", "an instruction for another tool that deployed it")
			}
		}
	}
	if o.kind == "Secret" {
		for _, f := range []string{"data", "stringData", "type", "immutable"} {
			o.at(f).settle(fidelity.Unsupported, "", "out of a patch's reach")
		}
	}
	if len(o.podPath()) > 0 {
		o.at("spec", "selector").settle(fidelity.Unsupported, "", "out of a patch's reach")
	}
	o.at("spec", "volumeClaimTemplates").settle(fidelity.Degraded, "", "labels and annotations of claims are Appspan's")
}

// provides accounts for the labels that rendering gives an object anyway.
func (o *object) provides(labels map[string]string, to string) {
	for _, f := range o.at("metadata", "labels").entries() {
		if v, ok := labels[f.key]; ok && v == f.text() {
			f.take(to + "[" + f.key + "]")
		}
	}
}

// ambiguous reports whether two entries of a list have the same merge key, so
// that a patch could not tell them apart.
func ambiguous(list *place, key string) bool {
	var seen []string
	for _, i := range list.list() {
		k := i.get(key).text()
		if slices.Contains(seen, k) {
			return true
		}
		seen = append(seen, k)
	}
	return false
}
