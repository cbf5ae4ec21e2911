package deploy_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
)

var dataRef = driver.Ref{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: "shop", Name: "data-shop-db-0"}

func (w *world) claimSize() any {
	return w.get("a", dataRef)["spec"].(map[string]any)["resources"].(map[string]any)["requests"].(map[string]any)["storage"]
}

func TestClaimsGrowWithTheirTemplate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		uid := w.get("a", dataRef)["metadata"].(map[string]any)["uid"]
		larger := shop(t, "size: 1Gi", "size: 2Gi")
		p, err := w.Plan(t.Context(), larger, on("a"), nil)
		require.NoError(t, err)
		require.NoError(t, p.Err())
		var growth []deploy.Change
		for _, c := range p.Clusters[0].Changes {
			if c.Object == dataRef {
				growth = append(growth, c)
			}
		}
		require.Len(t, growth, 1)
		require.Equal(t, deploy.ActionUpdate, growth[0].Action)
		require.Len(t, growth[0].Fields, 1)
		require.JSONEq(t, `"2Gi"`, string(growth[0].Fields[0].New))
		written := &deploy.ApplyOptions{Wait: deploy.WaitWritten}
		_, err = w.Apply(t.Context(), p, written)
		require.NoError(t, err)
		require.Equal(t, "2Gi", w.claimSize())
		require.Equal(t, uid, w.get("a", dataRef)["metadata"].(map[string]any)["uid"])
		p, err = w.Plan(t.Context(), larger, on("a"), nil)
		require.NoError(t, err)
		require.True(t, p.Empty())
		_, err = w.Deploy(t.Context(), shop(t), on("a"), &deploy.DeployOptions{Plan: deploy.PlanOptions{DataLoss: true}, Apply: *written})
		require.NoError(t, err)
		require.Equal(t, "2Gi", w.claimSize(), "no claim shrinks")
		p, err = w.PlanRemove(t.Context(), "shop", on("a"), nil)
		require.NoError(t, err)
		for _, c := range p.Clusters[0].Changes {
			require.Equal(t, c.Object == dataRef, c.Action == deploy.ActionKeep)
		}
	})
}

func TestAClaimWhoseClassCannotGrowIsARefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		class := driver.Ref{APIVersion: "storage.k8s.io/v1", Kind: "StorageClass", Name: "standard"}
		w.edit("a", class, "admin", func(v map[string]any) { delete(v, "allowVolumeExpansion") })
		w.deployed(shop(t), on("a"))
		p, err := w.Plan(t.Context(), shop(t, "size: 1Gi", "size: 2Gi"), on("a"), nil)
		require.NoError(t, err)
		require.ErrorIs(t, p.Err(), appspan.ErrConflict)
		require.Equal(t, dataRef, p.Clusters[0].Refusals[0].Object)
		require.Contains(t, p.Clusters[0].Refusals[0].Next, "allowVolumeExpansion")
	})
}
