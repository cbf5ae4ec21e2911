package deploy_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// hookedStore does something before it writes to the index.
type hookedStore struct {
	*memstore.Records
	before atomic.Pointer[func() error]
}

func (s *hookedStore) hook(f func() error) { s.before.Store(&f) }

func (s *hookedStore) Put(ctx context.Context, key string, value []byte, ifRevision string) (string, error) {
	if f := s.before.Load(); f != nil && strings.HasPrefix(key, "applications/") {
		if err := (*f)(); err != nil {
			return "", err
		}
	}
	return s.Records.Put(ctx, key, value, ifRevision)
}

// newHooked is a world whose index is in a hooked store.
func newHooked(t *testing.T) (*indexed, *hookedStore) {
	t.Helper()
	w := two(t)
	store := &hookedStore{Records: memstore.NewRecords()}
	records := storage.NewRecords(store, &storage.RecordsOptions{Attempts: 1})
	t.Cleanup(func() { require.NoError(t, records.Close()) })
	d, err := deploy.New(w.set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: appspan.AllowAll{}, Records: records})
	require.NoError(t, err)
	w.Deployer = d
	return &indexed{w, records, d}, store
}

func TestAnIndexThatCannotBeWrittenIsMended(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x, store := newHooked(t)
		broken := func() error { return appspan.ErrUnavailable }
		store.hook(broken)
		r := x.deployed(shop(t), both)
		require.Equal(t, deploy.OutcomeDone, r.Clusters[0].Outcome, "what was done is done")
		require.Contains(t, strings.Join(r.Clusters[0].Notes, "\n"), "the list of applications is not up to date")
		require.Empty(t, x.list(deploy.Filter{}))
		store.hook(func() error { return nil })
		r = x.deployed(shop(t), both)
		require.Equal(t, deploy.OutcomeUnchanged, r.Clusters[0].Outcome)
		require.Empty(t, r.Clusters[0].Notes)
		l, err := x.Find(t.Context(), "shop", "shop")
		require.NoError(t, err)
		require.Len(t, l.Clusters, 2)

		// a removal that is not noted, and a record that somebody spoiled
		e, err := deploy.NewEnvironments(x.records, x.Deployer)
		require.NoError(t, err)
		store.hook(broken)
		_, err = x.Remove(t.Context(), "shop", on("a"), nil, nil)
		require.NoError(t, err)
		store.hook(func() error { return nil })
		require.Len(t, x.list(deploy.Filter{})[0].Clusters, 2)
		_, err = e.Recover(t.Context(), deploy.Target{Clusters: []string{"a", "b"}})
		require.NoError(t, err)
		before := x.list(deploy.Filter{})
		require.Len(t, before[0].Clusters, 1)
		for _, spoiled := range []string{"", "{}", `{"format":1,"minReader":1,"application":"other","namespace":"shop"}`, "\x00"} {
			_, err = x.records.Update(t.Context(), "applications/shop/shop", func([]byte) ([]byte, error) { return []byte(spoiled), nil })
			require.NoError(t, err)
			_, err = x.Find(t.Context(), "shop", "shop")
			require.ErrorIs(t, err, appspan.ErrCorrupt)
			_, _ = e.Recover(t.Context(), deploy.Target{Clusters: []string{"a", "b"}})
			require.Equal(t, before, x.list(deploy.Filter{}), spoiled)
		}
		newer := []byte(`{"format":9,"minReader":9}`)
		_, err = x.records.Update(t.Context(), "applications/shop/shop", func([]byte) ([]byte, error) { return newer, nil })
		require.NoError(t, err)
		r = x.deployed(shop(t, "web:1", "web:2"), on("b"))
		require.Len(t, r.Clusters[0].Notes, 1)
		rec, err := x.records.Get(t.Context(), "applications/shop/shop")
		require.NoError(t, err)
		require.Equal(t, newer, rec.Value, "what a newer program wrote is not rewritten")
	})
}

func TestWhoIsSlowToNoteDoesNotOverwriteWhatCameAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name string
			next func(*indexed)
			want int
		}{
			{"a later release", func(x *indexed) { x.deployed(shop(t, "web:1", "web:2"), on("a")) }, 2},
			{"a removal", func(x *indexed) {
				_, err := x.Remove(t.Context(), "shop", on("a"), nil, nil)
				require.NoError(t, err)
			}, 0},
		} {
			x, store := newHooked(t)
			held := make(chan struct{})
			var once sync.Once
			store.hook(func() error {
				first := false
				once.Do(func() { first = true })
				if first {
					<-held
				}
				return nil
			})
			var wg sync.WaitGroup
			wg.Go(func() { _, _ = x.Deployer.Deploy(t.Context(), shop(t), on("a"), nil) })
			time.Sleep(20 * time.Second) // it is deployed, and not noted
			c.next(x)
			close(held)
			wg.Wait()
			all := x.list(deploy.Filter{})
			if c.want == 0 {
				require.Empty(t, all, c.name)
				continue
			}
			require.Equal(t, c.want, all[0].Clusters[0].Revision, c.name)
		}
	})
}

