package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/appspan-dev/appspan/storage/storagetest"
)

func TestAnOverlayIsRecords(t *testing.T) {
	t.Parallel()
	storagetest.Records(t, func(t testing.TB) driver.Records {
		below := storage.NewRecords(memstore.NewRecords(), nil)
		t.Cleanup(func() { _ = below.Close() })
		return storage.Overlay(below).Driver()
	}, nil)
}

func TestWhatIsWrittenToAnOverlayIsNotBelow(t *testing.T) {
	t.Parallel()
	below := storage.NewRecords(memstore.NewRecords(), nil)
	defer below.Close()
	a, err := below.Put(t.Context(), "x/a", []byte("1"), "")
	require.NoError(t, err)
	b, err := below.Put(t.Context(), "x/b", []byte("1"), "")
	require.NoError(t, err)
	o := storage.Overlay(below)
	defer o.Close()
	_, err = o.Put(t.Context(), "x/a", []byte("2"), a)
	require.NoError(t, err)
	require.NoError(t, o.Delete(t.Context(), "x/b", b))
	_, err = o.Put(t.Context(), "x/c", []byte("3"), "")
	require.NoError(t, err)
	read := func(r *storage.Records) map[string]string {
		out := map[string]string{}
		for rec, err := range r.List(t.Context(), "x/") {
			require.NoError(t, err)
			out[rec.Key] = string(rec.Value)
		}
		return out
	}
	require.Equal(t, map[string]string{"x/a": "2", "x/c": "3"}, read(o))
	require.Equal(t, map[string]string{"x/a": "1", "x/b": "1"}, read(below))
	_, err = o.Get(t.Context(), "x/b")
	require.ErrorIs(t, err, appspan.ErrNotFound)
	_, err = below.Put(t.Context(), "x/d", []byte("4"), "")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"x/a": "2", "x/c": "3", "x/d": "4"}, read(o), "what comes below is seen")
}
