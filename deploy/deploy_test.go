package deploy_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

func TestAnApplicationBecomesReadyOnTwoClusters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		p, err := w.Plan(t.Context(), shop(t), both, nil)
		require.NoError(t, err)
		require.NoError(t, p.Err())
		require.Zero(t, w.writes(), "a plan writes nothing")
		var heard recorder
		r, err := w.Apply(t.Context(), p, &deploy.ApplyOptions{OnEvent: heard.hear})
		require.NoError(t, err)
		for _, c := range r.Clusters {
			require.Equal(t, deploy.OutcomeDone, c.Outcome)
			require.Equal(t, status.Ready, c.Status.Value)
			require.Equal(t, 1, c.Revision)
		}
		for i, e := range heard.events {
			require.Equal(t, uint64(i+1), e.Seq)
		}
		s, err := w.Status(t.Context(), "shop", both)
		require.NoError(t, err)
		for _, c := range s.Clusters {
			require.Equal(t, status.Ready, c.Value)
			require.True(t, c.Fresh)
			require.Equal(t, 1, c.Revision)
		}
		require.Equal(t, w.get("a", passwordRef)["data"], w.get("b", passwordRef)["data"], "one password for the whole installation")
	})
}

var passwordRef = driver.Ref{APIVersion: "v1", Kind: "Secret", Namespace: "shop", Name: "shop-db"}

func TestAnUnchangedApplyWritesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		w.resetCalls()
		r := w.deployed(shop(t), both)
		require.Zero(t, w.writes())
		for _, c := range r.Clusters {
			require.Equal(t, deploy.OutcomeUnchanged, c.Outcome)
			require.Equal(t, 1, c.Revision)
		}
	})
}

func TestWhatIsChangedByHandIsDriftWithItsAuthor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		w.edit("a", webRef, "kubectl-edit", func(v map[string]any) {
			spec := v["spec"].(map[string]any)
			spec["replicas"] = 5
			container := spec["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
			container["image"] = "registry.example.com/evil:1"
		})
		p, err := w.Plan(t.Context(), shop(t), both, nil)
		require.NoError(t, err)
		require.Empty(t, p.Clusters[1].Changes)
		drift := p.Clusters[0].Drift()
		require.Len(t, drift, 1)
		require.Equal(t, "Deployment shop/shop-web", drift[0].Object.String())
		require.Equal(t, []deploy.FieldChange{
			{Path: ".spec.replicas", Old: json.RawMessage("5"), New: json.RawMessage("2"), Drift: true, Manager: "kubectl-edit"},
			{Path: `.spec.template.spec.containers[name="web"].image`, Old: json.RawMessage(`"registry.example.com/evil:1"`), New: json.RawMessage(`"registry.example.com/web:1"`), Drift: true, Manager: "kubectl-edit"},
		}, drift[0].Fields)
		_, err = w.Apply(t.Context(), p, nil)
		require.NoError(t, err)
		require.Equal(t, float64(2), w.get("a", webRef)["spec"].(map[string]any)["replicas"])
		p, err = w.Plan(t.Context(), shop(t), both, nil)
		require.NoError(t, err)
		require.True(t, p.Empty())
	})
}

func TestAChangeOfIntentIsNoDrift(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		p, err := w.Plan(t.Context(), shop(t, "web:1", "web:2", "replicas: 2", "replicas: 3", "value: hello", "value: bye"), both, nil)
		require.NoError(t, err)
		require.Empty(t, p.Clusters[0].Drift())
		var changed []string
		for _, c := range p.Clusters[0].Changes {
			for _, f := range c.Fields {
				require.False(t, f.Drift)
				changed = append(changed, c.Object.Kind+f.Path)
			}
		}
		require.Contains(t, changed, "Deployment.spec.replicas")
		require.Contains(t, changed, `Deployment.spec.template.spec.containers[name="web"].image`)
		require.Contains(t, changed, "ConfigMap.data.GREETING")
	})
}

