package team_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/cluster/team"
)

func deployment(cpu string) tree {
	return tree{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": tree{"name": "web", "namespace": "blue"}, "spec": tree{
		"selector": tree{"matchLabels": tree{"app": "web"}}, "template": tree{"metadata": tree{"labels": tree{"app": "web"}},
			"spec": tree{"containers": []tree{{"name": "c", "image": "x", "resources": tree{"requests": tree{"cpu": cpu}}}}}}}}
}

// left is what of a team is still in the records.
func (w *world) left(id string) (keys []string) {
	w.t.Helper()
	for rec, err := range w.records.List(w.t.Context(), "") {
		require.NoError(w.t, err)
		if bytes.Contains(rec.Value, []byte(`"`+id+`"`)) {
			keys = append(keys, rec.Key)
		}
	}
	return keys
}

func TestDeletingATeam(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		opts  team.DeleteOptions
		check func(*testing.T, *world)
	}{
		{"keeps its data", team.DeleteOptions{Force: true}, func(t *testing.T, w *world) {
			require.NotNil(t, w.tree("a", ref("Deployment", "blue", "web")))
			require.NotContains(t, w.tree("a", ref("Namespace", "", "blue"))["metadata"].(tree)["labels"], team.LabelTeam)
			require.Nil(t, w.tree("a", ref("RoleBinding", "blue", "appspan-team")))
		}},
		{"or deletes it, but what was adopted", team.DeleteOptions{Data: team.DataDelete, Force: true}, func(t *testing.T, w *world) {
			w.until("a", "Namespace", func(ns map[string]tree) bool { return ns["blue"] == nil })
			require.NotNil(t, w.tree("b", ref("Namespace", "", "blue")))
		}},
		{"or moves it with what is reserved for it", team.DeleteOptions{Data: team.DataMove, To: "red"}, func(t *testing.T, w *world) {
			require.NotNil(t, w.tree("a", ref("Deployment", "blue", "web")))
			require.Equal(t, "red", w.tree("a", ref("Namespace", "", "blue"))["metadata"].(tree)["labels"].(tree)[team.LabelTeam])
			plan := w.reconcile("red")
			require.True(t, plan.Clean(), plan)
			subjects := w.tree("a", ref("RoleBinding", "blue", "appspan-team"))["subjects"].([]any)
			require.Equal(t, "appspan:team:red", subjects[0].(tree)["name"])
			held, err := w.Ledger().Reservations(t.Context(), "red")
			require.NoError(t, err)
			require.Len(t, held, 1)
			require.Equal(t, cluster.Amounts{"cpu": "1"}, held[0].Amounts)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.apply("b", namespace("blue", nil))
			tm := blue()
			b := tm.Clusters["b"]
			b.Namespaces[0].Adopt = true
			w.create(tm)
			w.create(team.Team{ID: "red"})
			w.reconcile("blue")
			require.NoError(t, w.SetCredential(t.Context(), "blue", "a", team.Credential{Registry: "r.example.com", Username: "u", Password: "p"}))
			reserve(t, w.Ledger(), "web", "1")
			w.apply("a", deployment("1"))
			w.apply("a", tree{"apiVersion": "v1", "kind": "Pod", "metadata": tree{"name": "bare", "namespace": "blue"}, "spec": tree{"containers": []tree{{"name": "c", "image": "x"}}}})
			w.apply("a", tree{"apiVersion": "batch/v1", "kind": "Job", "metadata": tree{"name": "long", "namespace": "blue", "annotations": tree{}}, "spec": tree{"suspend": true,
				"template": tree{"spec": tree{"restartPolicy": "Never", "containers": []tree{{"name": "c", "image": "x"}}}}}})

			planned, err := w.PlanDelete(t.Context(), "blue", &c.opts)
			require.NoError(t, err)
			require.Equal(t, []string{"Deployment web", "Job long", "Pod bare"}, planned.Clusters[0].Contents[0].Workloads)
			require.Len(t, planned.Reserved, 1)
			require.NotNil(t, w.tree("a", ref("RoleBinding", "blue", "appspan-team")), "a plan changes nothing")

			if c.opts.Force {
				unforced := c.opts
				unforced.Force = false
				_, err := w.Delete(t.Context(), "blue", &unforced)
				require.ErrorIs(t, err, appspan.ErrPrecondition)
				require.ErrorContains(t, err, "a blue Deployment web")
			}
			done, err := w.Delete(t.Context(), "blue", &c.opts)
			require.NoError(t, err)
			require.True(t, done.Done)
			for _, name := range []string{"a", "b", "c"} {
				require.Nil(t, w.tree(name, ref("ServiceAccount", "appspan-members-test", team.AccountName("blue", "ada"))))
			}
			c.check(t, w)
			_, err = w.Get(t.Context(), "blue")
			require.ErrorIs(t, err, appspan.ErrNotFound)
			if c.opts.Data != team.DataMove {
				require.Empty(t, w.left("blue"))
			}
		})
	}
}

func TestAMoveThatDoesNotFitMovesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	w.create(team.Team{ID: "red", Quota: cluster.Amounts{"cpu": "1"}})
	w.reconcile("blue")
	reserve(t, w.Ledger(), "small", "1")
	reserve(t, w.Ledger(), "web", "2")
	_, err := w.Delete(t.Context(), "blue", &team.DeleteOptions{Data: team.DataMove, To: "red"})
	require.ErrorIs(t, err, appspan.ErrExhausted)
	red, err := w.Get(t.Context(), "red")
	require.NoError(t, err)
	require.Empty(t, red.Clusters)
	held, err := w.Ledger().Reservations(t.Context(), "red")
	require.NoError(t, err)
	require.Empty(t, held)
	plan, err := w.Plan(t.Context(), "blue")
	require.NoError(t, err)
	require.True(t, plan.Clean(), plan)
	require.True(t, w.reconcile("blue").Clean(), "it goes on")
}

func TestADeletionGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	for _, forget := range []bool{false, true} {
		w := newWorld(t, nil)
		w.create(blue())
		w.reconcile("blue")
		w.cut["b"].Add(fault.Rule{Err: errors.Join(appspan.ErrUnavailable, errors.New("cut off"))})
		done, err := w.Delete(t.Context(), "blue", nil)
		require.ErrorIs(t, err, appspan.ErrUnavailable)
		require.ErrorContains(t, err, "b (")
		require.False(t, done.Done)
		require.Nil(t, w.tree("a", ref("RoleBinding", "blue", "appspan-team")))
		_, err = w.Reconcile(t.Context(), "blue")
		require.ErrorIs(t, err, appspan.ErrPrecondition)
		require.ErrorIs(t, w.Ledger().Reserve(t.Context(), "blue", "x", "a", nil), appspan.ErrDenied)
		if !forget {
			w.cut["b"].Heal()
		}
		done, err = w.Delete(t.Context(), "blue", &team.DeleteOptions{Forget: forget})
		require.NoError(t, err)
		require.True(t, done.Done)
		require.Empty(t, w.left("blue"))
	}
}

func TestUsageAndMetering(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	w.reconcile("blue")
	require.NoError(t, w.Ledger().Reserve(t.Context(), "blue", "web", "a", cluster.Amounts{"cpu": "2", "pods": "2"}))
	w.apply("a", deployment("1"))
	w.until("a", "ResourceQuota", func(found map[string]tree) bool {
		status, _ := found["appspan-team"]["status"].(tree)
		used, _ := status["used"].(tree)
		return used["requests.cpu"] == "1"
	})
	u, err := w.Usage(t.Context(), "blue")
	require.NoError(t, err)
	require.Equal(t, cluster.Amounts{"cpu": "8"}, u.Free)
	require.Equal(t, cluster.Amounts{"cpu": "2", "pods": "2"}, u.Reserved)
	a := u.Clusters[0]
	require.Equal(t, "6", a.Free["cpu"], "the cluster's quota is 8")
	require.Equal(t, "1", a.Requested["cpu"])
	require.Equal(t, "128Mi", a.Requested["memory"], "by default")
	require.Equal(t, "8", u.Clusters[1].Free["cpu"])
	require.Equal(t, "1", u.Requested["cpu"])

	var b bytes.Buffer
	n, err := w.Meter(t.Context(), &b)
	require.NoError(t, err)
	lines := bytes.Split(bytes.TrimSpace(b.Bytes()), []byte("\n"))
	require.Len(t, lines, n)
	var m team.Measurement
	require.NoError(t, json.Unmarshal(lines[0], &m))
	m.Time = time.Time{}
	require.Equal(t, team.Measurement{Team: "blue", Cluster: "a", Resource: "cpu", Requested: "2", Used: "1"}, m)
}

func TestAMembersKubeconfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	server := httptest.NewTLSServer(w.fakes["a"].Handler())
	t.Cleanup(server.Close)
	olga := w.For(appspan.Subject{ID: "olga"})
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	opts := team.KubeconfigOptions{Server: server.URL, CA: ca}
	_, err := olga.Kubeconfig(t.Context(), "blue", "a", opts)
	require.ErrorIs(t, err, appspan.ErrPrecondition, "reconcile first")
	w.reconcile("blue")
	_, err = w.For(appspan.Subject{ID: "eve"}).Kubeconfig(t.Context(), "blue", "a", opts)
	require.ErrorIs(t, err, appspan.ErrDenied)
	_, err = olga.Kubeconfig(t.Context(), "blue", "a", team.KubeconfigOptions{Server: server.URL, Lifetime: 48 * time.Hour})
	require.ErrorIs(t, err, appspan.ErrInvalid)

	k, err := olga.Kubeconfig(t.Context(), "blue", "a", opts)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), k.Expires, time.Minute)
	config, err := clientcmd.RESTConfigFromKubeConfig(k.Config)
	require.NoError(t, err)
	require.NotContains(t, k.String(), config.BearerToken)
	d, err := kube.New(config, nil)
	require.NoError(t, err)
	c := cluster.New("a", d, nil)
	defer func() { require.NoError(t, c.Close()) }()
	_, err = c.Get(t.Context(), ref("ResourceQuota", "blue", "appspan-team"))
	require.NoError(t, err)
	for _, denied := range []driver.Ref{ref("Secret", "blue", "x"), ref("ResourceQuota", "default", "x"), ref("Namespace", "", "blue")} {
		_, err = c.Get(t.Context(), denied)
		require.ErrorIs(t, err, appspan.ErrDenied, denied)
	}
	_, err = c.Apply(t.Context(), object(t, deployment("1")), driver.ApplyOptions{Manager: "olga"})
	require.ErrorIs(t, err, appspan.ErrDenied)
}
