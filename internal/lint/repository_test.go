package lint

import (
	"flag"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const root = "../.."

var (
	packages = sync.OnceValues(func() ([]*Package, error) { return Load(root) })
	files    = sync.OnceValues(func() ([]File, error) { return Tracked(root) })
)

// TestRepository runs every rule over the repository itself.
func TestRepository(t *testing.T) {
	pkgs, err := packages()
	if err != nil {
		t.Fatal(err)
	}
	tracked, err := files()
	if err != nil {
		t.Fatal(err)
	}
	golden := func(dir string, list func(*Package) []string) func(t *testing.T) []Problem {
		return func(t *testing.T) []Problem {
			goldens := Goldens(pkgs, list)
			if *update {
				if err := Update(dir, goldens); err != nil {
					t.Fatal(err)
				}
			}
			problems, err := Stale(dir, goldens)
			if err != nil {
				t.Fatal(err)
			}
			return problems
		}
	}
	for name, rule := range map[string]func(t *testing.T) []Problem{
		"imports follow the dependency direction":    func(*testing.T) []Problem { return Directions(pkgs, Layers()) },
		"libraries keep to themselves":               func(*testing.T) []Problem { return Libraries(pkgs, Exemptions()) },
		"packages are named after what they hold":    func(*testing.T) []Problem { return Names(pkgs) },
		"exports and packages are documented":        func(*testing.T) []Problem { return Documented(pkgs) },
		"sources are short enough to read":           func(*testing.T) []Problem { return Long(tracked) },
		"the repository speaks of itself alone":      func(*testing.T) []Problem { return Foreign(tracked, "internal/fixtures/fixtures.go") },
		"linked modules are those of the golden":     golden("testdata/modules", Modules),
		"the exported surface is that of the golden": golden(root+"/api", Surface),
	} {
		t.Run(name, func(t *testing.T) {
			for _, p := range rule(t) {
				t.Error(p)
			}
		})
	}
}
