package team_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// rig is teams on real control planes, most of it on the first.
type rig struct {
	*team.Teams
	records  *storage.Records
	config   *rest.Config
	set      *cluster.Set
	clusters []*cluster.Cluster
	cluster  *cluster.Cluster
	// suffix ends the ids and namespaces of a test.
	suffix string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	file := os.Getenv("APPSPAN_RIG_KUBECONFIG")
	if file == "" {
		t.Skip("APPSPAN_RIG_KUBECONFIG is not set; run `make rig`")
	}
	config, err := clientcmd.LoadFromFile(file)
	require.NoError(t, err)
	r := &rig{suffix: strconv.FormatInt(time.Now().UnixNano()%1e10, 36)}
	for _, name := range slices.Sorted(maps.Keys(config.Contexts)) {
		rest, err := clientcmd.NewNonInteractiveClientConfig(*config, name, nil, nil).ClientConfig()
		require.NoError(t, err)
		d, err := kube.New(rest, nil)
		require.NoError(t, err)
		r.clusters = append(r.clusters, cluster.New(name, d, nil))
		if name == "rig-1" {
			r.config = rest
		}
	}
	r.set, err = cluster.NewSet(r.clusters...)
	require.NoError(t, err)
	r.cluster, err = r.set.Cluster(t.Context(), "rig-1")
	require.NoError(t, err)
	r.records = storage.NewRecords(memstore.NewRecords(), nil)
	t.Cleanup(func() {
		require.NoError(t, r.set.Close())
		require.NoError(t, r.records.Close())
	})
	r.Teams, err = team.New(r.records, r.set, &team.Options{Installation: "test-" + r.suffix, Authorizer: appspan.AllowAll{}})
	require.NoError(t, err)
	return r
}

// give creates a team with one namespace and makes it so.
func (r *rig) give(t *testing.T, id string, members ...team.Member) team.Team {
	t.Helper()
	return r.make(t, team.Team{ID: id, Members: members, Clusters: map[string]team.Allocation{
		"rig-1": {Namespaces: []team.Namespace{{Name: id}}, Quota: cluster.Amounts{"cpu": "8"}}}})
}

func (r *rig) make(t *testing.T, tm team.Team) team.Team {
	t.Helper()
	tm, err := r.Create(t.Context(), tm)
	require.NoError(t, err)
	plan, err := r.Reconcile(t.Context(), tm.ID)
	require.NoError(t, err)
	require.True(t, plan.Clean(), plan)
	t.Cleanup(func() {
		_, err := r.Delete(context.WithoutCancel(t.Context()), tm.ID, &team.DeleteOptions{Data: team.DataDelete, Force: true})
		require.NoError(t, err)
	})
	return tm
}

func TestRigReconcileIsDoneAtOnceAndFindsDrift(t *testing.T) {
	r := newRig(t)
	blue := "blue-" + r.suffix
	r.give(t, blue, team.Member{Subject: "ada", Role: team.RoleAdmin}, team.Member{Subject: "olga", Role: team.RoleObserver})
	plan, err := r.Reconcile(t.Context(), blue)
	require.NoError(t, err)
	require.Equal(t, "rig-1: as it should be\n", plan.String())
	quota := ref("ResourceQuota", blue, "appspan-team")
	_, err = r.cluster.Apply(t.Context(), object(t, tree{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": tree{"name": quota.Name, "namespace": blue},
		"spec": tree{"hard": tree{"requests.cpu": "100"}}}), driver.ApplyOptions{Manager: "somebody", Force: true})
	require.NoError(t, err)
	require.NoError(t, r.cluster.Delete(t.Context(), ref("RoleBinding", blue, "appspan-team"), driver.DeleteOptions{}))
	plan, err = r.Reconcile(t.Context(), blue)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("rig-1: update ResourceQuota %[1]s/appspan-team (spec.hard.requests.cpu)\nrig-1: create RoleBinding %[1]s/appspan-team\n", blue), plan.String())
	require.True(t, plan.Clean())

	_, err = r.Update(t.Context(), blue, func(tm *team.Team) error { tm.Clusters = nil; return nil })
	require.NoError(t, err)
	plan, err = r.Reconcile(t.Context(), blue)
	require.NoError(t, err)
	require.True(t, plan.Clean(), plan)
	ns, err := r.cluster.Get(t.Context(), ref("Namespace", "", blue))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"kubernetes.io/metadata.name": blue}, ns.Labels)
}

