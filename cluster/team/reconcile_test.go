package team_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/appspan-dev/appspan/cluster/team"
)

func TestRenderIsAsItWas(t *testing.T) {
	t.Parallel()
	tm := blue()
	a := tm.Clusters["a"]
	a.Network = team.Network{From: []string{"ingress-nginx"}, Internet: true}
	tm.Clusters["a"] = a
	objects, err := team.Render(tm, "a", "test")
	require.NoError(t, err)
	var b bytes.Buffer
	for _, o := range objects {
		data, err := yaml.JSONToYAML(o.JSON)
		require.NoError(t, err)
		b.WriteString("---\n")
		b.Write(data)
	}
	golden := filepath.Join("testdata", "render.yaml")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(golden, b.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())

	_, err = team.Render(tm, "z", "test")
	require.ErrorIs(t, err, appspan.ErrNotFound)
}

func TestReconcileMakesATeamSoAndIsThenDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	plan, err := w.Plan(t.Context(), "blue")
	require.NoError(t, err)
	require.False(t, plan.Clean())
	require.Nil(t, w.tree("a", ref("Namespace", "", "blue")), "a plan changes nothing")

	plan = w.reconcile("blue")
	require.True(t, plan.Clean(), plan)
	ns := w.tree("a", ref("Namespace", "", "blue"))
	require.Equal(t, "baseline", ns["metadata"].(tree)["labels"].(tree)["pod-security.kubernetes.io/enforce"])
	require.NotNil(t, w.tree("c", ref("ServiceAccount", "appspan-members-test", team.AccountName("blue", "olga"))))

	plan = w.reconcile("blue")
	require.Equal(t, "a: as it should be\nb: as it should be\nc: as it should be\n", plan.String())
}

func TestManyReconcileATeamAtTheSameTimeAndNoneStumbles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	plans := make([]team.Plan, 16)
	var wg sync.WaitGroup
	for i := range plans {
		wg.Go(func() {
			var err error
			plans[i], err = w.Reconcile(t.Context(), "blue")
			require.NoError(t, err)
		})
	}
	wg.Wait()
	for _, p := range plans {
		require.True(t, p.Clean(), p)
	}
}

