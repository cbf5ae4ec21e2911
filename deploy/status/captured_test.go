package status

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/stretchr/testify/require"
)

// captured reads objects that a real control plane returned.
func captured(t testing.TB, name string) ([]driver.Object, time.Time) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	require.NoError(t, err)
	var raw []json.RawMessage
	require.NoError(t, json.Unmarshal(data, &raw))
	var out []driver.Object
	var now time.Time
	for _, r := range raw {
		obj, err := driver.ParseObject(r)
		require.NoError(t, err)
		out = append(out, obj)
		if w, ok := decode[workload](obj); ok && w.Metadata.Created.After(now) {
			now = w.Metadata.Created
		}
	}
	return out, now.Add(15 * time.Second)
}

func byID(c Cluster) map[string]Component {
	out := map[string]Component{}
	for _, comp := range c.Components {
		out[comp.ID] = comp
	}
	return out
}

func TestARealControlPlanesFailuresHaveTheirCauses(t *testing.T) {
	t.Parallel()
	objects, now := captured(t, "shop")
	got := byID(OfCluster(Input{Name: "eu", Namespace: "shop", Objects: objects, Now: now, Services: []string{"shop-ready", "shop-unready"}}))
	for id, want := range map[string]struct {
		value   Value
		reason  Reason
		count   int
		message string
	}{
		"ready":      {value: Ready},
		"stopped":    {value: Stopped},
		"agent":      {value: Ready},
		"migrate":    {value: Ready},
		"report":     {value: Ready},
		"pull":       {Failed, ImagePull, 3, "registry.invalid/shop/api:9"},
		"crash":      {Failed, CrashLoop, 2, "exit code 1, restarted 5 times"},
		"db":         {Failed, CrashLoop, 1, "exit code 1"},
		"oom":        {Failed, OutOfMemory, 1, "memory"},
		"config":     {Failed, Configuration, 1, "refers to what does not exist"},
		"unready":    {Failed, ProbeFailing, 2, "Readiness probe failed"},
		"huge":       {Progressing, Unschedulable, 2, "Insufficient cpu"},
		"claim":      {Progressing, ClaimPending, 1, `"nosuch" not found`},
		"migratebad": {Failed, JobFailed, 1, "backoff limit"},
	} {
		c := got[id]
		require.Equal(t, want.value, c.Value, "%s: %+v", id, c)
		if want.reason == "" {
			require.Empty(t, c.Causes, id)
			continue
		}
		require.NotEmpty(t, c.Causes, id)
		require.LessOrEqual(t, len(c.Causes), maxCauses)
		require.Equal(t, want.reason, c.Causes[0].Reason, "%s: %+v", id, c.Causes)
		require.Equal(t, want.count, c.Causes[0].Count, id)
		require.Contains(t, c.Causes[0].Message, want.message, id)
		require.NotEmpty(t, c.Causes[0].Next, id)
		require.NotZero(t, c.Causes[0].Since, id)
	}
	later := byID(OfCluster(Input{Name: "eu", Namespace: "shop", Objects: objects, Now: now.Add(time.Hour)}))
	require.Equal(t, Failed, later["huge"].Value)
	require.Equal(t, Failed, later["claim"].Value)
}

func TestPodsThatAreNotLetInHaveTheirCauses(t *testing.T) {
	t.Parallel()
	full, now := captured(t, "full")
	got := byID(OfCluster(Input{Objects: full, Now: now}))
	for _, id := range []string{"quota", "quotadb", "quotajob"} {
		require.Equal(t, QuotaExceeded, got[id].Causes[0].Reason, "%+v", got[id])
	}
	require.Equal(t, Failed, got["quota"].Value, "one of three runs, and the others never will")
	require.Equal(t, Failed, got["quotadb"].Value)
	strict, now := captured(t, "strict")
	root := byID(OfCluster(Input{Objects: strict, Now: now}))["root"]
	require.Equal(t, Failed, root.Value)
	require.Equal(t, PodSecurity, root.Causes[0].Reason)
}

