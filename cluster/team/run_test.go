package team_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/storage"
	storagedriver "github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// kept is a world in which teams are kept, in a bubble of virtual time.
type kept struct {
	*world
	mu     sync.Mutex
	events []appspan.Event
}

// keep runs a test on team blue while it is kept.
func keep(t *testing.T, tm team.Team, opts *team.RunOptions, test func(k *kept)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &kept{world: newWorld(t, nil)}
		var o team.RunOptions
		if opts != nil {
			o = *opts
		}
		o.OnEvent = func(e appspan.Event) {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.events = append(k.events, e)
		}
		audited, err := team.New(k.records, k.set, &team.Options{Installation: "test", Authorizer: appspan.AllowAll{}, Auditor: team.NewAudit(k.records, nil), Keys: keys(t)})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := audited.For(appspan.Subject{ID: "keeper"}).Run(ctx, &o); err != nil {
				t.Error(err)
			}
		})
		defer wg.Wait()
		defer cancel()
		synctest.Wait()
		k.create(tm)
		synctest.Wait()
		test(k)
	})
}

// on is the condition of team blue on a cluster.
func (k *kept) on(clusterName string) team.Condition {
	k.t.Helper()
	d, err := k.Drift(k.t.Context(), "blue")
	require.NoError(k.t, err)
	for _, c := range d.Conditions {
		if c.Cluster == clusterName {
			return c
		}
	}
	require.Fail(k.t, "no condition on "+clusterName, d)
	return team.Condition{}
}

// anInterval passes.
func (k *kept) anInterval() {
	time.Sleep(6 * time.Minute)
	synctest.Wait()
}

func (k *kept) delete(clusterName string, ref driver.Ref) {
	k.t.Helper()
	require.NoError(k.t, k.fakes[clusterName].Delete(k.t.Context(), ref, driver.DeleteOptions{}))
}

func TestWhatSomebodyChangedIsRepairedAndTold(t *testing.T) {
	t.Parallel()
	rbac := "rbac.authorization.k8s.io"
	labels := tree{team.LabelTeam: "blue", team.LabelInstallation: "test", team.LabelTeamPart: "member"}
	eve := []tree{{"apiGroup": rbac, "kind": "User", "name": "eve"}}
	binding := ref("RoleBinding", "blue", "appspan-team")
	for _, c := range []struct {
		name   string
		drift  func(*kept)
		action team.Action
		object driver.Ref
	}{
		{"a quota that somebody deleted", func(k *kept) { k.delete("a", ref("ResourceQuota", "blue", "appspan-team")) }, team.ActionCreate, ref("ResourceQuota", "blue", "appspan-team")},
		{"a quota that bounds some pods only", func(k *kept) {
			k.delete("a", ref("ResourceQuota", "blue", "appspan-team"))
			k.apply("a", tree{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": tree{"name": "appspan-team", "namespace": "blue"},
				"spec": tree{"scopes": []string{"Terminating"}, "hard": tree{"requests.cpu": "8"}}})
		}, team.ActionUpdate, ref("ResourceQuota", "blue", "appspan-team")},
		{"a binding that somebody edited", func(k *kept) {
			k.apply("a", tree{"apiVersion": rbac + "/v1", "kind": "RoleBinding", "metadata": tree{"name": binding.Name, "namespace": "blue"},
				"roleRef": tree{"apiGroup": rbac, "kind": "Role", "name": "appspan-team"}, "subjects": eve})
		}, team.ActionUpdate, binding},
		{"a member that is none", func(k *kept) {
			k.apply("a", tree{"apiVersion": rbac + "/v1", "kind": "RoleBinding", "metadata": tree{"name": "appspan-team-x", "namespace": "blue", "labels": labels},
				"roleRef": tree{"apiGroup": rbac, "kind": "Role", "name": "appspan-team"}, "subjects": eve})
		}, team.ActionDelete, ref("RoleBinding", "blue", "appspan-team-x")},
		{"Pod Security that somebody loosened", func(k *kept) {
			k.apply("a", namespace("blue", tree{"pod-security.kubernetes.io/enforce": "privileged", "pod-security.kubernetes.io/enforce-version": "v1.0"}))
		}, team.ActionUpdate, ref("Namespace", "", "blue")},
		{"labels that somebody removed, all of them", func(k *kept) { k.unlabel("a", "blue") }, team.ActionUpdate, ref("Namespace", "", "blue")},
		{"the namespace of the members' accounts", func(k *kept) { k.delete("a", ref("Namespace", "", "appspan-members-test")) }, team.ActionCreate, ref("Namespace", "", "appspan-members-test")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			keep(t, blue(), nil, func(k *kept) {
				require.Equal(k.t, team.Synced, k.on("a").State, "it was made so at once")
				n := len(k.on("a").History)
				c.drift(k)
				k.anInterval()
				plan, err := k.Plan(k.t.Context(), "blue")
				require.NoError(k.t, err)
				require.Equal(k.t, "a: as it should be\nb: as it should be\nc: as it should be\n", plan.String())
				a := k.on("a")
				require.Equal(k.t, team.Synced, a.State)
				require.Len(k.t, a.History, n+1)
				found := a.History[n].Changes
				require.Equal(k.t, c.action, found[0].Action)
				require.Equal(k.t, c.object, found[0].Object)
				require.True(k.t, found[0].Done)
				require.WithinDuration(k.t, time.Now(), a.Checked, 6*time.Minute)
				require.Len(k.t, k.on("b").History, 1, "elsewhere nothing is news")
				last := k.events[len(k.events)-1].Message
				require.Contains(k.t, last, c.object.String())
				require.NotContains(k.t, last, "\n")
				var audited int
				for e, err := range team.NewAudit(k.records, nil).Entries(k.t.Context(), team.AuditQuery{Subject: "keeper"}) {
					require.NoError(k.t, err)
					require.Equal(k.t, "ok", e.Outcome)
					audited++
				}
				require.Equal(k.t, 4, audited, "made on three clusters, repaired on one")
			})
		})
	}
}

