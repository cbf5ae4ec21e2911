package storagetest_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/appspan-dev/appspan/storage/storagetest"
)

// mutant is a store in memory with some calls replaced. The zero value keeps
// every promise. Close closes the handle alone: another one can go on.
type mutant struct {
	*memstore.Records
	mutation
	closed atomic.Bool
}

type mutation struct {
	get    func(ctx context.Context, x *mutant, key string) (driver.Record, error)
	put    func(ctx context.Context, x *mutant, key string, value []byte, ifRevision string) (string, error)
	delete func(ctx context.Context, x *mutant, key, ifRevision string) error
	list   func(ctx context.Context, x *mutant, q driver.Query) (driver.Page, error)
	watch  func(ctx context.Context, x *mutant, prefix, position string) (driver.Watch, error)
	close  func(x *mutant) error
	again  func(x *mutant)
}

func (x *mutant) Get(ctx context.Context, key string) (driver.Record, error) {
	if x.get != nil {
		return x.get(ctx, x, key)
	}
	if x.closed.Load() {
		return driver.Record{}, driver.ErrClosed
	}
	return x.Records.Get(ctx, key)
}

func (x *mutant) Put(ctx context.Context, key string, value []byte, ifRevision string) (string, error) {
	if x.put != nil {
		return x.put(ctx, x, key, value, ifRevision)
	}
	if x.closed.Load() {
		return "", driver.ErrClosed
	}
	return x.Records.Put(ctx, key, value, ifRevision)
}

func (x *mutant) Delete(ctx context.Context, key, ifRevision string) error {
	if x.delete != nil {
		return x.delete(ctx, x, key, ifRevision)
	}
	if x.closed.Load() {
		return driver.ErrClosed
	}
	return x.Records.Delete(ctx, key, ifRevision)
}

func (x *mutant) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	if x.list != nil {
		return x.list(ctx, x, q)
	}
	if x.closed.Load() {
		return driver.Page{}, driver.ErrClosed
	}
	return x.Records.List(ctx, q)
}

func (x *mutant) Watch(ctx context.Context, prefix, position string) (driver.Watch, error) {
	if x.watch != nil {
		return x.watch(ctx, x, prefix, position)
	}
	return x.Records.Watch(ctx, prefix, position)
}

func (x *mutant) Close() error {
	if x.mutation.close != nil {
		return x.mutation.close(x)
	}
	return x.end()
}

// end closes the handle, and the store unless another handle goes on with it.
func (x *mutant) end() error {
	x.closed.Store(true)
	if _, err := x.Records.Get(context.Background(), "handle/a"); err == nil {
		return nil
	}
	return x.Records.Close()
}

// changed is a watch whose changes are changed; no change skips one.
type changed struct {
	driver.Watch
	next func(driver.Change) []driver.Change
	rest []driver.Change
}

func (w *changed) Next() (driver.Change, error) {
	for len(w.rest) == 0 {
		c, err := w.Watch.Next()
		if err != nil {
			return c, err
		}
		w.rest = w.next(c)
	}
	c := w.rest[0]
	w.rest = w.rest[1:]
	return c, nil
}

func TestEveryPromiseHasAMutant(t *testing.T) {
	t.Parallel()
	promises, all := storagetest.Promises(), mutants()
	require.GreaterOrEqual(t, len(promises), 40)
	for _, name := range promises {
		require.Contains(t, all, name)
	}
	require.Len(t, all, len(promises))
}

// TestEveryMutantFailsItsPromiseAlone: what one promise finds, no other may
// find too. Waiting costs nothing: the clock is virtual.
func TestEveryMutantFailsItsPromiseAlone(t *testing.T) {
	t.Parallel()
	all := mutants()
	all[""] = mutation{}
	for broken, m := range all {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			var failing []string
			for _, name := range storagetest.Promises() {
				if check(t, name, m) != "" {
					failing = append(failing, name)
				}
			}
			if broken == "" {
				require.Empty(t, failing, "the store without a fault")
				return
			}
			require.Equal(t, []string{broken}, failing)
		})
	}
}

func check(t *testing.T, name string, m mutation) (failure string) {
	synctest.Test(t, func(t *testing.T) {
		store := memstore.NewRecords()
		x := &mutant{Records: store, mutation: m}
		// A watch that no call ends is ended here, so that the run has an end.
		limit := time.AfterFunc(20*time.Second, func() { _ = store.Close() })
		defer limit.Stop()
		failure = storagetest.Check(t.Context(), name, x, func(driver.Records) driver.Records {
			if m.again != nil {
				m.again(x)
			}
			return &mutant{Records: store, mutation: m}
		}, &storagetest.Options{Wait: 5 * time.Second, MaxValue: 1 << 16})
		synctest.Wait()
	})
	return failure
}
