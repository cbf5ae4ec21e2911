package deploy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/appspan-dev/appspan/deploy"
)

const widgets = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: factory}
components:
  - id: kinds
    kind: objects
    objects:
      - manifest:
          apiVersion: apiextensions.k8s.io/v1
          kind: CustomResourceDefinition
          metadata: {name: widgets.example.com}
          spec:
            group: example.com
            scope: Namespaced
            names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
            versions:
              - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
  - id: things
    kind: objects
    objects:
      - manifest: {apiVersion: example.com/v1, kind: Widget, metadata: {name: one}, spec: {size: 1}}
      - manifest: {apiVersion: example.com/v1, kind: Widget, metadata: {name: two}, spec: {size: 2}}
`

var (
	widgetDefinition = driver.Ref{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition", Name: "widgets.example.com"}
	widgetTwo        = driver.Ref{APIVersion: "example.com/v1", Kind: "Widget", Namespace: "shop", Name: "two"}
)

// exists reports whether a cluster has an object.
func (w *world) exists(name string, ref driver.Ref) bool {
	w.t.Helper()
	_, err := w.fakes[name].Get(w.t.Context(), ref)
	return err == nil
}

func TestAnApplicationBringsAKindAndObjectsOfIt(t *testing.T) {
	t.Parallel()
	w := two(t)
	app := decode(t, widgets)
	p, err := w.Plan(t.Context(), app, both, nil)
	require.NoError(t, err)
	require.NoError(t, p.Err())
	require.Len(t, p.Clusters[0].Changes, 4, "the namespace, the definition and two objects")
	first, err := w.Apply(t.Context(), p, nil)
	require.NoError(t, err)
	require.Equal(t, deploy.OutcomeDone, first.Cluster("b").Outcome)
	require.True(t, w.exists("b", widgetTwo))

	again, err := w.Apply(t.Context(), p, nil)
	require.NoError(t, err, "the same plan holds once its own kinds have come")
	require.Equal(t, deploy.OutcomeUnchanged, again.Cluster("a").Outcome)
	p, err = w.Plan(t.Context(), app, both, nil)
	require.NoError(t, err)
	require.Empty(t, p.Clusters[0].Changes)
	require.Equal(t, deploy.OutcomeUnchanged, w.deployed(app, both).Cluster("a").Outcome)

	for _, name := range []string{"a", "b"} {
		require.NoError(t, w.fakes[name].Delete(t.Context(), widgetTwo, driver.DeleteOptions{}))
	}
	p, err = w.Plan(t.Context(), app, both, nil)
	require.NoError(t, err)
	require.Len(t, p.Clusters[0].Changes, 1, "one that is gone is seen")
	_, err = w.Apply(t.Context(), p, nil)
	require.NoError(t, err)
	require.True(t, w.exists("a", widgetTwo))

	_, err = w.Remove(t.Context(), "factory", both, nil, nil)
	require.NoError(t, err)
	require.False(t, w.exists("a", widgetTwo))
	require.False(t, w.exists("a", widgetDefinition))
	require.False(t, w.exists("a", driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: "shop"}))
}

func TestAnotherProcessSeesObjectsOfAKindThatCameSinceItAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]*fake.Options{"a": {Name: "a"}})
	app := decode(t, widgets)
	other := cluster.New("a", w.fakes["a"], &cluster.Options{InfoTTL: time.Hour})
	info, err := other.Info(t.Context())
	require.NoError(t, err)
	require.False(t, info.Has("example.com/v1", "Widget"))
	w.deployed(app, on("a"))

	w.set, err = cluster.NewSet(other)
	require.NoError(t, err)
	d := w.deployer("test")
	p, err := d.Plan(t.Context(), app, on("a"), nil)
	require.NoError(t, err)
	require.Empty(t, p.Clusters[0].Changes)
	_, err = d.Remove(t.Context(), "factory", on("a"), nil, nil)
	require.NoError(t, err)
	require.False(t, w.exists("a", widgetTwo))
	require.False(t, w.exists("a", widgetDefinition))
}

func TestADefinitionStaysWhileOthersHaveObjectsOfItsKind(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*world) error{
		"the application is removed": func(w *world) error {
			_, err := w.Remove(w.t.Context(), "factory", on("a"), &deploy.RemoveOptions{Data: true}, nil)
			return err
		},
		"the definition is dropped": func(w *world) error {
			w.deployed(decode(w.t, `{apiVersion: appspan.dev/v1alpha1, kind: Application, metadata: {name: factory}, components: [{id: c, kind: objects, objects: [{manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: left}}}]}]}`), on("a"))
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]*fake.Options{"a": {Name: "a"}})
			w.deployed(decode(t, widgets), on("a"))
			foreign, err := driver.ParseObject([]byte(`{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"theirs","namespace":"default"},"spec":{"size":3}}`))
			require.NoError(t, err)
			_, err = w.fakes["a"].Apply(t.Context(), foreign, driver.ApplyOptions{Manager: "somebody"})
			require.NoError(t, err)
			require.NoError(t, remove(w))
			require.False(t, w.exists("a", widgetTwo))
			require.True(t, w.exists("a", widgetDefinition))
			require.True(t, w.exists("a", foreign.Ref))
		})
	}
}

func TestAKindThatWasBroughtHalfwayIsBroughtByTheSamePlan(t *testing.T) {
	t.Parallel()
	for _, when := range []fault.When{fault.Before, fault.After} {
		for n := 1; n <= 8; n++ {
			t.Run(fmt.Sprintf("side %d of call %d", when, n), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, map[string]*fake.Options{"a": {Name: "a"}})
				broken := fault.New(w.fakes["a"])
				var err error
				w.set, err = cluster.NewSet(cluster.New("a", broken, nil))
				require.NoError(t, err)
				d := w.deployer("test")
				// twice breaks one call of the first apply of a plan.
				twice := func(op fault.Op, p *deploy.Plan) {
					require.NoError(t, p.Err())
					broken.Add(fault.Rule{Op: op, Nth: n, When: when, Err: fmt.Errorf("%w: broken on purpose", appspan.ErrInvalid)})
					_, failed := d.Apply(t.Context(), p, nil)
					broken.Heal()
					_, err := d.Apply(t.Context(), p, nil)
					require.NoError(t, err, "after %v", failed)
				}
				p, err := d.Plan(t.Context(), decode(t, widgets), on("a"), nil)
				require.NoError(t, err)
				twice(fault.Apply, p)
				require.True(t, w.exists("a", widgetTwo))
				p, err = d.PlanRemove(t.Context(), "factory", on("a"), nil)
				require.NoError(t, err)
				twice(fault.Delete, p)
				require.False(t, w.exists("a", widgetTwo))
				require.False(t, w.exists("a", widgetDefinition))
			})
		}
	}
}
