package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAnUpdateMayChangeTheValueInPlace(t *testing.T) {
	t.Parallel()
	r := inMemory(t)
	_, err := r.Put(t.Context(), "a", []byte("one"), "")
	require.NoError(t, err)
	_, err = r.Update(t.Context(), "a", func(old []byte) ([]byte, error) { old[0] = 'X'; return old, nil })
	require.NoError(t, err)
	rec, err := r.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, "Xne", string(rec.Value))
}

func TestAnEmptyRecordIsARecord(t *testing.T) {
	t.Parallel()
	r := inMemory(t)
	_, err := r.Put(t.Context(), "a", nil, "")
	require.NoError(t, err)
	rec, err := r.Update(t.Context(), "a", func(old []byte) ([]byte, error) {
		require.NotNil(t, old)
		return nil, nil
	})
	require.NoError(t, err)
	require.Empty(t, rec.Revision)
	_, err = r.Get(t.Context(), "a")
	require.Error(t, err, "nil deletes it")
}
