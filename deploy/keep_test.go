package deploy_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// keeping is a world with records, in a bubble of virtual time.
type keeping struct {
	*world
	mutes   map[string]*mute
	records *storage.Records
	keeper  *deploy.Keeper
	wg      sync.WaitGroup
	stop    map[string]context.CancelFunc
	heard   *recorder
}

// keep runs a test in which shop is deployed, and a keeper is there that does
// not run yet.
func keep(t *testing.T, test func(t *testing.T, k *keeping)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		k := &keeping{world: w, mutes: w.muted(), stop: map[string]context.CancelFunc{}, heard: &recorder{}}
		k.deployed(shop(t), both)
		k.records = storage.NewRecords(memstore.NewRecords(), nil)
		k.keeper = k.process("api")
		defer k.records.Close()
		defer k.wg.Wait()
		defer func() {
			for _, stop := range k.stop {
				stop()
			}
		}()
		test(t, k)
	})
}

// process is a keeper as another process has it.
func (k *keeping) process(name string) *deploy.Keeper {
	k.t.Helper()
	keeper, err := deploy.NewKeeper(k.Deployer, k.records, &deploy.KeeperOptions{Holder: name, OnEvent: k.heard.hear})
	require.NoError(k.t, err)
	return keeper
}

// runs a keeper until it is stopped.
func (k *keeping) runs(name string) {
	ctx, cancel := context.WithCancel(k.t.Context())
	k.stop[name] = cancel
	keeper := k.process(name)
	k.wg.Go(func() {
		if err := keeper.Run(ctx); err != nil {
			k.t.Error(err)
		}
	})
	k.passes(time.Minute)
}

