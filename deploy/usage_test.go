package deploy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
)

func TestUsageIsShownPerReplicaAndNeverZeroWhereItIsNotKnown(t *testing.T) {
	t.Parallel()
	metrics := []fake.ExtraKind{{APIVersion: "metrics.k8s.io/v1beta1", Kind: "PodMetrics", Resource: "pods", NoStatus: true}}
	w := newWorld(t, map[string]*fake.Options{"a": {ExtraKinds: metrics}, "b": {}})
	w.deployed(shop(t), both)
	measured := w.pods("a", "web")[0]
	for _, name := range []string{measured, "somebody-else"} {
		labels := map[string]any{"appspan.dev/application": "shop", "appspan.dev/component": "web"}
		obj, err := driver.NewObject(map[string]any{"apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
			"metadata":  map[string]any{"name": name, "namespace": "shop", "labels": labels},
			"timestamp": time.Now().Add(time.Minute).UTC().Format(time.RFC3339), "window": "15s",
			"containers": []any{map[string]any{"name": "web", "usage": map[string]any{"cpu": "12500000n", "memory": "20Mi"}},
				map[string]any{"name": "side", "usage": map[string]any{"cpu": "1", "memory": "1Ki"}}}})
		require.NoError(t, err)
		_, err = w.fakes["a"].Apply(t.Context(), obj, driver.ApplyOptions{Manager: "metrics-server"})
		require.NoError(t, err)
	}
	usage, err := w.Usage(t.Context(), "shop", both)
	require.NoError(t, err)
	require.Len(t, usage, 2)
	require.Empty(t, usage[0].Error)
	require.Len(t, usage[0].Replicas, 1)
	require.Equal(t, measured, usage[0].Replicas[0].Pod)
	cpu, memory, n := usage[0].Component("web")
	require.EqualValues(t, 1013, cpu)
	require.EqualValues(t, 20<<20+1<<10, memory)
	require.Equal(t, 1, n)
	require.Len(t, usage[0].Unmeasured, 2)
	require.True(t, usage[1].Unsupported)
	require.Contains(t, usage[1].Error, "metrics.k8s.io")
	require.Empty(t, usage[1].Replicas)
}

func TestEventsAreThoseOfTheApplicationFoldedAndInOrder(t *testing.T) {
	t.Parallel()
	w := two(t)
	w.deployed(shop(t), both)
	gone := w.pods("a", "web")[0]
	require.NoError(t, w.fakes["a"].Delete(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: gone}, driver.DeleteOptions{}))
	for i, name := range []string{gone, gone, "stranger-5d69c99f9d-abcde", "shop-webx-5d69c99f9d-abcde"} {
		obj, err := driver.NewObject(map[string]any{"apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "Odd", "message": "it is odd", "count": 2,
			"metadata": map[string]any{"name": "odd-" + string(rune('a'+i)), "namespace": "shop"}, "lastTimestamp": "2100-01-01T00:00:00Z", "firstTimestamp": "2026-01-01T00:00:00Z",
			"involvedObject": map[string]any{"apiVersion": "v1", "kind": "Pod", "name": name, "namespace": "shop"}})
		require.NoError(t, err)
		_, err = w.fakes["a"].Apply(t.Context(), obj, driver.ApplyOptions{Manager: "test"})
		require.NoError(t, err)
	}
	found, err := w.Events(t.Context(), "shop", both)
	require.NoError(t, err)
	require.Empty(t, found.Missing)
	seen := map[string]bool{}
	for i, e := range found.Events {
		seen[e.Cluster+" "+e.Object.Kind+" "+e.Component] = true
		require.True(t, i == 0 || !e.Last.Before(found.Events[i-1].Last))
		require.NotContains(t, e.Object.Name, "stranger")
	}
	require.True(t, seen["a Pod web"] && seen["b Pod web"] && seen["b Pod db"], "%v", seen)
	last := found.Events[len(found.Events)-1]
	require.Equal(t, gone, last.Object.Name)
	require.Equal(t, "web", last.Component, "of a pod that is gone")
	require.Equal(t, 4, last.Count)
	require.True(t, last.Warning)
	odd := 0
	for _, e := range found.Events {
		if e.Reason == "Odd" {
			odd++
		}
	}
	require.Equal(t, 1, odd)
}
