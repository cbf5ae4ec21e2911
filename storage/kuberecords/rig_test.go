package kuberecords_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	cluster "github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
)

// rig connects to the first real control plane, or skips the test.
func rig(t *testing.T) cluster.Cluster {
	file := os.Getenv("APPSPAN_RIG_KUBECONFIG")
	if file == "" {
		t.Skip("APPSPAN_RIG_KUBECONFIG is not set; run `make rig`")
	}
	config, err := os.ReadFile(file)
	require.NoError(t, err)
	c, err := kube.FromKubeconfig(config, "rig-1", nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

var namespaces atomic.Int64

func namespace(t testing.TB, c cluster.Cluster) string {
	name := fmt.Sprintf("records-%d-%d", time.Now().UnixNano()%1e9, namespaces.Add(1))
	obj, err := cluster.ParseObject(fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q}}`, name))
	require.NoError(t, err)
	_, err = c.Apply(t.Context(), obj, cluster.ApplyOptions{Manager: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Delete(context.Background(), obj.Ref, cluster.DeleteOptions{}) })
	return name
}

func TestRigRecords(t *testing.T) {
	c := rig(t)
	suite(t, func(t testing.TB) (cluster.Cluster, string) { return c, namespace(t, c) })
}

func TestRigOfTwoProcessesOneHoldsALease(t *testing.T) {
	c := rig(t)
	leases(t, c, namespace(t, c))
}
