package composefile_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel/composefile"
	"golang.org/x/tools/txtar"
)

// FuzzImport: nothing panics, errors are of one kind, every leaf is reported
// once, and two imports are the same.
func FuzzImport(f *testing.F) {
	archives, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range archives {
		if a, err := txtar.ParseFile(name); err == nil {
			f.Add(a.Files[0].Data)
		}
	}
	for _, c := range hostile() {
		if len(c[0]) < 1<<12 {
			f.Add([]byte(c[0]))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		opts := &composefile.Options{File: "compose.yaml", Files: companionsOfHostile(), AllowUnbuilt: true}
		app, report, err := composefile.Import(t.Context(), data, opts)
		if err != nil {
			if !errors.Is(err, appspan.ErrInvalid) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		requireEveryLeafOnce(t, opts.File, data, report)
		again, _, err := composefile.Import(t.Context(), data, opts)
		if err != nil || encode(t, app) != encode(t, again) {
			t.Fatal("two imports differ")
		}
	})
}
