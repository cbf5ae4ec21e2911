package fake_test

import (
	"testing"
	"testing/synctest"

	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
)

func TestADeploymentBecomesReady(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, deployment(t, "web", "nginx:1", 3))
		synctest.Wait()
		d := get[appsv1.Deployment](t, c, "apps/v1", "Deployment", "default", "web")
		require.EqualValues(t, 3, d.Status.AvailableReplicas)
	})
}
