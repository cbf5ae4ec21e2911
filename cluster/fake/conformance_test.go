package fake_test

import (
	"testing"

	"github.com/appspan-dev/appspan/cluster/clustertest"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
)

func TestConformance(t *testing.T) {
	t.Parallel() // a short history, so that the cluster has forgotten its beginnings, as a real one has
	clustertest.Run(t, func(*testing.T) driver.Cluster { return fake.New(&fake.Options{History: 24}) }, &clustertest.Options{Workloads: true, Logs: true, Exec: true})
}
