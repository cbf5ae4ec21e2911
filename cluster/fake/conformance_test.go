package fake_test

import (
	"testing"

	"github.com/appspan-dev/appspan/cluster/clustertest"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	clustertest.Run(t, func(*testing.T) driver.Cluster { return fake.New(nil) }, &clustertest.Options{Workloads: true})
}
