package render

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/pod-security-admission/policy"
)

// builder renders one application.
type builder struct {
	in    Input
	app   *appmodel.Application // with defaults
	comps map[string]*appmodel.Component
	// copies are secret values that no group has, by the Secret of ours that
	// they go to, and its keys.
	copies   map[string]*copied
	accounts map[string]*appmodel.ServiceAccount
	checks   policy.Evaluator // of Pod Security, once a patch needs them
	// manifests are those of components of raw objects, by component.
	manifests map[string][]manifest
	depth     int // of templates that lead to templates
	out       *Output
	added     []any // what the objects of out will encode
	errs      []error
}

// copied is a Secret that is written for what has no group.
type copied struct {
	owner *appmodel.Component // nil: the application's
	data  map[string][]byte
}

// Render turns the application into the objects that it is on the cluster.
// The errors of all its parts are joined; each wraps [appspan.ErrInvalid] or
// [appspan.ErrUnsupported] and names the path in the application.
func Render(in Input) (*Output, error) {
	if in.Application == nil {
		return nil, fmt.Errorf("%w: there is no application; give one", appspan.ErrInvalid)
	}
	if !in.Validated {
		if err := appmodel.Validate(in.Application).Err(); err != nil {
			return nil, err
		}
	}
	b := newBuilder(in)
	b.readManifests()
	b.groups()
	b.sharedVolumes()
	for i := range b.app.Components {
		if c := &b.app.Components[i]; c.IsEnabled() {
			b.component(c)
		}
	}
	for i := range b.app.Routes {
		if r := &b.app.Routes[i]; r.IsEnabled() {
			b.route(r)
		}
	}
	b.writeCopies()
	if b.encode() {
		b.patches()
		b.sort()
	}
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs...)
	}
	return b.out, nil
}

// newBuilder fills in defaults, and sorts lists whose order has no meaning.
func newBuilder(in Input) *builder {
	b := &builder{in: in, app: appmodel.WithDefaults(in.Application), comps: map[string]*appmodel.Component{},
		copies: map[string]*copied{}, accounts: map[string]*appmodel.ServiceAccount{}, manifests: map[string][]manifest{}, out: &Output{}}
	for i := range b.app.Components {
		c := &b.app.Components[i]
		slices.SortFunc(c.Ports, func(x, y appmodel.Port) int {
			return cmp.Or(cmp.Compare(x.Port, y.Port), cmp.Compare(x.Protocol, y.Protocol))
		})
		slices.SortFunc(c.Volumes, func(x, y appmodel.Volume) int { return cmp.Compare(x.Name, y.Name) })
		slices.SortFunc(c.Needs, func(x, y appmodel.Need) int { return cmp.Compare(x.Name, y.Name) }) // in whose order variables stand
		slices.SortFunc(c.Monitors, func(x, y appmodel.Monitor) int {
			return cmp.Or(cmp.Compare(x.Port, y.Port), cmp.Compare(x.Path, y.Path))
		})
		if c.Scale != nil && c.Scale.Auto != nil {
			slices.SortFunc(c.Scale.Auto.Metrics, func(x, y appmodel.Metric) int { return cmp.Compare(x.Name, y.Name) })
			slices.SortFunc(c.Scale.Auto.Schedules, func(x, y appmodel.Schedule) int { return cmp.Compare(x.Name, y.Name) })
		}
		slices.Sort(c.Aliases)
		if c.IsEnabled() {
			b.comps[c.ID] = c
		}
	}
	return b
}

// sort puts the output into its order, and refuses two objects of one name.
func (b *builder) sort() {
	slices.SortStableFunc(b.out.Objects, func(x, y Object) int {
		return cmp.Or(cmp.Compare(x.Phase, y.Phase), cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Name, y.Name))
	})
	seen := map[driver.Ref]bool{}
	for _, o := range b.out.Objects {
		if seen[o.Ref] {
			b.fail("%s is rendered twice; rename the component, group, volume or route, or its alias or objectName, that one of the two comes from", o.Ref)
		}
		seen[o.Ref] = true
	}
	slices.SortStableFunc(b.out.Notes, func(x, y Note) int {
		return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(x.Message, y.Message))
	})
	slices.Sort(b.out.Services)
}

// fail notes an error in the application; the message begins with a path and
// ends with the next step.
func (b *builder) fail(format string, args ...any) {
	b.failed(fmt.Errorf("%w: "+format, append([]any{appspan.ErrInvalid}, args...)...))
}

// failed notes an error, if it is one.
func (b *builder) failed(err error) {
	if err != nil {
		b.errs = append(b.errs, err)
	}
}

// note tells something about a component; the path begins below it, or at the
// application if c is nil.
func (b *builder) note(severity Severity, c *appmodel.Component, path, format string, args ...any) {
	n := Note{Severity: severity, Path: path, Message: fmt.Sprintf(format, args...)}
	if c != nil {
		n.Component, n.Path = c.ID, componentPath(c, path)
	}
	if !slices.Contains(b.out.Notes, n) {
		b.out.Notes = append(b.out.Notes, n)
	}
}

// componentPath is a path below a component, as the document's paths are
// written.
func componentPath(c *appmodel.Component, path string) string {
	at := "components[" + c.ID + "]"
	if path != "" {
		at += "." + path
	}
	return at
}

// name is what objects of a component, group, volume or route are called.
func (b *builder) name(id string) string { return appmodel.ObjectName(b.app.Metadata.Name, id) }

// workloadName is what the workload of a component is called.
func (b *builder) workloadName(c *appmodel.Component) string {
	return cmp.Or(pinnedNames(c).Workload, b.name(c.ID))
}

