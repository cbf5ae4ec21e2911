package manifests_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
	"github.com/appspan-dev/appspan/appmodel/manifests"
)

// FuzzImport: nothing panics, errors are of one kind, every leaf is reported
// once with a reason, and two imports are the same.
func FuzzImport(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, name := range files {
		if data, err := os.ReadFile(name); err == nil && len(data) < 1<<14 {
			f.Add(data)
		}
	}
	f.Add([]byte(guestbook))
	for _, c := range hostile() {
		if len(c[0]) < 1<<12 {
			f.Add([]byte(c[0]))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		app, report, err := manifests.Import(t.Context(), data, &manifests.Options{Name: "shop"})
		if err != nil {
			if !errors.Is(err, appspan.ErrInvalid) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		requireValid(t, app)
		seen := map[string]bool{}
		for _, l := range report.Leaves {
			if seen[l.Path] || l.Status != fidelity.Mapped && l.Why == "" || l.Line < 1 {
				t.Fatalf("%+v", l)
			}
			seen[l.Path] = true
		}
		again, other, err := manifests.Import(t.Context(), data, &manifests.Options{Name: "shop"})
		if err != nil || secrets(t, app) != secrets(t, again) || lines(report) != lines(other) {
			t.Fatal("two imports differ")
		}
	})
}
