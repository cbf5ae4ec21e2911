package deploy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

func TestWhatWasRemovedComesBackFromTheRecycleBin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		w.deployed(shop(t, "web:1", "web:2"), on("a"))
		secret := driver.Ref{APIVersion: "v1", Kind: "Secret", Namespace: "shop", Name: "shop-db"}
		before, spec := w.get("a", secret)["data"], w.get("a", webRef)["spec"]
		recycle := &deploy.RemoveOptions{Recycle: true}
		_, err := w.For(appspan.Subject{ID: "ann"}).Remove(t.Context(), "shop", on("a"), recycle, nil)
		require.NoError(t, err)
		require.Len(t, w.objects("a", "shop"), 3, "the claim, the record and one release: %v", w.objects("a", "shop"))
		s, err := w.Status(t.Context(), "shop", on("a"))
		require.NoError(t, err)
		require.Equal(t, status.Absent, s.Worst)
		c, err := w.set.Cluster(t.Context(), "a")
		require.NoError(t, err)
		running, err := w.Applications().Running(t.Context(), c)
		require.NoError(t, err)
		require.Empty(t, running)
		bin, err := w.Recycled(t.Context(), deploy.Target{Clusters: []string{"a"}})
		require.NoError(t, err)
		require.Len(t, bin, 1)
		require.Equal(t, deploy.Recycled{Application: "shop", Namespace: "shop", Cluster: "a", Revision: 2, At: bin[0].At, By: "ann"}, bin[0])
		again, err := w.Remove(t.Context(), "shop", on("a"), recycle, nil)
		require.NoError(t, err)
		require.Equal(t, deploy.OutcomeUnchanged, again.Cluster("a").Outcome)
		_, err = w.Run(t.Context(), "shop", on("a"), deploy.Command{Kind: deploy.KindStart}, nil)
		require.ErrorContains(t, err, "restore it first")

		_, err = w.Restore(t.Context(), "shop", on("a"), nil)
		require.NoError(t, err)
		require.Equal(t, before, w.get("a", secret)["data"], "its data has its password")
		require.Equal(t, spec, w.get("a", webRef)["spec"])
		require.Equal(t, status.Ready, w.value("a", "db"))
		_, err = w.Restore(t.Context(), "shop", on("a"), nil)
		require.ErrorIs(t, err, appspan.ErrNotFound)
		bin, err = w.Recycled(t.Context(), deploy.Target{Clusters: []string{"a"}})
		require.NoError(t, err)
		require.Empty(t, bin)
	})
}

func TestADeploymentOfWhatWasRecycledBeginsAnewAndARestorationGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		five := 5
		for _, restore := range []bool{true, false} {
			w.deployed(shop(t), on("a"))
			_, err := w.Run(t.Context(), "shop", on("a"), deploy.Command{Kind: deploy.KindScale, Components: []string{"web"}, Replicas: &five}, nil)
			require.NoError(t, err)
			w.run(deploy.KindStop, on("a"), "db")
			_, err = w.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Recycle: true}, nil)
			require.NoError(t, err)
			if restore {
				_, err = w.Restore(t.Context(), "shop", on("a"), nil)
				require.NoError(t, err)
				require.Equal(t, 5, w.number("a", webRef, "spec", "replicas"))
				require.Equal(t, status.Stopped, w.value("a", "db"))
				w.run(deploy.KindStart, on("a"))
				continue
			}
			w.deployed(shop(t), on("a"))
			require.Equal(t, 2, w.number("a", webRef, "spec", "replicas"))
			require.Equal(t, status.Ready, w.value("a", "db"))
		}
	})
}

func TestTheRecycleBinIsEmptiedByAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		_, err := w.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Recycle: true, Data: true}, nil)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		_, err = w.Remove(t.Context(), "shop", on("b"), &deploy.RemoveOptions{Recycle: true, Data: true}, nil)
		require.NoError(t, err)
		purged, err := w.Purge(t.Context(), both, time.Now().Add(-time.Minute))
		require.NoError(t, err)
		require.Len(t, purged, 1)
		require.Equal(t, "a", purged[0].Cluster)
		require.Empty(t, w.objects("a", "shop"))
		require.NotEmpty(t, w.objects("b", "shop"))
		w.deployed(shop(t), on("b"))
		require.Equal(t, status.Ready, w.value("b", "web"), "a deployment takes it out of the bin")
		bin, err := w.Recycled(t.Context(), both)
		require.NoError(t, err)
		require.Empty(t, bin)
	})
}

func TestAPurgeThatIsInterruptedAnywhereIsDoneAgain(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		interrupted := false
		synctest.Test(t, func(t *testing.T) {
			w := two(t)
			w.deployed(shop(t), on("a"))
			_, err := w.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Recycle: true, Data: true}, nil)
			require.NoError(t, err)
			broken := fault.New(w.fakes["a"], fault.Rule{Op: fault.Delete, Nth: n, Err: fault.Lost})
			set, err := cluster.NewSet(cluster.New("a", broken, nil))
			require.NoError(t, err)
			defer set.Close()
			first := *w
			first.set = set
			_, err = first.deployer("test").Purge(t.Context(), on("a"), time.Now().Add(time.Hour))
			interrupted = err != nil
			_, err = w.Purge(t.Context(), on("a"), time.Now().Add(time.Hour))
			require.NoError(t, err)
			require.Empty(t, w.objects("a", "shop"), "without delete %d", n)
			_, err = w.fakes["a"].Get(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: "shop"})
			require.ErrorIs(t, err, appspan.ErrNotFound, "without delete %d", n)
		})
		if !interrupted {
			require.Greater(t, n, 2)
			return
		}
	}
}
