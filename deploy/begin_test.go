package deploy_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/memstore"
)

func TestAKeyIsTheSubjectsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		store := memstore.NewRecords()
		defer store.Close()
		p := w.start(store, 0)
		ann, bob := p.For(appspan.Subject{ID: "ann"}), p.For(appspan.Subject{ID: "bob"})
		plan, err := p.Plan(t.Context(), shop(t), both, nil)
		require.NoError(t, err)
		first, err := ann.Begin(t.Context(), plan, &deploy.ApplyOptions{Key: "stage/x/1"})
		require.NoError(t, err)
		require.NotContains(t, first.Key, "stage/", "a stage cannot be forestalled")
		other, err := bob.Begin(t.Context(), plan, &deploy.ApplyOptions{Key: "stage/x/1"})
		require.NoError(t, err)
		require.NotEqual(t, first.ID, other.ID)
		long, err := ann.Begin(t.Context(), plan, &deploy.ApplyOptions{Key: strings.Repeat("k", 10_000)})
		require.NoError(t, err)
		require.NotEqual(t, first.ID, long.ID)

		result, err := ann.Apply(t.Context(), plan, &deploy.ApplyOptions{Key: "stage/x/1"})
		require.NoError(t, err, "what was begun is what is applied")
		require.Equal(t, deploy.OutcomeDone, result.Clusters[0].Outcome)
		done, err := p.Operation(t.Context(), first.ID)
		require.NoError(t, err)
		require.Equal(t, journal.Done, done.State)
		again, err := ann.Begin(t.Context(), plan, &deploy.ApplyOptions{Key: "stage/x/1"})
		require.NoError(t, err, "also when it is over")
		require.Equal(t, first.ID, again.ID)

		next, err := p.Plan(t.Context(), shop(t, "web:1", "web:2"), both, nil)
		require.NoError(t, err)
		_, err = ann.Apply(t.Context(), next, &deploy.ApplyOptions{Key: "stage/x/1"})
		require.ErrorIs(t, err, appspan.ErrConflict)
		refused, err := ann.Begin(t.Context(), next, &deploy.ApplyOptions{Key: "stage/x/1"})
		require.ErrorIs(t, err, appspan.ErrConflict)
		require.Empty(t, refused.ID)
		_, err = p.Begin(t.Context(), nil, nil)
		require.ErrorIs(t, err, appspan.ErrInvalid)
	})
}
