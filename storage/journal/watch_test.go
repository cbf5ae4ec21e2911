package journal_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/memstore"
)

func TestAWatchTellsHowAnOperationEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := storage.NewRecords(memstore.NewRecords(), nil)
		defer records.Close()
		j, err := journal.New(records, &journal.Options{Handlers: map[string]journal.Handler{"x": func(ctx context.Context, r *journal.Run) error {
			return r.SetOutcome("well")
		}}})
		require.NoError(t, err)
		op, err := j.Begin(t.Context(), journal.Intent{Kind: "x"})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan []journal.State, 1)
		go func() {
			var states []journal.State
			for now, err := range j.Watch(ctx) {
				if err != nil {
					break
				}
				states = append(states, now.State)
				if now.State.Over() {
					break
				}
			}
			done <- states
		}()
		synctest.Wait()
		_, err = j.Execute(t.Context(), op.ID, nil)
		require.NoError(t, err)
		states := <-done
		require.Equal(t, journal.Pending, states[0])
		require.Equal(t, journal.Done, states[len(states)-1])
		cancel()
	})
}
