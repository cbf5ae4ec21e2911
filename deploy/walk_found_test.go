package deploy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

func TestARestartOfAStoppedApplicationEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		_, err := w.Run(t.Context(), "shop", both, deploy.Command{Kind: deploy.KindStop}, nil)
		require.NoError(t, err)
		_, err = w.Run(t.Context(), "shop", both, deploy.Command{Kind: deploy.KindRestart}, nil)
		require.NoError(t, err)
	})
}

// deletes deletes an object by hand.
func (w *world) deletes(cluster string, ref driver.Ref) {
	w.t.Helper()
	require.NoError(w.t, w.fakes[cluster].Delete(w.t.Context(), ref, driver.DeleteOptions{}))
}

func TestWhatWasDeletedByHandAndIsNotMeantAnyMoreIsNotMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t, "routes:\n", "  - {id: extra, kind: service, image: extra:1, security: {runAsUser: 1000}}\nroutes:\n"), on("a"))
		w.deletes("a", driver.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "shop-extra"})
		w.deployed(shop(t), on("a"))
		s, err := w.Status(t.Context(), "shop", on("a"))
		require.NoError(t, err)
		require.Equal(t, status.Ready, s.Worst, s.Tree(nil))
		require.Len(t, s.Clusters[0].Components, 2)
	})
}

func TestAPauseEndsWithTheWorkloadThatIsPaused(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(w *world){
		"deleted by hand and made again": func(w *world) { w.deletes("a", webRef); w.run(deploy.KindRedeploy, on("a")) },
		"removed and restored": func(w *world) {
			_, err := w.Remove(w.t.Context(), "shop", on("a"), &deploy.RemoveOptions{Recycle: true}, nil)
			require.NoError(w.t, err)
			_, err = w.Restore(w.t.Context(), "shop", on("a"), nil)
			require.NoError(w.t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := two(t)
				w.deployed(shop(t), on("a"))
				w.run(deploy.KindPause, on("a"))
				again(w)
				require.Len(t, w.podUIDs("a"), 3)
				require.Equal(t, status.Ready, w.value("a", "web"))
			})
		})
	}
}

func TestWhatIsPausedIsWaitedForByNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t, "kind: stateful", "kind: service", "volumes: [{name: data, kind: persistent, size: 1Gi, data: files}]", "volumes: [{name: data, kind: ephemeral}]"), on("a"))
		w.run(deploy.KindPause, on("a"))
		before := w.podUIDs("a")
		w.run(deploy.KindRestart, on("a")) // web needs db
		require.Equal(t, before, w.podUIDs("a"))
		require.Equal(t, status.Ready, w.value("a", "web"), "its replicas are as they were")
		w.run(deploy.KindStop, on("a"))
		w.run(deploy.KindStart, on("a"))
		require.Len(t, w.podUIDs("a"), 3)
		w.run(deploy.KindResume, on("a"))
	})
}

func TestWhatIsHealedBesideACommandIsNotPartOfItsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		w.scaled("a", "kubectl-scale", 0)
		w.run(deploy.KindStop, on("a"), "db") // web is made again, and is not to be down
		require.Equal(t, status.Stopped, w.value("a", "db"))
		require.Equal(t, 2, w.number("a", webRef, "spec", "replicas"))
	})
}

func TestAnImageIsMeantAlsoWhereAnotherClustersOverrideNamesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		image := func(n string) *appmodel.Override {
			return override(t, "metadata: {name: image-"+n+"}\nset: {components: [{id: web, image: \"registry.example.com/web:"+n+"\"}]}")
		}
		_, err := w.Deploy(t.Context(), shop(t), both, &deploy.DeployOptions{Plan: deploy.PlanOptions{Overrides: []*appmodel.Override{image("3")},
			ClusterOverrides: []deploy.ClusterOverride{{Override: image("4"), Clusters: appmodel.ClusterSelector{Names: []string{"b"}}}}}})
		require.NoError(t, err)
		_, err = w.Run(t.Context(), "shop", on("a"), deploy.Command{Kind: deploy.KindImage, Images: map[string]string{"web": "registry.example.com/web:4"}}, nil)
		require.NoError(t, err)
		p, err := w.PlanEdit(t.Context(), "shop", on("a"), func(a *appmodel.Application) error { return nil }, nil)
		require.NoError(t, err)
		_, err = w.Apply(t.Context(), p, nil)
		require.NoError(t, err)
		require.Contains(t, fmt.Sprint(w.get("a", webRef)["spec"]), "registry.example.com/web:4")
	})
}

func TestWhatAnAutoscalerHasIsGivenReplicasAgainAfterSomebodyTookThemAllAway(t *testing.T) {
	t.Parallel()
	for _, kind := range []deploy.PlanKind{deploy.KindStart, deploy.KindRestart, deploy.KindRedeploy, deploy.KindHeal} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := two(t)
				app := decode(t, meant{web: 1, replicas: 1, greeting: "hello", host: "shop.example.com", worker: true}.text("shop"))
				w.deployed(app, on("a"))
				worker := driver.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "shop-worker"}
				w.edit("a", worker, "kubectl-scale", func(o map[string]any) { o["spec"].(map[string]any)["replicas"] = 0 })
				p, err := w.Plan(t.Context(), app, on("a"), nil)
				require.NoError(t, err)
				require.Len(t, p.Clusters[0].Drift(), 1)
				if kind != deploy.KindHeal {
					w.run(kind, on("a")) // web needs it
				} else if _, err := w.Heal(t.Context(), "shop", on("a"), heal, nil); err != nil {
					t.Error(err)
				}
				require.Equal(t, 2, w.number("a", worker, "spec", "replicas"))
				require.Equal(t, status.Ready, w.value("a", "worker"))
			})
		})
	}
}

func TestARemovalThatIsDoneAgainLeavesNoReleaseButTheNewest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		w.deployed(shop(t, "web:1", "web:2"), on("a"))
		bin := &deploy.RemoveOptions{Recycle: true}
		dies := w.over(func(d driver.Cluster) driver.Cluster {
			return saboteur{Cluster: d, delete: func(ctx context.Context, c driver.Cluster, ref driver.Ref, o driver.DeleteOptions) error {
				if ref.Kind == "Secret" && strings.HasPrefix(ref.Name, "appspan-") {
					return errKilled
				}
				return c.Delete(ctx, ref, o)
			}}
		})
		_, err := dies.Remove(t.Context(), "shop", on("a"), bin, nil)
		require.ErrorIs(t, err, errKilled)
		_, err = w.Remove(t.Context(), "shop", on("a"), bin, nil)
		require.NoError(t, err)
		secrets := slices.DeleteFunc(w.objects("a", "shop"), func(o string) bool { return !strings.HasPrefix(o, "Secret/") })
		require.Len(t, secrets, 2, "%v", secrets)
	})
}
