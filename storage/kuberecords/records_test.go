package kuberecords_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	cluster "github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/kuberecords"
	"github.com/appspan-dev/appspan/storage/storagetest"
)

func hub(t testing.TB) *fake.Cluster {
	c := fake.New(nil)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func open(t testing.TB, c cluster.Cluster, opts kuberecords.Options) driver.Records {
	if opts.Namespace == "" {
		opts.Namespace = "default"
	}
	d, err := kuberecords.NewRecords(c, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// suite runs the promises on stores in a hub.
func suite(t *testing.T, hub func(t testing.TB) (cluster.Cluster, string)) {
	var hubs sync.Map
	type home struct {
		cluster.Cluster
		namespace string
	}
	storagetest.Records(t, func(t testing.TB) driver.Records {
		c, namespace := hub(t)
		d := open(t, c, kuberecords.Options{Namespace: namespace})
		hubs.Store(d, home{c, namespace})
		return d
	}, &storagetest.Options{MaxValue: kuberecords.MaxValue, Again: func(t testing.TB, d driver.Records) driver.Records {
		found, _ := hubs.Load(d)
		h := found.(home)
		return open(t, h.Cluster, kuberecords.Options{Namespace: h.namespace})
	}})
}

func TestRecords(t *testing.T) {
	t.Parallel()
	suite(t, func(t testing.TB) (cluster.Cluster, string) { return hub(t), "default" })
}

// deaf is a hub that cannot watch.
type deaf struct{ cluster.Cluster }

func TestAHubThatCannotWatchIsPolled(t *testing.T) {
	t.Parallel()
	d := open(t, deaf{hub(t)}, kuberecords.Options{})
	_, ok := driver.As[driver.Watcher](d)
	require.False(t, ok)
	records := storage.NewRecords(d, &storage.RecordsOptions{PollInterval: time.Millisecond})
	wrote := false
	for e, err := range records.Watch(t.Context(), "teams/", nil) {
		require.NoError(t, err)
		if e.Type == storage.Synced && !wrote {
			wrote = true
			_, err := records.Put(t.Context(), "teams/blue", []byte("one"), "")
			require.NoError(t, err)
		}
		if e.Type == storage.Added {
			require.Equal(t, "teams/blue", e.Record.Key)
			break
		}
	}
}

func TestStoresInOneNamespaceAreApart(t *testing.T) {
	t.Parallel()
	c := hub(t)
	one, two := open(t, c, kuberecords.Options{Store: "one"}), open(t, c, kuberecords.Options{Store: "two"})
	_, err := one.Put(t.Context(), "a", []byte("1"), "")
	require.NoError(t, err)
	_, err = two.Get(t.Context(), "a")
	require.ErrorIs(t, err, appspan.ErrNotFound)
	page, err := two.List(t.Context(), driver.Query{})
	require.NoError(t, err)
	require.Empty(t, page.Records)
	page, err = one.List(t.Context(), driver.Query{})
	require.NoError(t, err)
	watcher, ok := driver.As[driver.Watcher](two)
	require.True(t, ok)
	_, err = watcher.Watch(t.Context(), "", page.Position)
	require.ErrorIs(t, err, appspan.ErrPrecondition)
}

func TestWhatASecretCannotKeepIsInvalid(t *testing.T) {
	t.Parallel()
	d := open(t, hub(t), kuberecords.Options{})
	_, err := d.Put(t.Context(), "a", make([]byte, kuberecords.MaxValue+1), "")
	require.ErrorIs(t, err, appspan.ErrInvalid)
	for _, opts := range []kuberecords.Options{{}, {Namespace: "default", Store: "a/b"}} {
		_, err = kuberecords.NewRecords(hub(t), opts)
		require.ErrorIs(t, err, appspan.ErrInvalid)
	}
}

// TestOfTwoProcessesOneHoldsALease: two handles know nothing of each other but
// what is in the hub.
func TestOfTwoProcessesOneHoldsALease(t *testing.T) {
	t.Parallel()
	leases(t, hub(t), "default")
}

func leases(t *testing.T, c cluster.Cluster, namespace string) {
	one := storage.NewRecords(open(t, c, kuberecords.Options{Namespace: namespace}), nil).Leases("one", nil)
	two := storage.NewRecords(open(t, c, kuberecords.Options{Namespace: namespace}), nil).Leases("two", nil)
	held, err := one.Try(t.Context(), "leader")
	require.NoError(t, err)
	_, err = two.Try(t.Context(), "leader")
	require.ErrorIs(t, err, appspan.ErrConflict)
	require.NoError(t, held.Release(t.Context()))
	next, err := two.Try(t.Context(), "leader")
	require.NoError(t, err)
	require.Greater(t, next.Fence(), held.Fence())
	_, err = one.Try(t.Context(), "leader")
	require.ErrorIs(t, err, appspan.ErrConflict)
	require.NoError(t, next.Release(t.Context()))
}

func TestAPositionThatTheHubHasForgottenIsTooOld(t *testing.T) {
	t.Parallel()
	c := fake.New(&fake.Options{History: 8})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	d := open(t, c, kuberecords.Options{})
	page, err := d.List(t.Context(), driver.Query{})
	require.NoError(t, err)
	revision := ""
	for range 20 {
		revision, err = d.Put(t.Context(), "a", nil, revision)
		require.NoError(t, err)
	}
	watcher, ok := driver.As[driver.Watcher](d)
	require.True(t, ok)
	w, err := watcher.Watch(t.Context(), "", page.Position)
	if err == nil {
		_, err = w.Next()
		w.Stop()
	}
	require.ErrorIs(t, err, appspan.ErrPrecondition)
}

func TestASecretThatSomebodyChangedIsCorrupt(t *testing.T) {
	t.Parallel()
	c := hub(t)
	d := open(t, c, kuberecords.Options{})
	_, err := d.Put(t.Context(), "a", []byte("one"), "")
	require.NoError(t, err)
	page, err := c.List(t.Context(), cluster.Query{APIVersion: "v1", Kind: "Secret", Namespace: "default"})
	require.NoError(t, err)
	require.Len(t, page.Items, 1)
	obj, err := cluster.ParseObject([]byte(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"` + page.Items[0].Name + `","namespace":"default","annotations":{"appspan.dev/key":"b"}}}`))
	require.NoError(t, err)
	_, err = c.Apply(t.Context(), obj, cluster.ApplyOptions{Manager: "somebody", Force: true})
	require.NoError(t, err)
	_, err = d.Get(t.Context(), "a")
	require.ErrorIs(t, err, appspan.ErrCorrupt)
	_, err = d.List(t.Context(), driver.Query{})
	require.ErrorIs(t, err, appspan.ErrCorrupt)
}

func TestAMissingNamespaceIsSaid(t *testing.T) {
	t.Parallel()
	d := open(t, hub(t), kuberecords.Options{Namespace: "nowhere"})
	_, err := d.Put(t.Context(), "a", nil, "")
	require.ErrorIs(t, err, appspan.ErrUnavailable)
	require.ErrorContains(t, err, "create it")
}