func TestAnotherProcessNotesWhatAKilledOneDeployed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		store := memstore.NewRecords()
		defer store.Close()
		start := func(hook func(*program) error) *program {
			p := &program{kill: func() {}}
			var members []*cluster.Cluster
			for _, name := range w.set.Names() {
				members = append(members, cluster.New(name, &mortal{Cluster: w.fakes[name], program: p}, &cluster.Options{Attempts: 1}))
			}
			set, err := cluster.NewSet(members...)
			require.NoError(t, err)
			hooked := &hookedStore{Records: store}
			hooked.hook(func() error { return hook(p) })
			p.journal, err = journal.New(storage.NewRecords(&mortalStore{Records: store, program: p}, &storage.RecordsOptions{Attempts: 1}), nil)
			require.NoError(t, err)
			p.Deployer, err = deploy.New(set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: appspan.AllowAll{}, Journal: p.journal,
				Records: storage.NewRecords(hooked, &storage.RecordsOptions{Attempts: 1})})
			require.NoError(t, err)
			return p
		}
		first := start(func(p *program) error {
			p.dead.Store(true)
			p.kill()
			return errKilled
		})
		second := start(func(*program) error { return nil })
		var mortal context.Context
		mortal, first.kill = context.WithCancel(t.Context())
		plan, err := first.Plan(t.Context(), shop(t), both, nil)
		require.NoError(t, err)
		_, err = first.Apply(mortal, plan, nil)
		require.Error(t, err)
		require.True(t, first.dead.Load())
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = second.journal.Run(ctx) })
		time.Sleep(5 * time.Minute)
		l, err := second.Find(t.Context(), "shop", "shop")
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b"}, l.Target().Clusters)
		require.Equal(t, deploy.ReleaseDeployed, l.Clusters[1].State)
		cancel()
		wg.Wait()
	})
}

func TestTeamsWithANamespaceOfOneNameSeeTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		everything := []string{"application:read", "application:deploy", "application:delete"}
		x := newIndexed(t, two(t), anyTeam{roles{"ann": everything, "bob": everything}})
		ann, bob := x.Deployer.For(appspan.Subject{ID: "ann", Team: "blue"}), x.Deployer.For(appspan.Subject{ID: "bob", Team: "red"})
		to := func(name, team string) deploy.Target {
			return deploy.Target{Clusters: []string{name}, Namespace: "shop", Team: team}
		}
		_, err := ann.Deploy(t.Context(), shop(t), to("a", "blue"), nil)
		require.NoError(t, err)
		_, err = bob.Deploy(t.Context(), shop(t), to("b", "red"), nil)
		require.NoError(t, err)
		l, err := ann.Find(t.Context(), "shop", "shop")
		require.NoError(t, err)
		require.Equal(t, to("a", "blue"), l.Target())
		l, err = bob.Find(t.Context(), "shop", "shop")
		require.NoError(t, err)
		require.Equal(t, to("b", "red"), l.Target())

		root := x.Deployer.For(appspan.Subject{ID: "root"})
		_, err = root.Find(t.Context(), "shop", "shop")
		require.ErrorIs(t, err, appspan.ErrConflict)
		var keys []string
		for after := ""; ; {
			n := 0
			for l, err := range root.List(t.Context(), deploy.Filter{After: after, Limit: 1}) {
				require.NoError(t, err)
				after, n = l.Key(), n+1
				keys = append(keys, after)
			}
			if n == 0 {
				break
			}
		}
		require.Equal(t, []string{"shop/shop!blue", "shop/shop!red"}, keys)

		_, err = bob.Deploy(t.Context(), shop(t, "web:1", "web:2"), to("a", "blue"), nil)
		require.ErrorIs(t, err, appspan.ErrDenied)
		_, err = bob.Remove(t.Context(), "shop", to("b", "red"), nil, nil)
		require.NoError(t, err)
		_, err = bob.Find(t.Context(), "shop", "shop")
		require.ErrorIs(t, err, appspan.ErrNotFound)
		l, err = root.Find(t.Context(), "shop", "shop")
		require.NoError(t, err)
		require.Equal(t, "blue", l.Team)
	})
}

// anyTeam lets root read everything.
type anyTeam struct{ roles }

func (a anyTeam) Authorize(ctx context.Context, who appspan.Subject, access appspan.Access) error {
	if who.ID == "root" && access.Verb == appspan.VerbRead {
		return nil
	}
	return a.roles.Authorize(ctx, who, access)
}

func TestHostileNamesStayOutOfTheIndex(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := newIndexed(t, two(t), appspan.AllowAll{})
		x.deployed(shop(t), both)
		before := x.list(deploy.Filter{})
		for _, name := range []string{"shop/../shop", "shop/x", "..", "shop\n", "SHOP", "", strings.Repeat("a", 600)} {
			_, _ = x.Remove(t.Context(), name, both, nil, nil)
			_, _ = x.Remove(t.Context(), "shop", deploy.Target{Clusters: []string{"a"}, Namespace: "shop/" + name}, nil, nil)
			_, err := x.Find(t.Context(), "shop", name)
			require.ErrorIs(t, err, appspan.ErrNotFound, fmt.Sprintf("%q", name))
			require.Equal(t, before, x.list(deploy.Filter{}))
		}
		for rec, err := range x.records.List(t.Context(), "applications/") {
			require.NoError(t, err)
			require.Equal(t, "applications/shop/shop", rec.Key)
			require.NotContains(t, string(rec.Value), "password")
		}
	})
}
