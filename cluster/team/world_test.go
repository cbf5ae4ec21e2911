package team_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/appspan-dev/appspan/storage/seal"
)

var update = flag.Bool("update", false, "rewrite golden files")

// world is teams over three clusters in memory, one of which can be cut off.
type world struct {
	*team.Teams
	t       *testing.T
	records *storage.Records
	fakes   map[string]*fake.Cluster
	set     *cluster.Set
	cut     map[string]*fault.Cluster
}

func newWorld(t *testing.T, opts *team.Options) *world {
	t.Helper()
	w := &world{t: t, records: storage.NewRecords(memstore.NewRecords(), nil), fakes: map[string]*fake.Cluster{}, cut: map[string]*fault.Cluster{}}
	var members []*cluster.Cluster
	for _, name := range []string{"a", "b", "c"} {
		w.fakes[name] = fake.New(&fake.Options{Name: name})
		w.cut[name] = fault.New(w.fakes[name])
		members = append(members, cluster.New(name, w.cut[name], &cluster.Options{Attempts: 1}))
	}
	set, err := cluster.NewSet(members...)
	require.NoError(t, err)
	w.set = set
	t.Cleanup(func() {
		require.NoError(t, set.Close())
		require.NoError(t, w.records.Close())
	})
	keys := keys(t)
	o := team.Options{Installation: "test", Keys: keys, Authorizer: appspan.AllowAll{}}
	if opts != nil {
		o = *opts
		o.Installation, o.Keys = "test", keys
	}
	w.Teams, err = team.New(w.records, set, &o)
	require.NoError(t, err)
	return w
}

func keys(t *testing.T) *seal.Keyring {
	t.Helper()
	key, err := seal.NewKey(bytes.Repeat([]byte{7}, 32))
	require.NoError(t, err)
	ring, err := seal.NewKeyring(key)
	require.NoError(t, err)
	return ring
}

// blue is a team with something on every cluster.
func blue() team.Team {
	allocation := func(cpu string) team.Allocation {
		return team.Allocation{Namespaces: []team.Namespace{{Name: "blue"}}, Quota: cluster.Amounts{"cpu": cpu, "memory": "64Gi"}}
	}
	return team.Team{ID: "blue", DisplayName: "The blue team",
		Members: []team.Member{{Subject: "ada", Role: team.RoleAdmin}, {Subject: "dan", Role: team.RoleDeveloper}, {Subject: "olga", Role: team.RoleObserver}},
		Quota:   cluster.Amounts{"cpu": "10"}, Clusters: map[string]team.Allocation{"a": allocation("8"), "b": allocation("8"), "c": allocation("8")}}
}

func (w *world) create(tm team.Team) team.Team {
	w.t.Helper()
	created, err := w.Create(w.t.Context(), tm)
	require.NoError(w.t, err)
	return created
}

func (w *world) reconcile(id string) team.Plan {
	w.t.Helper()
	plan, err := w.Reconcile(w.t.Context(), id)
	require.NoError(w.t, err)
	return plan
}

func (w *world) apply(clusterName string, v any) {
	w.t.Helper()
	_, err := w.fakes[clusterName].Apply(w.t.Context(), object(w.t, v), driver.ApplyOptions{Manager: "somebody", Force: true})
	require.NoError(w.t, err)
}

// tree reads an object as a tree, nil if it does not exist.
func (w *world) tree(clusterName string, ref driver.Ref) map[string]any {
	w.t.Helper()
	obj, err := w.fakes[clusterName].Get(w.t.Context(), ref)
	if err != nil {
		require.ErrorIs(w.t, err, appspan.ErrNotFound)
		return nil
	}
	var v map[string]any
	require.NoError(w.t, json.Unmarshal(obj.JSON, &v))
	return v
}

func (w *world) cluster(name string) *cluster.Cluster {
	w.t.Helper()
	c, err := w.set.Cluster(context.Background(), name)
	require.NoError(w.t, err)
	return c
}

type tree = map[string]any

func object(t *testing.T, v any) driver.Object {
	t.Helper()
	obj, err := driver.NewObject(v)
	require.NoError(t, err)
	return obj
}

func ref(kind, namespace, name string) driver.Ref {
	group := map[string]string{"Role": "rbac.authorization.k8s.io/v1", "RoleBinding": "rbac.authorization.k8s.io/v1",
		"NetworkPolicy": "networking.k8s.io/v1", "Deployment": "apps/v1"}[kind]
	if group == "" {
		group = "v1"
	}
	return driver.Ref{APIVersion: group, Kind: kind, Namespace: namespace, Name: name}
}

func namespace(name string, labels tree) tree {
	return tree{"apiVersion": "v1", "kind": "Namespace", "metadata": tree{"name": name, "labels": labels}}
}

// until watches objects of a kind, by name, until they are so.
func (w *world) until(clusterName, kind string, so func(map[string]tree) bool) {
	w.t.Helper()
	found, synced := map[string]tree{}, false
	for e, err := range w.cluster(clusterName).Watch(w.t.Context(), cluster.Query{APIVersion: "v1", Kind: kind}) {
		require.NoError(w.t, err)
		switch e.Type {
		case cluster.Added, cluster.Modified:
			var v tree
			require.NoError(w.t, json.Unmarshal(e.Object.JSON, &v))
			found[e.Object.Name] = v
		case cluster.Deleted:
			delete(found, e.Object.Name)
		case cluster.Synced:
			synced = true
		}
		if synced && so(found) {
			return
		}
	}
}

// assertIs is for goroutines that may not end the test.
func assertIs[T error](t *testing.T, err, sentinel error, as *T) bool {
	return assert.ErrorIs(t, err, sentinel) && assert.ErrorAs(t, err, as)
}
