package team_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/team"
)

// oneCPU is an application of one pod that asks for one CPU.
func oneCPU(t *testing.T, namespace, name, image string) []driver.Object {
	return parse(t, fmt.Sprintf(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: %[2]s, namespace: %[1]s}, spec: {replicas: 1,
  strategy: {rollingUpdate: {maxSurge: 25%%, maxUnavailable: 0}}, selector: {matchLabels: {app: %[2]s}},
  template: {metadata: {labels: {app: %[2]s}}, spec: {containers: [{name: c, image: "%[3]s", resources: {requests: {cpu: 1}}}]}}}}`, namespace, name, image))
}

// fill deploys fifty applications of one CPU each at the same time, over the
// clusters, and returns those that got in, by cluster.
func fill(t *testing.T, gate *team.Gate, tm team.Team, clusters []*cluster.Cluster) map[string]string {
	t.Helper()
	var mu sync.Mutex
	in := map[string]string{}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			c, name := clusters[i%len(clusters)], fmt.Sprintf("app-%d", i)
			objects := oneCPU(t, tm.ID, name, "x:1")
			if err := gate.Admit(t.Context(), tm.ID, tm.ID+"/"+name, c.Name(), 3, objects); err != nil {
				var quota *team.QuotaError
				if !assertIs(t, err, appspan.ErrExhausted, &quota) || quota.Resource != "cpu" || quota.Quota != "10" {
					t.Errorf("app-%d: %v", i, err)
				}
				return
			}
			for _, obj := range objects {
				if _, err := c.Apply(t.Context(), obj, driver.ApplyOptions{Manager: "deploy"}); err != nil {
					t.Errorf("%s: %v", obj.Ref, err)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			in[name] = c.Name()
		})
	}
	wg.Wait()
	return in
}

// rolledOut waits until a Deployment runs an image and nothing else.
func rolledOut(t *testing.T, c *cluster.Cluster, namespace, name string) {
	t.Helper()
	for e, err := range c.Watch(t.Context(), cluster.Query{APIVersion: "apps/v1", Kind: "Deployment", Namespace: namespace}) {
		require.NoError(t, err)
		if e.Object.Name != name || e.Type == cluster.Deleted {
			continue
		}
		var d appsv1.Deployment
		require.NoError(t, json.Unmarshal(e.Object.JSON, &d))
		if s := d.Status; s.ObservedGeneration == d.Generation && s.UpdatedReplicas == 1 && s.Replicas == 1 && s.AvailableReplicas == 1 {
			return
		}
	}
}

// tenCPU goes through the life of a quota of ten CPUs over clusters.
func tenCPU(t *testing.T, gate *team.Gate, tm team.Team, clusters []*cluster.Cluster) {
	t.Helper()
	in := fill(t, gate, tm, clusters)
	require.Len(t, in, 10)
	by := map[string]*cluster.Cluster{}
	for _, c := range clusters {
		by[c.Name()] = c
	}
	for name, where := range in {
		rolledOut(t, by[where], tm.ID, name)
	}
	for name, where := range in { // all of them are updated at the limit
		objects := oneCPU(t, tm.ID, name, "x:2")
		require.NoError(t, gate.Admit(t.Context(), tm.ID, tm.ID+"/"+name, where, 3, objects))
		_, err := by[where].Apply(t.Context(), objects[0], driver.ApplyOptions{Manager: "deploy"})
		require.NoError(t, err)
	}
	for name, where := range in {
		rolledOut(t, by[where], tm.ID, name)
		require.NoError(t, gate.Settle(t.Context(), tm.ID, tm.ID+"/"+name, where, 3, oneCPU(t, tm.ID, name, "x:2")))
	}
	require.ErrorIs(t, gate.Admit(t.Context(), tm.ID, tm.ID+"/one-more", clusters[0].Name(), 3, oneCPU(t, tm.ID, "one-more", "x:1")), appspan.ErrExhausted)
	for name, where := range in {
		require.NoError(t, by[where].Delete(t.Context(), ref("Deployment", tm.ID, name), driver.DeleteOptions{}))
		require.NoError(t, gate.Settle(t.Context(), tm.ID, tm.ID+"/"+name, where, 3, nil))
	}
	held, err := gate.Ledger().Reservations(t.Context(), tm.ID)
	require.NoError(t, err)
	require.Empty(t, held)
	require.Len(t, fill(t, gate, tm, clusters), 10, "all is free again")
}

func TestTenCPUOverThreeClusters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tm := blue()
	for name, a := range tm.Clusters { // as tight as it can be
		a.Quota = cluster.Amounts{"cpu": "10"}
		tm.Clusters[name] = a
	}
	w.create(tm)
	w.reconcile("blue")
	tenCPU(t, team.NewGate(w.records), tm, []*cluster.Cluster{w.cluster("a"), w.cluster("b"), w.cluster("c")})
}

func TestTheGateRefusesBeforeItReserves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	gate := team.NewGate(w.records)
	objects := append(oneCPU(t, "blue", "x", "x:1"), oneCPU(t, "red", "other", "x:1")...)
	err := gate.Admit(t.Context(), "blue", "blue/x", "a", 3, objects)
	require.ErrorIs(t, err, appspan.ErrDenied)
	require.ErrorContains(t, err, `"red" is no namespace of team blue`)
	held, err := gate.Ledger().Reservations(t.Context(), "blue")
	require.NoError(t, err)
	require.Empty(t, held)
}

func TestAHostThatIsAllocatedToATeamIsNotAnotherTeams(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	w.create(team.Team{ID: "red", Clusters: map[string]team.Allocation{"a": {Namespaces: []team.Namespace{{Name: "red"}}, Hosts: []string{"*.red.example.com", "shop.example.com"}}}})
	gate := team.NewGate(w.records)
	for host, free := range map[string]bool{"web.red.example.com": false, "*.red.example.com": false, "shop.example.com": false, "*.example.com": false,
		"web.example.com": true, "red.example.com": true, "a.shop.example.com": true} {
		objects := parse(t, fmt.Sprintf(`{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: x, namespace: blue}, spec: {rules: [{host: %q}]}}`, host))
		err := gate.Admit(t.Context(), "blue", "blue/x", "a", 3, objects)
		require.NoError(t, gate.Admit(t.Context(), "blue", "blue/x", "b", 3, objects), "elsewhere it is nobody's")
		if free {
			require.NoError(t, err, host)
			continue
		}
		require.ErrorIs(t, err, appspan.ErrDenied, host)
		require.ErrorContains(t, err, "is another team's")
	}
}

func TestSurgeIsCountedWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tm := blue()
	a := tm.Clusters["a"]
	a.CountSurge = true
	tm.Clusters["a"] = a
	w.create(tm)
	w.reconcile("blue")
	hard := func(name string) any {
		return w.tree(name, ref("ResourceQuota", "blue", "appspan-team"))["spec"].(tree)["hard"].(tree)["requests.cpu"]
	}
	require.Equal(t, "8", hard("a"))
	require.Equal(t, "16", hard("b"))
	gate := team.NewGate(w.records)
	for _, name := range []string{"a", "b"} {
		require.NoError(t, gate.Admit(t.Context(), "blue", "blue/x", name, 3, oneCPU(t, "blue", "x", "x:1")))
	}
	held, err := gate.Ledger().Reservations(t.Context(), "blue")
	require.NoError(t, err)
	require.Equal(t, "2", held[0].Amounts["cpu"])
	require.Equal(t, "1", held[1].Amounts["cpu"])
}
