package team_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/team"
)

func TestEveryEscapeIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	w.create(team.Team{ID: "red", Clusters: map[string]team.Allocation{"a": {Namespaces: []team.Namespace{{Name: "red"}}}}})
	w.reconcile("blue")
	w.reconcile("red")
	w.apply("a", tree{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": tree{"name": "builder", "namespace": "blue"}})
	acting, err := w.cluster("a").As(team.Identity("blue"))
	require.NoError(t, err)
	defer func() { require.NoError(t, acting.Close()) }()
	for _, e := range escapes() {
		t.Run(e.name, func(t *testing.T) {
			objects := parse(t, e.object)
			refusals := team.Check(blue(), "a", objects)
			require.NotEmpty(t, refusals)
			var all strings.Builder
			for _, r := range refusals {
				all.WriteString(r.String() + "\n")
			}
			require.Contains(t, all.String(), e.says)
			require.Equal(t, objects[0].Ref, refusals[0].Object)
			require.NotEmpty(t, refusals[0].Next)
			require.NotEmpty(t, team.Check(blue(), "z", objects), "where the team has nothing")
			if e.server {
				refusedByServer(t, acting, objects[0])
			}
		})
	}
}

// refusedByServer applies what a server has to refuse.
func refusedByServer(t *testing.T, acting *cluster.Cluster, obj driver.Object) {
	t.Helper()
	_, err := acting.Apply(t.Context(), obj, driver.ApplyOptions{Manager: "escape"})
	require.Error(t, err)
	refused := strings.Contains(err.Error(), appspan.ErrDenied.Error()) || strings.Contains(err.Error(), appspan.ErrExhausted.Error()) ||
		strings.Contains(err.Error(), appspan.ErrInvalid.Error()) || strings.Contains(err.Error(), "the cluster has no kind")
	require.True(t, refused, err.Error())
}

func TestAnApplicationThatKeepsToItselfIsAdmitted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	w.reconcile("blue")
	objects := parse(t, harmless)
	require.Empty(t, team.Check(blue(), "a", objects))
	acting, err := w.cluster("a").As(team.Identity("blue"))
	require.NoError(t, err)
	defer func() { require.NoError(t, acting.Close()) }()
	for _, obj := range objects {
		_, err := acting.Apply(t.Context(), obj, driver.ApplyOptions{Manager: "deploy"})
		require.NoError(t, err)
		require.NoError(t, acting.Delete(t.Context(), obj.Ref, driver.DeleteOptions{}))
	}
}