// record is what is stored.
func (w *world) record(key string) []byte {
	w.t.Helper()
	rec, err := w.records.Get(w.t.Context(), key)
	require.NoError(w.t, err)
	return rec.Value
}

// lasting is a cluster that closing leaves alone.
type lasting struct{ driver.Cluster }

func (lasting) Close() error             { return nil }
func (l lasting) Unwrap() driver.Cluster { return l.Cluster }

// unlabel takes all labels from a namespace.
func (w *world) unlabel(clusterName, name string) {
	w.t.Helper()
	live := w.tree(clusterName, ref("Namespace", "", name))
	labels := tree{}
	for key := range live["metadata"].(tree)["labels"].(tree) {
		labels[key] = nil
	}
	c := w.fakes[clusterName]
	for _, manager := range []string{"appspan-teams-test", "somebody"} {
		_, err := c.Apply(w.t.Context(), object(w.t, namespace(name, tree{})), driver.ApplyOptions{Manager: manager, Force: true})
		require.NoError(w.t, err)
	}
	for key := range labels { // what creating it set is not the apply's
		_, err := c.Apply(w.t.Context(), object(w.t, namespace(name, tree{key: "x"})), driver.ApplyOptions{Manager: "somebody", Force: true})
		require.NoError(w.t, err)
	}
	_, err := c.Apply(w.t.Context(), object(w.t, namespace(name, nil)), driver.ApplyOptions{Manager: "somebody", Force: true})
	require.NoError(w.t, err)
	left, _ := w.tree(clusterName, ref("Namespace", "", name))["metadata"].(tree)["labels"].(tree)
	require.NotContains(w.t, left, team.LabelTeam)
}