func TestDriftIsShownAndRepaired(t *testing.T) {
	t.Parallel()
	quota, role, binding, policy := ref("ResourceQuota", "blue", "appspan-team"), ref("Role", "blue", "appspan-team"),
		ref("RoleBinding", "blue", "appspan-team"), ref("NetworkPolicy", "blue", "appspan-team")
	meta := tree{"name": "appspan-team", "namespace": "blue"}
	for _, c := range []struct {
		name   string
		drift  func(*world)
		action team.Action
		object driver.Ref
		fields []string
	}{
		{"a raised quota", func(w *world) {
			w.apply("a", tree{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": tree{"hard": tree{"requests.cpu": "100"}}})
		}, team.ActionUpdate, quota, []string{"spec.hard.requests.cpu"}},
		{"a role that may more", func(w *world) {
			w.apply("a", tree{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta,
				"rules": []tree{{"apiGroups": []string{"*"}, "resources": []string{"*"}, "verbs": []string{"*"}}}})
		}, team.ActionUpdate, role, []string{"rules"}},
		{"a binding with one more subject", func(w *world) {
			w.apply("a", tree{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta,
				"roleRef":  tree{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "appspan-team"},
				"subjects": []tree{{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}}})
		}, team.ActionUpdate, binding, []string{"subjects[0].name"}},
		{"a binding to another role", func(w *world) {
			require.NoError(w.t, w.fakes["a"].Delete(w.t.Context(), binding, driver.DeleteOptions{}))
			w.apply("a", tree{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta,
				"roleRef": tree{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}})
		}, team.ActionUpdate, binding, []string{"roleRef"}},
		{"a policy that is gone", func(w *world) {
			require.NoError(w.t, w.fakes["a"].Delete(w.t.Context(), policy, driver.DeleteOptions{}))
		}, team.ActionCreate, policy, nil},
		{"labels that are gone", func(w *world) {
			w.apply("a", namespace("blue", tree{"pod-security.kubernetes.io/enforce": "privileged"}))
		}, team.ActionUpdate, ref("Namespace", "", "blue"), []string{"metadata.labels.pod-security.kubernetes.io/enforce"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.create(blue())
			w.reconcile("blue")
			c.drift(w)
			plan, err := w.Plan(t.Context(), "blue")
			require.NoError(t, err)
			require.Len(t, plan.Clusters[0].Changes, 1, plan)
			change := plan.Clusters[0].Changes[0]
			require.Equal(t, c.action, change.Action)
			require.Equal(t, c.object, change.Object)
			require.Equal(t, c.fields, change.Fields)
			require.True(t, w.reconcile("blue").Clean())
			plan, err = w.Plan(t.Context(), "blue")
			require.NoError(t, err)
			require.Empty(t, plan.Clusters[0].Changes, plan)
		})
	}
}

func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	w.reconcile("blue")
	account := ref("ServiceAccount", "appspan-members-test", team.AccountName("blue", "olga"))
	before := w.tree("a", account)
	_, err := w.Update(t.Context(), "blue", func(tm *team.Team) error { tm.Members[2].Role = team.RoleDeveloper; return nil })
	require.NoError(t, err)
	plan := w.reconcile("blue")
	require.True(t, plan.Clean(), plan)
	require.Equal(t, before["metadata"].(tree)["uid"], w.tree("a", account)["metadata"].(tree)["uid"])
	require.Nil(t, w.tree("a", ref("Role", "blue", "appspan-team-role-observer")), "nobody has it")
	_, err = w.Update(t.Context(), "blue", func(tm *team.Team) error { tm.Members = tm.Members[:2]; return nil })
	require.NoError(t, err)
	w.reconcile("blue")
	require.Nil(t, w.tree("a", account))
	n := 0
	for obj, err := range w.cluster("a").List(t.Context(), cluster.Query{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding", Namespace: "blue"}) {
		require.NoError(t, err)
		require.NotEmpty(t, obj.Name)
		n++
	}
	require.Equal(t, 3, n, "the team's, ada's and dan's")
}

func TestAClusterThatDoesNotAnswerIsUnknownAndKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	w.cut["b"].Add(fault.Rule{Err: errors.Join(appspan.ErrUnavailable, errors.New("cut off"))})
	plan := w.reconcile("blue")
	require.False(t, plan.Clean())
	require.True(t, plan.Clusters[0].Clean())
	require.True(t, plan.Clusters[1].Unknown)
	require.Contains(t, plan.Clusters[1].Error, "cut off")
	require.True(t, plan.Clusters[2].Clean())
	usage, err := w.Usage(t.Context(), "blue")
	require.NoError(t, err)
	require.True(t, usage.Clusters[1].Unknown)
	w.cut["b"].Heal()
	require.True(t, w.reconcile("blue").Clean())
}

func TestAllocate(t *testing.T) {
	t.Parallel()
	named := func(name string, adopt bool) team.Allocation {
		return team.Allocation{Namespaces: []team.Namespace{{Name: name, Adopt: adopt}}}
	}
	for _, c := range []struct {
		name     string
		before   func(*world)
		give     team.Allocation
		err      error
		says     string
		warnings int
	}{
		{"a name is free to choose", func(*world) {}, named("whatever", false), nil, "", 0},
		{"and is the team's by default", func(*world) {}, team.Allocation{}, nil, "", 0},
		{"one that exists is refused", func(w *world) { w.apply("a", namespace("legacy", nil)) }, named("legacy", false), appspan.ErrExists, "adopt it", 0},
		{"unless it is to be adopted, with a warning", func(w *world) { w.apply("a", namespace("legacy", nil)) }, named("legacy", true), nil, "", 1},
		{"one of another team is refused", func(w *world) {
			w.create(team.Team{ID: "red", Clusters: map[string]team.Allocation{"a": named("legacy", false)}})
			w.reconcile("red")
		}, named("legacy", true), appspan.ErrConflict, `team "red"`, 0},
		{"also before it is there", func(w *world) {
			w.create(team.Team{ID: "red", Clusters: map[string]team.Allocation{"a": named("legacy", false)}})
		}, named("legacy", true), appspan.ErrConflict, "team red", 0},
		{"one of another installation is refused", func(w *world) {
			w.apply("a", namespace("legacy", tree{team.LabelInstallation: "other"}))
		}, named("legacy", true), appspan.ErrConflict, `installation "other"`, 0},
		{"the cluster's own are refused", func(*world) {}, named("kube-system", true), appspan.ErrInvalid, "belongs to the cluster", 0},
		{"a cluster that does not answer is warned of", func(w *world) {
			w.cut["a"].Add(fault.Rule{Err: errors.Join(appspan.ErrUnavailable, errors.New("cut off"))})
		}, named("x", false), nil, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.create(team.Team{ID: "green"})
			c.before(w)
			got, warnings, err := w.Allocate(t.Context(), "green", "a", c.give)
			require.ErrorIs(t, err, c.err)
			require.Len(t, warnings, c.warnings)
			if c.err != nil {
				require.ErrorContains(t, err, c.says)
				return
			}
			require.Contains(t, got.Clusters, "a")
			w.cut["a"].Heal()
			require.True(t, w.reconcile("green").Clean())
		})
	}
}

