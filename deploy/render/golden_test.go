package render_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy/render"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// generatedValue is what every generated secret is in these tests.
const generatedValue = "generated-secret-value"

// input is an application for a cluster, with all that it asks for.
func input(t testing.TB, file string, info driver.Info) render.Input {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	app, _, err := appmodel.Decode(data, &appmodel.DecodeOptions{File: filepath.Base(file)})
	require.NoError(t, err)
	answers := map[string]appmodel.JSON{}
	for _, p := range app.Parameters {
		if p.Default == nil && len(p.Sets) == 0 {
			answers[p.Name] = appmodel.JSON(`"an-answer-that-is-long"`)
		}
	}
	app, params, err := appmodel.Resolve(app, answers)
	require.NoError(t, err)
	in := render.Input{Application: app, Info: info, Namespace: "ns", Installation: "test", Params: params, HashKey: []byte("key"),
		Cluster:   render.ClusterRef{Name: "eu-1", Labels: map[string]string{"region": "eu"}},
		Generated: map[string]map[string]appmodel.Sensitive{}, Bindings: map[render.NeedRef]render.Endpoint{}}
	for _, g := range render.Generated(app) {
		if in.Generated[g.Group] == nil {
			in.Generated[g.Group] = map[string]appmodel.Sensitive{}
		}
		in.Generated[g.Group][g.Item] = appmodel.NewSensitive(generatedValue + "-" + g.Group + "-" + g.Item)
	}
	for _, c := range app.Components {
		for _, n := range c.Needs {
			if n.Open != nil {
				in.Bindings[render.NeedRef{Component: c.ID, Need: n.Name}] = render.Endpoint{Host: "ledger.finance", Port: 8443}
			}
		}
	}
	return in
}

// kinds are those of the fake and more.
func kinds(t testing.TB, more ...driver.KindInfo) driver.Info {
	t.Helper()
	f := fake.New(nil)
	defer f.Close()
	info, err := f.Info(context.Background())
	require.NoError(t, err)
	info.UID = "cluster"
	info.Kinds = append(info.Kinds, more...)
	return info
}

var extras = []driver.KindInfo{
	{APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Namespaced: true},
	{APIVersion: "serving.knative.dev/v1", Kind: "Service", Namespaced: true},
	{APIVersion: "monitoring.coreos.com/v1", Kind: "ServiceMonitor", Namespaced: true},
	{APIVersion: "monitoring.coreos.com/v1", Kind: "PrometheusRule", Namespaced: true},
}

// clusters are what goldens are rendered for.
func clusters(t testing.TB) map[string]driver.Info {
	plain := kinds(t, extras[3])
	rich := kinds(t, extras...)
	rich.Gateways = []driver.Gateway{{Namespace: "edge", Name: "public", Listeners: []driver.Listener{{Name: "http", Protocol: "HTTP", Port: 80}, {Name: "https", Protocol: "HTTPS", Port: 443}}}}
	old := kinds(t, extras[3])
	old.Version, old.IngressClasses = "v1.27.4", nil
	return map[string]driver.Info{"plain": plain, "rich": rich, "old": old}
}

const shopFile = "../../appmodel/testdata/shop.yaml"

func TestTheShopRendersToItsGoldens(t *testing.T) {
	t.Parallel()
	for name, info := range clusters(t) {
		out, err := render.Render(input(t, shopFile, info))
		require.NoError(t, err)
		var b bytes.Buffer
		for _, n := range out.Notes {
			fmt.Fprintf(&b, "# %s: %s: %s\n", n.Severity, n.Path, n.Message)
		}
		fmt.Fprintf(&b, "# services: %s\n", strings.Join(out.Services, " "))
		for _, o := range out.Objects {
			text, err := yaml.JSONToYAML(o.JSON)
			require.NoError(t, err)
			fmt.Fprintf(&b, "---\n# phase %d, keep %t, external %v, waits %v\n%s", o.Phase, o.Keep, o.External, o.WaitFor, text)
		}
		path := filepath.Join("testdata", "shop-"+name+".yaml")
		if *update {
			require.NoError(t, os.MkdirAll("testdata", 0o755))
			require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(want), b.String(), "review the difference, then run with -update")
	}
}

