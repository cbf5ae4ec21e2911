package manifests_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/manifests"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/deploy/render"
	"github.com/appspan-dev/appspan/internal/fixtures"
)

// streams are applications to import, by name: those of testdata, and the one
// that nobody here wrote, if it is there.
func streams(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	out := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		out[strings.TrimSuffix(filepath.Base(file), ".yaml")] = data
	}
	return out
}

// TestRenderingAgainGivesTheSameObjects imports, renders, and has a server
// without a disk default both.
func TestRenderingAgainGivesTheSameObjects(t *testing.T) {
	t.Parallel()
	for name, data := range streams(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireSame(t, server(t, nil), name, data)
		})
	}
}

func TestAnApplicationThatNobodyHereWroteRendersAgainToTheSameObjects(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(fixtures.Dir(t), "manifests", "online-boutique.yaml"))
	require.NoError(t, err)
	requireSame(t, server(t, nil), "online-boutique", data)
}

// TestRigRenderingAgainGivesTheSameObjects asks a real API server, by dry runs.
func TestRigRenderingAgainGivesTheSameObjects(t *testing.T) {
	t.Parallel()
	file := os.Getenv("APPSPAN_RIG_KUBECONFIG")
	if file == "" {
		t.Skip("APPSPAN_RIG_KUBECONFIG is not set; run `make rig`")
	}
	config, err := os.ReadFile(file)
	require.NoError(t, err)
	c, err := kube.FromKubeconfig(config, "rig-1", nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	inputs := streams(t)
	delete(inputs, "gateway") // whose kinds it does not serve
	if data, err := os.ReadFile(filepath.Join(fixtures.Dir(t), "manifests", "online-boutique.yaml")); err == nil {
		inputs["online-boutique"] = data
	}
	for name, data := range inputs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireSame(t, server(t, c), name, data)
		})
	}
}

// world is a cluster, and a namespace on it.
type world struct {
	driver.Cluster
	namespace string
	info      driver.Info
}

// server is a cluster with a namespace of its own; nil is a fake one.
func server(t *testing.T, c driver.Cluster) world {
	t.Helper()
	if c == nil {
		options := &fake.Options{}
		if strings.HasSuffix(t.Name(), "gateway") {
			options.Gateways = []driver.Gateway{{Namespace: "gateways", Name: "public", Listeners: []driver.Listener{
				{Name: "http", Protocol: "HTTP", Port: 80}, {Name: "stream", Protocol: "TCP", Port: 5000}}}}
		}
		f := fake.New(options)
		t.Cleanup(func() { require.NoError(t, f.Close()) })
		c = f
	}
	info, err := c.Info(t.Context())
	require.NoError(t, err)
	w := world{c, "manifests-" + strconv.FormatInt(time.Now().UnixNano()%1e12, 36), info}
	ns, err := driver.ParseObject(fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, w.namespace))
	require.NoError(t, err)
	_, err = c.Apply(t.Context(), ns, driver.ApplyOptions{Manager: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Delete(context.Background(), ns.Ref, driver.DeleteOptions{}) })
	return w
}

// requireSame imports and renders, and compares what a server makes of the
// input and of what was rendered, but for the differences that the report of
// the import states; those are in testdata/<name>.differences.
func requireSame(t *testing.T, w world, name string, data []byte) {
	t.Helper()
	app, _, err := manifests.Import(t.Context(), data, &manifests.Options{File: name + ".yaml"})
	require.NoError(t, err)
	out, err := render.Render(render.Input{Application: app, Info: w.info, Namespace: w.namespace, Installation: "test"})
	require.NoError(t, err)
	for _, n := range out.Notes {
		t.Log(n.Severity, n.Path, n.Message)
	}
	rendered := map[string]map[string]any{}
	for _, o := range out.Objects {
		rendered[o.Kind+"/"+o.Name] = w.defaulted(t, o.JSON)
	}
	var found []string
	for _, o := range split(t, data) {
		id := fmt.Sprint(o["kind"], "/", o["metadata"].(map[string]any)["name"])
		got := rendered[id]
		delete(rendered, id)
		if got == nil {
			found = append(found, id+" is not rendered")
			continue
		}
		if o["apiVersion"] == "autoscaling/v1" {
			continue // rendered as autoscaling/v2
		}
		raw, err := json.Marshal(o)
		require.NoError(t, err)
		difference(id, w.defaulted(t, raw), got, &found)
	}
	for _, id := range slices.Sorted(maps.Keys(rendered)) {
		found = append(found, id+" is rendered besides")
	}
	slices.Sort(found)
	golden := filepath.Join("testdata", name+".differences")
	want, err := os.ReadFile(golden)
	if *update {
		if len(found) > 0 {
			require.NoError(t, os.WriteFile(golden, []byte(strings.Join(found, "\n")+"\n"), 0o644))
		} else {
			_ = os.Remove(golden)
		}
		return
	}
	if err != nil {
		require.Empty(t, found)
		return
	}
	require.Equal(t, strings.TrimSpace(string(want)), strings.Join(found, "\n"))
}

