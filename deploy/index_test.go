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
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// indexed is a world whose Deployer keeps an index.
type indexed struct {
	*world
	records *storage.Records
	*deploy.Deployer
}

func newIndexed(t *testing.T, w *world, authorizer appspan.Authorizer) *indexed {
	t.Helper()
	records := storage.NewRecords(memstore.NewRecords(), nil)
	t.Cleanup(func() { require.NoError(t, records.Close()) })
	d, err := deploy.New(w.set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: authorizer, Records: records, ClusterTimeout: 5 * time.Second})
	require.NoError(t, err)
	w.Deployer = d
	return &indexed{w, records, d}
}

func (x *indexed) list(f deploy.Filter) []deploy.Listed {
	x.t.Helper()
	var out []deploy.Listed
	for l, err := range x.Deployer.List(x.t.Context(), f) {
		require.NoError(x.t, err)
		out = append(out, l)
	}
	return out
}

func TestWhatIsDeployedIsListed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := newIndexed(t, two(t), appspan.AllowAll{})
		require.Empty(t, x.list(deploy.Filter{}))
		x.deployed(shop(t), both)
		other := shop(t)
		other.Metadata.Name = "other"
		other.Routes = nil
		x.deployed(other, deploy.Target{Clusters: []string{"b"}, Namespace: "zoo", Team: "blue"})
		all := x.list(deploy.Filter{})
		require.Len(t, all, 2)
		require.Equal(t, "shop/shop", all[0].Key())
		require.Equal(t, []string{"a", "b"}, all[0].Target().Clusters)
		require.Equal(t, deploy.ReleaseDeployed, all[0].Clusters[0].State)
		require.Equal(t, deploy.Target{Clusters: []string{"b"}, Namespace: "zoo", Team: "blue"}, all[1].Target())
		for _, c := range []struct {
			filter deploy.Filter
			names  []string
		}{
			{deploy.Filter{Search: "OTH"}, []string{"other"}}, {deploy.Filter{Team: "blue"}, []string{"other"}}, {deploy.Filter{Cluster: "a"}, []string{"shop"}},
			{deploy.Filter{After: "shop/shop"}, []string{"other"}}, {deploy.Filter{Namespace: "none"}, nil},
		} {
			var names []string
			for _, l := range x.list(c.filter) {
				names = append(names, l.Application)
			}
			require.Equal(t, c.names, names, fmt.Sprintf("%+v", c.filter))
		}
		for _, path := range [][2]string{{"shop", "nothing"}, {"..", "shop"}, {"", ""}, {"shop/", "shop"}, {"shop\x00", "shop"}} {
			_, err := x.Find(t.Context(), path[0], path[1])
			require.ErrorIs(t, err, appspan.ErrNotFound)
		}

		_, err := x.Remove(t.Context(), "shop", on("a"), nil, nil)
		require.NoError(t, err)
		l, err := x.Find(t.Context(), "shop", "shop")
		require.NoError(t, err)
		require.Equal(t, []string{"b"}, l.Target().Clusters)
		_, err = x.Remove(t.Context(), "shop", on("b"), &deploy.RemoveOptions{Recycle: true}, nil)
		require.NoError(t, err)
		l, err = x.Find(t.Context(), "shop", "shop")
		require.NoError(t, err)
		require.True(t, l.Clusters[0].Recycled)

		lost := x.list(deploy.Filter{})
		for rec, err := range x.records.List(t.Context(), "") {
			require.NoError(t, err)
			require.NoError(t, x.records.Delete(t.Context(), rec.Key, rec.Revision))
		}
		require.Empty(t, x.list(deploy.Filter{}))
		e, err := deploy.NewEnvironments(x.records, x.Deployer)
		require.NoError(t, err)
		_, err = e.Recover(t.Context(), deploy.Target{Clusters: []string{"a", "b"}})
		require.NoError(t, err)
		back := x.list(deploy.Filter{})
		back[1].Team = "blue" // whose namespace it is says its label, where package team made it
		require.Equal(t, lost, back)
	})
}

func TestTheIndexLosesNothingToAppliesAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		options := map[string]*fake.Options{}
		for i := range 12 {
			options[fmt.Sprintf("c%02d", i)] = nil
		}
		x := newIndexed(t, newWorld(t, options), appspan.AllowAll{})
		var wg sync.WaitGroup
		for name := range options {
			wg.Go(func() {
				_, err := x.Deployer.Deploy(t.Context(), shop(t), on(name), nil)
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Len(t, x.list(deploy.Filter{})[0].Clusters, 12)
	})
}

