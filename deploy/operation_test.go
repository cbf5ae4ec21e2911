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
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/storage"
	storagedriver "github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// program is one process with a Deployer and a journal over a world.
type program struct {
	*deploy.Deployer
	journal *journal.Journal
	dead    atomic.Bool
	writes  atomic.Int64
	dies    int64 // at which write; zero is never
	kill    context.CancelFunc
}

// start starts a process; the one that dies says nothing more to anybody.
func (w *world) start(store *memstore.Records, dies int64) *program {
	w.t.Helper()
	p := &program{dies: dies, kill: func() {}}
	var members []*cluster.Cluster
	for _, name := range w.set.Names() {
		members = append(members, cluster.New(name, &mortal{Cluster: w.fakes[name], program: p}, &cluster.Options{Attempts: 1}))
	}
	set, err := cluster.NewSet(members...)
	require.NoError(w.t, err)
	p.journal, err = journal.New(storage.NewRecords(&mortalStore{Records: store, program: p}, &storage.RecordsOptions{Attempts: 1}), nil)
	require.NoError(w.t, err)
	p.Deployer, err = deploy.New(set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: appspan.AllowAll{}, Journal: p.journal})
	require.NoError(w.t, err)
	return p
}

var errKilled = fmt.Errorf("the process was killed")

// mortal is a cluster as a process sees it that may be dead.
type mortal struct {
	driver.Cluster
	program *program
}

func (m *mortal) Unwrap() driver.Cluster { return m.Cluster }
func (m *mortal) Close() error           { return nil }

func (m *mortal) Apply(ctx context.Context, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
	if n := m.program.writes.Add(1); m.program.dies > 0 && n == m.program.dies {
		m.program.dead.Store(true)
		m.program.kill()
	}
	if m.program.dead.Load() {
		return driver.Object{}, errKilled
	}
	return m.Cluster.Apply(ctx, obj, opts)
}

func (m *mortal) Delete(ctx context.Context, ref driver.Ref, opts driver.DeleteOptions) error {
	if m.program.dead.Load() {
		return errKilled
	}
	return m.Cluster.Delete(ctx, ref, opts)
}

// mortalStore is a store as a process sees it that may be dead.
type mortalStore struct {
	*memstore.Records
	program *program
}

func (m *mortalStore) Put(ctx context.Context, key string, value []byte, ifRevision string) (string, error) {
	if m.program.dead.Load() {
		return "", errKilled
	}
	return m.Records.Put(ctx, key, value, ifRevision)
}

func (m *mortalStore) Delete(ctx context.Context, key, ifRevision string) error {
	if m.program.dead.Load() {
		return errKilled
	}
	return m.Records.Delete(ctx, key, ifRevision)
}

func TestAnotherProcessFinishesWhatAKilledOneBegan(t *testing.T) {
	t.Parallel()
	for _, direct := range []bool{false, true} {
		for dies := int64(1); dies <= 24; dies++ {
			t.Run(fmt.Sprintf("direct %v, killed at write %d", direct, dies), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := two(t)
					store := memstore.NewRecords()
					defer store.Close()
					first, second := w.start(store, dies), w.start(store, 0)
					var mortal context.Context
					mortal, first.kill = context.WithCancel(t.Context())
					defer first.kill()
					var err error
					if direct {
						_, err = first.Deploy(mortal, shop(t), both, nil)
					} else {
						var p *deploy.Plan
						p, err = first.Plan(t.Context(), shop(t), both, nil)
						require.NoError(t, err)
						_, err = first.Apply(mortal, p, nil)
					}
					require.Error(t, err)
					require.True(t, first.dead.Load())
					ctx, cancel := context.WithCancel(t.Context())
					var wg sync.WaitGroup
					wg.Go(func() {
						if err := second.journal.Run(ctx); err != nil {
							t.Error(err)
						}
					})
					time.Sleep(2 * time.Minute)
					synctest.Wait()
					n := 0
					for op, err := range second.journal.List(t.Context(), true) {
						require.NoError(t, err)
						require.Equal(t, journal.Done, op.State, op.Error)
						require.Equal(t, 2, op.Attempts)
						require.Equal(t, "shop", op.About["application"])
						n++
					}
					require.Equal(t, 1, n)
					s, err := second.Status(t.Context(), "shop", both)
					require.NoError(t, err)
					require.Equal(t, status.Ready, s.Worst, s.Tree(nil))
					p, err := second.Plan(t.Context(), shop(t), both, nil)
					require.NoError(t, err)
					for _, c := range p.Clusters {
						require.Empty(t, c.Changes)
					}
					cancel()
					wg.Wait()
				})
			})
		}
	}
}

func TestAnApplyIsAnOperationThatEverybodyCanRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		store := memstore.NewRecords()
		defer store.Close()
		p := w.start(store, 0)
		var told int
		r, err := p.For(appspan.Subject{ID: "ann"}).Deploy(t.Context(), shop(t), both, &deploy.DeployOptions{Apply: deploy.ApplyOptions{OnEvent: func(appspan.Event) { told++ }}})
		require.NoError(t, err)
		require.Equal(t, deploy.OutcomeDone, r.Clusters[0].Outcome)
		require.NotEmpty(t, r.Clusters[0].Status.Components, "the whole result, not what is kept of it")
		require.Positive(t, told)
		for op, err := range p.journal.List(t.Context(), true) {
			require.NoError(t, err)
			require.Equal(t, "ann", op.Subject.ID)
			require.Len(t, op.Steps, 2)
			require.NotEmpty(t, op.Events)
		}
	})
}

// lossy is a store in which what an operation needs is damaged, or gone.
type lossy struct {
	*memstore.Records
	err error
}

func (l lossy) Get(ctx context.Context, key string) (storagedriver.Record, error) {
	rec, err := l.Records.Get(ctx, key)
	if err != nil || !strings.HasPrefix(key, "operations/body/") {
		return rec, err
	}
	rec.Value = []byte("damaged")
	return rec, l.err
}

func TestAnOperationThatCannotBeReadFailsWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ read, want error }{
		"it is damaged": {nil, appspan.ErrCorrupt},
		"it is gone":    {appspan.ErrNotFound, appspan.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := two(t)
				store := memstore.NewRecords()
				defer store.Close()
				j, err := journal.New(storage.NewRecords(lossy{store, c.read}, nil), nil)
				require.NoError(t, err)
				d, err := deploy.New(w.set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: appspan.AllowAll{}, Journal: j})
				require.NoError(t, err)
				_, err = d.Deploy(t.Context(), shop(t), both, nil)
				require.ErrorIs(t, err, c.want)
				require.NotErrorIs(t, err, appspan.ErrUnavailable)
				require.Zero(t, w.writes())
			})
		})
	}
}