func TestDriftOfATeamThatIsOnlyShownStays(t *testing.T) {
	t.Parallel()
	shown := blue()
	shown.Drift = team.Show
	keep(t, shown, nil, func(k *kept) {
		require.Nil(k.t, k.tree("a", ref("Namespace", "", "blue")), "nothing is made")
		require.Equal(k.t, team.Drifted, k.on("a").State)
		k.reconcile("blue")
		require.Equal(k.t, team.Synced, k.on("a").State, "Reconcile notes it too")
		k.delete("a", ref("ResourceQuota", "blue", "appspan-team"))
		k.anInterval()
		k.anInterval()
		a := k.on("a")
		require.Equal(k.t, team.Drifted, a.State)
		require.Equal(k.t, ref("ResourceQuota", "blue", "appspan-team"), a.Changes[0].Object)
		require.False(k.t, a.Changes[0].Done)
		require.Len(k.t, a.History, 3, "the same is told once")
		require.Less(k.t, time.Since(a.Checked), time.Since(a.Since))
		require.Nil(k.t, k.tree("a", ref("ResourceQuota", "blue", "appspan-team")))
		d, err := k.Drift(k.t.Context(), "blue")
		require.NoError(k.t, err)
		require.Contains(k.t, d.String(), "a: drifted since ")
		require.Contains(k.t, d.String(), "a: create ResourceQuota blue/appspan-team\n")
	})
}

func TestANamespaceThatIsGoneIsShownAndNotMadeAnewInPassing(t *testing.T) {
	t.Parallel()
	keep(t, blue(), nil, func(k *kept) {
		k.delete("a", ref("Namespace", "", "blue"))
		k.anInterval()
		a := k.on("a")
		require.Equal(k.t, team.Drifted, a.State)
		require.Len(k.t, a.Refused, 1)
		require.Contains(k.t, a.Refused[0], "was there and is gone, with all that was in it; reconcile the team to make it anew")
		require.Nil(k.t, k.tree("a", ref("Namespace", "", "blue")))
		k.apply("a", namespace("blue", nil))
		k.anInterval()
		require.Contains(k.t, k.on("a").Refused[0], "belongs to no team", "one of that name that somebody made is not taken")
		k.delete("a", ref("Namespace", "", "blue"))
		plan := k.reconcile("blue")
		require.Contains(k.t, plan.String(), "it is made anew, empty")
		k.anInterval()
		require.Equal(k.t, team.Synced, k.on("a").State)
	})
}

func TestANamespaceOfTheSameNameIsNotAdoptedInPassing(t *testing.T) {
	t.Parallel()
	tm := blue()
	tm.Clusters["a"].Namespaces[0].Adopt = true
	keep(t, tm, nil, func(k *kept) {
		k.delete("a", ref("Namespace", "", "blue"))
		k.anInterval()
		k.apply("a", namespace("blue", nil))
		k.anInterval()
		require.Contains(k.t, k.on("a").Refused[0], "somebody made another")
		require.True(k.t, k.reconcile("blue").Clean())
		k.anInterval()
		require.Equal(k.t, team.Synced, k.on("a").State)
	})
}

func TestAClusterThatDoesNotAnswerIsUnknownSinceThenAndKeepsNoOtherWaiting(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]fault.Rule{
		"it refuses": {Err: errors.Join(appspan.ErrUnavailable, errors.New("cut off"))}, "it is silent": {Hang: true},
		"it lets nobody look": {Op: fault.List, Err: errors.Join(appspan.ErrDenied, errors.New("no rights"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keep(t, blue(), nil, func(k *kept) {
				k.create(team.Team{ID: "red", Clusters: map[string]team.Allocation{"b": {Namespaces: []team.Namespace{{Name: "red"}}}}})
				synctest.Wait()
				checked := k.on("b").Checked
				k.cut["b"].Add(rule)
				time.Sleep(7 * time.Minute)
				cut := time.Now()
				synctest.Wait()
				b := k.on("b")
				require.Equal(k.t, team.Unknown, b.State)
				require.True(k.t, b.Since.Before(cut))
				require.Equal(k.t, checked, b.Checked, "when it last answered")
				require.NotEmpty(k.t, b.Error)
				require.WithinDuration(k.t, cut, k.on("a").Checked, 7*time.Minute)
				red, err := k.Drift(k.t.Context(), "red")
				require.NoError(k.t, err)
				require.Equal(k.t, team.Unknown, red.Conditions[0].State, "also for the other team there")

				k.delete("a", ref("ResourceQuota", "blue", "appspan-team"))
				k.delete("b", ref("ResourceQuota", "blue", "appspan-team"))
				k.anInterval()
				require.NotNil(k.t, k.tree("a", ref("ResourceQuota", "blue", "appspan-team")))
				require.Equal(k.t, b.Since, k.on("b").Since)
				k.cut["b"].Heal()
				k.anInterval()
				k.anInterval()
				require.Equal(k.t, team.Synced, k.on("b").State)
				require.NotNil(k.t, k.tree("b", ref("ResourceQuota", "blue", "appspan-team")))
			})
		})
	}
}

