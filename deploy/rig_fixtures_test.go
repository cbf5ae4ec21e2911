package deploy_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/composefile"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/internal/fixtures"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// companions are the files that compose files want beside them.
var companions = fstest.MapFS{
	"logstash/pipeline/logstash-nginx.config": {Data: []byte("input { file { path => \"/home/nginx.log\" } }\noutput { elasticsearch { hosts => [\"es:9200\"] } }\n")},
	"logstash/nginx.log":                      {Data: []byte("127.0.0.1 - - GET /\n")},
	"db/password.txt":                         {Data: []byte("open-sesame")},
	"proxy/nginx.conf":                        {Data: []byte("server { listen 80; location / { proxy_pass http://backend:8000; } }\n")},
	"prometheus/prometheus.yml":               {Data: []byte("global: {scrape_interval: 15s}\n")},
	"grafana/datasource.yml":                  {Data: []byte("apiVersion: 1\ndatasources: [{name: Prometheus, type: prometheus, url: http://prometheus:9090}]\n")},
}

// composed imports every compose file that nobody here wrote.
func composed(t *testing.T) map[string]*appmodel.Application {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(fixtures.Dir(t), "compose", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	out := map[string]*appmodel.Application{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		app, _, err := composefile.Import(t.Context(), data, &composefile.Options{File: filepath.Base(file), Files: companions,
			Images: map[string]string{"backend": "registry.example.com/backend:1", "proxy": "registry.example.com/proxy:1"}})
		require.NoError(t, err)
		out[app.Metadata.Name] = app
	}
	return out
}

// everything has every kind of component that runs pods.
func everything(t *testing.T) *appmodel.Application {
	t.Helper()
	data, err := os.ReadFile("testdata/everything.yaml")
	require.NoError(t, err)
	return decode(t, string(data))
}

// TestRigApplicationsLiveTheirWholeLifeOnTwoControlPlanes: deployed to both at
// once they become ready, are what the golden says, and have endpoints; kubectl
// lists them; a second apply writes nothing; removed they leave their data,
// which a later deployment takes up; removed with data they leave nothing, and
// the namespace if it was there before.
func TestRigApplicationsLiveTheirWholeLifeOnTwoControlPlanes(t *testing.T) {
	t.Parallel()
	newRig(t, "skip", rigOptions{}) // or skip
	applications := composed(t)
	applications["shop"] = shop(t)
	applications["everything"] = everything(t)
	for name, app := range applications {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, name, rigOptions{})
			r.namespaced("rig-2")
			r.wires["rig-2"].take()
			p, err := r.Plan(t.Context(), app, r.both(), nil)
			require.NoError(t, err)
			require.NoError(t, p.Err())
			for _, w := range r.wires {
				require.Empty(t, writes(w.take()), "a plan writes nothing")
			}
			result, err := r.Apply(t.Context(), p, &patient)
			require.NoError(t, err)
			for _, c := range result.Clusters {
				require.Equal(t, status.Ready, c.Status.Value, "%+v", c.Status)
				r.requireEndpoints(c.Cluster)
				r.requireListed(p, c.Cluster)
				requireGolden(t, name, r.golden(c.Cluster))
			}

			_, before := r.quiet("rig-1"), r.quiet("rig-2")
			for _, w := range r.wires {
				w.take()
			}
			for _, c := range r.deployed(app, r.both()).Clusters {
				require.Equal(t, deploy.OutcomeUnchanged, c.Outcome)
			}
			for _, w := range r.wires {
				require.Empty(t, writes(w.take()), "an unchanged apply writes nothing")
			}
			require.Equal(t, before, r.still("rig-2"))

			claims := r.claims("rig-1")
			r.removed(name, r.both(), false)
			require.Equal(t, claims, r.left("rig-1"), "data stays, and nothing else")
			require.Len(t, r.left("rig-2"), len(claims))
			r.deployed(app, r.both())
			require.Equal(t, claims, r.claims("rig-1"), "the data is taken up")
			requireGolden(t, name, r.golden("rig-1"))
			r.removed(name, r.both(), true)
			require.False(t, r.exists("rig-1", namespaceRef(r.namespace)), "the namespace was ours")
			require.True(t, r.exists("rig-2", namespaceRef(r.namespace)), "the namespace was there before")
			require.Empty(t, r.left("rig-1"))
			require.Empty(t, r.left("rig-2"))
		})
	}
}

// claims are the claims in the namespace, by name, with their UIDs.
func (r *rig) claims(name string) map[string]string {
	r.t.Helper()
	out := r.left(name)
	for ref := range out {
		if !strings.HasPrefix(ref, "PersistentVolumeClaim/") {
			delete(out, ref)
		}
	}
	return out
}

// left are the objects in the namespace with their UIDs.
func (r *rig) left(name string) map[string]string {
	r.t.Helper()
	out := map[string]string{}
	for ref, known := range r.objects(name) {
		out[ref], _, _ = strings.Cut(known, " ")
	}
	return out
}

// requireEndpoints checks that every Service leads to a pod that is ready.
func (r *rig) requireEndpoints(name string) {
	r.t.Helper()
	ready := map[string]int{}
	for obj, err := range r.cluster(name).List(r.t.Context(), cluster.Query{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice", Namespace: r.namespace}) {
		require.NoError(r.t, err)
		var slice discoveryv1.EndpointSlice
		require.NoError(r.t, json.Unmarshal(obj.JSON, &slice))
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && *e.Conditions.Ready {
				ready[obj.Labels[discoveryv1.LabelServiceName]] += len(e.Addresses)
			}
		}
	}
	services := 0
	for obj, err := range r.cluster(name).List(r.t.Context(), cluster.Query{APIVersion: "v1", Kind: "Service", Namespace: r.namespace}) {
		require.NoError(r.t, err)
		services++
		require.Positive(r.t, ready[obj.Name], "Service %s on %s has no endpoint that is ready", obj.Name, name)
	}
	require.Positive(r.t, services)
}

