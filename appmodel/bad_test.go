package appmodel

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the golden files")

func TestBadDocumentsAreRefusedWithWhatIsWrongAndTheNextStep(t *testing.T) {
	t.Parallel()
	const file = "testdata/bad.txtar"
	archive, err := txtar.ParseFile(file)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(archive.Files)/2, 60)
	for i := 0; i+1 < len(archive.Files); i += 2 {
		doc, want := archive.Files[i], &archive.Files[i+1]
		require.Equal(t, doc.Name+".faults", want.Name)
		a, faults, err := Decode(doc.Data, &DecodeOptions{File: "shop.yaml"})
		var text strings.Builder
		for _, f := range faults {
			text.WriteString(f.String() + "\n")
		}
		require.NotEmpty(t, text.String(), doc.Name)
		require.Equal(t, err != nil, a == nil, doc.Name)
		if *update {
			want.Data = []byte(text.String())
			continue
		}
		require.Equal(t, string(want.Data), text.String(), doc.Name)
	}
	if *update {
		require.NoError(t, os.WriteFile(file, txtar.Format(archive), 0o644))
	}
}
