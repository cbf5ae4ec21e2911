package feed_test

import (
	"io"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/internal/feed"
)

func newFeed() *feed.Feed {
	f := feed.New(0)
	f.Position = func(n uint64) string { return strconv.FormatUint(n, 10) }
	f.Number = func(position string) (uint64, bool) {
		n, err := strconv.ParseUint(position, 10, 64)
		return n, err == nil
	}
	return f
}

func TestWhatIsKeptForWatchersIsBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		changes, size, remembered int
	}{
		"in changes": {changes: 10_500, size: 1, remembered: 10_000},
		"in bytes":   {changes: 40, size: 1 << 20, remembered: 32},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFeed()
			late, err := f.Watch(t.Context(), "", "0")
			require.NoError(t, err)
			for range c.changes {
				f.Add(driver.Change{Record: driver.Record{Key: "a", Value: make([]byte, c.size)}})
			}
			_, err = late.Next()
			require.ErrorIs(t, err, appspan.ErrPrecondition, "a reader that is too far behind")
			oldest := c.changes - c.remembered
			_, err = f.Watch(t.Context(), "", strconv.Itoa(oldest-1))
			require.ErrorIs(t, err, appspan.ErrPrecondition, "a position that is too old")
			w, err := f.Watch(t.Context(), "", strconv.Itoa(oldest))
			require.NoError(t, err)
			for n := range c.remembered {
				change, err := w.Next()
				require.NoError(t, err)
				require.Equal(t, strconv.Itoa(oldest+n+1), change.Position)
			}
			f.Close()
			_, err = w.Next()
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

func TestWhoMissedWhatTheFeedWasNotToldOfIsTooFarBehind(t *testing.T) {
	t.Parallel()
	f := newFeed()
	w, err := f.Watch(t.Context(), "", "0")
	require.NoError(t, err)
	f.Skip(3)
	_, err = w.Next()
	require.ErrorIs(t, err, appspan.ErrPrecondition)
	w, err = f.Watch(t.Context(), "", "3")
	require.NoError(t, err)
	f.Skip(3)
	f.Add(driver.Change{Record: driver.Record{Key: "a"}})
	change, err := w.Next()
	require.NoError(t, err)
	require.Equal(t, "4", change.Position)
}
