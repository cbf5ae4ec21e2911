package fake_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
)

func TestADeploymentBecomesReady(t *testing.T) {
	simulate(t, nil, func(t *testing.T, c *fake.Cluster) {
		apply(t, c, deployment(t, "web", "nginx:1", 3))
		synctest.Wait()
		d := get[appsv1.Deployment](t, c, "apps/v1", "Deployment", "default", "web")
		o, _ := c.Get(t.Context(), driver.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "default", Name: "web"})
		fmt.Println(string(o.JSON))
		p, _ := c.List(t.Context(), driver.Query{APIVersion: "v1", Kind: "Pod"})
		fmt.Println(string(p.Items[0].JSON))
		require.EqualValues(t, 3, d.Status.AvailableReplicas)
	})
}
