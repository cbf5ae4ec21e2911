package deploy_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
)

func TestALogCursorSurvivesJSONAndStaysBounded(t *testing.T) {
	t.Parallel()
	var c deploy.LogCursor
	for i := range 12_000 {
		c.Note(deploy.LogLine{Cluster: "a", PodUID: time.Duration(i).String(), Container: "x", Time: time.Unix(int64(i), 5).UTC(), Nth: 1})
	}
	data, err := json.Marshal(c)
	require.NoError(t, err)
	require.Contains(t, string(data), time.Duration(11_999).String(), "who spoke last is remembered")
	var again deploy.LogCursor
	require.NoError(t, json.Unmarshal(data, &again))
	more, err := json.Marshal(again)
	require.NoError(t, err)
	require.Equal(t, string(data), string(more))
	for _, text := range []string{`{}`, `{"format":2}`, `[]`, `{"format":1,"at":[{"c":"a"}]}`} {
		require.ErrorIs(t, json.Unmarshal([]byte(text), &again), appspan.ErrInvalid, text)
	}
}

func FuzzLogCursor(f *testing.F) {
	f.Add([]byte(`{"format":1,"at":[{"c":"a","p":"u","k":"web","t":"2026-01-02T03:04:05.000000006Z","n":2,"r":1}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c, again deploy.LogCursor
		if json.Unmarshal(data, &c) != nil {
			return
		}
		first, err := json.Marshal(c)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(first, &again))
		second, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(first), string(second))
	})
}