func TestAFieldThatIsNotAskedForAnyMoreIsRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t, "scale: {replicas: 2}", "scale: {replicas: 2}\n    lifecycle: {gracePeriod: 90s}\n    labels: {tier: front}"), both)
		p, err := w.Plan(t.Context(), shop(t), both, nil)
		require.NoError(t, err)
		require.NotEmpty(t, p.Clusters[0].Changes)
		_, err = w.Apply(t.Context(), p, nil)
		require.NoError(t, err)
		meta := w.get("a", webRef)["metadata"].(map[string]any)
		require.NotContains(t, meta["labels"], "tier")
	})
}

func TestAStalePlanIsRefusedOnItsClusterAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		p, err := w.Plan(t.Context(), shop(t, "web:1", "web:2"), both, nil)
		require.NoError(t, err)
		w.edit("a", webRef, "somebody", func(v map[string]any) { v["spec"].(map[string]any)["replicas"] = 7 })
		r, err := w.Apply(t.Context(), p, nil)
		require.ErrorIs(t, err, appspan.ErrPrecondition)
		require.Equal(t, deploy.OutcomeStale, r.Cluster("a").Outcome)
		require.Equal(t, deploy.OutcomeDone, r.Cluster("b").Outcome)
		require.Equal(t, float64(7), w.get("a", webRef)["spec"].(map[string]any)["replicas"], "nothing was written")
	})
}

func TestAPlanSurvivesBeingStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		p, err := w.Plan(t.Context(), shop(t), both, nil)
		require.NoError(t, err)
		data, err := json.Marshal(p)
		require.NoError(t, err)
		var stored deploy.Plan
		require.NoError(t, json.Unmarshal(data, &stored))
		_, err = w.Apply(t.Context(), &stored, nil)
		require.NoError(t, err)
		password := w.get("a", passwordRef)["data"].(map[string]any)["password"].(string)
		require.NotContains(t, string(data), password)
		w.resetCalls() // and may be applied again
		r, err := w.Apply(t.Context(), &stored, nil)
		require.NoError(t, err)
		require.Equal(t, deploy.OutcomeUnchanged, r.Clusters[0].Outcome)
		require.Zero(t, w.writes())
	})
}

func TestWhatIsBrokenIsExplainedAndRolledBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		p, err := w.Plan(t.Context(), shop(t, "registry.example.com/web:1", "nowhere.invalid/web:2"), both, nil)
		require.NoError(t, err)
		r, err := w.Apply(t.Context(), p, &deploy.ApplyOptions{FailAfter: 5 * time.Second})
		require.ErrorIs(t, err, deploy.ErrNotReady)
		require.ErrorContains(t, err, "nowhere.invalid/web:2")
		require.Equal(t, deploy.OutcomeFailed, r.Cluster("a").Outcome)
		r, err = w.Rollback(t.Context(), "shop", both, nil, nil)
		require.NoError(t, err)
		require.Equal(t, deploy.OutcomeDone, r.Cluster("a").Outcome)
		releases, err := w.Releases(t.Context(), "shop", both)
		require.NoError(t, err)
		require.Len(t, releases["a"], 3)
		require.Equal(t, deploy.ReleaseDeployed, releases["a"][0].State)
		require.Equal(t, 1, releases["a"][0].RollbackTo)
		require.Equal(t, deploy.ReleaseFailed, releases["a"][1].State)
		require.Contains(t, releases["a"][1].Message, "web")
		p, err = w.Plan(t.Context(), shop(t), both, nil)
		require.NoError(t, err)
		require.True(t, p.Empty(), "the rollback went back exactly")
	})
}

func TestRemovingLeavesDataAndNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		password := w.get("a", passwordRef)["data"]
		_, err := w.Remove(t.Context(), "shop", both, nil, nil)
		require.NoError(t, err)
		require.Equal(t, []string{"PersistentVolumeClaim/data-shop-db-0"}, w.objects("a", "shop"))
		w.deployed(shop(t), both)
		require.Equal(t, password, w.get("a", passwordRef)["data"], "data comes back with its password")
		_, err = w.Remove(t.Context(), "shop", both, &deploy.RemoveOptions{Data: true}, nil)
		require.NoError(t, err)
		_, err = w.fakes["a"].Get(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: "shop"})
		require.ErrorIs(t, err, appspan.ErrNotFound, "the namespace was ours")
	})
}

func TestANamespaceThatWasThereStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		obj, err := driver.ParseObject([]byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}`))
		require.NoError(t, err)
		_, err = w.fakes["a"].Apply(t.Context(), obj, driver.ApplyOptions{Manager: "admin"})
		require.NoError(t, err)
		w.deployed(shop(t), on("a"))
		_, err = w.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Data: true}, nil)
		require.NoError(t, err)
		require.Empty(t, w.objects("a", "shop"))
		_, err = w.fakes["a"].Get(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: "shop"})
		require.NoError(t, err)
	})
}

func TestANamespaceWithSomethingForeignStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		obj, err := driver.ParseObject([]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"mine","namespace":"shop"}}`))
		require.NoError(t, err)
		_, err = w.fakes["a"].Apply(t.Context(), obj, driver.ApplyOptions{Manager: "somebody"})
		require.NoError(t, err)
		r, err := w.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Data: true}, nil)
		require.NoError(t, err)
		require.Equal(t, []string{"ConfigMap/mine"}, w.objects("a", "shop"))
		require.Contains(t, r.Clusters[0].Notes[0], "ConfigMap shop/mine")
	})
}

func TestAComponentThatGoesIsPrunedAndItsDataKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		alone := decode(t, `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
components: [{id: web, kind: service, image: "registry.example.com/web:1", ports: [{port: 8080}], security: {runAsUser: 1000}}]
`)
		w.deployed(alone, on("a"))
		left := w.objects("a", "shop")
		require.NotContains(t, left, "StatefulSet/shop-db")
		require.NotContains(t, left, "Secret/shop-db")
		require.NotContains(t, left, "Ingress/shop-shop")
		require.Contains(t, left, "PersistentVolumeClaim/data-shop-db-0")
	})
}

func TestTwoInstallationsNeverTouchEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		other := w.deployer("other")
		w.resetCalls()
		p, err := other.Plan(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		require.Equal(t, deploy.ClusterRefused, p.Clusters[0].State)
		require.ErrorIs(t, p.Err(), appspan.ErrConflict)
		require.ErrorContains(t, p.Err(), `installation "test"`)
		p, err = other.Plan(t.Context(), shop(t), on("a"), &deploy.PlanOptions{Adopt: true})
		require.NoError(t, err)
		require.Equal(t, deploy.ClusterRefused, p.Clusters[0].State, "adoption does not take from another installation")
		_, err = other.Apply(t.Context(), p, nil)
		require.ErrorIs(t, err, appspan.ErrConflict)
		r, err := other.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Data: true}, nil)
		require.NoError(t, err)
		require.Equal(t, deploy.OutcomeUnchanged, r.Clusters[0].Outcome)
		require.Zero(t, w.writes())
		elsewhere := deploy.Target{Clusters: []string{"a"}, Namespace: "elsewhere"}
		_, err = other.Deploy(t.Context(), shop(t), elsewhere, nil)
		require.NoError(t, err)
		_, err = other.Remove(t.Context(), "shop", elsewhere, &deploy.RemoveOptions{Data: true}, nil)
		require.NoError(t, err)
		same, err := w.Plan(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		require.True(t, same.Empty(), "the first installation is as it was")
	})
}

