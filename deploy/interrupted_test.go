package deploy_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// reasons are those of an application as a whole on cluster a, as d sees it.
func (w *world) reasons(d *deploy.Deployer) []status.Reason {
	w.t.Helper()
	s, err := d.Status(w.t.Context(), "shop", on("a"))
	require.NoError(w.t, err)
	out := []status.Reason{}
	for _, c := range s.Clusters[0].Causes {
		require.Contains(w.t, s.Tree(nil), string(c.Reason)+": "+c.Message)
		require.NotEmpty(w.t, c.Next)
		out = append(out, c.Reason)
	}
	if len(out) > 0 {
		require.Equal(w.t, s.Worst, status.Worst(s.Worst, status.Degraded))
	}
	return out
}

func TestAnApplyThatNobodyGoesOnWithIsShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		store := memstore.NewRecords()
		defer store.Close()
		ann := appspan.Subject{ID: "ann"}
		_, err := w.For(ann).Deploy(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		require.Empty(t, w.reasons(w.Deployer))

		first, second := w.start(store, 3), w.start(store, 0) // killed once the release is recorded
		var mortal context.Context
		mortal, first.kill = context.WithCancel(t.Context())
		_, err = first.For(ann).Deploy(mortal, shop(t, "web:1", "web:2"), on("a"), nil)
		require.Error(t, err)
		require.Equal(t, []status.Reason{status.Interrupted}, w.reasons(w.Deployer))
		s, err := w.Status(t.Context(), "shop", on("a"))
		require.NoError(t, err)
		require.Equal(t, status.Degraded, s.Worst, "all that runs is ready")
		require.Equal(t, "release 2 was begun and has not ended, and nothing is known to go on with it; it is by ann", s.Clusters[0].Causes[0].Message)
		require.Empty(t, w.reasons(second.Deployer), "its journal says that it goes on")

		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = second.journal.Run(ctx) })
		time.Sleep(2 * time.Minute)
		cancel()
		wg.Wait()
		require.Empty(t, w.reasons(w.Deployer))
		require.Empty(t, w.reasons(second.Deployer))
	})
}

func TestAnApplyThatGoesOnHereIsNoneThatWasInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := w.Deploy(t.Context(), shop(t), on("a"), nil); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Millisecond)
		releases, err := w.Releases(t.Context(), "shop", on("a"))
		require.NoError(t, err)
		require.Equal(t, deploy.ReleaseApplying, releases["a"][0].State)
		require.Empty(t, w.reasons(w.For(appspan.Subject{ID: "bob"})))
		wg.Wait()
	})
}

func TestARemovalThatNobodyGoesOnWithIsShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		store := memstore.NewRecords()
		defer store.Close()
		_, err := w.Deploy(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		p := w.start(store, 2) // killed when it would mark what it keeps
		_, err = p.Remove(t.Context(), "shop", on("a"), nil, nil)
		require.Error(t, err)
		require.Equal(t, []status.Reason{status.Interrupted}, w.reasons(w.Deployer))
		_, err = w.Remove(t.Context(), "shop", on("a"), nil, nil)
		require.NoError(t, err)
		require.Empty(t, w.reasons(w.Deployer))
	})
}

func TestANamespaceThatIsBeingDeletedIsShown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		_, err := w.Deploy(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		site := driver.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "shop-site"}
		held := func(finalizers ...any) func(map[string]any) {
			return func(v map[string]any) { v["metadata"].(map[string]any)["finalizers"] = finalizers }
		}
		w.edit("a", site, "somebody", held("example.com/hold"))
		require.NoError(t, w.fakes["a"].Delete(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: "shop"}, driver.DeleteOptions{}))
		time.Sleep(time.Hour)
		require.Equal(t, []status.Reason{status.NamespaceEnding}, w.reasons(w.Deployer))
		w.edit("a", site, "somebody", held())
		time.Sleep(time.Hour)
		require.Empty(t, w.reasons(w.Deployer))
	})
}
