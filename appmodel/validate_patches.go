package appmodel

import (
	"encoding/json"
	"slices"
	"strings"
)

// patchKinds are the kinds of objects that are rendered.
func patchKinds() []string {
	return []string{"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Service", "Ingress", "HTTPRoute", "TCPRoute",
		"UDPRoute", "TLSRoute", "HorizontalPodAutoscaler", "ScaledObject", "PersistentVolumeClaim", "ConfigMap", "Secret",
		"ServiceAccount", "NetworkPolicy", "PodDisruptionBudget", "ServiceMonitor", "EndpointSlice"}
}

// patches checks the bounds of patches; whether they match something is said
// by rendering.
func (v *checker) patches() {
	for _, p := range v.app.Patches {
		at := Path{}.field("patches").entry(p.ID)
		if p.ID != "" && !needName.MatchString(p.ID) {
			v.errorf(at.field("id"), "use lower-case letters, digits and hyphens, and begin with a letter", "%q is not a name", cut(p.ID))
		}
		if len(p.Apply) == 0 && len(p.Remove) == 0 {
			v.errorf(at, "add apply or remove", "changes nothing")
		}
		if len(p.Apply) > maxPatch {
			v.errorf(at.field("apply"), "shorten it", "the patch has %d bytes, more than 64 KiB", len(p.Apply))
		}
		v.patchTarget(p.Target, at.field("target"))
		v.patchReach(p, at)
	}
}

func (v *checker) patchTarget(t PatchTarget, at Path) {
	if t.Kind != "" && !slices.Contains(patchKinds(), t.Kind) {
		next := didYouMean(t.Kind, patchKinds())
		if next == "" {
			next = "write one of " + strings.Join(patchKinds(), ", ")
		}
		v.errorf(at.field("kind"), next, "no object of kind %q is rendered", cut(t.Kind))
	}
	for _, ref := range []struct {
		field, name string
		names       []string
	}{
		{"component", t.Component, v.ids}, {"route", t.Route, keysOf(v.routeID)},
	} {
		if ref.name != "" && !slices.Contains(ref.names, ref.name) {
			v.errorf(at.field(ref.field), didYouMean(ref.name, ref.names), "no %s %q", ref.field, cut(ref.name))
		}
	}
	if t.Volume != "" {
		names := keysOf(v.volumes)
		for i := range v.app.Components {
			for _, vol := range v.app.Components[i].Volumes {
				names = append(names, vol.Name)
			}
		}
		if !slices.Contains(names, t.Volume) {
			v.errorf(at.field("volume"), didYouMean(t.Volume, names), "no volume %q", cut(t.Volume))
		}
	}
}

// patchReach refuses what no patch may touch.
func (v *checker) patchReach(p Patch, at Path) {
	if len(p.Apply) > 0 {
		var object map[string]any
		if json.Unmarshal(p.Apply, &object) != nil {
			v.errorf(at.field("apply"), "write a partial object, for example {spec: {…}}", "is not a mapping")
		} else {
			v.patchFields(p.Target.Kind, object, "", at.field("apply"))
		}
	}
	for _, r := range p.Remove {
		here := at.field("remove").entry(r)
		path, err := ParsePath(r)
		if err != nil {
			v.fail(here, err)
			continue
		}
		names := make([]string, len(path.segs))
		for i, s := range path.segs {
			names[i] = s.name
		}
		for i := range names {
			if unpatchable(p.Target.Kind, strings.Join(names[:i+1], "\x00")) {
				v.errorf(here, "leave it out", "is out of a patch's reach")
				break
			}
		}
		if len(names) == 1 && (names[0] == "spec" || names[0] == "metadata") {
			v.errorf(here, "name the field", "is out of a patch's reach")
		}
	}
}

func (v *checker) patchFields(kind string, object map[string]any, prefix string, at Path) {
	for _, key := range sortedKeys(object) {
		full := prefix + key
		here := at.entry(key)
		if isFieldName(key) {
			here = at.field(key)
		}
		if unpatchable(kind, full) {
			v.errorf(here, "leave it out", "is out of a patch's reach")
			continue
		}
		if inner, ok := object[key].(map[string]any); ok {
			v.patchFields(kind, inner, full+"\x00", here)
		}
	}
}

// unpatchable reports whether a place of a rendered object, its parts joined
// by NUL, is identity, ownership, selector, secret or status.
func unpatchable(kind, place string) bool {
	parts := strings.Split(place, "\x00")
	last := parts[len(parts)-1]
	switch {
	case len(parts) == 1:
		return slices.Contains([]string{"apiVersion", "kind", "status"}, last) ||
			kind == "Secret" && slices.Contains([]string{"data", "stringData", "type", "immutable"}, last)
	case strings.HasPrefix(last, ownPrefix):
		return true
	case len(parts) == 2 && parts[0] == "metadata":
		return !slices.Contains([]string{"labels", "annotations"}, last)
	case len(parts) == 2 && parts[0] == "spec" && (last == "selector" || last == "podSelector"):
		return true
	}
	return false
}
