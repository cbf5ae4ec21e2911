package deploy

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/journal"
)

// What is read from a record of the index, or changed in it, is what its key says,
// whatever the record says.
func FuzzIndexRecord(f *testing.F) {
	f.Add([]byte(`{"format":1,"minReader":1,"application":"shop","namespace":"shop","clusters":{"a":{"team":"blue","revision":1,"at":"2026-01-02T03:04:05Z"},"b":{"revision":2}}}`), true)
	f.Add([]byte(`{"format":1,"minReader":1,"application":"other","namespace":"shop"}`), false)
	f.Add([]byte(`{"format":2,"minReader":2}`), true)
	f.Add([]byte(`[]`), false)
	f.Fuzz(func(t *testing.T, data []byte, there bool) {
		at := place{"a", "shop", "shop"}
		key := indexKey(at.namespace, at.application)
		all, err := decodeListed(storage.Record{Key: key, Value: data})
		for _, l := range all {
			require.NoError(t, err)
			require.Equal(t, "shop", l.Application)
			require.NotEmpty(t, l.Clusters)
		}
		var on *ListedOn
		if there {
			on = &ListedOn{Cluster: "a", Revision: 7}
		}
		value, changed, err := noted(data, at, "red", on)
		if err != nil || !changed || value == nil {
			return
		}
		all, err = decodeListed(storage.Record{Key: key, Value: value})
		require.NoError(t, err)
		found := 0
		for _, l := range all {
			for _, c := range l.Clusters {
				if c.Cluster == "a" {
					require.Equal(t, "red", l.Team)
					require.Equal(t, 7, c.Revision)
					found++
				}
			}
		}
		require.Equal(t, there, found == 1)
		again, changed, err := noted(value, at, "red", on)
		require.NoError(t, err)
		require.False(t, changed)
		require.Equal(t, value, again)
	})
}

func FuzzResultOf(f *testing.F) {
	f.Add([]byte(`{"application":"shop","clusters":[{"cluster":"a","outcome":"failed","error":"no"}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := (&Deployer{}).ResultOf(journal.Operation{ID: "x", Outcome: json.RawMessage(data)})
		if err == nil && r != nil {
			_ = r.err()
		}
	})
}
