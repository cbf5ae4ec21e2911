package tunnel_test

import (
	"testing"

	"github.com/appspan-dev/appspan/cluster/clustertest"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// TestConformance runs the suite through tunnels, to clusters in memory.
func TestConformance(t *testing.T) {
	t.Parallel()
	clustertest.Run(t, func(t *testing.T) driver.Cluster {
		h := newHub(t, nil)
		_, to := memory(t)
		run(t, h.invite(t, "edge-1"), fixed(newKey(t)), to, quick())
		return h.open(t, "edge-1")
	}, &clustertest.Options{Workloads: true, Logs: true})
}
