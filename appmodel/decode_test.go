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
