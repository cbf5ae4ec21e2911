package storage_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`{"format":1,"minReader":1,"name":"a"}`, `{"format":9,"minReader":1}`, `{"format":9,"minReader":9}`, `{}`, `null`, `[`, `{"format":1,"minReader":1,"name":7}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v struct {
			storage.Envelope
			Name string `json:"name"`
		}
		err := storage.Decode(data, 1, &v)
		switch {
		case err == nil:
			require.LessOrEqual(t, v.MinReader, 1)
		case !errors.Is(err, appspan.ErrCorrupt) && !errors.Is(err, appspan.ErrUnsupported):
			t.Fatal(err)
		}
	})
}

func FuzzImport(f *testing.F) {
	from := storage.NewRecords(memstore.NewRecords(), nil)
	for _, key := range []string{"a", "b/c", "empty"} {
		_, err := from.Put(f.Context(), key, []byte(key)[:len(key)%5], "")
		require.NoError(f, err)
	}
	var export bytes.Buffer
	_, err := from.Export(f.Context(), &export)
	require.NoError(f, err)
	f.Add(export.Bytes())
	f.Add(export.Bytes()[:export.Len()-20])
	f.Add(bytes.ToUpper(export.Bytes()))
	f.Add([]byte(`{"format":9,"minReader":9,"kind":"appspan records"}`))
	f.Add([]byte(`{"kind":"appspan records"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		to := storage.NewRecords(memstore.NewRecords(), nil)
		n, err := to.Import(t.Context(), bytes.NewReader(data), nil)
		found := 0
		for _, err := range to.List(t.Context(), "") {
			require.NoError(t, err)
			found++
		}
		if err != nil {
			known := errors.Is(err, appspan.ErrCorrupt) || errors.Is(err, appspan.ErrUnsupported) || errors.Is(err, appspan.ErrInvalid) || errors.Is(err, appspan.ErrExists)
			require.True(t, known, "%v", err)
			require.True(t, found == 0 || errors.Is(err, appspan.ErrExists), "an export that is refused writes nothing")
			return
		}
		require.Equal(t, n, found)
	})
}