func TestTheIndexIsReadByWhoMayReadTheApplication(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := newIndexed(t, two(t), roles{"ann": {"application:read", "application:deploy"}})
		d := x.Deployer.For(appspan.Subject{ID: "ann", Team: "blue"})
		_, err := d.Deploy(t.Context(), shop(t), both, nil)
		require.NoError(t, err)
		_, err = d.Find(t.Context(), "shop", "shop")
		require.NoError(t, err)
		for _, who := range []appspan.Subject{{ID: "ann", Team: "red"}, {ID: "bob", Team: "blue"}, {}} {
			_, err = x.Deployer.For(who).Find(t.Context(), "shop", "shop")
			require.ErrorIs(t, err, appspan.ErrNotFound)
			for range x.Deployer.For(who).List(t.Context(), deploy.Filter{}) {
				require.Fail(t, "it is listed")
			}
		}
	})
}

func TestAnOverviewKnowsHowEverythingDoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		mutes := w.muted()
		x := newIndexed(t, w, appspan.AllowAll{})
		x.deployed(shop(t), both)
		o, err := deploy.NewOverview(x.Deployer, nil)
		require.NoError(t, err)
		get := func() deploy.Seen {
			t.Helper()
			for s, err := range o.List(t.Context(), deploy.Filter{}) {
				require.NoError(t, err)
				require.Equal(t, "shop", s.Application)
				return s
			}
			return deploy.Seen{}
		}
		require.Equal(t, status.Unknown, get().Status.Worst, "nobody has looked yet")
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- o.Run(ctx) }()
		var mu sync.Mutex
		var told []status.Value
		go func() {
			for s, err := range o.Changes(ctx) {
				if err == nil {
					mu.Lock()
					told = append(told, s.Status.Worst)
					mu.Unlock()
				}
			}
		}()
		time.Sleep(time.Second)
		require.Equal(t, status.Ready, get().Status.Worst)
		x.run(deploy.KindStop, both)
		time.Sleep(20 * time.Second)
		require.Equal(t, status.Stopped, get().Status.Worst)
		mutes["a"].hang.Store(true)
		time.Sleep(time.Minute)
		now := get()
		require.Equal(t, status.Unknown, now.Status.Clusters[0].Value)
		require.GreaterOrEqual(t, now.Status.Clusters[0].Age, 30*time.Second)
		require.Equal(t, status.Stopped, now.Status.Clusters[1].Value)
		mutes["a"].hang.Store(false)
		_, err = x.Remove(t.Context(), "shop", both, nil, nil)
		require.NoError(t, err)
		time.Sleep(20 * time.Second)
		require.Empty(t, get().Application)
		mu.Lock()
		require.Contains(t, told, status.Ready)
		require.Contains(t, told, status.Stopped)
		require.Contains(t, told, status.Unknown)
		mu.Unlock()
		stop()
		require.NoError(t, <-ended)
	})
}

func TestAnApplyThatIsBegunIsExecutedByTheJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		store := memstore.NewRecords()
		defer store.Close()
		p := w.start(store, 0)
		plan, err := p.Plan(t.Context(), shop(t), both, nil)
		require.NoError(t, err)
		op, err := p.Begin(t.Context(), plan, &deploy.ApplyOptions{Key: "one"})
		require.NoError(t, err)
		again, err := p.Begin(t.Context(), plan, &deploy.ApplyOptions{Key: "one"})
		require.NoError(t, err)
		require.Equal(t, op.ID, again.ID)
		remove, err := p.PlanRemove(t.Context(), "shop", on("a"), nil)
		require.NoError(t, err)
		_, err = p.Begin(t.Context(), remove, &deploy.ApplyOptions{Key: "one"})
		require.ErrorIs(t, err, appspan.ErrConflict)
		require.Empty(t, w.objects("a", "shop"), "nobody runs the journal")
		ctx, stop := context.WithCancel(t.Context())
		go func() { _ = p.journal.Run(ctx) }()
		op, err = p.journal.Wait(t.Context(), op.ID)
		require.NoError(t, err)
		require.Equal(t, journal.Done, op.State)
		result, err := p.ResultOf(op)
		require.NoError(t, err)
		require.Equal(t, deploy.OutcomeDone, result.Clusters[0].Outcome)
		listed := 0
		for _, err := range p.Operations(t.Context(), true) {
			require.NoError(t, err)
			listed++
		}
		require.Equal(t, 1, listed)
		require.ErrorIs(t, p.CancelOperation(t.Context(), op.ID), appspan.ErrConflict)
		_, err = p.Operation(t.Context(), "../bodies/x")
		require.ErrorIs(t, err, appspan.ErrNotFound)
		_, err = w.Deployer.Begin(t.Context(), plan, nil)
		require.ErrorIs(t, err, appspan.ErrUnsupported)
		stop()
	})
}
