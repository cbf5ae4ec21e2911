package manifests_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/manifests"
)

func workload(spec string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      containers:\n      - name: web\n        image: nginx:1\n" + spec
}

// hostile are inputs that must be refused, with what the error says.
func hostile() map[string][2]string {
	bomb := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 10; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	many := strings.Repeat("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: NAME}\n", 2001)
	for i := range 2001 {
		many = strings.Replace(many, "NAME", fmt.Sprintf("c%d", i), 1)
	}
	var numbers strings.Builder // each of which is no text
	for i := range 50_000 {
		fmt.Fprintf(&numbers, "  k%d: %d\n", i, i)
	}
	return map[string][2]string{
		"50,000 faults":                    {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n" + numbers.String(), "cannot unmarshal number"},
		"nothing":                          {"", "no Kubernetes object"},
		"comments alone":                   {"# a\n---\n# b\n", "no Kubernetes object"},
		"no YAML":                          {"kind: [", "no YAML"},
		"a template of Helm":               {"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}\n  {{- toYaml .Values.labels | nindent 4 }}\n", "helm template"},
		"a tab as indentation":             {"kind:\n\tx: y", "no YAML"},
		"a list at the top":                {"- a\n", "no Kubernetes object"},
		"a text":                           {"hello\n", "no Kubernetes object"},
		"no kind":                          {"apiVersion: v1\nmetadata: {name: x}\n", "no apiVersion or no kind"},
		"no name":                          {"apiVersion: v1\nkind: ConfigMap\n", "has no metadata.name"},
		"a generated name":                 {"apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\n", "makes up"},
		"one object twice":                 {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", "stands in manifests.yaml:1 already"},
		"one name in two namespaces":       {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: b}\n", "one namespace at a time"},
		"a document without a separator":   {"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n...\napiVersion: v1\n", "expected <document start>"},
		"50 MB":                            {strings.Repeat("# padding\n", 5<<20), "more than 4 MiB"},
		"four MiB of brackets":             {strings.Repeat("[", 3<<20), "too many entries"},
		"an alias bomb":                    {bomb, "more than 200000 values"},
		"an anchor that holds itself":      {"a: &a [*a]\n", "anchor"},
		"deep nesting":                     {"a: " + strings.Repeat("[", 100) + strings.Repeat("]", 100), "nested more than 64 deep"},
		"a key twice":                      {"apiVersion: v1\nkind: ConfigMap\nkind: Secret\nmetadata: {name: x}\n", `key "kind" stands there twice`},
		"a key that is a list":             {"[a, b]: c\n", "a key that is no text"},
		"2,001 objects":                    {many, "more than 2000 objects"},
		"an old version":                   {"apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: x}\n", "convert it to apps/v1"},
		"an old Ingress":                   {"apiVersion: networking.k8s.io/v1beta1\nkind: Ingress\nmetadata: {name: x}\n", "convert it to networking.k8s.io/v1"},
		"a number that is a word":          {workload("") + "  replicas: three\n", "Deployment[web].spec.replicas: cannot unmarshal string"},
		"a word that is a truth of YAML":   {workload("        env: [{name: A, value: yes}]\n"), "Deployment[web].spec.template.spec.containers[0].env[0].value: cannot unmarshal bool"},
		"a list that is a mapping":         {workload("        args: {a: b}\n"), "manifests.yaml:12:15: Deployment[web].spec.template.spec.containers[0].args: cannot unmarshal object"},
		"a quantity without sense":         {workload("        resources: {limits: {memory: lots}}\n"), "resources.limits.memory"},
		"no containers":                    {"apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {}\n", "has no container"},
		"no image":                         {"apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{name: a}]}\n", "container a has no image"},
		"no selector":                      {"apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: x}\nspec: {template: {spec: {containers: [{name: a, image: b}]}}}\n", "has no selector"},
		"a selector of other pods":         {strings.Replace(workload(""), "labels: {app: web}", "labels: {app: other}", 1), "the pods do not have this label"},
		"data of a Secret that is not one": {"apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {a: '%%hush-hush%%'}\n", "Secret[x].data.a: illegal base64"},
	}
}

func TestHostileInputsAreRefusedWithAClearErrorInBoundedMemory(t *testing.T) {
	for name, c := range hostile() {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			app, report, err := manifests.Import(t.Context(), []byte(c[0]), nil)
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, appspan.ErrInvalid)
			require.ErrorContains(t, err, c[1])
			require.Nil(t, app)
			require.Nil(t, report)
			require.Less(t, len(err.Error()), 32<<10)
			require.NotContains(t, err.Error(), "hush-hush")
			require.Regexp(t, `(^| )manifests.yaml:[1-9]\d*:[1-9]`, err.Error(), "no position")
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(512<<20), "bytes allocated")
		})
	}
}