func TestWhatComesWithAnAdoptedNamespaceIsWarnedOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	rbac := "rbac.authorization.k8s.io"
	w.apply("a", namespace("legacy", nil))
	w.apply("a", tree{"apiVersion": rbac + "/v1", "kind": "RoleBinding", "metadata": tree{"name": "old", "namespace": "legacy"},
		"roleRef": tree{"apiGroup": rbac, "kind": "ClusterRole", "name": "edit"}, "subjects": []tree{{"apiGroup": rbac, "kind": "User", "name": "eve"}}})
	w.apply("a", tree{"apiVersion": rbac + "/v1", "kind": "ClusterRoleBinding", "metadata": tree{"name": "tiller"},
		"roleRef": tree{"apiGroup": rbac, "kind": "ClusterRole", "name": "cluster-admin"}, "subjects": []tree{{"kind": "ServiceAccount", "name": "default", "namespace": "legacy"}}})
	w.apply("a", tree{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": tree{"name": "data", "namespace": "legacy"},
		"spec": tree{"accessModes": []string{"ReadWriteOnce"}, "resources": tree{"requests": tree{"storage": "1Gi"}}}})
	w.create(team.Team{ID: "green"})
	_, warnings, err := w.Allocate(t.Context(), "green", "a", team.Allocation{Namespaces: []team.Namespace{{Name: "legacy", Adopt: true}}})
	require.NoError(t, err)
	require.Len(t, warnings, 4)
	require.Contains(t, warnings[0], "all that is in it becomes the team's")
	require.Equal(t, []string{"RoleBinding legacy/old is not the team's: it gives ClusterRole edit to User eve",
		"ClusterRoleBinding tiller is not the team's: it gives ClusterRole cluster-admin to ServiceAccount legacy/default",
		"namespace legacy on a comes with data 1Gi"}, warnings[1:])
	plan := w.reconcile("green")
	require.True(t, plan.Clean(), plan)
	require.Contains(t, plan.String(), "cluster-admin to ServiceAccount legacy/default")
}

func TestReconcileTouchesNoNamespaceThatCameToBeMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	w.apply("b", namespace("blue", tree{"owner": "somebody"}))
	plan := w.reconcile("blue")
	require.Len(t, plan.Clusters[1].Refused, 1)
	require.Contains(t, plan.Clusters[1].Refused[0], "adopt")
	require.Nil(t, w.tree("b", ref("ResourceQuota", "blue", "appspan-team")))
	require.NotContains(t, w.tree("b", ref("Namespace", "", "blue"))["metadata"].(tree)["labels"], team.LabelTeam)
	require.True(t, plan.Clusters[0].Clean())
}

