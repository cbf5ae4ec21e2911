package kube_test

import (
	"net/http/httptest"
	"os"
	"testing"

	"github.com/appspan-dev/appspan/cluster/clustertest"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

// TestConformance runs the suite over HTTP, on a cluster in memory.
func TestConformance(t *testing.T) {
	t.Parallel()
	clustertest.Run(t, func(t *testing.T) driver.Cluster {
		memory := fake.New(nil)
		server := httptest.NewServer(memory.Handler())
		t.Cleanup(func() { server.Close(); _ = memory.Close() })
		c, err := kube.New(&rest.Config{Host: server.URL}, nil)
		require.NoError(t, err)
		return c
	}, &clustertest.Options{Workloads: true, Logs: true})
}

// TestRigConformance runs the suite on a real control plane.
func TestRigConformance(t *testing.T) {
	file := os.Getenv("APPSPAN_RIG_KUBECONFIG")
	if file == "" {
		t.Skip("APPSPAN_RIG_KUBECONFIG is not set; run `make rig`")
	}
	config, err := os.ReadFile(file)
	require.NoError(t, err)
	clustertest.Run(t, func(t *testing.T) driver.Cluster {
		c, err := kube.FromKubeconfig(config, "rig-1", nil)
		require.NoError(t, err)
		return c
	}, &clustertest.Options{Workloads: true})
}