func TestAllFaultsAreSaidAtOnceWithTheirPlaces(t *testing.T) {
	t.Parallel()
	text := workload("        stdin: maybe\n        tty: maybe\n") + "  replicas: x\n---\n" +
		"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports:\n  - port: http\n---\nkind: Oops\n---\na: [\n"
	_, _, err := manifests.Import(t.Context(), []byte(text), &manifests.Options{File: "shop.yaml"})
	var invalid *appmodel.InvalidError
	require.ErrorAs(t, err, &invalid)
	for _, want := range []string{
		"shop.yaml:12:16: Deployment[web].spec.template.spec.containers[0].stdin: cannot unmarshal string where bool belongs",
		"shop.yaml:13:14: Deployment[web].spec.template.spec.containers[0].tty: cannot unmarshal string where bool belongs",
		"shop.yaml:14:13: Deployment[web].spec.replicas: cannot unmarshal string where int32 belongs",
		"shop.yaml:21:11: Service[a].spec.ports[0].port: cannot unmarshal string where int32 belongs",
		"shop.yaml:23:1: has no apiVersion or no kind",
		"shop.yaml:25:1: no YAML",
	} {
		require.ErrorContains(t, err, want)
	}
}

func TestWhatKubernetesDoesNotKnowIsReported(t *testing.T) {
	t.Parallel()
	_, report, err := manifests.Import(t.Context(), []byte(workload("        imagePullPolice: Always\n")+"  replica: 3\n"), nil)
	require.NoError(t, err)
	require.Contains(t, report.String(), "manifests.yaml:12: Deployment[web].spec.template.spec.containers[0].imagePullPolice: unsupported: Kubernetes knows no such field")
	require.Contains(t, report.String(), "manifests.yaml:13: Deployment[web].spec.replica: unsupported: Kubernetes knows no such field")
}

func TestNoReportAndNoApplicationShowsASecret(t *testing.T) {
	t.Parallel()
	const secret = "correct-horse"
	text := "apiVersion: v1\nkind: Secret\nmetadata: {name: keys, annotations: {kubectl.kubernetes.io/last-applied-configuration: '" + secret + "'}}\nstringData: {a: " + secret + "}\n"
	app, report, err := manifests.Import(t.Context(), []byte(text), nil)
	require.NoError(t, err)
	require.NotContains(t, encode(t, app), secret)
	require.NotContains(t, lines(report), secret)
	require.Equal(t, secret, app.Secrets[0].Items[0].Value.Reveal())
}

