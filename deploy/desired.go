package deploy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

// desired is one rendered object as it is to be sent.
type desired struct {
	render.Object
	// tree is the object with our labels and annotations, as decoded JSON.
	tree map[string]any
	// compared is tree without what is not compared after creation.
	compared map[string]any
	// hash is the keyed hash of what is compared.
	hash string
	// additions are what others put beside it, as last compared.
	additions []Addition
	// partly: something of it is left as it is, see healing.
	partly bool
	// autoscaled: a HorizontalPodAutoscaler has its replicas.
	autoscaled bool
}

func (o *desired) kind() kindRef { return kindRef{APIVersion: o.APIVersion, Kind: o.Kind} }

// resolvedApplication is what is rendered on one cluster.
type resolvedApplication struct {
	app    *appmodel.Application
	params map[string]appmodel.JSON
	images map[string]string
	bound  []boundNeed
	// lineage is where it comes from, if the plan says so.
	lineage *storedLineage
}

// secretsFor are the values of the application's generated secrets on a
// cluster: those that it has, and derived ones where it lacks them.
func (d *Deployer) secretsFor(l *live, app *appmodel.Application) secretValues {
	values := secretValues{}
	for _, g := range render.Generated(app) {
		value, ok := l.state.generated.get(g.Group, g.Item)
		if !ok {
			s := l.scope
			purpose := []string{s.installation, s.namespace, s.application, g.Group, g.Item}
			if g.Spec.Scope == "cluster" {
				purpose = append(purpose, s.clusterUID)
			}
			value = generate(d.opts.Keys, g.Spec, purpose...)
		}
		values.set(g.Group, g.Item, value)
	}
	return values
}

// renderFor renders a release of an application for a cluster whose state was
// read.
func (d *Deployer) renderFor(l *live, r resolvedApplication, values secretValues, release string) (*render.Output, error) {
	return render.Render(render.Input{
		Application: r.app, Validated: true, Info: l.info, Cluster: render.ClusterRef{Name: l.cluster.Name(), Labels: l.cluster.Labels()},
		Namespace: l.scope.namespace, Installation: l.scope.installation,
		Params: r.params, Generated: values.sensitive(), Images: r.images, Bindings: endpoints(r.bound), Release: release,
		HashKey: []byte(d.opts.Keys.Digest("deploy render", l.scope.seal("content"))),
	})
}

// stamp adds to a rendered object what only deploy knows: its ApplySet, its
// hash, and whether its data is kept.
func (d *Deployer) stamp(s scope, o render.Object, yields []Yield, asked states) (*desired, error) {
	out := &desired{Object: o}
	if err := json.Unmarshal(o.JSON, &out.tree); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", o.Ref, appspan.ErrInvalid, err)
	}
	for _, y := range yields {
		if y.matches(o.Ref) {
			out.External = append(out.External, y.Path)
		}
	}
	if o.Phase == render.PhaseWorkload {
		asked[o.Component].stamp(out)
	}
	meta, _ := out.tree["metadata"].(map[string]any)
	if meta == nil {
		return nil, fmt.Errorf("%s: %w: no metadata", o.Ref, appspan.ErrInvalid)
	}
	labels := child0(meta, "labels")
	labels[applySetPartOf] = s.applySet()
	labels[appmodel.LabelInstallation] = s.installation
	labels[appmodel.LabelApplication] = s.application
	if o.Keep {
		child0(meta, "annotations")[annotationKeep] = "true"
	}
	out.compared = out.tree
	for _, path := range out.External {
		out.compared = without(out.compared, path)
	}
	data, err := json.Marshal(out.compared)
	if err != nil {
		return nil, err
	}
	out.hash = d.opts.Keys.Digest("deploy object", data)[:32]
	child0(meta, "annotations")[appmodel.AnnotationHash] = out.hash
	if len(out.External) > 0 { // the copy shares metadata unless a path led through it
		compared, _ := out.compared["metadata"].(map[string]any)
		child0(compared, "annotations")[appmodel.AnnotationHash] = out.hash
	}
	out.Labels = stringMap(labels)
	return out, nil
}

// child0 returns the map below a field, made if absent.
func child0(m map[string]any, field string) map[string]any {
	inner, _ := m[field].(map[string]any)
	if inner == nil {
		inner = map[string]any{}
		m[field] = inner
	}
	return inner
}