func TestARolloutThatFailsBlamesTheNewPods(t *testing.T) {
	t.Parallel()
	objects, now := captured(t, "rollout")
	c := OfCluster(Input{Objects: objects, Now: now, Services: []string{"shop-ready"}})
	require.Equal(t, Failed, c.Value)
	require.Equal(t, 2, c.Components[0].Replicas.Ready, "the version before still runs")
	require.Equal(t, ImagePull, c.Components[0].Causes[0].Reason)
	require.Equal(t, 1, c.Components[0].Causes[0].Count)
}

// Whatever is taken away from what a cluster said, nothing becomes Ready.
func TestWhatIsMissingNeverYieldsReady(t *testing.T) {
	t.Parallel()
	objects, now := captured(t, "shop")
	app := &appmodel.Application{Metadata: appmodel.Metadata{Name: "shop"}}
	var expected []driver.Ref
	for _, obj := range objects {
		if isWorkload(obj.Ref) {
			expected = append(expected, obj.Ref)
			app.Components = append(app.Components, appmodel.Component{ID: obj.Labels[appmodel.LabelComponent], Kind: appmodel.KindService})
		}
	}
	in := Input{Application: app, Expected: expected, Now: now}
	whole := in
	whole.Objects = objects
	before := byID(OfCluster(whole))
	for i, obj := range objects {
		if !isWorkload(obj.Ref) {
			continue
		}
		id := obj.Labels[appmodel.LabelComponent]
		without := in
		without.Objects = append(append([]driver.Object{}, objects[:i]...), objects[i+1:]...)
		require.Equal(t, Absent, byID(OfCluster(without))[id].Value, id)

		for _, damaged := range []string{"", "{", `{"status":7}`, `{}`, `{"spec":{"replicas":1}}`, `{"metadata":{"generation":9},"status":{"observedGeneration":1,"replicas":1,"readyReplicas":1,"availableReplicas":1,"updatedReplicas":1}}`} {
			broken := obj
			broken.JSON = json.RawMessage(damaged)
			with := in
			with.Objects = append(append([]driver.Object{}, without.Objects...), broken)
			if obj.Kind == "CronJob" && damaged != "" && damaged != "{" && damaged != `{"status":7}` && len(damaged) < 40 {
				continue // it is as it should be once it exists
			}
			if v := byID(OfCluster(with))[id].Value; obj.Kind != "DaemonSet" || before[id].Value != Ready {
				require.NotEqual(t, Ready, v, "%s %q", id, damaged)
			}
		}
	}
	empty := OfCluster(in)
	require.Equal(t, Absent, empty.Value)
	require.Equal(t, Absent, OfCluster(Input{Now: now}).Value)
	require.Equal(t, Unknown, Worst())
	require.Equal(t, Unknown, Worst(Ready, "green"))
	require.Equal(t, 1, Of("shop", []Cluster{{Name: "eu", Value: Ready}}).Summary[Unknown], "not fresh is unknown")
}

func BenchmarkOfCluster(b *testing.B) {
	for _, id := range []string{"ready", "pull"} {
		b.Run(id, func(b *testing.B) {
			objects, now := captured(b, "shop")
			var all []driver.Object
			for i := range 1000 {
				labels := map[string]string{appmodel.LabelComponent: "c" + strconv.Itoa(i)}
				pods := 0
				for _, o := range objects {
					if o.Labels[appmodel.LabelComponent] != id || o.Kind != "Deployment" && o.Kind != "ReplicaSet" && o.Kind != "Pod" {
						continue
					}
					var compact bytes.Buffer
					require.NoError(b, json.Compact(&compact, o.JSON))
					o.JSON, o.Labels = compact.Bytes(), labels
					all = append(all, o)
					if o.Kind == "Pod" {
						pods++
					}
				}
				for last := all[len(all)-1]; pods < 3 && last.Kind == "Pod"; pods++ {
					all = append(all, last)
				}
			}
			for b.Loop() {
				if n := len(OfCluster(Input{Objects: all, Now: now}).Components); n != 1000 {
					b.Fatal(n)
				}
			}
		})
	}
}
