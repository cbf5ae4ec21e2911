package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/boltrecords"
	"github.com/appspan-dev/appspan/storage/memstore"
)

func inMemory(t testing.TB) *storage.Records {
	r := storage.NewRecords(memstore.NewRecords(), nil)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func inFile(t testing.TB, path string) *storage.Records {
	d, err := boltrecords.Open(path, nil)
	require.NoError(t, err)
	r := storage.NewRecords(d, nil)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

func TestOfManyUpdatesAtATimeNoneIsLost(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]*storage.Records{"in memory": inMemory(t), "in a file": inFile(t, filepath.Join(t.TempDir(), "db"))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					_, err := r.Update(t.Context(), "n", func(old []byte) ([]byte, error) { return append(old[:len(old):len(old)], 'x'), nil })
					if err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			rec, err := r.Get(t.Context(), "n")
			require.NoError(t, err)
			require.Len(t, rec.Value, 20)
		})
	}
}

func TestAWatchTellsEverythingInOrderAndResumes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := storage.NewRecords(memstore.NewRecords(), nil)
		defer r.Close()
		_, err := r.Put(t.Context(), "a/1", []byte("one"), "")
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var told []string
		var position string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for e, err := range r.Watch(ctx, "a/", nil) {
				if err != nil {
					return
				}
				told = append(told, fmt.Sprintf("%s %s=%s", e.Type, e.Record.Key, e.Record.Value))
				position = e.Position
			}
		}()
		synctest.Wait()
		two, err := r.Put(t.Context(), "a/2", []byte("two"), "")
		require.NoError(t, err)
		_, err = r.Put(t.Context(), "b/1", []byte("other"), "")
		require.NoError(t, err)
		require.NoError(t, r.Delete(t.Context(), "a/2", two))
		synctest.Wait()
		cancel()
		<-done
		require.Equal(t, []string{"added a/1=one", "synced =", "added a/2=two", "deleted a/2="}, told)

		_, err = r.Put(t.Context(), "a/3", []byte("three"), "")
		require.NoError(t, err)
		for e, err := range r.Watch(t.Context(), "a/", &storage.WatchOptions{After: position}) {
			require.NoError(t, err)
			if e.Type == storage.Synced {
				continue
			}
			require.Equal(t, "a/3", e.Record.Key)
			break
		}
	})
}

func TestALeaseIsHeldByOneAndTakenOverFromTheDead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := storage.NewRecords(memstore.NewRecords(), nil)
		defer r.Close()
		first, err := r.Leases("one", nil).Acquire(t.Context(), "job")
		require.NoError(t, err)
		_, err = r.Leases("two", nil).Try(t.Context(), "job")
		require.ErrorIs(t, err, appspan.ErrConflict)
		time.Sleep(time.Hour)
		require.NoError(t, first.Context().Err(), "it renews itself")

		begun := time.Now()
		require.NoError(t, first.Release(t.Context()))
		second, err := r.Leases("two", nil).Acquire(t.Context(), "job")
		require.NoError(t, err)
		require.Zero(t, time.Since(begun), "a lease that was given back is free at once")
		require.Greater(t, second.Fence(), first.Fence())
		require.NoError(t, second.Release(t.Context()))
	})
}