func (k *keeping) passes(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

func (k *keeping) keep(policy deploy.DriftPolicy) {
	k.t.Helper()
	require.NoError(k.t, k.keeper.Keep(k.t.Context(), "shop", both, policy, nil))
	k.passes(time.Minute)
}

func (k *keeping) finding(cluster string) deploy.Finding {
	k.t.Helper()
	found, err := k.keeper.Findings(k.t.Context(), "shop", on(cluster))
	require.NoError(k.t, err)
	require.Len(k.t, found, 1)
	return found[0]
}

func (k *keeping) greeting(cluster string) any {
	return k.get(cluster, siteRef)["data"].(map[string]any)["GREETING"]
}

func (k *keeping) greet(cluster, manager, text string) {
	k.t.Helper()
	k.hand(cluster, siteRef, manager, put(text, "data", "GREETING"))
}

func TestAKeptApplicationIsHealedAndItsHistorySaysWhatWasFoundAndDone(t *testing.T) {
	t.Parallel()
	keep(t, func(t *testing.T, k *keeping) {
		k.runs("one")
		k.keep(deploy.DriftPolicy{Default: deploy.DriftHeal, Rules: []deploy.DriftRule{{Kind: "Secret", Action: deploy.DriftReport}}})
		require.Empty(t, k.finding("a").History)
		k.greet("a", "kubectl-edit", "hullo")
		k.hand("a", secretRef, "kubectl-patch", put("MTIz", "data", "password"))
		k.passes(6 * time.Minute)
		require.Equal(t, "hello", k.greeting("a"))
		f := k.finding("a")
		require.Len(t, f.Items, 1)
		require.Equal(t, "Secret", f.Items[0].Object.Kind)
		require.Len(t, f.History, 1)
		require.Equal(t, 1, f.History[0].Healed)
		require.Equal(t, 2, f.History[0].Revision)
		require.Equal(t, deploy.OutcomeDone, f.History[0].Outcome)
		require.Len(t, f.History[0].Items, 2)
		require.Contains(t, f.History[0].String(), "by kubectl-edit (heal)")
		require.Empty(t, k.finding("b").History)
		for rec, err := range k.records.List(t.Context(), "") {
			require.NoError(t, err)
			require.NotContains(t, string(rec.Value), "MTIz")
		}
		k.passes(time.Hour)
		require.Len(t, k.finding("a").History, 1, "what is known is no news")
		require.True(t, k.finding("a").Checked.After(time.Now().Add(-6*time.Minute)))
		k.heard.mu.Lock()
		defer k.heard.mu.Unlock()
		require.Len(t, k.heard.events, 1)
		require.Equal(t, appspan.EventWarning, k.heard.events[0].Kind)
		require.Equal(t, deploy.PhaseDrift, k.heard.events[0].Phase)
	})
}

func TestWhatIsYieldedIsNotedOnceUntilItChangesAgain(t *testing.T) {
	t.Parallel()
	keep(t, func(t *testing.T, k *keeping) {
		k.runs("one")
		k.keep(deploy.DriftPolicy{Default: deploy.DriftYield})
		for i, text := range []string{"hullo", "ahoy"} {
			k.greet("a", "kubectl-edit", text)
			k.passes(time.Hour)
			f := k.finding("a")
			require.Empty(t, f.Items)
			require.Len(t, f.Yielded, 1)
			require.Equal(t, "kubectl-edit", f.Yielded[0].Author)
			require.Len(t, f.History, i+1)
			require.Equal(t, text, k.greeting("a"))
		}
		k.greet("a", "kubectl-edit", "hello")
		k.passes(time.Hour)
		f := k.finding("a")
		require.Empty(t, f.Yielded)
		require.Equal(t, "as released", f.History[2].String())
		releases, err := k.Releases(t.Context(), "shop", both)
		require.NoError(t, err)
		require.Len(t, releases["a"], 1)
	})
}

func TestOfTwoProcessesOneKeepsAndTheOtherGoesOnWhereItWasKilled(t *testing.T) {
	t.Parallel()
	keep(t, func(t *testing.T, k *keeping) {
		k.keep(heal)
		k.runs("one")
		k.runs("two")
		first := k.finding("a").Checked
		k.stop["one"]()
		k.passes(time.Minute)
		require.Equal(t, first, k.finding("a").Checked, "the other one knows that it was looked at")
		k.greet("a", "kubectl-edit", "hullo")
		k.passes(6 * time.Minute)
		require.Equal(t, "hello", k.greeting("a"))
		require.Len(t, k.finding("a").History, 1)
		k.runs("three")
		k.greet("b", "kubectl-edit", "hullo")
		k.passes(6 * time.Minute)
		require.Equal(t, "hello", k.greeting("b"))
		releases, err := k.Releases(t.Context(), "shop", both)
		require.NoError(t, err)
		require.Len(t, releases["b"], 2)
		k.stop["two"]()
		k.stop["three"]()
		k.wg.Wait()
		k.greet("b", "kubectl-edit", "hullo")
		k.passes(time.Hour)
		require.Equal(t, "hullo", k.greeting("b"), "nobody runs it")
	})
}

func TestAClusterThatDoesNotAnswerDelaysNoOtherAndIsAskedAgainEverMoreSeldom(t *testing.T) {
	t.Parallel()
	keep(t, func(t *testing.T, k *keeping) {
		k.runs("one")
		k.keep(heal)
		k.mutes["b"].hang.Store(true)
		k.passes(30 * time.Minute)
		k.greet("a", "kubectl-edit", "hullo")
		k.passes(6 * time.Minute)
		require.Equal(t, "hello", k.greeting("a"))
		f := k.finding("b")
		require.True(t, f.Unknown)
		require.NotEmpty(t, f.Error)
		require.Greater(t, time.Since(f.LastAnswer), 20*time.Minute)
		require.Greater(t, f.Failures, 5)
		require.Less(t, f.Failures, 16, "5 s, 10 s, 20 s, … 5 min")
		require.Len(t, f.History, 1, "that it does not answer is told once")
		k.greet("b", "kubectl-edit", "hullo")
		k.mutes["b"].hang.Store(false)
		k.passes(7 * time.Minute)
		require.Equal(t, "hello", k.greeting("b"))
		require.Zero(t, k.finding("b").Failures)
	})
}

func TestAKeeperDoesNotFight(t *testing.T) {
	t.Parallel()
	keep(t, func(t *testing.T, k *keeping) {
		k.runs("one")
		k.keep(heal)
		heals := 0
		for range 12 * 15 { // half a day, every 4 minutes
			if k.greeting("a") == "hello" {
				heals++
				k.greet("a", "robot", "hullo")
			}
			k.passes(4 * time.Minute)
		}
		require.LessOrEqual(t, heals, 7, "3, and after 1, 2, 4 hours")
		require.GreaterOrEqual(t, heals, 5)
		f := k.finding("a")
		require.Len(t, f.Fights, 1)
		require.Equal(t, "robot", f.Fights[0].Author)
		require.LessOrEqual(t, len(f.History), 50)
		require.Contains(t, f.Items[0].Left, "by robot; left until")
		releases, err := k.Releases(t.Context(), "shop", both)
		require.NoError(t, err)
		require.Len(t, releases["a"], 2, "the release and the last heal")
	})
}

func TestWhatIsNotKeptAnyMoreIsLeftAndForgotten(t *testing.T) {
	t.Parallel()
	keep(t, func(t *testing.T, k *keeping) {
		k.runs("one")
		k.keep(heal)
		kept, err := k.keeper.List(t.Context())
		require.NoError(t, err)
		require.Len(t, kept, 1)
		require.Equal(t, "shop", kept[0].Application)
		require.Equal(t, 5*time.Minute, kept[0].Interval)
		require.NoError(t, k.keeper.Release(t.Context(), "shop", both))
		require.ErrorIs(t, k.keeper.Release(t.Context(), "shop", both), appspan.ErrNotFound)
		k.greet("a", "kubectl-edit", "hullo")
		k.passes(time.Hour)
		require.Equal(t, "hullo", k.greeting("a"))
		for rec, err := range k.records.List(t.Context(), "") {
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(rec.Key, "leases/"), rec.Key)
		}
	})
}