// split are the objects of a stream, without those that no application has.
func split(t *testing.T, data []byte) []map[string]any {
	t.Helper()
	return objectsOf(t, data, func(o map[string]any) bool { return o["kind"] != "Namespace" })
}

// objectsOf are the objects of a stream, those of its lists too.
func objectsOf(t *testing.T, data []byte, wanted func(map[string]any) bool) []map[string]any {
	t.Helper()
	var out []map[string]any
	d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	var take func(o map[string]any)
	take = func(o map[string]any) {
		if items, ok := o["items"].([]any); ok {
			for _, i := range items {
				take(i.(map[string]any))
			}
			return
		}
		if len(o) > 0 && wanted(o) {
			out = append(out, o)
		}
	}
	for {
		var o map[string]any
		if err := d.Decode(&o); err == io.EOF {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		take(o)
	}
}

// defaulted is what a server would store of an object.
func (w world) defaulted(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var tree map[string]any
	require.NoError(t, json.Unmarshal(raw, &tree))
	meta := tree["metadata"].(map[string]any)
	for _, f := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences"} {
		delete(meta, f)
	}
	delete(tree, "status")
	if kind, ok := w.info.Lookup(fmt.Sprint(tree["apiVersion"]), fmt.Sprint(tree["kind"])); ok && kind.Namespaced {
		meta["namespace"] = w.namespace
	}
	raw, err := json.Marshal(tree)
	require.NoError(t, err)
	o, err := driver.ParseObject(raw)
	require.NoError(t, err)
	stored, err := w.Apply(t.Context(), o, driver.ApplyOptions{Manager: "test", DryRun: true, Force: true})
	require.NoError(t, err, "%s", raw)
	tree = nil
	require.NoError(t, json.Unmarshal(stored.JSON, &tree))
	meta = tree["metadata"].(map[string]any)
	for _, f := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "namespace"} {
		delete(meta, f)
	}
	delete(tree, "status")
	if spec, ok := tree["spec"].(map[string]any); ok && tree["kind"] == "Service" {
		given := string(raw)
		delete(spec, "clusterIPs")
		if spec["clusterIP"] != "None" {
			delete(spec, "clusterIP")
		}
		if !regexp.MustCompile(`"nodePort":\d`).MatchString(given) {
			ports, _ := spec["ports"].([]any)
			for _, p := range ports {
				delete(p.(map[string]any), "nodePort")
			}
		}
		delete(spec, "healthCheckNodePort")
	}
	return tree
}

// difference lists the leaves in which two objects differ. Labels and
// annotations may be added.
func difference(at string, want, got any, found *[]string) {
	w, isMap := want.(map[string]any)
	g, _ := got.(map[string]any)
	if isMap || g != nil {
		keys := map[string]bool{}
		for k := range w {
			keys[k] = true
		}
		for k := range g {
			keys[k] = true
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			if strings.HasSuffix(k, "controller-uid") || strings.HasSuffix(k, "job-name") {
				continue // a server labels Jobs itself
			}
			if _, there := w[k]; !there && (strings.HasSuffix(at, ".labels") && !strings.Contains(at, "template") || k == "labels" && strings.HasSuffix(at, ".metadata") && !strings.Contains(at, "template.")) {
				continue
			}
			difference(at+"."+k, w[k], g[k], found)
		}
		return
	}
	wl, isList := want.([]any)
	gl, _ := got.([]any)
	if isList || gl != nil {
		if !strings.HasSuffix(at, ".env") {
			wl, gl = byKey(wl), byKey(gl)
		}
		for i := range max(len(wl), len(gl)) {
			var a, b any
			if i < len(wl) {
				a = wl[i]
			}
			if i < len(gl) {
				b = gl[i]
			}
			difference(at+"["+strconv.Itoa(i)+"]", a, b, found)
		}
		return
	}
	a, _ := json.Marshal(want)
	b, _ := json.Marshal(got)
	if !bytes.Equal(a, b) {
		*found = append(*found, fmt.Sprintf("%s: %s became %s", at, a, b))
	}
}

// byKey sorts a list of mappings, whose order has no meaning.
func byKey(list []any) []any {
	key := func(v any) string {
		m, _ := v.(map[string]any)
		return fmt.Sprint(m["name"], m["containerPort"], m["port"], m["protocol"], m["mountPath"])
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b any) int { return strings.Compare(key(a), key(b)) })
	return list
}

// requireValid has the model look at an application.
func requireValid(t *testing.T, app *appmodel.Application) {
	t.Helper()
	require.NoError(t, appmodel.Validate(app).Err())
	again, err := appmodel.Encode(app, &appmodel.EncodeOptions{Secrets: true})
	require.NoError(t, err)
	_, _, err = appmodel.Decode(again, nil)
	require.NoError(t, err)
}
