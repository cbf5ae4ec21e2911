package manifests_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
	"github.com/appspan-dev/appspan/appmodel/manifests"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

// TestWhatAServerTakesRendersAgainToWhatAServerTakes changes the inputs at
// random: fields go, values become others, parts come from other objects. If a
// server takes every object of the result, and it can be imported, then it
// renders, and the server takes what was rendered.
func TestWhatAServerTakesRendersAgainToWhatAServerTakes(t *testing.T) {
	t.Parallel()
	rounds := 40
	if os.Getenv("APPSPAN_SOAK") != "" {
		rounds = 2500
	}
	var donors []map[string]any
	for _, data := range streams(t) {
		donors = append(donors, splitAll(t, data)...)
	}
	for name, data := range streams(t) {
		if name == "gateway" {
			continue // whose routes no server here checks
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := server(t, nil)
			pool := slices.DeleteFunc(splitAll(t, data), func(o map[string]any) bool { return o["apiVersion"] == "autoscaling/v1" })
			taken := 0
			for round := range rounds {
				random := rand.New(rand.NewPCG(7, uint64(round)))
				objects := clone(t, pool)
				if len(objects) > 12 { // and what they refer to may be gone
					random.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
					objects = objects[:12]
				}
				for range 1 + random.IntN(3) {
					change(t, random, objects, donors)
				}
				if !w.takes(t, objects) {
					continue
				}
				stream := join(t, objects)
				app, report, err := manifests.Import(t.Context(), stream, &manifests.Options{Name: "shop"})
				if err != nil {
					require.ErrorIs(t, err, appspan.ErrInvalid)
					continue
				}
				taken++
				requireEveryLeafOnce(t, stream, report)
				out, err := render.Render(render.Input{Application: app, Info: w.info, Namespace: w.namespace, Installation: "test"})
				require.NoError(t, err, "round %d\n%s\n%s", round, stream, encode(t, app))
				rendered := map[string]map[string]any{}
				for _, o := range out.Objects {
					_, err := w.Apply(t.Context(), o.Object, driver.ApplyOptions{Manager: "test", DryRun: true, Force: true})
					require.NoError(t, err, "round %d\n%s\n%s", round, stream, o.JSON)
					rendered[o.Kind+"/"+o.Name] = w.defaulted(t, o.JSON)
				}
				lossy := map[string]bool{}
				for _, l := range report.Leaves {
					if l.Status == fidelity.Degraded || l.Status == fidelity.Unsupported {
						id, _, _ := strings.Cut(l.Path, "]")
						lossy[id] = true
					}
				}
				for _, o := range objects {
					id := fmt.Sprint(o["kind"], "/", o["metadata"].(map[string]any)["name"])
					if !slices.Contains([]string{"Deployment", "StatefulSet", "DaemonSet", "CronJob", "Service", "PersistentVolumeClaim"}, fmt.Sprint(o["kind"])) ||
						lossy[strings.Replace(id, "/", "[", 1)] {
						continue
					}
					raw, err := json.Marshal(o)
					require.NoError(t, err)
					var found []string
					difference(id, w.defaulted(t, raw), rendered[id], &found)
					found = slices.DeleteFunc(found, func(d string) bool { // which a note says
						return o["kind"] == "CronJob" && strings.Contains(d, "template.metadata.labels.appspan.dev/")
					})
					require.Empty(t, found, "round %d\n%s\n%s", round, raw, encode(t, app))
				}
			}
			require.Positive(t, taken)
			t.Logf("%d of %d rounds were taken", taken, rounds)
		})
	}
}

// takes reports whether a server takes all objects.
func (w world) takes(t *testing.T, objects []map[string]any) bool {
	t.Helper()
	for _, o := range clone(t, objects) {
		meta, ok := o["metadata"].(map[string]any)
		if !ok {
			return false
		}
		meta["namespace"] = w.namespace
		if o["kind"] == "Namespace" {
			delete(meta, "namespace")
		}
		raw, err := json.Marshal(o)
		require.NoError(t, err)
		parsed, err := driver.ParseObject(raw)
		if err != nil {
			return false
		}
		if _, err = w.Apply(t.Context(), parsed, driver.ApplyOptions{Manager: "test", DryRun: true, Force: true}); err != nil {
			return false
		}
	}
	return true
}

// change changes one place of an object.
func change(t *testing.T, random *rand.Rand, objects, pool []map[string]any) {
	t.Helper()
	target := objects[random.IntN(len(objects))]
	switch random.IntN(3) {
	case 0: // a field goes
		if m := anywhere(random, target); m != nil {
			delete(m, pick(random, keys(m)))
		}
	case 1: // a value becomes another
		var steps []step
		leavesOf("", target, nil, &steps)
		s := steps[random.IntN(len(steps))]
		if s.set == nil {
			return
		}
		switch s.value.(type) {
		case string:
			s.set(pick(random, []string{"web", "a", "http", "80", "db:5432", "", "1Gi", "Always", "None", "UDP", "/data", "$(A)", "x.y"}))
		case float64:
			s.set(float64(pick(random, []int{0, 1, 2, 53, 80, 443, 8080, 30080, 600, 1000})))
		case bool:
			s.set(s.value != true)
		}
	default: // a part comes from another object
		alike := slices.DeleteFunc(slices.Clone(pool), func(o map[string]any) bool { return o["kind"] != target["kind"] })
		if len(alike) == 0 {
			return
		}
		from := clone(t, []map[string]any{pick(random, alike)})[0]
		to, other := podOf(target), podOf(from)
		if k := pick(random, keys(other)); random.IntN(2) == 0 && k != "containers" && k != "" {
			to[k] = other[k]
		} else if list, ok := other["containers"].([]any); ok {
			own, _ := to["containers"].([]any)
			a, _ := pick(random, own).(map[string]any)
			b, _ := pick(random, list).(map[string]any)
			if k := pick(random, keys(b)); k != "name" && k != "" && a != nil {
				a[k] = b[k]
			}
		}
	}
}

// podOf is the spec of an object's pods, or of the object, or the object.
func podOf(o map[string]any) map[string]any {
	for _, field := range []string{"spec", "jobTemplate", "spec", "template", "spec"} {
		if below, ok := o[field].(map[string]any); ok && len(below) > 0 {
			o = below
		}
	}
	return o
}

// anywhere is a mapping at or below a value.
func anywhere(random *rand.Rand, v any) map[string]any {
	var all []map[string]any
	var walk func(v any)
	walk = func(v any) {
		switch t := v.(type) {
		case map[string]any:
			if len(t) > 0 {
				all = append(all, t)
			}
			for _, k := range keys(t) {
				walk(t[k])
			}
		case []any:
			for _, x := range t {
				walk(x)
			}
		}
	}
	walk(v)
	if len(all) == 0 {
		return nil
	}
	return all[random.IntN(len(all))]
}

// pick chooses one of a list; of an empty one the zero value.
func pick[T any](random *rand.Rand, list []T) (one T) {
	if len(list) > 0 {
		one = list[random.IntN(len(list))]
	}
	return one
}

func clone(t *testing.T, objects []map[string]any) []map[string]any {
	t.Helper()
	data, err := json.Marshal(objects)
	require.NoError(t, err)
	var out []map[string]any
	require.NoError(t, json.Unmarshal(data, &out))
	return out
}
