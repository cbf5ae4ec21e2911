package deploy_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// messed is shop with three things changed by hand on a.
func (w *world) messed() {
	w.t.Helper()
	w.deployed(shop(w.t), both)
	w.hand("a", webRef, "kubectl-set", put("evil:1", "spec", "template", "spec", "containers", "image"))
	w.hand("a", siteRef, "kubectl-edit", put("hullo", "data", "GREETING"))
	require.NoError(w.t, w.fakes["a"].Delete(w.t.Context(), serviceRef, driver.DeleteOptions{}))
}

// requireHealed: nothing is drift, nothing is to be done, and the release says so.
func (w *world) requireHealed(d *deploy.Deployer) {
	w.t.Helper()
	found, err := d.Drift(w.t.Context(), "shop", both, nil)
	require.NoError(w.t, err)
	require.True(w.t, found.Empty(), "%s", found)
	p, err := d.Plan(w.t.Context(), shop(w.t), both, nil)
	require.NoError(w.t, err)
	require.True(w.t, p.Empty(), "%s", p)
	releases, err := d.Releases(w.t.Context(), "shop", both)
	require.NoError(w.t, err)
	require.Equal(w.t, deploy.KindHeal, releases["a"][0].Kind)
	require.Equal(w.t, deploy.ReleaseDeployed, releases["a"][0].State)
	require.Len(w.t, releases["a"], 2)
	require.Len(w.t, releases["b"], 1)
}

// over is a Deployer of the same installation over other drivers.
func (w *world) over(wrap func(driver.Cluster) driver.Cluster) *deploy.Deployer {
	w.t.Helper()
	var members []*cluster.Cluster
	for name, f := range w.fakes {
		members = append(members, cluster.New(name, wrap(f), nil))
	}
	set, err := cluster.NewSet(members...)
	require.NoError(w.t, err)
	d, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: appspan.AllowAll{}})
	require.NoError(w.t, err)
	return d
}

func TestAHealThatDiesAnywhereIsTakenUpByTheNext(t *testing.T) {
	t.Parallel()
	for n := range 12 {
		point, done := n/2, n%2 == 1
		t.Run(fmt.Sprintf("after %d writes, the next one made: %v", point, done), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := two(t)
				w.messed()
				_, first := w.over(func(d driver.Cluster) driver.Cluster {
					out := &dying{Cluster: d, done: done}
					out.left.Store(int64(point))
					return out
				}).Heal(t.Context(), "shop", both, heal, written)
				require.Equal(t, point >= 6, first == nil, "%v", first)
				_, err := w.Heal(t.Context(), "shop", both, heal, nil)
				require.NoError(t, err)
				w.requireHealed(w.Deployer)
			})
		})
	}
}

func TestAnotherProcessFinishesAHealThatAKilledOneBegan(t *testing.T) {
	t.Parallel()
	for dies := int64(1); dies <= 6; dies++ {
		t.Run(fmt.Sprintf("killed at write %d", dies), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := two(t)
				w.messed()
				store := memstore.NewRecords()
				defer store.Close()
				first, second := w.start(store, dies), w.start(store, 0)
				ctx, cancel := context.WithCancel(t.Context())
				var mortal context.Context
				mortal, first.kill = context.WithCancel(ctx)
				_, err := first.Heal(mortal, "shop", both, heal, nil)
				require.Error(t, err)
				if dies > 1 {
					found, err := second.Drift(ctx, "shop", both, nil)
					require.NoError(t, err)
					require.Equal(t, "release 2 is under way", found.Cluster("a").Left)
				}
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := second.journal.Run(ctx); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				for op, err := range second.journal.List(t.Context(), true) {
					require.NoError(t, err)
					require.Equal(t, journal.Done, op.State, op.Error)
					require.Equal(t, "heal", op.About["action"])
				}
				w.requireHealed(second.Deployer)
				cancel()
				wg.Wait()
			})
		})
	}
}

func TestAKeeperThatIsKilledInAHealIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.messed()
		store := memstore.NewRecords()
		defer store.Close()
		first := w.start(memstore.NewRecords(), 3) // without a journal that anybody else has
		mine := storage.NewRecords(&mortalStore{Records: store, program: first}, nil)
		theirs := storage.NewRecords(store, nil)
		one, err := deploy.NewKeeper(first.Deployer, mine, nil)
		require.NoError(t, err)
		two, err := deploy.NewKeeper(w.Deployer, theirs, nil)
		require.NoError(t, err)
		require.NoError(t, two.Keep(t.Context(), "shop", both, heal, nil))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var mortal context.Context
		mortal, first.kill = context.WithCancel(ctx)
		wg.Go(func() { _ = one.Run(mortal) })
		time.Sleep(time.Second)
		wg.Go(func() {
			if err := two.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.True(t, first.dead.Load())
		w.requireHealed(w.Deployer)
		cancel()
		wg.Wait()
	})
}

func TestClustersThatAreChosenByLabelsAreChosenAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		records := storage.NewRecords(memstore.NewRecords(), nil)
		defer records.Close()
		chosen := &choosing{Set: w.set, names: []string{"a"}}
		d, err := deploy.New(chosen, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: appspan.AllowAll{}})
		require.NoError(t, err)
		k, err := deploy.NewKeeper(d, records, nil)
		require.NoError(t, err)
		require.NoError(t, k.Keep(t.Context(), "shop", deploy.Target{Labels: map[string]string{"tier": "live"}, Namespace: "shop"}, heal, nil))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = k.Run(ctx) })
		where := func() (out []string) {
			time.Sleep(20 * time.Minute)
			synctest.Wait()
			found, err := k.Findings(t.Context(), "shop", both)
			require.NoError(t, err)
			for _, f := range found {
				out = append(out, f.Cluster)
			}
			return out
		}
		require.Equal(t, []string{"a"}, where())
		chosen.set("a", "b")
		require.Equal(t, []string{"a", "b"}, where())
		chosen.set("b")
		require.Equal(t, []string{"b"}, where())
		chosen.set()
		require.Empty(t, where())
		cancel()
		wg.Wait()
	})
}

// choosing is a set of clusters with labels that change.
type choosing struct {
	*cluster.Set
	mu    sync.Mutex
	names []string
}

func (c *choosing) set(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = names
}

func (c *choosing) Select(context.Context, cluster.Selector) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.names, nil
}

// FuzzKept: whatever a record holds, a keeper says what is wrong with it.
func FuzzKept(f *testing.F) {
	f.Add([]byte(`{"format":1,"minReader":1,"application":"shop","target":{"clusters":["a"],"namespace":"shop"},"policy":{"default":"heal"},"intervalNanoseconds":300000000000,"since":"2026-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"format":1,"minReader":1,"cluster":"a","history":[{}]}`))
	f.Add([]byte(`{"format":2,"minReader":2}`))
	f.Add([]byte(`nothing`))
	f.Fuzz(func(t *testing.T, value []byte) {
		w := two(t)
		records := storage.NewRecords(memstore.NewRecords(), nil)
		defer records.Close()
		k, err := deploy.NewKeeper(w.Deployer, records, nil)
		require.NoError(t, err)
		for _, key := range []string{"drift/test/shop/shop", "drift-found/test/shop/shop/a"} {
			_, err = records.Put(t.Context(), key, value, "")
			require.NoError(t, err)
		}
		kept, err := k.List(t.Context())
		require.True(t, err != nil || len(kept) == 1 && kept[0].Application == "shop" && kept[0].Policy.Validate() == nil)
		found, err := k.Findings(t.Context(), "shop", on("a"))
		require.True(t, err != nil || len(found) == 1 && found[0].Cluster == "a")
	})
}