func TestAStoppedOrPausedComponentStaysSoWhenItIsHealed(t *testing.T) {
	t.Parallel()
	keep(t, func(t *testing.T, k *keeping) {
		_, err := k.Deployer.Run(t.Context(), "shop", on("a"), deploy.Command{Kind: deploy.KindStop, Components: []string{"web"}}, nil)
		require.NoError(t, err)
		_, err = k.Deployer.Run(t.Context(), "shop", on("b"), deploy.Command{Kind: deploy.KindPause, Components: []string{"web"}}, nil)
		require.NoError(t, err)
		k.runs("one")
		k.keep(heal)
		for _, c := range []string{"a", "b"} {
			require.Empty(t, k.finding(c).Items)
			k.hand(c, webRef, "kubectl-edit", put("evil:1", "spec", "template", "spec", "containers", "image"))
		}
		k.hand("a", webRef, "kubectl-scale", put(5, "spec", "replicas"))
		k.passes(6 * time.Minute)
		require.EqualValues(t, 0, k.get("a", webRef)["spec"].(map[string]any)["replicas"])
		require.Equal(t, true, k.get("b", webRef)["spec"].(map[string]any)["paused"])
		for _, c := range []string{"a", "b"} {
			require.Equal(t, 1, len(k.finding(c).History))
			require.Empty(t, k.finding(c).Items)
		}
	})
}