func TestNoSecretStandsOutsideOfASecret(t *testing.T) {
	t.Parallel()
	for _, info := range clusters(t) {
		out, err := render.Render(input(t, shopFile, info))
		require.NoError(t, err)
		for _, o := range out.Objects {
			if o.Kind == "Secret" {
				require.True(t, o.Sensitive, o.Ref)
				continue
			}
			require.NotContains(t, string(o.JSON), generatedValue, o.Ref)
			require.NotContains(t, string(o.JSON), "an-answer-that-is-long", o.Ref)
		}
	}
}

func TestRenderingDoesNotDependOnTheOrderOfLists(t *testing.T) {
	t.Parallel()
	in := input(t, shopFile, clusters(t)["plain"])
	want, err := render.Render(in)
	require.NoError(t, err)
	for seed := range 10 {
		shuffled := appmodel.Clone(in.Application)
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		r.Shuffle(len(shuffled.Components), func(i, j int) {
			shuffled.Components[i], shuffled.Components[j] = shuffled.Components[j], shuffled.Components[i]
		})
		r.Shuffle(len(shuffled.Secrets), func(i, j int) { shuffled.Secrets[i], shuffled.Secrets[j] = shuffled.Secrets[j], shuffled.Secrets[i] })
		for k := range shuffled.Components {
			c := &shuffled.Components[k]
			r.Shuffle(len(c.Ports), func(i, j int) { c.Ports[i], c.Ports[j] = c.Ports[j], c.Ports[i] })
			r.Shuffle(len(c.Mounts), func(i, j int) { c.Mounts[i], c.Mounts[j] = c.Mounts[j], c.Mounts[i] })
			r.Shuffle(len(c.Volumes), func(i, j int) { c.Volumes[i], c.Volumes[j] = c.Volumes[j], c.Volumes[i] })
		}
		again := in
		again.Application = shuffled
		got, err := render.Render(again)
		require.NoError(t, err)
		require.Len(t, got.Objects, len(want.Objects))
		for i := range want.Objects {
			require.Equal(t, string(want.Objects[i].JSON), string(got.Objects[i].JSON), want.Objects[i].Ref)
		}
	}
}

func TestAnAPIServerAcceptsEveryObject(t *testing.T) {
	t.Parallel()
	f := fake.New(&fake.Options{ExtraKinds: []fake.ExtraKind{{APIVersion: extras[3].APIVersion, Kind: extras[3].Kind}}})
	defer f.Close()
	ns, err := driver.ParseObject([]byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"ns"}}`))
	require.NoError(t, err)
	_, err = f.Apply(t.Context(), ns, driver.ApplyOptions{Manager: "test"})
	require.NoError(t, err)
	out, err := render.Render(input(t, shopFile, clusters(t)["plain"]))
	require.NoError(t, err)
	for _, o := range out.Objects {
		_, err := f.Apply(t.Context(), o.Object, driver.ApplyOptions{Manager: "test"})
		require.NoError(t, err, o.Ref)
		require.False(t, strings.Contains(string(o.JSON), "null"), "%s has a null", o.Ref)
		require.True(t, json.Valid(o.JSON))
	}
}

func BenchmarkRender1000Components(b *testing.B) {
	app := &appmodel.Application{APIVersion: appmodel.APIVersion, Kind: appmodel.KindApplication, Metadata: appmodel.Metadata{Name: "bench"}}
	user := int64(1000)
	for i := range 1000 {
		app.Components = append(app.Components, appmodel.Component{ID: fmt.Sprintf("c%04d", i), Kind: appmodel.KindService,
			Container: appmodel.Container{Image: "registry.example.com/app:1", Files: []appmodel.File{{Path: "/etc/app", Content: "x"}}, Security: &appmodel.Security{RunAsUser: &user}},
			Ports:     []appmodel.Port{{Name: "http", Port: 8080}}})
	}
	in := render.Input{Application: app, Namespace: "ns", Installation: "test", Info: kinds(b), HashKey: []byte("key")}
	for b.Loop() {
		if _, err := render.Render(in); err != nil {
			b.Fatal(err)
		}
	}
}