func TestPermitsAndPools(t *testing.T) {
	t.Parallel()
	const balancer = `{apiVersion: v1, kind: Service, metadata: {name: x, namespace: blue}, spec: {type: LoadBalancer, ports: [{port: 80}]}}`
	const daemon = `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: x, namespace: blue}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}}}`
	const slice = `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: x, namespace: blue}, addressType: IPv4, endpoints: [{addresses: [192.0.2.1]}]}`
	const hostPath = `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: blue}, spec: {containers: [{name: c, image: x}], volumes: [{name: v, hostPath: {path: /}}]}}`
	const plain = `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: blue}, spec: {containers: [{name: c, image: x}]}}`
	const selects = `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: blue}, spec: {nodeSelector: {pool: blue}, containers: [{name: c, image: x}]}}`
	const priority = `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: blue}, spec: {priorityClassName: high, containers: [{name: c, image: x}]}}`
	const runtime = `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: blue}, spec: {runtimeClassName: gvisor, containers: [{name: c, image: x}]}}`
	const nfs = `{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: blue}, spec: {containers: [{name: c, image: x}], volumes: [{name: v, nfs: {server: 10.0.0.1, path: /}}]}}`
	hosts := func(a *team.Allocation) { a.Hosts = []string{"blue.example.com", "*.blue.example.com"} }
	ingress := func(host string) string {
		return `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x, namespace: blue}, spec: {rules: [{host: ` + host + `}]}}`
	}
	for _, c := range []struct {
		name     string
		edit     func(*team.Allocation)
		object   string
		refusals int
	}{
		{"a load balancer is permitted", func(a *team.Allocation) { a.Permits = []team.Permit{team.PermitLoadBalancers} }, balancer, 0},
		{"a daemon set is permitted", func(a *team.Allocation) { a.Permits = []team.Permit{team.PermitDaemons} }, daemon, 0},
		{"one permit is not another", func(a *team.Allocation) { a.Permits = []team.Permit{team.PermitDaemons} }, balancer, 1},
		{"addresses are permitted", func(a *team.Allocation) { a.Permits = []team.Permit{team.PermitEndpoints} }, slice, 0},
		{"the level privileged permits host paths", func(a *team.Allocation) { a.PodSecurity = team.Privileged }, hostPath, 0},
		{"the level restricted asks for more", func(a *team.Allocation) { a.PodSecurity = team.Restricted }, plain, 4},
		{"routes answer for the team's hosts", hosts, ingress("web.blue.example.com"), 0},
		{"and for no others", hosts, ingress("web.red.example.com"), 1},
		{"nor for the suffix of one", hosts, ingress("example.com"), 1},
		{"nor for all", hosts, ingress(`""`), 1},
		{"also through a Gateway", hosts, `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: x, namespace: blue}, spec: {hostnames: [web.blue.example.com, web.red.example.com]}}`, 1},
		{"where no host is every host", hosts, `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: x, namespace: blue}, spec: {}}`, 1},
		{"also by another name of the same", hosts, `{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x, namespace: blue, annotations: {nginx.ingress.kubernetes.io/server-alias: "web.blue.example.com, web.red.example.com"}}, spec: {rules: [{host: web.blue.example.com}]}}`, 1},
		{"also by the name that a Service is given", hosts, `{apiVersion: v1, kind: Service, metadata: {name: x, namespace: blue, annotations: {external-dns.alpha.kubernetes.io/hostname: web.red.example.com.}}, spec: {ports: [{port: 80}]}}`, 1},
		{"a priority is permitted", func(a *team.Allocation) { a.Permits = []team.Permit{team.PermitPriorities} }, priority, 0},
		{"that of the cluster is not", func(a *team.Allocation) { a.Permits = []team.Permit{team.PermitPriorities} }, strings.Replace(priority, "high", "system-node-critical", 1), 1},
		{"a volume by address is permitted", func(a *team.Allocation) { a.Permits = []team.Permit{team.PermitVolumes} }, nfs, 0},
		{"a runtime is permitted", func(a *team.Allocation) { a.Permits = []team.Permit{team.PermitRuntimes} }, runtime, 0},
		{"pods have to select the team's pool", func(a *team.Allocation) { a.NodePool = map[string]string{"pool": "blue"} }, plain, 1},
		{"and then may run", func(a *team.Allocation) { a.NodePool = map[string]string{"pool": "blue"} }, selects, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tm := blue()
			a := tm.Clusters["a"]
			c.edit(&a)
			tm.Clusters["a"] = a
			require.NoError(t, tm.Validate())
			require.Len(t, team.Check(tm, "a", parse(t, c.object)), c.refusals)
		})
	}
}

// What deploy renders is of kinds that the guard knows: with all permits only
// what reaches for the control plane's nodes is refused.
func TestWhatIsRenderedIsAdmittedWithPermits(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("..", "..", "deploy", "render", "testdata", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	tm := team.Team{ID: "blue", Clusters: map[string]team.Allocation{"a": {Namespaces: []team.Namespace{{Name: "ns"}}, PodSecurity: team.Privileged,
		Permits: team.Permits()}}}
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var objects []driver.Object
		for _, doc := range documents(string(data)) {
			if strings.Contains(doc, "\nkind: ") {
				objects = append(objects, parse(t, doc)...)
			}
		}
		for _, r := range team.Check(tm, "a", objects) {
			if strings.HasSuffix(r.Path, "scaleTargetRef") && strings.Contains(file, "scaling-") {
				continue // these files leave out what is scaled
			}
			require.Contains(t, r.Path, "tolerations", "%s: %s", file, r)
		}
		_, err = team.Demand(objects, nil)
		require.NoError(t, err)
	}
}

func FuzzCheck(f *testing.F) {
	for _, e := range escapes() {
		data, err := yaml.YAMLToJSON([]byte(e.object))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		obj, err := driver.ParseObject(data)
		if err != nil {
			return
		}
		refusals := team.Check(blue(), "a", []driver.Object{obj})
		if obj.Namespace != "blue" && len(refusals) == 0 {
			t.Fatalf("%s is admitted", data)
		}
		_, _ = team.Demand([]driver.Object{obj}, nil)
	})
}