func TestRigATeamIsKeptAsItIsRecorded(t *testing.T) {
	r := newRig(t)
	blue := "blue-" + r.suffix
	r.give(t, blue, team.Member{Subject: "ada", Role: team.RoleAdmin})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		if err := r.Run(ctx, &team.RunOptions{Interval: time.Second}); err != nil {
			t.Error(err)
		}
	})
	until := func(what string, so func(team.Condition) bool) {
		t.Helper()
		require.Eventually(t, func() bool {
			d, err := r.Drift(t.Context(), blue)
			return err == nil && so(d.Conditions[0])
		}, time.Minute, 50*time.Millisecond, what)
	}
	repaired := func(object driver.Ref, action team.Action) func(team.Condition) bool {
		return func(c team.Condition) bool {
			return c.State == team.Synced && slices.ContainsFunc(c.History, func(f team.Finding) bool {
				return slices.ContainsFunc(f.Changes, func(x team.Change) bool { return x.Object == object && x.Action == action && x.Done })
			})
		}
	}
	quota, ns := ref("ResourceQuota", blue, "appspan-team"), ref("Namespace", "", blue)
	policy := ref("NetworkPolicy", blue, "appspan-team")
	require.NoError(t, r.cluster.Delete(t.Context(), policy, driver.DeleteOptions{}))
	until("the policy is there again", func(c team.Condition) bool {
		_, err := r.cluster.Get(t.Context(), policy)
		return err == nil
	})
	require.NoError(t, r.cluster.Delete(t.Context(), quota, driver.DeleteOptions{}))
	_, err := r.cluster.Apply(t.Context(), object(t, tree{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": tree{"name": quota.Name, "namespace": blue},
		"spec": tree{"scopes": []string{"Terminating"}, "hard": tree{"pods": "1"}}}), driver.ApplyOptions{Manager: "somebody", Force: true})
	if err == nil { // else the keeper was faster
		until("the quota bounds all pods again", repaired(quota, team.ActionUpdate))
	}
	_, err = r.cluster.Apply(t.Context(), object(t, namespace(blue, tree{"pod-security.kubernetes.io/enforce": "privileged"})), driver.ApplyOptions{Manager: "somebody", Force: true})
	require.NoError(t, err)
	until("the level is enforced again", repaired(ns, team.ActionUpdate))
	live, err := r.cluster.Get(t.Context(), ns)
	require.NoError(t, err)
	require.Equal(t, "baseline", live.Labels["pod-security.kubernetes.io/enforce"])

	require.NoError(t, r.cluster.Delete(t.Context(), ns, driver.DeleteOptions{}))
	until("a namespace that is gone is shown", func(c team.Condition) bool {
		return c.State == team.Drifted && len(c.Refused) == 1 && strings.Contains(c.Refused[0], "was there and is gone")
	})
	_, err = r.cluster.Get(t.Context(), ns)
	require.ErrorIs(t, err, appspan.ErrNotFound)
	d, err := r.Drift(t.Context(), blue)
	require.NoError(t, err)
	t.Logf("%v", d)
	plan, err := r.Reconcile(t.Context(), blue)
	require.NoError(t, err)
	require.True(t, plan.Clean(), plan)
	until("it is there again", func(c team.Condition) bool { return c.State == team.Synced })
}

func TestRigRefusesEscapes(t *testing.T) {
	r := newRig(t)
	names := strings.NewReplacer("namespace: blue", "namespace: blue-"+r.suffix, "name: blue-2", "name: blue-2-"+r.suffix, "{name: blue,", "{name: blue-"+r.suffix+",",
		"namespace: red", "namespace: red-"+r.suffix, "appspan-members-test", "appspan-members-test-"+r.suffix)
	blue := r.give(t, "blue-"+r.suffix, team.Member{Subject: "ada", Role: team.RoleAdmin})
	r.give(t, "red-"+r.suffix)
	acting, err := r.cluster.As(team.Identity(blue.ID))
	require.NoError(t, err)
	defer func() { require.NoError(t, acting.Close()) }()
	refused := 0
	for _, e := range escapes() {
		t.Run(e.name, func(t *testing.T) {
			obj := parse(t, names.Replace(e.object))[0]
			require.NotEmpty(t, team.Check(blue, "rig-1", []driver.Object{obj}))
			if e.server || e.real {
				refusedByServer(t, acting, obj)
				refused++
			}
		})
	}
	t.Logf("%d escapes are refused by the guard, %d of them by the API server too", len(escapes()), refused)
	for _, obj := range parse(t, names.Replace(harmless)) {
		_, err := acting.Apply(t.Context(), obj, driver.ApplyOptions{Manager: "deploy"})
		require.NoError(t, err)
	}
}

