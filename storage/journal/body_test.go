package journal_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// silent is a store whose bodies cannot be read for a while.
type silent struct {
	*memstore.Records
	until time.Time
}

func (s silent) Get(ctx context.Context, key string) (driver.Record, error) {
	if strings.HasPrefix(key, "operations/body/") && time.Now().Before(s.until) {
		return driver.Record{}, appspan.ErrUnavailable
	}
	return s.Records.Get(ctx, key)
}

func TestABodyThatIsLostEndsTheOperationAndOneThatIsOutOfReachDoesNot(t *testing.T) {
	t.Parallel()
	spoil := func(edit func([]byte) []byte) func(t *testing.T, r *storage.Records, key string) {
		return func(t *testing.T, r *storage.Records, key string) {
			_, err := r.Update(t.Context(), key, func(old []byte) ([]byte, error) { return edit(old), nil })
			require.NoError(t, err)
		}
	}
	for name, c := range map[string]struct {
		spoil  func(t *testing.T, r *storage.Records, key string)
		silent time.Duration
		state  journal.State
		err    error
	}{
		"its record is gone":            {spoil: spoil(func([]byte) []byte { return nil }), state: journal.Failed, err: appspan.ErrNotFound},
		"it is something else":          {spoil: spoil(func([]byte) []byte { return []byte("no body") }), state: journal.Failed, err: appspan.ErrCorrupt},
		"it is cut":                     {spoil: spoil(func(b []byte) []byte { return b[:len(b)-1] }), state: journal.Failed, err: appspan.ErrCorrupt},
		"the store is silent for a day": {silent: 24 * time.Hour, state: journal.Done},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := memstore.NewRecords()
				defer store.Close()
				records := storage.NewRecords(silent{store, time.Now().Add(c.silent)}, &storage.RecordsOptions{Attempts: 1})
				ran := false
				j := newJournal(t, records, map[string]journal.Handler{"work": func(context.Context, *journal.Run) error { ran = true; return nil }})
				op, err := j.Begin(t.Context(), journal.Intent{Kind: "work", Body: json.RawMessage(`"` + strings.Repeat("a body ", 100) + `"`)})
				require.NoError(t, err)
				if c.spoil != nil {
					c.spoil(t, records, "operations/body/"+op.ID+"/0")
				}
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				wg.Go(func() {
					if err := j.Run(ctx); err != nil {
						t.Error(err)
					}
				})
				time.Sleep(25 * time.Hour)
				op, err = j.Get(t.Context(), op.ID)
				require.NoError(t, err)
				cancel()
				wg.Wait()
				require.Equal(t, c.state, op.State, op.Error)
				require.ErrorIs(t, op.Err(), c.err)
				require.Equal(t, c.state == journal.Done, ran)
				require.Equal(t, 1, op.Attempts)
			})
		})
	}
}