// requireListed checks that kubectl lists by the ApplySet exactly what the plan
// said it would create.
func (r *rig) requireListed(p *deploy.Plan, name string) {
	r.t.Helper()
	var want []string
	for _, c := range p.Clusters[slices.Index(p.Target.Clusters, name)].Changes {
		if c.Object.Kind != "Namespace" {
			want = append(want, strings.ToLower(c.Object.GroupKind())+"/"+c.Object.Name)
		}
	}
	parents := r.kubectl(name, "get", "secret", "-l", "applyset.kubernetes.io/id", "-o",
		`jsonpath={.items[*].metadata.labels.applyset\.kubernetes\.io/id} {.items[*].metadata.annotations.applyset\.kubernetes\.io/contains-group-kinds}`)
	id, kinds, _ := strings.Cut(parents[0], " ")
	got := r.kubectl(name, "get", kinds, "-l", "applyset.kubernetes.io/part-of="+id, "-o", "name")
	require.ElementsMatch(r.t, want, got, "%s", kinds)
}

// golden is what we own of each object of the ApplySet, as the server has it,
// without what differs between runs and without secret values.
func (r *rig) golden(name string) string {
	r.t.Helper()
	var documents []string
	info, err := r.cluster(name).Info(r.t.Context())
	require.NoError(r.t, err)
	for _, k := range info.Kinds {
		if !k.Namespaced || !slices.Contains(k.Verbs, "list") || strings.HasPrefix(k.Kind, "Endpoint") { // copies of a Service's labels
			continue
		}
		for obj, err := range r.cluster(name).List(r.t.Context(), cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: r.namespace, Labels: "applyset.kubernetes.io/part-of"}) {
			if errors.Is(err, appspan.ErrUnsupported) {
				break // a kind that another test has taken away meanwhile
			}
			require.NoError(r.t, err)
			var tree map[string]any
			require.NoError(r.t, json.Unmarshal(obj.JSON, &tree))
			id := obj.Labels["applyset.kubernetes.io/part-of"]
			owned := ownedBy(r.t, tree, "appspan-rig-"+obj.Labels[appmodel.LabelApplication])
			if obj.Kind == "Secret" {
				redact(owned)
			}
			hideHashes(owned)
			text, err := yaml.Marshal(owned)
			require.NoError(r.t, err)
			hidden := []string{r.namespace, "NAMESPACE", id, "APPLYSET"}
			if obj.Kind == "Job" { // its name has the hash of what it runs
				hidden = append(hidden, obj.Name[strings.LastIndexByte(obj.Name, '-'):], "-HASH")
			}
			documents = append(documents, strings.NewReplacer(hidden...).Replace(fmt.Sprintf("# %s\n%s", obj.Ref, text)))
		}
	}
	slices.Sort(documents)
	return strings.Join(documents, "---\n")
}

// ownedBy is the part of an object that a manager's applies own, by its
// managed fields.
func ownedBy(t *testing.T, tree map[string]any, manager string) map[string]any {
	t.Helper()
	meta := tree["metadata"].(map[string]any)
	out := map[string]any{}
	for _, e := range meta["managedFields"].([]any) {
		entry := e.(map[string]any)
		if entry["manager"] == manager && entry["operation"] == "Apply" {
			out = owned(tree, entry["fieldsV1"].(map[string]any)).(map[string]any)
		}
	}
	require.NotEmpty(t, out, "%s owns nothing of %v", manager, meta["name"])
	return out
}

// owned takes from a value what a set of fields has of it (KEP-555): f: is a
// field, k: an entry of a list by its keys, v: one by its value.
func owned(value any, fields map[string]any) any {
	inner := func(v any, f any) any {
		if set := f.(map[string]any); len(set) > 1 || len(set) == 1 && set["."] == nil {
			return owned(v, set)
		}
		return v
	}
	switch value := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for f, set := range fields {
			if key, ok := strings.CutPrefix(f, "f:"); ok {
				out[key] = inner(value[key], set)
			}
		}
		return out
	case []any:
		var out []any
		for _, v := range value {
			for f, set := range fields {
				var want any
				switch {
				case strings.HasPrefix(f, "v:") && json.Unmarshal([]byte(f[2:]), &want) == nil && want == v:
					out = append(out, v)
				case strings.HasPrefix(f, "k:") && json.Unmarshal([]byte(f[2:]), &want) == nil && hasKeys(v, want):
					out = append(out, inner(v, set))
				}
			}
		}
		return out
	}
	return value
}

func hasKeys(v, keys any) bool {
	entry, _ := v.(map[string]any)
	for k, want := range keys.(map[string]any) {
		if entry[k] != want {
			return false
		}
	}
	return true
}

// redact replaces the values of a Secret.
func redact(secret map[string]any) {
	for _, field := range []string{"data", "stringData"} {
		data, _ := secret[field].(map[string]any)
		for k := range data {
			data[k] = "SECRET"
		}
	}
}

// hideHashes replaces hashes, which depend on the cluster and the namespace.
func hideHashes(v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			if _, text := inner.(string); text && (k == appmodel.AnnotationHash || k == appmodel.AnnotationContent) {
				v[k] = "HASH"
			}
			hideHashes(inner)
		}
	case []any:
		for _, inner := range v {
			hideHashes(inner)
		}
	}
}

func requireGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}