func TestWhatIsRecordedIsMadeSoAtOnce(t *testing.T) {
	t.Parallel()
	keep(t, blue(), nil, func(k *kept) {
		begun := time.Now()
		account := ref("ServiceAccount", "appspan-members-test", team.AccountName("blue", "new"))
		_, err := k.Update(k.t.Context(), "blue", func(tm *team.Team) error {
			tm.Members = append(tm.Members, team.Member{Subject: "new", Role: team.RoleObserver})
			return nil
		})
		require.NoError(k.t, err)
		synctest.Wait()
		require.NotNil(k.t, k.tree("c", account))
		require.NoError(k.t, k.SetCredential(k.t.Context(), "blue", "a", team.Credential{Registry: "registry.example.com", Username: "u", Password: "p4ssw0rd"}))
		synctest.Wait()
		require.NotNil(k.t, k.tree("a", ref("Secret", "blue", team.PullSecret)))
		_, err = k.Update(k.t.Context(), "blue", func(tm *team.Team) error { delete(tm.Clusters, "c"); return nil })
		require.NoError(k.t, err)
		synctest.Wait()
		require.Nil(k.t, k.tree("c", account))
		require.NotContains(k.t, k.tree("c", ref("Namespace", "", "blue"))["metadata"].(tree)["labels"], team.LabelTeam)
		d, err := k.Drift(k.t.Context(), "blue")
		require.NoError(k.t, err)
		require.Len(k.t, d.Conditions, 2, "the cluster that it left is forgotten")
		require.Equal(k.t, begun, time.Now(), "without waiting")

		_, err = k.Delete(k.t.Context(), "blue", &team.DeleteOptions{Force: true})
		require.NoError(k.t, err)
		synctest.Wait()
		for rec, err := range k.records.List(k.t.Context(), "team-conditions/") {
			require.NoError(k.t, err)
			require.Empty(k.t, rec.Key)
		}
	})
}

func TestATeamThatIsDeletedMeanwhileLeavesNoRightsBehind(t *testing.T) {
	t.Parallel()
	for _, data := range []team.Data{team.DataKeep, team.DataMove} {
		t.Run(string(data), func(t *testing.T) {
			t.Parallel()
			keep(t, blue(), nil, func(k *kept) {
				k.create(team.Team{ID: "red", Clusters: map[string]team.Allocation{"a": {Namespaces: []team.Namespace{{Name: "red"}}}}})
				synctest.Wait()
				binding := ref("RoleBinding", "blue", "appspan-team")
				k.delete("a", binding)
				slow := k.cut["a"].Add(fault.Rule{Op: fault.Apply, Kind: "RoleBinding", Name: binding.Name, Delay: 20 * time.Second})
				_, err := k.Update(k.t.Context(), "blue", func(tm *team.Team) error { tm.DisplayName = "Bleu"; return nil })
				require.NoError(k.t, err)
				synctest.Wait() // it is on its way
				require.Nil(k.t, k.tree("a", binding))
				opts := &team.DeleteOptions{Data: data}
				if data == team.DataMove {
					opts.To = "red"
				}
				_, err = k.Delete(k.t.Context(), "blue", opts)
				require.NoError(k.t, err)
				slow()
				k.anInterval()
				labels := k.tree("a", ref("Namespace", "", "blue"))["metadata"].(tree)["labels"].(tree)
				if data == team.DataKeep {
					require.Nil(k.t, k.tree("a", binding))
					require.NotContains(k.t, labels, team.LabelTeam)
					return
				}
				require.Equal(k.t, "red", labels[team.LabelTeam])
				require.Equal(k.t, "appspan:team:red", k.tree("a", binding)["subjects"].([]any)[0].(tree)["name"])
			})
		})
	}
}