func TestANamesakeIsRefusedUnlessAdopted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]*fake.Options{"a": nil})
		for _, text := range []string{
			`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}`,
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shop-site","namespace":"shop"},"data":{"mine":"1"}}`,
		} {
			obj, err := driver.ParseObject([]byte(text))
			require.NoError(t, err)
			_, err = w.fakes["a"].Apply(t.Context(), obj, driver.ApplyOptions{Manager: "admin"})
			require.NoError(t, err)
		}
		p, err := w.Plan(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		require.ErrorContains(t, p.Err(), "not ours")
		p, err = w.Plan(t.Context(), shop(t), on("a"), &deploy.PlanOptions{Adopt: true})
		require.NoError(t, err)
		require.NoError(t, p.Err())
		_, err = w.Apply(t.Context(), p, nil)
		require.NoError(t, err)
	})
}

func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]*fake.Options{"a": nil})
		c, err := w.set.Cluster(t.Context(), "a")
		require.NoError(t, err)
		_, err = c.Info(t.Context())
		require.NoError(t, err)
		written := &deploy.ApplyOptions{Wait: deploy.WaitWritten}
		total := func() int {
			n := 0
			for _, count := range w.fakes["a"].Calls() {
				n += count
			}
			return n
		}
		var kinds int
		for revision, app := range []string{"web:1", "web:2", "web:3", "web:4", "web:5", "web:6", "web:7", "web:8", "web:9", "web:10", "web:11", "web:12"} {
			w.resetCalls()
			p, err := w.Plan(t.Context(), shop(t, "web:1", app), on("a"), nil)
			require.NoError(t, err)
			seen := map[string]bool{}
			for k := range w.fakes["a"].Calls() {
				seen[k.Kind] = true
			}
			kinds = len(seen)
			require.Equal(t, kinds, total(), "a plan is one call for each kind, not %v", w.fakes["a"].Calls())
			w.resetCalls()
			_, err = w.Apply(t.Context(), p, written)
			require.NoError(t, err)
			require.LessOrEqual(t, total(), kinds+len(p.Clusters[0].Changes)+6, "revision %d", revision+1)
		}
		releases, err := w.Releases(t.Context(), "shop", on("a"))
		require.NoError(t, err)
		require.Len(t, releases["a"], 10)
		require.Equal(t, 12, releases["a"][0].Revision)
		w.resetCalls()
		p, err := w.Plan(t.Context(), shop(t, "web:1", "web:12"), on("a"), nil)
		require.NoError(t, err)
		require.True(t, p.Empty())
		_, err = w.Apply(t.Context(), p, written)
		require.NoError(t, err)
		require.Equal(t, 2*kinds, total())
	})
}

func TestOneDeadAndOneSlowClusterDelayNobody(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, broken bool) time.Duration {
		var longest time.Duration
		synctest.Test(t, func(t *testing.T) {
			options := map[string]*fake.Options{}
			var names []string
			for i := range 20 {
				if i >= 18 && !broken {
					continue
				}
				name := "c" + string(rune('a'+i))
				names = append(names, name)
				options[name] = &fake.Options{Name: name, Latency: 20 * time.Millisecond, ReadyAfter: 2 * time.Second}
			}
			w := newWorld(t, options)
			if broken {
				w = withBroken(w, "cs", "ct")
			}
			r, err := w.Deploy(t.Context(), shop(t), deploy.Target{Clusters: names, Namespace: "shop"}, nil)
			if !broken {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, appspan.ErrUnavailable)
			}
			for _, c := range r.Clusters {
				if c.Cluster == "cs" || c.Cluster == "ct" {
					require.Equal(t, deploy.OutcomeUnknown, c.Outcome, c.Error)
					require.Equal(t, status.Unknown, c.Status.Value)
					require.Contains(t, c.Error, "answer")
					continue
				}
				require.Equal(t, deploy.OutcomeDone, c.Outcome, c.Error)
				longest = max(longest, c.Finished.Sub(c.Started))
			}
		})
		return longest
	}
	without := run(t, false)
	with := run(t, true)
	t.Logf("eighteen clusters: %v, beside a dead and a slow one: %v (%.3f)", without, with, float64(with)/float64(without))
	require.LessOrEqual(t, float64(with), 1.05*float64(without))
}
