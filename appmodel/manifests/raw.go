package manifests

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// maxManifest is what the model allows one object of its own.
const maxManifest = 512 << 10

// external makes components of Services that are but names of hosts elsewhere.
func (im *importer) external() {
	for _, o := range im.reader.objects {
		if o.aside() || o.forced != "" || !o.is("", "Service") || !o.at("spec", "type").is("ExternalName") || len(o.at("spec", "ports").list()) > 0 {
			continue
		}
		id := im.ids.take(o.name)
		im.services[o.name].outer = id
		at := "components[" + id + "]"
		im.owns(at, o)
		o.mapped = true
		c := appmodel.Component{ID: id, Kind: appmodel.KindExternal, Aliases: []string{o.name}, External: &appmodel.External{Hosts: []string{o.at("spec", "externalName").text()}}}
		o.identity(at + ".aliases[" + o.name + "]")
		o.at("spec", "type").take(at + ".kind")
		o.at("spec", "externalName").take(at + ".external.hosts")
		im.outside = append(im.outside, c)
		im.patchLater(o, appmodel.PatchTarget{Kind: "Service", Component: id, Name: o.name}, nil)
	}
}

// policies lets a NetworkPolicy say who may connect to a component, where it
// says what access: needs means; the policy itself stays as it is.
func (im *importer) policies() {
	for _, o := range im.reader.objects {
		if o.aside() || !o.is("networking.k8s.io", "NetworkPolicy") {
			continue
		}
		spec := o.at("spec")
		parts := im.selected(spec.get("podSelector", "matchLabels").texts())
		if len(parts) != 1 || !maps.Equal(parts[0].selector, spec.get("podSelector", "matchLabels").texts()) || len(spec.get("egress").list()) > 0 {
			continue
		}
		p, peers, plain := parts[0], map[string]bool{}, len(spec.get("ingress").list()) > 0
		for _, rule := range spec.get("ingress").list() {
			plain = plain && len(rule.get("from").list()) > 0 && len(rule.fields) <= 2
			for _, from := range rule.get("from").list() {
				peer := im.selected(from.get("podSelector", "matchLabels").texts())
				plain = plain && len(from.fields) == 1 && len(peer) == 1
				if len(peer) == 1 {
					peers[peer[0].comp.ID] = true
				}
			}
		}
		needs := map[string]bool{}
		for _, other := range im.parts {
			if slices.ContainsFunc(other.comp.Needs, func(n appmodel.Need) bool { return n.Component == p.comp.ID }) {
				needs[other.comp.ID] = true
			}
		}
		if plain && maps.Equal(peers, needs) {
			for i := range p.comp.Ports {
				if p.comp.Ports[i].Access == "" {
					p.comp.Ports[i].Access = appmodel.AccessNeeds
				}
			}
		}
	}
}

// rest keeps every object that no mapping took as it is.
func (im *importer) rest() {
	home := ""
	var objects []appmodel.RawObject
	for _, o := range im.reader.objects {
		if o.aside() || o.mapped && o.forced == "" || o.is("", "Secret") {
			continue
		}
		im.raw = append(im.raw, o)
		if o.is("", "Namespace") && o.forced == "" {
			im.namespace(o)
			continue
		}
		manifest := o.manifest()
		if len(manifest) > maxManifest && o.refused == "" {
			o.refused = "it has more than 512 KiB, the most that a document may hold of one object"
		}
		if o.refused != "" {
			o.root.settle(fidelity.Unsupported, "", o.refused)
			im.note("%s is left out: %s", o.display, o.refused)
			continue
		}
		if home == "" {
			home = im.ids.take("objects")
		}
		at := "components[" + home + "].objects[" + manifestKey(o) + "]"
		im.owns(at, o)
		for _, key := range []string{"app.kubernetes.io/name", "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by"} {
			o.at("metadata", "labels", key).settle(fidelity.Degraded, at, "Appspan writes this label itself")
		}
		o.root.settle(fidelity.Raw, at, cmp.Or(o.forced, "the application has no field for "+o.kind))
		objects = append(objects, appmodel.RawObject{Manifest: manifest})
	}
	if len(objects) > 0 {
		im.app.Components = append(im.app.Components, appmodel.Component{ID: home, Kind: appmodel.KindObjects, Objects: objects})
	}
}

// manifestKey is how paths of the model name an object.
func manifestKey(o *object) string {
	group, _, found := strings.Cut(o.apiVersion, "/")
	if !found {
		return o.kind + "/" + o.name
	}
	return group + "/" + o.kind + "/" + o.name
}

// manifest is the object as it is, without what belongs to the cluster that it
// was in.
func (o *object) manifest() appmodel.JSON {
	tree, _ := o.root.plain().(map[string]any)
	delete(tree, "status")
	if meta, ok := tree["metadata"].(map[string]any); ok {
		for _, f := range []string{"namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink", "ownerReferences"} {
			delete(meta, f)
		}
		if a, ok := meta["annotations"].(map[string]any); ok {
			delete(a, "kubectl.kubernetes.io/last-applied-configuration")
		}
	}
	o.at("metadata", "ownerReferences").settle(fidelity.Unsupported, "", "owners are those of the cluster that the object was in")
	data, _ := json.Marshal(tree) // of JSON values
	return data
}

// namespace accounts for the namespace that the objects were written for: the
// one where the application is deployed takes its place.
func (im *importer) namespace(o *object) {
	for _, f := range []string{"apiVersion", "kind"} {
		o.at(f).settle(fidelity.Implied, "", "the namespace is chosen where the application is deployed")
	}
	o.at("metadata", "name").settle(fidelity.Implied, "", "the namespace is chosen where the application is deployed")
	o.root.settle(fidelity.Unsupported, "", "the namespace is the team's, not the application's")
	im.note("namespace %s is not part of the application, which is deployed into one", o.name)
}

// finishPatches writes the patches, now that all is said that fields can say.
func (im *importer) finishPatches() {
	for _, p := range im.pending {
		if p.obj != nil && p.obj.forced == "" {
			im.patch(p)
		}
	}
	for _, o := range im.reader.objects {
		for _, f := range slices.Sorted(maps.Keys(o.skip)) {
			if o.forced == "" {
				im.note("%s: a patch keeps %s, which no field can hold: %s", o.display, f, o.skip[f])
			}
		}
	}
	im.note("objects carry the labels of Appspan besides their own; those of a component carry the labels of its pods")
}
