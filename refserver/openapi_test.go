package refserver_test

import (
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestTheOpenAPIDocumentIsTheOneThatWasReviewed(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	got := s.send("", "GET", "/openapi.json", nil)
	got.into(t, 200, nil)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile("testdata/openapi.json", got.body, 0o644))
	}
	want, err := os.ReadFile("testdata/openapi.json")
	require.NoError(t, err)
	if string(want) != string(got.body) {
		t.Errorf("the document is another one: run go test ./refserver -run OpenAPI -update, and look at the difference")
	}
}