func TestADirectoryIsReadAndNothingOutsideOfIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside.yaml")
	object := func(name string) []byte {
		return []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n")
	}
	require.NoError(t, os.WriteFile(outside, object("outside"), 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "more"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".git"), 0o755))
	for name, data := range map[string][]byte{"b.yaml": object("b"), "more/a.yml": object("a"), "c.json": []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}`),
		"README.md": []byte("["), ".git/x.yaml": []byte("[")} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link.yaml")))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, root.Close()) }()
	app, report, err := manifests.ImportFS(t.Context(), root.FS(), &manifests.Options{Name: "shop"})
	require.NoError(t, err)
	require.Len(t, app.Configs, 3)
	require.Contains(t, report.Notes, "link.yaml is a symbolic link, and not followed")
	require.Equal(t, "b.yaml", report.Leaves[0].File)

	for file, want := range map[string]string{"Chart.yaml": "helm template", "kustomization.yaml": "kustomize build"} {
		_, _, err := manifests.ImportFS(t.Context(), fstest.MapFS{"x/" + file: {Data: []byte("a: b")}}, nil)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, "x/"+file+":1:1")
	}
	_, _, err = manifests.ImportFS(t.Context(), fstest.MapFS{"huge.yaml": {Data: make([]byte, 5<<20)}}, nil)
	require.ErrorContains(t, err, "huge.yaml:1:1: 5 MiB, more than 4 MiB")
}

func TestAPreviousImportKeepsItsIDs(t *testing.T) {
	t.Parallel()
	job := func(name string) string {
		return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: " + name + "}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: 'b:1'}]}}}\n---\n"
	}
	app, _, err := manifests.Import(t.Context(), []byte(job("a.b")+job("a-b")), nil)
	require.NoError(t, err)
	require.Equal(t, []string{"a-b", "a-b-2"}, []string{app.Components[0].ID, app.Components[1].ID})
	app, _, err = manifests.Import(t.Context(), []byte(job("a-b")+job("new")+job("a.b")), &manifests.Options{Previous: app})
	require.NoError(t, err)
	require.Equal(t, []string{"a-b-2", "new", "a-b"}, []string{app.Components[0].ID, app.Components[1].ID, app.Components[2].ID})
}

func TestNamesOfServicesBecomeNeeds(t *testing.T) {
	t.Parallel()
	db := strings.ReplaceAll(workload("        ports: [{containerPort: 5432}]\n"), "web", "db") + "---\napiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\nspec: {selector: {app: db}, ports: [{name: sql, port: 5432}]}\n---\n"
	for value, want := range map[string][2]string{ // the template, and whether there is a need
		"db:5432":                                {"${need.db.address}", "db"},
		"db":                                     {"${need.db.host}", "db"},
		"postgres://u:p@db:5432/x?a=b":           {"postgres://u:p@${need.db.address}/x?a=b", "db"},
		"jdbc:postgresql://db/shop":              {"jdbc:postgresql://${need.db.host}/shop", "db"},
		"db:5432,db:5432":                        {"${need.db.address},${need.db.address}", "db"},
		"http://db:5432/$(PATH)":                 {"http://${need.db.address}/$$(PATH)", "db"},
		"--at=http://db:5432":                    {"--at=http://${need.db.address}", "db"},
		"db:1":                                   {"", "db"},
		"db.shop:5432":                           {"", "db"},
		"http://db.shop.svc":                     {"", "db"},
		"db.shop.svc.cluster.local:5432":         {"", "db"},
		"db-0.db.shop.svc.cluster.local:5432":    {"", "db"},
		"http://db.other.svc.cluster.local:5432": {"", ""},
		"db.example.com:5432":                    {"", ""},
		"a db of its own":                        {"", ""},
		"mydb:5432":                              {"", ""},
		"web:80":                                 {"", ""},
	} {
		text := db + workload("        env: [{name: DB_HOST, value: '"+value+"'}]\n")
		app, _, err := manifests.Import(t.Context(), []byte(text), nil)
		require.NoError(t, err, value)
		web := app.Components[1]
		require.Equal(t, want[0], web.Env[0].Template, value)
		if want[0] == "" {
			require.Equal(t, value, web.Env[0].Value)
		}
		if want[1] == "" {
			require.Empty(t, web.Needs, value)
		} else {
			require.Equal(t, []appmodel.Need{{Component: want[1]}}, web.Needs, value)
		}
	}
}

// What `kubectl get -o yaml` prints has much that is the cluster's.
func TestWhatAClusterMadeIsNotTheApplications(t *testing.T) {
	t.Parallel()
	const text = `
apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web, uid: u1, resourceVersion: "7", generation: 2, creationTimestamp: "2026-01-01T00:00:00Z", annotations: {deployment.kubernetes.io/revision: "2"}}
  spec: {selector: {matchLabels: {app: web}}, template: {metadata: {creationTimestamp: null, labels: {app: web}}, spec: {containers: [{name: web, image: "nginx:1", resources: {}}]}}}
  status: {replicas: 1, conditions: [{type: Available}]}
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata: {name: web-1, uid: u2, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u1, controller: true}]}
  spec: {selector: {matchLabels: {app: web, pod-template-hash: x}}, template: {metadata: {labels: {app: web, pod-template-hash: x}}, spec: {containers: [{name: web, image: "nginx:1"}]}}}
- apiVersion: v1
  kind: Pod
  metadata: {name: web-1-x, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, uid: u2, controller: true}]}
  spec: {nodeName: n, containers: [{name: web, image: "nginx:1"}]}
- apiVersion: v1
  kind: Service
  metadata: {name: web, uid: u3}
  spec: {type: ClusterIP, clusterIP: 10.0.0.7, clusterIPs: [10.0.0.7], ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, ports: [{name: http, port: 80, targetPort: 80}], selector: {app: web}}
- apiVersion: v1
  kind: Endpoints
  metadata: {name: web, uid: u4}
  subsets: [{addresses: [{ip: 10.1.0.1}]}]
- apiVersion: batch/v1
  kind: Job
  metadata: {name: fill, uid: u5, labels: {job-name: fill}}
  spec: {selector: {matchLabels: {batch.kubernetes.io/controller-uid: c}}, template: {metadata: {labels: {batch.kubernetes.io/controller-uid: c, own: label}}, spec: {restartPolicy: Never, containers: [{name: fill, image: "fill:1"}]}}}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: kube-root-ca.crt}
  data: {ca.crt: x}
`
	app, report, err := manifests.Import(t.Context(), []byte(text), nil)
	require.NoError(t, err)
	require.Len(t, app.Components, 2)
	require.Empty(t, app.Configs)
	require.Equal(t, map[string]string{"own": "label"}, app.Components[1].Labels)
	require.NotContains(t, encode(t, app), "10.0.0.7")
	requireEveryLeafOnce(t, []byte(text), report)
	require.InDelta(t, 1, report.Fidelity(), 0, "%s", lines(report))
}
