package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// allows decides by a function.
type allows func(appspan.Subject, appspan.Access) bool

func (f allows) Authorize(_ context.Context, s appspan.Subject, a appspan.Access) error {
	if f(s, a) {
		return nil
	}
	return fmt.Errorf("%s: %w", a, appspan.ErrDenied)
}

// teams is an Authorizer as cluster/team's is: everybody may do everything for
// the own team in its own places, and operators everywhere.
func teams(places map[string][]string) allows {
	return func(s appspan.Subject, a appspan.Access) bool {
		if s.ID == "operator" {
			return true
		}
		if a.Team == "" || a.Team != s.Team {
			return false
		}
		for _, place := range places[a.Team] {
			if (a.Namespace == "" || a.Cluster+"/"+a.Namespace == place) && (a.Cluster == "" || place[:len(a.Cluster)+1] == a.Cluster+"/") {
				return true
			}
		}
		return false
	}
}

// asked is a Deployer of the world whose authorizer decides.
func (w *world) asked(a appspan.Authorizer) *deploy.Deployer {
	w.t.Helper()
	d, err := deploy.New(w.set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: a})
	require.NoError(w.t, err)
	return d
}

func TestAReleaseOfAClusterThatTheTargetDoesNotNameIsNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		d := w.asked(teams(map[string][]string{"red": {"a/shop"}})).For(appspan.Subject{ID: "eve", Team: "red"})
		_, err := d.ReleasedApplication(t.Context(), "shop", on("a"), "a", 1)
		require.NoError(t, err)
		_, err = d.ReleasedApplication(t.Context(), "shop", on("a"), "b", 1)
		require.ErrorIs(t, err, appspan.ErrInvalid, "namespace shop of b is another team's")
	})
}

func TestWhatATeamHasKeptAnotherTeamDoesNotTouch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		records := storage.NewRecords(memstore.NewRecords(), nil)
		defer records.Close()
		d := w.asked(teams(map[string][]string{"red": {"a/shop"}, "blue": {"b/shop"}}))
		keeper := func(team string) *deploy.Keeper {
			k, err := deploy.NewKeeper(d.For(appspan.Subject{ID: "somebody", Team: team}), records, nil)
			require.NoError(t, err)
			return k
		}
		heal := deploy.DriftPolicy{Default: deploy.DriftHeal}
		require.NoError(t, keeper("red").Keep(t.Context(), "shop", on("a"), heal, nil))
		require.ErrorIs(t, keeper("blue").Keep(t.Context(), "shop", on("b"), deploy.DriftPolicy{Default: deploy.DriftYield}, nil), appspan.ErrDenied)
		require.ErrorIs(t, keeper("blue").Release(t.Context(), "shop", on("b")), appspan.ErrDenied)
		kept, err := keeper("red").List(t.Context())
		require.NoError(t, err)
		require.Len(t, kept, 1)
		require.Equal(t, deploy.DriftHeal, kept[0].Policy.Default)
		require.NoError(t, keeper("red").Keep(t.Context(), "shop", on("a"), heal, nil))
		require.NoError(t, keeper("red").Release(t.Context(), "shop", on("a")))
	})
}

func TestWhoWorksForATeamRecoversAndResealsNothingOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		d := w.asked(teams(map[string][]string{"red": {"a/red"}}))
		records := storage.NewRecords(memstore.NewRecords(), nil)
		defer records.Close()
		envs, err := deploy.NewEnvironments(records, d)
		require.NoError(t, err)
		eve, operator := appspan.Subject{ID: "eve", Team: "red"}, appspan.Subject{ID: "operator"}
		r, err := envs.For(eve).Recover(t.Context(), on("a"))
		require.ErrorIs(t, err, appspan.ErrDenied, "%v", r)
		_, err = envs.For(eve).Reseal(t.Context())
		require.ErrorIs(t, err, appspan.ErrDenied)
		for _, team := range []string{"", "red"} {
			_, err = d.For(eve).Reseal(t.Context(), deploy.Target{Clusters: []string{"a"}, Team: team})
			require.ErrorIs(t, err, appspan.ErrDenied, "of team %q", team)
		}
		_, err = d.For(eve).Reseal(t.Context(), deploy.Target{Clusters: []string{"a"}, Namespace: "red"})
		require.NoError(t, err, "the namespace is its own")
		_, err = envs.For(operator).Recover(t.Context(), both)
		require.NoError(t, err)
		_, err = d.For(operator).Reseal(t.Context(), deploy.Target{Clusters: []string{"a"}})
		require.NoError(t, err)
	})
}

func TestGatesAreNotPassedThroughAnotherEnvironmentOfTheSamePlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, deploy.Environment{Gates: deploy.Gates{Approvals: 1, Approvers: []string{"operators"}}}, nil)
		c.begin(shop(t))
		c.through()
		s, err := c.Pipeline.For(dev).Promote(t.Context(), "shop", "production", nil)
		require.NoError(t, err)
		c.through()
		s, err = c.Pipeline.Get(t.Context(), "shop", s.ID)
		require.NoError(t, err)
		_, err = c.Pipeline.For(operator).Approve(t.Context(), "shop", s.ID, s.PlanHash, "")
		require.NoError(t, err)
		c.through()
		require.Equal(t, deploy.StageDone, c.in("production").State)
		c.put(deploy.Environment{Application: "shop", Name: "backdoor", Target: production, Overrides: hosts(t, "live.example.com")})
		_, err = c.Pipeline.For(dev).Deploy(t.Context(), "shop", "backdoor", shop(t, "web:1", "evil:1"), nil)
		require.NoError(t, err)
		c.through()
		require.Equal(t, deploy.StageFailed, c.in("backdoor").State, "%+v", c.in("backdoor"))
		require.Contains(t, c.in("backdoor").Clusters[0].Error, "environment production has gates")
		require.NotContains(t, fmt.Sprint(c.get("b", liveWeb)["spec"]), "evil")

		d := c.asked(allows(func(_ appspan.Subject, a appspan.Access) bool { return a.Verb != appspan.VerbApprove }))
		envs, err := deploy.NewEnvironments(c.staged.records, d)
		require.NoError(t, err)
		require.ErrorIs(t, envs.Delete(t.Context(), "shop", "production"), appspan.ErrDenied, "one without gates would take its place")
	})
}