func TestATeamThatGetsAnothersNamespacesHasThemSoon(t *testing.T) {
	t.Parallel()
	keep(t, blue(), nil, func(k *kept) {
		k.create(team.Team{ID: "red"})
		_, err := k.Delete(k.t.Context(), "blue", &team.DeleteOptions{Data: team.DataMove, To: "red"})
		require.NoError(k.t, err)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		d, err := k.Drift(k.t.Context(), "red")
		require.NoError(k.t, err)
		for _, c := range d.Conditions {
			require.Equal(k.t, team.Synced, c.State, d)
		}
		require.Equal(k.t, "appspan:team:red", k.tree("a", ref("RoleBinding", "blue", "appspan-team"))["subjects"].([]any)[0].(tree)["name"])
	})
}

func TestWhatOthersMayInATeamsNamespaceIsShown(t *testing.T) {
	t.Parallel()
	keep(t, blue(), nil, func(k *kept) {
		k.apply("a", tree{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": tree{"name": "extra", "namespace": "blue"},
			"roleRef":  tree{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
			"subjects": []tree{{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "eve"}}})
		for name, subject := range map[string]tree{"user": {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "appspan:team:blue"},
			"olga": {"kind": "ServiceAccount", "namespace": "appspan-members-test", "name": team.AccountName("blue", "olga")}} {
			k.apply("a", tree{"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": tree{"name": name},
				"roleRef": tree{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}, "subjects": []tree{subject}})
		}
		k.anInterval()
		require.Equal(k.t, []string{"RoleBinding blue/extra is not the team's: it gives ClusterRole edit to User eve",
			"ClusterRoleBinding olga is not the team's: it gives ClusterRole cluster-admin to ServiceAccount appspan-members-test/" + team.AccountName("blue", "olga"),
			"ClusterRoleBinding user is not the team's: it gives ClusterRole cluster-admin to User appspan:team:blue"}, k.on("a").Warnings)
		require.NotNil(k.t, k.tree("a", ref("RoleBinding", "blue", "extra")))
	})
}

func TestWhatIsReservedForNothingIsFreedWhereThatIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, asked := range []bool{true, false} {
		keep(t, blue(), &team.RunOptions{Reclaim: asked}, func(k *kept) {
			require.NoError(k.t, k.Ledger().Reserve(k.t.Context(), "blue", "blue/left", "a", cluster.Amounts{"cpu": "1"}))
			k.cut["b"].Add(fault.Rule{Err: fault.Lost})
			require.NoError(k.t, k.Ledger().Reserve(k.t.Context(), "blue", "blue/perhaps", "b", cluster.Amounts{"cpu": "1"}))
			time.Sleep(10 * time.Minute)
			held, err := k.Ledger().Reservations(k.t.Context(), "blue")
			require.NoError(k.t, err)
			require.Len(k.t, held, 2, "both may be on their way")
			time.Sleep(time.Hour)
			synctest.Wait()
			held, err = k.Ledger().Reservations(k.t.Context(), "blue")
			require.NoError(k.t, err)
			if !asked {
				require.Len(k.t, held, 2)
				return
			}
			require.Len(k.t, held, 1, "what is on a cluster that does not answer stays")
			require.Equal(k.t, "b", held[0].Cluster)
		})
	}
}

// process is one of several over the same records and clusters.
type process struct {
	teams *team.Teams
	cut   []*fault.Cluster
	dead  atomic.Bool
	storagedriver.Records
}

// asked is how often it turned to a cluster.
func (p *process) asked() (n int) {
	for _, c := range p.cut {
		n += c.Count(fault.Apply) + c.Count(fault.Delete) + c.Count(fault.List)
	}
	return n
}

var errDead = fmt.Errorf("the process is dead: %w", appspan.ErrUnavailable)

