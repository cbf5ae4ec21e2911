package manifests_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
	"github.com/appspan-dev/appspan/appmodel/manifests"
	"github.com/appspan-dev/appspan/internal/fixtures"
)

// step is a leaf of an object: how to find it and how to change it.
type step struct {
	path  string
	value any
	set   func(any)
}

// leavesOf walks an object on its own.
func leavesOf(path string, v any, set func(any), out *[]step) {
	switch t := v.(type) {
	case map[string]any:
		for _, k := range keys(t) {
			x := t[k]
			leavesOf(path+pathName(k), x, func(n any) { t[k] = n }, out)
		}
		if len(t) > 0 {
			return
		}
	case []any:
		for i, x := range t {
			leavesOf(path+"["+strconv.Itoa(i)+"]", x, func(n any) { t[i] = n }, out)
		}
		if len(t) > 0 {
			return
		}
	}
	*out = append(*out, step{path, v, set})
}

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

func pathName(key string) string {
	if strings.ContainsAny(key, "./[") {
		return "[" + strconv.Quote(key) + "]"
	}
	return "." + key
}

// requireEveryLeafOnce walks the input on its own, and compares.
func requireEveryLeafOnce(t *testing.T, data []byte, report *manifests.Report) {
	t.Helper()
	want := map[string]bool{}
	for _, o := range splitAll(t, data) {
		var steps []step
		leavesOf(fmt.Sprint(o["kind"], "[", o["metadata"].(map[string]any)["name"], "]"), o, nil, &steps)
		for _, s := range steps {
			want[s.path] = true
		}
	}
	seen := map[string]bool{}
	for _, l := range report.Leaves {
		require.False(t, seen[l.Path], "%s is reported twice", l.Path)
		seen[l.Path] = true
		require.Positive(t, l.Line)
		if l.Status != fidelity.Mapped {
			require.NotEmpty(t, l.Why, "%s is %s without a reason", l.Path, l.Status)
		}
		if l.Status == fidelity.Mapped || l.Status == fidelity.Raw {
			require.NotEmpty(t, l.To, l.Path)
		}
		if strings.HasPrefix(l.Path, "List[") {
			continue // of a list itself
		}
		require.True(t, want[l.Path], "%s is not in the input", l.Path)
		delete(want, l.Path)
	}
	require.Empty(t, want, "dropped in silence")
}

func TestEveryLeafIsAccountedForOnce(t *testing.T) {
	t.Parallel()
	for name, data := range streams(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app, report, err := manifests.Import(t.Context(), data, &manifests.Options{File: name + ".yaml"})
			require.NoError(t, err)
			requireValid(t, app)
			requireEveryLeafOnce(t, data, report)
			again, _, err := manifests.Import(t.Context(), data, &manifests.Options{File: name + ".yaml"})
			require.NoError(t, err)
			require.Equal(t, encode(t, app), encode(t, again), "two imports differ")
			requireGolden(t, "testdata/"+name+".application", encode(t, app))
			requireGolden(t, "testdata/"+name+".report", lines(report))
		})
	}
}

func TestAnApplicationThatNobodyHereWroteIsMapped(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(fixtures.Dir(t), "manifests", "online-boutique.yaml"))
	require.NoError(t, err)
	app, report, err := manifests.Import(t.Context(), data, &manifests.Options{File: "online-boutique.yaml"})
	require.NoError(t, err)
	requireValid(t, app)
	requireEveryLeafOnce(t, data, report)
	require.Len(t, report.Leaves, 545)
	require.GreaterOrEqual(t, report.Fidelity(), 0.95, "%s", report)
	require.InDelta(t, 1, report.Kept(), 0)
	t.Logf("%d leaves, %.1f %% mapped or implied", len(report.Leaves), 100*report.Fidelity())
}

// TestNoLeafIsSaidToBeKeptThatIsNot changes each leaf of the inputs, one after
// the other: either the application changes with it, or the report says
// something else of it, or the input is wrong now.
func TestNoLeafIsSaidToBeKeptThatIsNot(t *testing.T) {
	t.Parallel()
	for name, data := range streams(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := splitAll(t, data)
			options := &manifests.Options{Name: "shop"}
			app, report, err := manifests.Import(t.Context(), join(t, objects), options)
			require.NoError(t, err)
			before, fates := secrets(t, app), map[string]fidelity.Leaf{}
			for _, l := range report.Leaves {
				fates[l.Path] = l
			}
			changed := 0
			for i, o := range objects {
				var steps []step
				if name == "bazaar" && i > 6 && i < len(objects)-3 {
					continue // whose services are all alike
				}
				leavesOf(fmt.Sprint(o["kind"], "[", o["metadata"].(map[string]any)["name"], "]"), o, nil, &steps)
				for _, s := range steps {
					fate := fates[s.path]
					mutant := other(s.value)
					if mutant == nil || fate.Status == fidelity.Unsupported || fate.Status == fidelity.Degraded || fate.Why == "the namespace is chosen where the application is deployed" {
						continue
					}
					s.set(mutant)
					app, report, err := manifests.Import(t.Context(), join(t, objects), options)
					s.set(s.value)
					if err != nil || secrets(t, app) != before {
						changed++
						continue
					}
					for _, l := range report.Leaves {
						if l.Path == s.path {
							assert.NotEqual(t, fate.Status, l.Status, "%s: %v became %v, and nothing changed but the report still says %s", s.path, s.value, mutant, l)
						}
					}
				}
			}
			require.Positive(t, changed)
		})
	}
}

// other is another value of the type of a leaf.
func other(v any) any {
	switch t := v.(type) {
	case string:
		return t + "x"
	case bool:
		return !t
	case float64:
		return t + 1
	}
	return nil
}

func splitAll(t *testing.T, data []byte) []map[string]any {
	t.Helper()
	return objectsOf(t, data, func(o map[string]any) bool { return true })
}

// join writes objects as a stream.
func join(t *testing.T, objects []map[string]any) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, o := range objects {
		data, err := json.Marshal(o)
		require.NoError(t, err)
		b.Write(append(data, "\n---\n"...))
	}
	return b.Bytes()
}

func encode(t *testing.T, app *appmodel.Application) string {
	t.Helper()
	text, err := appmodel.Encode(app, nil)
	require.NoError(t, err)
	return string(text)
}

func secrets(t *testing.T, app *appmodel.Application) string {
	t.Helper()
	text, err := appmodel.Encode(app, &appmodel.EncodeOptions{Secrets: true, JSON: true})
	require.NoError(t, err)
	return string(text)
}

func lines(r *manifests.Report) string {
	var b strings.Builder
	for _, l := range r.Leaves {
		b.WriteString(l.String() + "\n")
	}
	for _, n := range r.Notes {
		b.WriteString("note: " + n + "\n")
	}
	return b.String()
}

func requireGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}