func TestPodsOfAnotherInstallationAreNotReached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		foreign, err := driver.NewObject(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "theirs", "namespace": "shop",
			"labels": map[string]string{appmodel.LabelApplication: "shop", appmodel.LabelComponent: "web", appmodel.LabelInstallation: "other"}},
			"spec": map[string]any{"containers": []any{map[string]any{"name": "web", "image": "web:1"}}}})
		require.NoError(t, err)
		_, err = w.fakes["a"].Apply(t.Context(), foreign, driver.ApplyOptions{Manager: "kubectl"})
		require.NoError(t, err)
		require.ErrorIs(t, w.Exec(t.Context(), "shop", on("a"), &deploy.ExecOptions{Pod: "theirs", Command: []string{"true"}}), appspan.ErrNotFound)
		for l, err := range w.Logs(t.Context(), "shop", on("a"), nil) {
			require.NoError(t, err)
			require.NotEqual(t, "theirs", l.Pod)
		}
	})
}

func TestASecretThatAServerRepeatsIsNeitherInResultsNorInRecords(t *testing.T) {
	t.Parallel()
	const secret = "c0rrect-horse-battery"
	for _, journalled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := two(t)
			broken := fault.New(w.fakes["a"], fault.Rule{Op: fault.Apply, Kind: "StatefulSet", Err: fmt.Errorf("%w: admission refuses %q", appspan.ErrInvalid, secret)})
			set, err := cluster.NewSet(cluster.New("a", broken, nil))
			require.NoError(t, err)
			defer set.Close()
			store := memstore.NewRecords()
			records := storage.NewRecords(store, nil)
			defer records.Close()
			o := &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: appspan.AllowAll{}}
			if journalled {
				o.Journal, err = journal.New(records, nil)
				require.NoError(t, err)
			}
			d, err := deploy.New(set, o)
			require.NoError(t, err)
			app := shop(t, "generate: {length: 20}", "value: "+secret)
			heard := &recorder{}
			r, err := d.Deploy(t.Context(), app, on("a"), &deploy.DeployOptions{Apply: deploy.ApplyOptions{OnEvent: heard.hear}})
			require.ErrorIs(t, err, appspan.ErrInvalid)
			for _, told := range []any{r, heard.events} {
				data, err := json.Marshal(told)
				require.NoError(t, err)
				require.NotContains(t, string(data), secret)
			}
			require.NotContains(t, err.Error(), secret)
			if journalled {
				for rec, err := range records.List(t.Context(), "") {
					require.NoError(t, err)
					require.NotContains(t, string(rec.Value), secret, rec.Key)
				}
			}
		})
	}
}

func TestWhoMayNotSeeAnEnvironmentDoesNotLearnOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStaged(t)
		d := s.asked(teams(map[string][]string{"red": {"a/shop"}, "blue": {"b/live"}}))
		envs, err := deploy.NewEnvironments(s.records, d)
		require.NoError(t, err)
		red, blue := envs.For(appspan.Subject{ID: "r", Team: "red"}), envs.For(appspan.Subject{ID: "b", Team: "blue"})
		require.NoError(t, red.Put(t.Context(), deploy.Environment{Application: "shop", Name: "production", Target: on("a")}))
		_, there := blue.Get(t.Context(), "shop", "production")
		_, absent := blue.Get(t.Context(), "shop", "other")
		require.ErrorIs(t, there, appspan.ErrNotFound)
		require.Equal(t, strings.ReplaceAll(absent.Error(), "other", "production"), there.Error())
		require.ErrorIs(t, blue.Delete(t.Context(), "shop", "production"), appspan.ErrNotFound)
		require.ErrorIs(t, blue.Put(t.Context(), deploy.Environment{Application: "shop", Name: "test", From: "production", Target: deploy.Target{Clusters: []string{"b"}, Namespace: "live"}}), appspan.ErrNotFound)
	})
}

func TestAKeeperLeavesANamespaceOfAnotherTeamThatLabelsChose(t *testing.T) {
	t.Parallel()
	keep(t, func(t *testing.T, k *keeping) {
		k.edit("b", driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: "shop"}, "teams", func(v map[string]any) {
			v["metadata"].(map[string]any)["labels"].(map[string]any)["appspan.dev/team"] = "blue"
		})
		to := both
		to.Team = "red"
		require.NoError(t, k.keeper.Keep(t.Context(), "shop", to, deploy.DriftPolicy{Default: deploy.DriftHeal}, nil))
		for _, name := range []string{"a", "b"} {
			k.edit(name, webRef, "kubectl-edit", func(v map[string]any) { v["spec"].(map[string]any)["replicas"] = 9 })
		}
		k.runs("one")
		require.Equal(t, 2, k.number("a", webRef, "spec", "replicas"))
		require.Equal(t, 9, k.number("b", webRef, "spec", "replicas"))
		found, err := k.keeper.Findings(t.Context(), "shop", to)
		require.NoError(t, err)
		require.Contains(t, found[1].Error, "another team's")
	})
}