func TestAReleaseThatWasNotWrittenToItsEndIsNotHealedOver(t *testing.T) {
	t.Parallel()
	w := two(t)
	w.deployed(shop(t), on("a"))
	broken := fault.New(w.fakes["a"], fault.Rule{Op: fault.Apply, Kind: "ConfigMap", Err: fmt.Errorf("%w: broken on purpose", appspan.ErrInvalid)})
	set, err := cluster.NewSet(cluster.New("a", broken, nil))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, set.Close()) })
	w.set = set
	_, err = w.deployer("test").Deploy(t.Context(), shop(t, "web:1", "web:2", "GREETING, value: hello", "GREETING, value: bye"), on("a"), nil)
	require.ErrorContains(t, err, "broken on purpose")
	require.NoError(t, w.fakes["a"].Delete(t.Context(), serviceRef, driver.DeleteOptions{}))
	h, err := w.PlanHeal(t.Context(), "shop", on("a"), heal, nil)
	require.NoError(t, err)
	require.Nil(t, h.Plan)
	require.Len(t, h.Drift.Clusters[0].Items, 1, "what the release asks for is nobody's drift: %s", h.Drift)
	require.Equal(t, "release 2 is failed and was not written to its end; deploy it again, or roll it back", h.Drift.Clusters[0].Left)
	broken.Heal()
	w.deployed(shop(t), on("a"))
	require.True(t, w.drift(on("a"), heal).Empty())
}

func TestAKeeperRefusesWhatItCannotKeep(t *testing.T) {
	t.Parallel()
	w := two(t)
	records := storage.NewRecords(memstore.NewRecords(), nil)
	defer records.Close()
	_, err := deploy.NewKeeper(nil, records, nil)
	require.ErrorIs(t, err, appspan.ErrInvalid)
	k, err := deploy.NewKeeper(w.Deployer, records, nil)
	require.NoError(t, err)
	require.ErrorIs(t, k.Keep(t.Context(), "shop", both, deploy.DriftPolicy{Default: "x"}, nil), appspan.ErrInvalid)
	require.ErrorIs(t, k.Keep(t.Context(), "shop", both, heal, &deploy.KeepOptions{Interval: time.Second}), appspan.ErrInvalid)
	require.ErrorIs(t, k.Keep(t.Context(), "shop", on("nowhere"), heal, nil), appspan.ErrNotFound)
	_, err = records.Put(t.Context(), "drift/test/shop/shop", []byte(`{"format":1,"minReader":1,"application":"other"}`), "")
	require.NoError(t, err)
	_, err = k.List(t.Context())
	require.ErrorIs(t, err, appspan.ErrCorrupt)
	synctest.Test(t, func(t *testing.T) {
		records := storage.NewRecords(memstore.NewRecords(), nil)
		k, err := deploy.NewKeeper(w.Deployer, records, nil)
		require.NoError(t, err)
		require.NoError(t, records.Close())
		require.Error(t, k.Run(t.Context()))
	})
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	keep(t, func(t *testing.T, k *keeping) {
		site, long := "", strings.Repeat("x", 900)
		for i := range 150 {
			site += fmt.Sprintf("{name: K%d, value: %s}, ", i, long)
		}
		k.deployed(shop(t, "{name: GREETING, value: hello}", site+"{name: GREETING, value: hello}"), both)
		k.runs("one")
		k.keep(deploy.DriftPolicy{})
		for n := range 12 {
			k.hand("a", siteRef, "kubectl-edit", func(v map[string]any) {
				for i := range 150 {
					v["data"].(map[string]any)[fmt.Sprint("K", i)] = fmt.Sprint(n, long)
				}
			})
			k.passes(6 * time.Minute)
		}
		f := k.finding("a")
		k.passes(time.Hour)
		require.Equal(t, f.History, k.finding("a").History, "what is known is no news, however much it is")
		require.Equal(t, 150, len(f.Items)+f.More)
		require.NotEmpty(t, f.Items)
		require.NotEmpty(t, f.History)
		require.LessOrEqual(t, len(f.History), 50)
		for rec, err := range k.records.List(t.Context(), "drift-found/") {
			require.NoError(t, err)
			require.LessOrEqual(t, len(rec.Value), 256<<10)
		}
	})
}