func (p *process) Get(ctx context.Context, key string) (storagedriver.Record, error) {
	if p.dead.Load() {
		return storagedriver.Record{}, errDead
	}
	return p.Records.Get(ctx, key)
}

func (p *process) Put(ctx context.Context, key string, value []byte, ifRevision string) (string, error) {
	if p.dead.Load() {
		return "", errDead
	}
	return p.Records.Put(ctx, key, value, ifRevision)
}

func (p *process) List(ctx context.Context, q storagedriver.Query) (storagedriver.Page, error) {
	if p.dead.Load() {
		return storagedriver.Page{}, errDead
	}
	return p.Records.List(ctx, q)
}

func (p *process) Delete(ctx context.Context, key, ifRevision string) error {
	if p.dead.Load() {
		return errDead
	}
	return p.Records.Delete(ctx, key, ifRevision)
}

func (p *process) Close() error { return nil }

func TestOfTwoProcessesOneRepairsAndTheOtherTakesOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.create(blue())
		store := memstore.NewRecords()
		defer store.Close()
		shared := storage.NewRecords(store, nil)
		_, err := shared.Put(t.Context(), "teams/blue", w.record("teams/blue"), "")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		var processes []*process
		for i := range 2 {
			p := &process{Records: store}
			var members []*cluster.Cluster
			for name, f := range w.fakes {
				p.cut = append(p.cut, fault.New(lasting{f}))
				members = append(members, cluster.New(name, p.cut[len(p.cut)-1], &cluster.Options{Attempts: 1}))
			}
			set, err := cluster.NewSet(members...)
			require.NoError(t, err)
			defer set.Close()
			p.teams, err = team.New(storage.NewRecords(p, nil), set, &team.Options{Installation: "test", Authorizer: appspan.AllowAll{}})
			require.NoError(t, err)
			wg.Go(func() {
				if err := p.teams.Run(ctx, &team.RunOptions{Holder: fmt.Sprint("process-", i)}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
			processes = append(processes, p)
		}
		first, second := processes[0], processes[1]
		quota := ref("ResourceQuota", "blue", "appspan-team")
		for range 3 {
			require.NoError(t, w.fakes["a"].Delete(t.Context(), quota, driver.DeleteOptions{}))
			time.Sleep(6 * time.Minute)
			synctest.Wait()
			require.NotNil(t, w.tree("a", quota))
		}
		require.NotZero(t, first.asked())
		require.Zero(t, second.asked(), "one works")

		first.dead.Store(true)
		require.NoError(t, w.fakes["a"].Delete(t.Context(), quota, driver.DeleteOptions{}))
		time.Sleep(40 * time.Second)
		synctest.Wait()
		require.NotNil(t, w.tree("a", quota), "within the lease")
		require.NotZero(t, second.asked())
		asked := first.asked()
		time.Sleep(time.Hour)
		require.Equal(t, asked, first.asked(), "who lost it does nothing more")
		first.dead.Store(false) // it comes back
		time.Sleep(time.Hour)
		require.Equal(t, asked, first.asked(), "and waits")
	})
}

func TestRunEndsWithRecordsThatAreClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ended := make(chan error)
		go func() { ended <- w.Run(t.Context(), nil) }()
		synctest.Wait()
		require.NoError(t, w.records.Close())
		require.ErrorIs(t, <-ended, appspan.ErrUnavailable)
		require.ErrorIs(t, w.Run(t.Context(), nil), appspan.ErrUnavailable, "also from the beginning")
	})
}

func TestRunSaysWhatIsWrongAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	require.ErrorIs(t, w.Run(t.Context(), &team.RunOptions{Policy: "hope"}), appspan.ErrInvalid)
	teams, err := team.New(w.records, w.set, &team.Options{Installation: "test", Authorizer: team.NewAuthorizer(w.records, nil)})
	require.NoError(t, err)
	require.ErrorIs(t, teams.For(appspan.Subject{ID: "dan"}).Run(t.Context(), nil), appspan.ErrDenied)
	_, err = w.Create(t.Context(), team.Team{ID: "x", Drift: "hope"})
	require.ErrorContains(t, err, "use repair or show")
}
