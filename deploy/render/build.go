package render

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// builder renders one application.
type builder struct {
	in    Input
	app   *appmodel.Application // with defaults
	comps map[string]*appmodel.Component
	out   *Output
	errs  []error
}

// Render turns the application into the objects that it is on the cluster.
func Render(in Input) (*Output, error) {
	b := &builder{in: in, app: appmodel.WithDefaults(in.Application), comps: map[string]*appmodel.Component{}, out: &Output{}}
	for i := range b.app.Components {
		c := &b.app.Components[i]
		if c.IsEnabled() {
			b.comps[c.ID] = c
		}
	}
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
	b.patches()
	if len(b.errs) > 0 {
		return nil, errors.Join(b.errs...)
	}
	slices.SortFunc(b.out.Objects, func(x, y Object) int {
		return cmp.Or(cmp.Compare(x.Phase, y.Phase), cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Name, y.Name))
	})
	slices.Sort(b.out.Services)
	return b.out, nil
}

func (b *builder) fail(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf("%w: "+format, append([]any{appspan.ErrInvalid}, args...)...))
}

func (b *builder) name(id string) string { return appmodel.ObjectName(b.app.Metadata.Name, id) }

// selector are the labels by which pods of a component are found.
func (b *builder) selector(id string) map[string]string {
	return map[string]string{appmodel.LabelApplication: b.app.Metadata.Name, appmodel.LabelComponent: id}
}

func (b *builder) labels(c *appmodel.Component) map[string]string {
	l := map[string]string{appmodel.LabelInstallation: b.in.Installation, appmodel.LabelApplication: b.app.Metadata.Name,
		"app.kubernetes.io/part-of": b.app.Metadata.Name, "app.kubernetes.io/managed-by": "appspan"}
	if c != nil {
		l[appmodel.LabelComponent] = c.ID
		l["app.kubernetes.io/name"] = c.ID
		for k, v := range c.Labels {
			l[k] = v
		}
	}
	return l
}

func (b *builder) meta(name string, c *appmodel.Component) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: b.in.Namespace, Labels: b.labels(c)}
}

// add encodes an object without nulls and status.
func (b *builder) add(v any, o Object) {
	data, err := json.Marshal(v)
	if err == nil {
		var tree map[string]any
		if err = json.Unmarshal(data, &tree); err == nil {
			delete(tree, "status")
			prune(tree)
			data, err = json.Marshal(tree)
		}
	}
	if err == nil {
		o.Object, err = driver.ParseObject(data)
	}
	if err != nil {
		b.errs = append(b.errs, err)
		return
	}
	b.out.Objects = append(b.out.Objects, o)
}

func prune(v any) {
	switch t := v.(type) {
	case map[string]any:
		for k, x := range t {
			if x == nil {
				delete(t, k)
				continue
			}
			if m, ok := x.(map[string]any); ok && len(m) == 0 && (k == "resources" || k == "strategy" || k == "updateStrategy" || k == "status") {
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

func (b *builder) hash(data any) string {
	raw, _ := json.Marshal(data)
	m := hmac.New(sha256.New, b.in.HashKey)
	m.Write(raw)
	return hex.EncodeToString(m.Sum(nil)[:8])
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
		b.errs = append(b.errs, fmt.Errorf("components[%s]: %w: charts need a ChartRenderer, which this version does not have; put the chart's rendered objects under kind: objects", c.ID, appspan.ErrUnsupported))
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
