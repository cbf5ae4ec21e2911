package clustertest_test

import (
	"testing"

	"github.com/appspan-dev/appspan/cluster/clustertest"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
)

func TestFakeConforms(t *testing.T) {
	t.Parallel()
	clustertest.Run(t, open, &clustertest.Options{Workloads: true})
}

// open starts a cluster that has forgotten its beginnings, as a real one has.
func open(*testing.T) driver.Cluster { return fake.New(&fake.Options{History: 24}) }