func TestANamespaceThatIsTakenBackStaysAndBelongsToNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	require.NoError(t, w.SetCredential(t.Context(), "blue", "a", team.Credential{Registry: "registry.example.com", Username: "u", Password: "p4ssw0rd"}))
	w.reconcile("blue")
	w.apply("a", tree{"apiVersion": "v1", "kind": "ConfigMap", "metadata": tree{"name": "data", "namespace": "blue"}})
	_, err := w.Update(t.Context(), "blue", func(tm *team.Team) error { delete(tm.Clusters, "a"); return nil })
	require.NoError(t, err)
	_, err = w.Create(t.Context(), team.Team{ID: "red", Clusters: map[string]team.Allocation{"a": {Namespaces: []team.Namespace{{Name: "blue", Adopt: true}}}}})
	require.ErrorIs(t, err, appspan.ErrConflict, "not before it is clean")

	plan := w.reconcile("blue")
	require.True(t, plan.Clean(), plan)
	labels := w.tree("a", ref("Namespace", "", "blue"))["metadata"].(tree)["labels"].(tree)
	require.NotContains(t, labels, team.LabelTeam)
	require.NotContains(t, labels, "pod-security.kubernetes.io/enforce")
	require.NotNil(t, w.tree("a", ref("ConfigMap", "blue", "data")))
	for _, gone := range []driver.Ref{ref("ResourceQuota", "blue", "appspan-team"), ref("RoleBinding", "blue", "appspan-team"), ref("Secret", "blue", team.PullSecret),
		ref("ServiceAccount", "appspan-members-test", team.AccountName("blue", "ada"))} {
		require.Nil(t, w.tree("a", gone), gone)
	}
	require.NotContains(t, w.tree("a", ref("ServiceAccount", "blue", "default")), "imagePullSecrets")
	plan = w.reconcile("blue")
	require.Len(t, plan.Clusters, 2, "the cluster is forgotten")
	w.create(team.Team{ID: "red", Clusters: map[string]team.Allocation{"a": {Namespaces: []team.Namespace{{Name: "blue", Adopt: true}}}}})
}

func TestImagePullCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.create(blue())
	secret, account := ref("Secret", "blue", team.PullSecret), ref("ServiceAccount", "blue", "default")
	c := team.Credential{Registry: "registry.example.com:5000", Username: "robot", Password: "p4ssw0rd"}
	require.NoError(t, w.SetCredential(t.Context(), "blue", "a", c))
	require.NotContains(t, c.String(), c.Password)
	w.reconcile("blue")
	require.NotNil(t, w.tree("a", secret))
	require.Equal(t, []any{tree{"name": team.PullSecret}}, w.tree("a", account)["imagePullSecrets"])
	require.Nil(t, w.tree("b", secret), "they are for one cluster")
	registries, err := w.Registries(t.Context(), "blue", "a")
	require.NoError(t, err)
	require.Equal(t, []string{c.Registry}, registries)
	for rec, err := range w.records.List(t.Context(), "") {
		require.NoError(t, err)
		require.NotContains(t, string(rec.Value), c.Password)
	}
	require.NoError(t, w.Reseal(t.Context()))
	plan, err := w.Plan(t.Context(), "blue")
	require.NoError(t, err)
	require.True(t, plan.Clean(), plan)
	require.NotContains(t, plan.String(), c.Password)

	c.Username, c.Password = "", ""
	require.NoError(t, w.SetCredential(t.Context(), "blue", "a", c))
	w.reconcile("blue")
	require.Nil(t, w.tree("a", secret))
	require.NotContains(t, w.tree("a", account), "imagePullSecrets")
	require.ErrorIs(t, w.SetCredential(t.Context(), "blue", "a", team.Credential{Registry: "not a host", Username: "u", Password: "p"}), appspan.ErrInvalid)
}