func TestRigAnObserversKubeconfigShowsTheRoleAndNoMore(t *testing.T) {
	r := newRig(t)
	blue, red := "blue-"+r.suffix, "red-"+r.suffix
	r.give(t, blue, team.Member{Subject: "olga", Role: team.RoleObserver})
	r.give(t, red)
	k, err := r.For(appspan.Subject{ID: "olga"}).Kubeconfig(t.Context(), blue, "rig-1", team.KubeconfigOptions{Server: r.config.Host, CA: ca(t, r.config)})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, k.Config, 0o600))

	// What any account may, bound to nothing.
	_, err = r.cluster.Apply(t.Context(), object(t, tree{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": tree{"name": "unbound", "namespace": red}}), driver.ApplyOptions{Manager: "test"})
	require.NoError(t, err)
	unbound := []string{"--as", "system:serviceaccount:" + red + ":unbound", "--as-group", "system:serviceaccounts", "--as-group", "system:authenticated"}
	everybody := kubectl(t, os.Getenv("APPSPAN_RIG_KUBECONFIG"), append(unbound, "auth", "can-i", "--list", "--no-headers", "-n", blue)...)
	own := kubectl(t, file, "auth", "can-i", "--list", "--no-headers")
	elsewhere := kubectl(t, file, "auth", "can-i", "--list", "--no-headers", "-n", red)
	require.ElementsMatch(t, everybody, elsewhere, "elsewhere it is like one that is bound to nothing")

	role := map[string]string{} // verbs by resource
	observer, _ := team.Team{}.Role(team.RoleObserver)
	for _, p := range team.Permissions() {
		for _, rule := range p.Rules {
			for _, resource := range rule.Resources {
				if observer.Can(p.Permission) {
					if rule.APIGroups[0] != "" {
						resource += "." + rule.APIGroups[0]
					}
					role[resource] = "[" + strings.Join(rule.Verbs, " ") + "]"
				}
			}
		}
	}
	shown := map[string]string{}
	for _, line := range own {
		if fields := strings.Fields(line); !slices.Contains(everybody, line) {
			shown[fields[0]] = "[" + strings.SplitN(line, "[", 4)[3]
		}
	}
	require.Equal(t, role, shown)
	t.Logf("kubectl auth can-i --list in %s:\n%s", blue, strings.Join(own, "\n"))

	_, err = r.Update(t.Context(), blue, func(tm *team.Team) error { tm.Members = nil; return nil })
	require.NoError(t, err)
	_, err = r.Reconcile(t.Context(), blue)
	require.NoError(t, err)
	require.Eventually(t, func() bool { // the server remembers a token for a few seconds
		return exec.CommandContext(t.Context(), kubectlPath(t), "--kubeconfig", file, "get", "pods").Run() != nil
	}, time.Minute, 200*time.Millisecond, "the token ends with the membership")
}

func TestRigAnApplicationLivesOnTheTeamsRights(t *testing.T) {
	r := newRig(t)
	tm := r.give(t, "blue-"+r.suffix, team.Member{Subject: "dan", Role: team.RoleDeveloper})
	deployAsTeam(t, r.set, r.Teams, tm, "rig-1")
}

func ca(t *testing.T, config *rest.Config) []byte {
	t.Helper()
	if len(config.CAData) > 0 {
		return config.CAData
	}
	data, err := os.ReadFile(config.CAFile)
	require.NoError(t, err)
	return data
}

func kubectlPath(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("APPSPAN_RIG_BIN"); dir != "" {
		return filepath.Join(dir, "kubectl")
	}
	path, err := exec.LookPath("kubectl")
	require.NoError(t, err)
	return path
}

// kubectl returns what it prints, by lines, with single spaces.
func kubectl(t *testing.T, kubeconfig string, args ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), kubectlPath(t), append([]string{"--kubeconfig", kubeconfig}, args...)...).CombinedOutput()
	require.NoError(t, err, string(out))
	var lines []string
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}
