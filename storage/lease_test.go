package storage_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// slowFirst delays its first Get before it reads.
type slowFirst struct {
	*memstore.Records
	delay time.Duration
}

func (s *slowFirst) Get(ctx context.Context, key string) (driver.Record, error) {
	time.Sleep(s.delay)
	s.delay = 0
	return s.Records.Get(ctx, key)
}

// cutOff does not answer puts from a time on, to another or forever.
type cutOff struct {
	*memstore.Records
	from, to time.Time
}

func (c *cutOff) Put(ctx context.Context, key string, v []byte, rev string) (string, error) {
	if now := time.Now(); now.After(c.from) && (c.to.IsZero() || now.Before(c.to)) {
		return "", appspan.ErrUnavailable
	}
	return c.Records.Put(ctx, key, v, rev)
}

func TestASlowReadTakesOverNoLeaseThatIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := memstore.NewRecords()
		defer d.Close()
		start := time.Now()
		one := storage.NewRecords(&cutOff{Records: d, from: start.Add(11 * time.Second)}, nil)
		held, err := one.Leases("one", nil).Acquire(t.Context(), "job") // renewed at 5 s and 10 s, then cut off: holds until 25 s
		require.NoError(t, err)
		two := storage.NewRecords(&slowFirst{Records: d, delay: 12 * time.Second}, nil).Leases("two", nil)
		lease, err := two.Acquire(t.Context(), "job")
		require.NoError(t, err)
		t.Logf("two acquired at %v; one still believes: %v", time.Since(start), held.Context().Err() == nil)
		both := held.Context().Err() == nil
		_ = lease.Release(t.Context())
		_ = held.Release(t.Context())
		require.False(t, both, "two hold it")
	})
}
