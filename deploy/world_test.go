package deploy_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage/seal"
)

// world is some in-memory clusters and a Deployer over them.
type world struct {
	t     *testing.T
	fakes map[string]*fake.Cluster
	set   *cluster.Set
	keys  *seal.Keyring
	*deploy.Deployer
}

func newWorld(t *testing.T, options map[string]*fake.Options) *world {
	t.Helper()
	w := &world{t: t, fakes: map[string]*fake.Cluster{}, keys: newKeys(t)}
	var members []*cluster.Cluster
	for name, o := range options {
		w.fakes[name] = fake.New(o)
		members = append(members, cluster.New(name, w.fakes[name], &cluster.Options{Timeout: 10 * time.Second}))
	}
	set, err := cluster.NewSet(members...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, set.Close()) })
	w.set = set
	w.Deployer = w.deployer("test")
	return w
}

// two is a world of two clusters.
func two(t *testing.T) *world {
	return newWorld(t, map[string]*fake.Options{"a": {Name: "a"}, "b": {Name: "b"}})
}

func (w *world) deployer(installation string) *deploy.Deployer {
	w.t.Helper()
	d, err := deploy.New(w.set, &deploy.Options{Installation: installation, Keys: w.keys, Authorizer: appspan.AllowAll{}})
	require.NoError(w.t, err)
	return d
}

func newKeys(t *testing.T) *seal.Keyring {
	t.Helper()
	key, err := seal.GenerateKey(nil)
	require.NoError(t, err)
	keys, err := seal.NewKeyring(key)
	require.NoError(t, err)
	return keys
}

// decode reads an application.
func decode(t *testing.T, text string) *appmodel.Application {
	t.Helper()
	app, _, err := appmodel.Decode([]byte(text), nil)
	require.NoError(t, err)
	return app
}

// shop is a small application with a database that keeps data and a generated
// password.
func shop(t *testing.T, edits ...string) *appmodel.Application {
	t.Helper()
	text := `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
secrets:
  - {name: db, items: [{name: password, generate: {length: 20}}]}
configs:
  - {name: site, items: [{name: GREETING, value: hello}]}
components:
  - id: web
    kind: service
    image: registry.example.com/web:1
    envFrom: [{config: site}]
    needs: [{name: db, component: db, prefix: DB_}]
    ports: [{name: http, port: 8080, servicePort: 80, appProtocol: http}]
    scale: {replicas: 2}
    security: {runAsUser: 1000}
  - id: db
    kind: stateful
    image: registry.example.com/db:11
    env: [{name: PASSWORD, template: "${secret.db.password}"}]
    provides: [{name: password, template: "${secret.db.password}"}]
    ports: [{name: sql, port: 3306}]
    volumes: [{name: data, kind: persistent, size: 1Gi, data: files}]
    mounts: [{path: /var/lib/db, volume: data}]
    security: {runAsUser: 999, fsGroup: 999}
routes:
  - {id: shop, http: {hosts: [shop.example.com], rules: [{path: /, to: [{component: web, port: http}]}]}}
`
	require.Zero(t, len(edits)%2)
	for i := 0; i < len(edits); i += 2 {
		require.Contains(t, text, edits[i])
		text = strings.ReplaceAll(text, edits[i], edits[i+1])
	}
	return decode(t, text)
}

var both = deploy.Target{Clusters: []string{"a", "b"}, Namespace: "shop"}

// on is a target of one cluster.
func on(name string) deploy.Target { return deploy.Target{Clusters: []string{name}, Namespace: "shop"} }

// deployed plans and applies, and must succeed.
func (w *world) deployed(app *appmodel.Application, to deploy.Target) *deploy.Result {
	w.t.Helper()
	p, err := w.Plan(w.t.Context(), app, to, nil)
	require.NoError(w.t, err)
	require.NoError(w.t, p.Err())
	r, err := w.Apply(w.t.Context(), p, nil)
	require.NoError(w.t, err)
	return r
}

// objects lists every object of some kinds in a namespace, as "Kind/name".
func (w *world) objects(name, namespace string) []string {
	w.t.Helper()
	c, err := w.set.Cluster(w.t.Context(), name)
	require.NoError(w.t, err)
	info, err := c.Info(w.t.Context())
	require.NoError(w.t, err)
	out := []string{}
	for _, k := range info.Kinds {
		if !k.Namespaced || k.Kind == "Event" {
			continue
		}
		for obj, err := range c.List(w.t.Context(), cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: namespace}) {
			if err != nil {
				break // a kind that cannot be listed
			}
			if obj.Kind == "ConfigMap" && obj.Name == "kube-root-ca.crt" || obj.Kind == "ServiceAccount" && obj.Name == "default" {
				continue
			}
			out = append(out, obj.Kind+"/"+obj.Name)
		}
	}
	return out
}

func (w *world) get(name string, ref driver.Ref) map[string]any {
	w.t.Helper()
	obj, err := w.fakes[name].Get(w.t.Context(), ref)
	require.NoError(w.t, err)
	var v map[string]any
	require.NoError(w.t, json.Unmarshal(obj.JSON, &v))
	return v
}

// edit changes an object by hand, as manager.
func (w *world) edit(name string, ref driver.Ref, manager string, change func(map[string]any)) {
	w.t.Helper()
	v := w.get(name, ref)
	change(v)
	obj, err := driver.NewObject(v)
	require.NoError(w.t, err)
	_, err = w.fakes[name].Update(w.t.Context(), obj, manager)
	require.NoError(w.t, err)
}

// writes counts the calls that change something, of all clusters.
func (w *world) writes() int {
	n := 0
	for _, f := range w.fakes {
		for k, count := range f.Calls() {
			switch k.Verb {
			case "get", "list", "watch", "info":
			default:
				n += count
			}
		}
	}
	return n
}

func (w *world) resetCalls() {
	for _, f := range w.fakes {
		f.ResetCalls()
	}
}

var webRef = driver.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "shop-web"}

// recorder keeps events.
type recorder struct {
	mu     sync.Mutex
	events []appspan.Event
}

func (r *recorder) hear(e appspan.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}
