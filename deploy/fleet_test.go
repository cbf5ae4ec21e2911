package deploy_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
)

func TestAFleetLearnsWhatRunsOnAClusterAndPrunesItWithoutItsData(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		for _, namespace := range []string{"blue", "red"} {
			_, err := w.Deploy(t.Context(), shop(t), deploy.Target{Clusters: []string{"a"}, Namespace: namespace}, nil)
			require.NoError(t, err)
		}
		_, err := w.deployer("others").Deploy(t.Context(), shop(t), deploy.Target{Clusters: []string{"a"}, Namespace: "theirs"}, nil)
		require.NoError(t, err)
		c, err := w.set.Cluster(t.Context(), "a")
		require.NoError(t, err)
		apps := w.Applications()
		running, err := apps.Running(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, []string{"blue/shop", "red/shop"}, running)

		pruned, err := apps.Prune(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, running, pruned)
		running, err = apps.Running(t.Context(), c)
		require.NoError(t, err)
		require.Empty(t, running)
		left := map[string]int{}
		for _, kind := range []string{"PersistentVolumeClaim", "Service"} {
			for obj, err := range c.List(t.Context(), cluster.Query{APIVersion: "v1", Kind: kind, Projection: driver.Metadata}) {
				require.NoError(t, err)
				left[kind+" "+obj.Namespace]++
			}
		}
		require.Positive(t, left["PersistentVolumeClaim blue"], "data stays")
		require.Zero(t, left["Service blue"])
		require.Positive(t, left["Service theirs"], "another installation's applications are not touched")
	})
}
