package storage_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// leader is one process that leads, and what it saw.
type leader struct {
	stop  context.CancelFunc
	err   chan error
	begun atomic.Int32
	why   atomic.Pointer[error] // what its last work ended with
}

func lead(t *testing.T, records *storage.Records, holder string, ends func() error) *leader {
	ctx, stop := context.WithCancel(t.Context())
	l := &leader{stop: stop, err: make(chan error, 1)}
	go func() {
		l.err <- records.Leases(holder, nil).Lead(ctx, "job", nil, func(ctx context.Context) error {
			l.begun.Add(1)
			if ends != nil {
				return ends()
			}
			<-ctx.Done()
			why := context.Cause(ctx)
			l.why.Store(&why)
			return nil
		})
	}()
	return l
}

func TestOneOfSeveralLeadsAndAnotherAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := memstore.NewRecords()
		defer d.Close()
		lost := &cutOff{Records: d, from: time.Now().Add(time.Hour), to: time.Now().Add(2 * time.Hour)}
		one := lead(t, storage.NewRecords(lost, nil), "one", nil)
		synctest.Wait()
		two := lead(t, storage.NewRecords(d, nil), "two", nil)
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		require.Equal(t, []int32{1, 0}, []int32{one.begun.Load(), two.begun.Load()})

		time.Sleep(time.Minute) // nothing is stored for one any more
		synctest.Wait()
		require.Equal(t, []int32{1, 1}, []int32{one.begun.Load(), two.begun.Load()})
		require.ErrorIs(t, *one.why.Load(), storage.ErrLeaseLost)

		time.Sleep(time.Hour)
		two.stop()
		require.NoError(t, <-two.err)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, []int32{2, 1}, []int32{one.begun.Load(), two.begun.Load()})
		one.stop()
		require.NoError(t, <-one.err)
	})
}

func TestALeaderTriesAgainOnlyWhatDidNotAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := storage.NewRecords(memstore.NewRecords(), nil)
		left := 3
		broken := errors.New("it is broken")
		l := lead(t, records, "one", func() error {
			if left--; left > 0 {
				return appspan.ErrUnavailable
			}
			return broken
		})
		require.ErrorIs(t, <-l.err, broken)
		require.EqualValues(t, 3, l.begun.Load())

		held, err := records.Leases("two", nil).Try(t.Context(), "job")
		require.NoError(t, err, "what has ended holds nothing")
		require.NoError(t, held.Release(t.Context()))
		require.NoError(t, records.Close())
		require.Error(t, <-lead(t, records, "one", nil).err, "records that are closed never answer")
	})
}
