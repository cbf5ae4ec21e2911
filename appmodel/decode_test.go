package appmodel

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func shop(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/shop.yaml")
	require.NoError(t, err)
	return data
}

func TestDecodeReadsTheShop(t *testing.T) {
	t.Parallel()
	a, faults, err := Decode(shop(t), &DecodeOptions{File: "shop.yaml"})
	require.NoError(t, err)
	require.Empty(t, faults)
	require.Len(t, a.Components, 11)
}

func TestEncodeWritesWhatDecodeReads(t *testing.T) {
	t.Parallel()
	a, _, err := Decode(shop(t), nil)
	require.NoError(t, err)
	want, err := Hash(a)
	require.NoError(t, err)
	for name, opts := range map[string]*EncodeOptions{
		"YAML": nil, "JSON": {JSON: true}, "YAML with secrets": {Secrets: true}, "JSON with secrets": {JSON: true, Secrets: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := Encode(a, opts)
			require.NoError(t, err)
			again, _, err := Decode(data, nil)
			require.NoError(t, err, string(data))
			got, err := Hash(again)
			require.NoError(t, err)
			require.Equal(t, want, got)
			if opts != nil && opts.Secrets {
				require.Equal(t, a, again)
				require.Contains(t, string(data), "correct-horse")
			} else {
				require.Equal(t, Redact(a), again)
				require.NotContains(t, string(data), "correct-horse")
			}
			twice, err := Encode(again, opts)
			require.NoError(t, err)
			require.Equal(t, string(data), string(twice))
		})
	}
}