// serviceName is the Service that leads to a component.
func (b *builder) serviceName(c *appmodel.Component) string {
	return cmp.Or(pinnedNames(c).Service, b.name(c.ID))
}

// headlessName is the Service that gives the replicas of a stateful component
// their names.
func (b *builder) headlessName(c *appmodel.Component) string {
	return cmp.Or(pinnedNames(c).Headless, b.name(c.ID)+"-headless")
}

// pinnedNames are the names of what exists already.
func pinnedNames(c *appmodel.Component) appmodel.KubernetesNames {
	if c.Kubernetes == nil || c.Kubernetes.Names == nil {
		return appmodel.KubernetesNames{}
	}
	return *c.Kubernetes.Names
}

// bare reports whether nothing of ours may stand in the pod template.
func bare(c *appmodel.Component) bool {
	return c.Kubernetes != nil && c.Kubernetes.Defaults == "none"
}

// selector are the labels by which pods of a component are found.
func (b *builder) selector(id string) map[string]string {
	if c := b.comps[id]; c != nil && c.Kubernetes != nil && len(c.Kubernetes.Selector) > 0 {
		return maps.Clone(c.Kubernetes.Selector)
	}
	return map[string]string{appmodel.LabelApplication: b.app.Metadata.Name, appmodel.LabelComponent: id}
}

// labels are those of an object of a component, or of the application if c is
// nil.
func (b *builder) labels(c *appmodel.Component) map[string]string {
	l := map[string]string{"app.kubernetes.io/part-of": b.app.Metadata.Name, "app.kubernetes.io/managed-by": "appspan"}
	if c != nil {
		l["app.kubernetes.io/name"] = c.ID
		maps.Copy(l, c.Labels)
		l[appmodel.LabelComponent] = c.ID
	}
	l[appmodel.LabelInstallation], l[appmodel.LabelApplication] = b.in.Installation, b.app.Metadata.Name
	return l
}

// meta is the metadata of an object of a component, or of the application if c
// is nil.
func (b *builder) meta(name string, c *appmodel.Component) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: b.in.Namespace, Labels: b.labels(c)}
}

// tm is the type of an object.
func tm(apiVersion, kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}
}

// atLeast reports whether the cluster is of Kubernetes 1.minor or newer; one
// that does not say is.
func (b *builder) atLeast(minor uint) bool {
	v, err := version.ParseGeneric(b.in.Info.Version)
	return err != nil || v.AtLeast(version.MajorMinor(1, minor))
}

// add takes in an object, which nobody changes any more.
func (b *builder) add(v any, o Object) {
	b.added = append(b.added, v)
	b.out.Objects = append(b.out.Objects, o)
}

// encode writes the JSON of the objects that were added. It is most of the
// work of rendering, and each object is on its own: all processors share it.
// It reports whether all could be encoded.
func (b *builder) encode() bool {
	errs := make([]error, len(b.added))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, v := range b.added {
		g.Go(func() error {
			b.out.Objects[i].Object, errs[i] = encode(v)
			return nil
		})
	}
	_ = g.Wait()
	err := errors.Join(errs...)
	b.failed(err)
	return err == nil
}

// encode writes an object without nulls and status.
func encode(v any) (driver.Object, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return driver.Object{}, err
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		return driver.Object{}, err
	}
	delete(tree, "status")
	prune(tree)
	if data, err = json.Marshal(tree); err != nil {
		return driver.Object{}, err
	}
	return driver.ParseObject(data)
}

// prune removes nulls, and the empty blocks that typed objects always write.
func prune(v any) {
	switch t := v.(type) {
	case map[string]any:
		for k, x := range t {
			m, isMap := x.(map[string]any)
			if x == nil || isMap && len(m) == 0 && (k == "resources" || k == "strategy" || k == "updateStrategy" || k == "status") {
				delete(t, k)
				continue
			}
			prune(x)
		}
	case []any:
		for _, x := range t {
			prune(x)
		}
	}
}

// hash is a keyed hash: 16 hex digits that change with data and give nothing
// of it away.
func (b *builder) hash(data any) string {
	raw, err := json.Marshal(data)
	b.failed(err)
	m := hmac.New(sha256.New, b.in.HashKey)
	m.Write(raw)
	return hex.EncodeToString(m.Sum(nil)[:8])
}

// writeCopies writes the Secrets of what has no group: answers that are
// secret, and what the other ends of needs provide.
func (b *builder) writeCopies() {
	for _, name := range slices.Sorted(maps.Keys(b.copies)) {
		c, o := b.copies[name], Object{Phase: PhaseData, Sensitive: true}
		if c.owner != nil {
			o.Component = c.owner.ID
		}
		b.add(&corev1.Secret{TypeMeta: tm("v1", "Secret"), ObjectMeta: b.meta(name, c.owner), Type: corev1.SecretTypeOpaque, Data: c.data}, o)
	}
}

// component renders one component.
func (b *builder) component(c *appmodel.Component) {
	switch c.Kind {
	case appmodel.KindExternal:
		b.external(c)
		return
	case appmodel.KindObjects:
		b.rawObjects(c)
		return
	case appmodel.KindChart:
		b.failed(fmt.Errorf("%s: %w: charts are not rendered here; put the chart's rendered objects under kind: objects", componentPath(c, "chart"), appspan.ErrUnsupported))
		return
	case appmodel.KindFunction:
		if b.function(c) {
			return
		}
	}
	b.services(c)
	b.workload(c)
	b.autoscale(c)
	b.disruption(c)
	b.monitors(c)
	b.networkPolicy(c)
}
