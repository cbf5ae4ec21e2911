package render_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

// ofObjects renders components of raw objects for a cluster that serves
// ConfigMaps and definitions.
func ofObjects(t *testing.T, components ...appmodel.Component) (*render.Output, error) {
	t.Helper()
	app := &appmodel.Application{APIVersion: appmodel.APIVersion, Kind: "Application", Metadata: appmodel.Metadata{Name: "shop"}, Components: components}
	return render.Render(render.Input{Application: app, Namespace: "shop", Installation: "test", HashKey: []byte("k"),
		Params: map[string]appmodel.JSON{"big": appmodel.JSON(`"` + strings.Repeat("x", 64<<10) + `"`)}, Validated: true,
		Info: driver.Info{Version: "v1.37.2", Kinds: []driver.KindInfo{
			{APIVersion: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespaced: true},
			{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition", Resource: "customresourcedefinitions"},
		}}})
}

func rawComponent(id string, manifests ...string) appmodel.Component {
	c := appmodel.Component{ID: id, Kind: appmodel.KindObjects}
	for _, m := range manifests {
		c.Objects = append(c.Objects, appmodel.RawObject{Manifest: appmodel.JSON(m), Interpolate: strings.Contains(m, "${")})
	}
	return c
}

func definition(scope string) string {
	return fmt.Sprintf(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"widgets.example.com"},
		"spec":{"group":"example.com","scope":%q,"names":{"kind":"Widget","plural":"widgets"},"versions":[
		{"name":"v1","served":true,"storage":true},{"name":"v1alpha1","served":false}]}}`, scope)
}

func widget(version, name string) string {
	return fmt.Sprintf(`{"apiVersion":"example.com/%s","kind":"Widget","metadata":{"name":%q,"namespace":"elsewhere"},"spec":{"size":3}}`, version, name)
}

func TestObjectsMayBeOfKindsThatTheApplicationDefines(t *testing.T) {
	t.Parallel()
	out, err := ofObjects(t, rawComponent("things", widget("v1", "one")), rawComponent("kinds", definition("Namespaced")))
	require.NoError(t, err)
	require.Equal(t, []driver.KindInfo{{APIVersion: "example.com/v1", Kind: "Widget", Resource: "widgets", Namespaced: true}}, out.Defines)
	require.Len(t, out.Objects, 2)
	require.Equal(t, driver.Ref{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition", Name: "widgets.example.com"}, out.Objects[0].Ref)
	require.Equal(t, render.PhaseDefinition, out.Objects[0].Phase)
	require.True(t, out.Objects[0].Privileged)
	require.Equal(t, driver.Ref{APIVersion: "example.com/v1", Kind: "Widget", Namespace: "shop", Name: "one"}, out.Objects[1].Ref)
	require.Greater(t, out.Objects[1].Phase, render.PhaseDefinition)
	require.False(t, out.Objects[1].Privileged)
}

func TestObjectsOfAClusterScopedKindThatTheApplicationDefinesArePrivileged(t *testing.T) {
	t.Parallel()
	out, err := ofObjects(t, rawComponent("kinds", definition("Cluster"), widget("v1", "one")))
	require.NoError(t, err)
	require.Empty(t, out.Objects[1].Namespace)
	require.True(t, out.Objects[1].Privileged)
}

func TestObjectsOfAKindThatNobodyServesAreRefused(t *testing.T) {
	t.Parallel()
	for name, components := range map[string][]appmodel.Component{
		"no definition":            {rawComponent("things", widget("v1", "one"))},
		"a version not served":     {rawComponent("things", widget("v1alpha1", "one")), rawComponent("kinds", definition("Namespaced"))},
		"a definition of no group": {rawComponent("things", widget("v1", "one")), rawComponent("kinds", `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"x"},"spec":{"versions":[{"served":true},1,null]}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ofObjects(t, components...)
			require.ErrorIs(t, err, appspan.ErrUnsupported)
			require.ErrorContains(t, err, "components[things].objects[0]: ")
			require.ErrorContains(t, err, "; install what defines it, add its CustomResourceDefinition to the application, or disable")
		})
	}
}

func TestManifestsAreBounded(t *testing.T) {
	t.Parallel()
	config := func(i, size int) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c%d"},"data":{"x":%q}}`, i, strings.Repeat("x", size))
	}
	var many, large, grown []string
	for i := range 2001 {
		many = append(many, config(i, 0))
	}
	for i := range 9 {
		large = append(large, config(i, 500<<10))
	}
	for i := range 9 { // small as it is written
		grown = append(grown, fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c%d"},"data":{"x":%q}}`, i, strings.Repeat("${param.big}", 8)))
	}
	for name, c := range map[string]struct {
		manifests []string
		path      string
	}{
		"too many":                    {many, "components[raw].objects[2000]: "},
		"too large together":          {large, "components[raw].objects[8]: "},
		"too large once interpolated": {grown, "components[raw].objects[7]: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ofObjects(t, rawComponent("raw", c.manifests...))
			require.ErrorIs(t, err, appspan.ErrInvalid)
			require.ErrorContains(t, err, c.path)
			require.ErrorContains(t, err, "; put some into an application of their own")
			_, err = ofObjects(t, rawComponent("raw", c.manifests[:len(c.manifests)-2]...))
			require.NoError(t, err)
		})
	}
}

func TestAManifestThatIsNoObjectIsRefused(t *testing.T) {
	t.Parallel()
	for _, manifest := range []string{`null`, `[]`, `1`, `"x"`, `{`, `{}`, `{"apiVersion":"v1","kind":"ConfigMap"}`, `{"apiVersion":1,"kind":"ConfigMap","metadata":{}}`} {
		t.Run(manifest, func(t *testing.T) {
			t.Parallel()
			_, err := ofObjects(t, rawComponent("raw", manifest))
			require.ErrorIs(t, err, appspan.ErrInvalid)
			require.Regexp(t, `components\[raw\]\.objects\[0\]: .+; \w`, err.Error())
		})
	}
}