func TestNoTwoHoldALeaseWhateverHappensToTheirStore(t *testing.T) {
	t.Parallel()
	for seed := range 20 {
		synctest.Test(t, func(t *testing.T) {
			d := memstore.NewRecords()
			defer d.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			var holders atomic.Int32
			var turns atomic.Int32
			var wg sync.WaitGroup
			for i := range 4 {
				flaky := &flakyStore{Records: d, every: 3 + (seed+i)%5}
				r := storage.NewRecords(flaky, &storage.RecordsOptions{Attempts: 1, Timeout: time.Second})
				leases := r.Leases(fmt.Sprint("holder-", i), &storage.LeaseOptions{TTL: 3 * time.Second})
				wg.Go(func() {
					for ctx.Err() == nil {
						lease, err := leases.Acquire(ctx, "job")
						if err != nil {
							time.Sleep(time.Second)
							continue
						}
						if lease.Context().Err() == nil {
							if holders.Add(1) != 1 {
								t.Error("two hold it")
							}
							turns.Add(1)
							select {
							case <-lease.Context().Done():
							case <-time.After(time.Duration(5+i) * time.Second):
							}
							holders.Add(-1)
						}
						_ = lease.Release(ctx)
					}
				})
			}
			wg.Wait()
			require.Greater(t, turns.Load(), int32(10))
		})
	}
}

// flakyStore fails now and then, before or after it did what was asked.
type flakyStore struct {
	*memstore.Records
	every int
	calls atomic.Int32
}

func (f *flakyStore) Put(ctx context.Context, key string, value []byte, ifRevision string) (string, error) {
	n := int(f.calls.Add(1))
	if n%f.every == 0 {
		return "", appspan.ErrUnavailable
	}
	revision, err := f.Records.Put(ctx, key, value, ifRevision)
	if n%(f.every+2) == 0 {
		return "", appspan.ErrUnavailable
	}
	return revision, err
}

func TestRecordsMoveBetweenStores(t *testing.T) {
	t.Parallel()
	from, to := inMemory(t), inFile(t, filepath.Join(t.TempDir(), "db"))
	for i := range 50 {
		_, err := from.Put(t.Context(), fmt.Sprintf("k/%d", i), fmt.Appendf(nil, "value %d", i), "")
		require.NoError(t, err)
	}
	var out bytes.Buffer
	n, err := from.Export(t.Context(), &out)
	require.NoError(t, err)
	require.Equal(t, 50, n)

	whole := out.Bytes()
	for name, damaged := range map[string][]byte{
		"cut":     whole[:len(whole)/2],
		"changed": bytes.Replace(whole, []byte("k/7"), []byte("k/8"), 1),
		"longer":  append(bytes.Clone(whole), "{}\n"...),
	} {
		_, err = to.Import(t.Context(), bytes.NewReader(damaged), nil)
		require.ErrorIs(t, err, appspan.ErrCorrupt, name)
	}
	for _, err := range to.List(t.Context(), "") {
		require.NoError(t, err)
		t.Fatal("something of a damaged export was written")
	}
	n, err = to.Import(t.Context(), bytes.NewReader(whole), nil)
	require.NoError(t, err)
	require.Equal(t, 50, n)
	n, err = to.Import(t.Context(), bytes.NewReader(whole), nil)
	require.NoError(t, err)
	require.Zero(t, n, "again is nothing")
	newer := bytes.Replace(whole, []byte(`"minReader":1`), []byte(`"minReader":2`), 1)
	_, err = to.Import(t.Context(), bytes.NewReader(newer), nil)
	require.ErrorIs(t, err, appspan.ErrUnsupported)
}

func TestAFileIsOneProcesssAndKeepsWhatWasWritten(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	d, err := boltrecords.Open(path, nil)
	require.NoError(t, err)
	r := storage.NewRecords(d, nil)
	revision, err := r.Put(t.Context(), "a", []byte("one"), "")
	require.NoError(t, err)
	_, err = boltrecords.Open(path, nil)
	require.ErrorIs(t, err, appspan.ErrUnavailable)
	require.NoError(t, r.Close())
	_, err = r.Get(t.Context(), "a")
	require.ErrorIs(t, err, appspan.ErrUnavailable)

	r = inFile(t, path)
	rec, err := r.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, storage.Record{Key: "a", Value: []byte("one"), Revision: revision}, rec)
	var there *storage.Error
	_, err = r.Put(t.Context(), "a", nil, "")
	require.True(t, errors.As(err, &there))
	require.ErrorIs(t, err, appspan.ErrExists)
}