func stringMap(m map[string]any) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k], _ = v.(string)
	}
	return out
}

// object is what is sent: the whole tree for a new object; for one that
// exists, its lists in the live order, and what is not compared as it is
// there if we own it, or not at all.
func (o *desired) object(liveObj *driver.Object, manager string) (driver.Object, error) {
	tree := o.tree
	if liveObj != nil {
		var current map[string]any
		if err := json.Unmarshal(liveObj.JSON, &current); err != nil {
			return driver.Object{}, fmt.Errorf("%s: %w: %w", o.Ref, appspan.ErrCorrupt, err)
		}
		tree = o.compared
		if len(o.External) > 0 {
			entry, _ := readManagers(liveObj.JSON).applied(manager)
			for _, path := range o.External {
				at := make(trail, len(path))
				for i, f := range path {
					at[i] = step{field: f}
				}
				// Leaving out a leaf that only we own would remove it.
				if v := lookup(current, at); v != nil && entry.Fields != nil && owns(entry.Fields, at) {
					tree = with(tree, path, v)
				}
			}
		}
		aligned, _ := align(tree, current)
		tree = aligned.(map[string]any)
	}
	data, err := json.Marshal(tree)
	if err != nil {
		return driver.Object{}, err
	}
	return driver.Object{Ref: o.Ref, Labels: o.Labels, JSON: data}, nil
}

// autoscale marks what a HorizontalPodAutoscaler among the objects scales.
func autoscale(objects []*desired) {
	for _, o := range objects {
		if o.Kind != "HorizontalPodAutoscaler" {
			continue
		}
		target, _ := lookup(o.tree, trail{{field: "spec"}, {field: "scaleTargetRef"}}).(map[string]any)
		for _, scaled := range objects {
			scaled.autoscaled = scaled.autoscaled || scaled.Kind == target["kind"] && scaled.Name == target["name"]
		}
	}
}

// wake gives a workload without replicas some, if nobody else will: we took them
// away ourselves, or somebody did by hand, whom a HorizontalPodAutoscaler leaves
// alone.
func (o *desired) wake(current map[string]any, m managers, self string) {
	at := trail{{field: "spec"}, {field: "replicas"}}
	entry, applied := m.applied(self)
	i := slices.IndexFunc(o.External, isReplicas)
	if i < 0 || !applied || lookup(current, at) != float64(0) {
		return
	}
	yielded := slices.ContainsFunc(o.External[i+1:], isReplicas)
	if !owns(entry.Fields, at) && (!o.autoscaled || yielded) {
		return
	}
	if n, _ := lookup(o.tree, at).(float64); n > 0 {
		o.External = slices.Delete(slices.Clone(o.External), i, i+1)
		o.compared = with(o.compared, []string{"spec", "replicas"}, n)
	}
}

func isReplicas(path []string) bool { return slices.Equal(path, []string{"spec", "replicas"}) }

// with returns v with the field at a path of plain fields set.
func with(v map[string]any, path []string, value any) map[string]any {
	out := maps.Clone(v)
	if out == nil {
		out = map[string]any{}
	}
	if len(path) == 1 {
		out[path[0]] = value
		return out
	}
	inner, _ := out[path[0]].(map[string]any)
	out[path[0]] = with(inner, path[1:], value)
	return out
}

// Yield leaves a field to whoever else owns it: it is sent when the object is
// created, and neither compared nor sent again.
type Yield struct {
	Kind string `json:"kind"`
	// Name of the object; empty is all of the kind.
	Name string   `json:"name,omitempty"`
	Path []string `json:"path"` // fields: ["spec","replicas"]
}

func (y Yield) matches(r driver.Ref) bool {
	return y.Kind == r.Kind && (y.Name == "" || y.Name == r.Name) && len(y.Path) > 0
}

// kindsOf are the kinds of the objects, sorted, each once.
func kindsOf(objects []*desired) []kindRef {
	seen := map[kindRef]bool{}
	for _, o := range objects {
		seen[o.kind()] = true
	}
	kinds := slices.Collect(maps.Keys(seen))
	slices.SortFunc(kinds, compareKinds)
	return kinds
}

func compareKinds(a, b kindRef) int {
	return cmp.Or(strings.Compare(a.APIVersion, b.APIVersion), strings.Compare(a.Kind, b.Kind))
}
