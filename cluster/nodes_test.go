package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
)

// apply writes an object given as JSON.
func apply(t *testing.T, c *cluster.Cluster, text string) cluster.Object {
	t.Helper()
	obj, err := driver.ParseObject([]byte(text))
	require.NoError(t, err)
	obj, err = c.Apply(t.Context(), obj, cluster.ApplyOptions{Manager: "test", Force: true})
	require.NoError(t, err)
	return obj
}

const web = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"default"},"spec":{"replicas":4,
	"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[
	{"name":"web","image":"web","resources":{"requests":{"cpu":"500m","memory":"64Mi"}}}]}}}}`

func nodeCluster(t *testing.T, do func(t *testing.T, c *cluster.Cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := cluster.New("eu-1", fake.New(&fake.Options{Nodes: fake.Nodes(2, "4", "8Gi")}), nil)
		defer func() { require.NoError(t, c.Close()) }()
		apply(t, c, web)
		time.Sleep(time.Minute)
		synctest.Wait()
		do(t, c)
	})
}

func podsOn(t *testing.T, c *cluster.Cluster, node string) int {
	t.Helper()
	n := 0
	for _, err := range c.List(t.Context(), cluster.Query{APIVersion: "v1", Kind: "Pod", Fields: "spec.nodeName=" + node}) {
		require.NoError(t, err)
		n++
	}
	return n
}

func TestInspectAddsUpWhatPodsAskFor(t *testing.T) {
	t.Parallel()
	nodeCluster(t, func(t *testing.T, c *cluster.Cluster) {
		found, err := c.Inspect(t.Context())
		require.NoError(t, err)
		require.Len(t, found.Nodes, 2)
		require.Equal(t, 4, found.Pods)
		require.Equal(t, "2", found.Capacity.Requested["cpu"])
		require.Equal(t, "8", found.Capacity.Allocatable["cpu"])
		require.Equal(t, "6", found.Capacity.Headroom()["cpu"])
		require.True(t, found.Nodes[0].Ready)
		require.Empty(t, found.Nodes[0].Problems)
		require.Equal(t, 4, found.Nodes[0].Pods+found.Nodes[1].Pods)
	})
}

// unmeasured is a cluster that fails to tell what is used.
type unmeasured struct {
	driver.Cluster
	err error
}

func (u unmeasured) Unwrap() driver.Cluster                        { return u.Cluster }
func (u unmeasured) Usage(context.Context) ([]driver.Usage, error) { return nil, u.err }

func TestInspectSaysWhyItDoesNotKnowWhatIsUsed(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		fmt.Errorf("%w: no metrics API", appspan.ErrUnsupported):                  "",
		fmt.Errorf("%w: the metrics server is not there", appspan.ErrUnavailable): "the metrics server is not there",
	} {
		c := cluster.New("eu-1", unmeasured{fake.New(&fake.Options{Nodes: fake.Nodes(1, "4", "8Gi")}), err}, nil)
		found, err := c.Inspect(t.Context())
		require.NoError(t, err)
		require.Len(t, found.Nodes, 1)
		require.Empty(t, found.Unreadable)
		require.True(t, strings.HasSuffix(found.Unmeasured, want) && (want == "") == (found.Unmeasured == ""), found.Unmeasured)
		require.NoError(t, c.Close())
	}
}

func TestDrainMovesPodsAndObeysDisruptionBudgets(t *testing.T) {
	t.Parallel()
	nodeCluster(t, func(t *testing.T, c *cluster.Cluster) {
		found, err := c.Inspect(t.Context())
		require.NoError(t, err)
		node, other := found.Nodes[0].Name, found.Nodes[1].Name
		require.Positive(t, podsOn(t, c, node))
		apply(t, c, `{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"web","namespace":"default"},
			"spec":{"minAvailable":3,"selector":{"matchLabels":{"app":"web"}}}}`)
		time.Sleep(time.Second)
		var done int
		require.NoError(t, c.Drain(t.Context(), node, &cluster.DrainOptions{OnEvent: func(e appspan.Event) { done = e.Done }}))
		require.Positive(t, done)
		require.Zero(t, podsOn(t, c, node))
		time.Sleep(time.Minute)
		require.Equal(t, 4, podsOn(t, c, other))
		require.NoError(t, c.Uncordon(t.Context(), node))
		obj, err := c.Get(t.Context(), cluster.Ref{APIVersion: "v1", Kind: "Node", Name: node})
		require.NoError(t, err)
		var n struct{ Spec struct{ Unschedulable bool } }
		require.NoError(t, json.Unmarshal(obj.JSON, &n))
		require.False(t, n.Spec.Unschedulable)
	})
}

func TestDrainRefusesPodsThatNobodyMakesAgainBeforeItTouchesAny(t *testing.T) {
	t.Parallel()
	nodeCluster(t, func(t *testing.T, c *cluster.Cluster) {
		apply(t, c, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"lonely","namespace":"default"},"spec":{"nodeName":"fake-0",
			"containers":[{"name":"a","image":"a"}],"volumes":[{"name":"v","emptyDir":{}}]}}`)
		found, err := c.Inspect(t.Context())
		require.NoError(t, err)
		pod, err := c.Get(t.Context(), cluster.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "default", Name: "lonely"})
		require.NoError(t, err)
		var p struct{ Spec struct{ NodeName string } }
		require.NoError(t, json.Unmarshal(pod.JSON, &p))
		before := found.Pods
		err = c.Drain(t.Context(), p.Spec.NodeName, nil)
		require.ErrorIs(t, err, appspan.ErrPrecondition)
		require.ErrorContains(t, err, "default/lonely has no controller")
		found, err = c.Inspect(t.Context())
		require.NoError(t, err)
		require.Equal(t, before, found.Pods)
		for _, n := range found.Nodes {
			require.False(t, n.Unschedulable)
		}
	})
}

func TestALabelOfANodeIsSetAndTakenAwayWhoeverSetIt(t *testing.T) {
	t.Parallel()
	nodeCluster(t, func(t *testing.T, c *cluster.Cluster) {
		found, err := c.Inspect(t.Context())
		require.NoError(t, err)
		node := found.Nodes[0].Name
		require.NoError(t, c.LabelNode(t.Context(), node, "disk", "ssd"))
		require.NoError(t, c.LabelNode(t.Context(), node, "zone", "a"))
		apply(t, c, `{"apiVersion":"v1","kind":"Node","metadata":{"name":"`+node+`","labels":{"disk":"ssd"}}}`)
		require.NoError(t, c.LabelNode(t.Context(), node, "disk", ""))
		obj, err := c.Get(t.Context(), cluster.Ref{APIVersion: "v1", Kind: "Node", Name: node})
		require.NoError(t, err)
		require.NotContains(t, obj.Labels, "disk")
		require.Equal(t, "a", obj.Labels["zone"])
		require.ErrorIs(t, c.LabelNode(t.Context(), "nowhere", "a", "b"), appspan.ErrNotFound)
	})
}
