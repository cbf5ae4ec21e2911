package deploy_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
)

func TestARemovalLeavesACopyThatSomebodyMadeOfAnObject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		ref := driver.Ref{APIVersion: "v1", Kind: "Secret", Namespace: "shop", Name: "shop-db-copy"}
		v := w.get("a", passwordRef)
		labels := v["metadata"].(map[string]any)["labels"]
		obj, err := driver.NewObject(map[string]any{"apiVersion": "v1", "kind": "Secret",
			"metadata": map[string]any{"name": ref.Name, "namespace": "shop", "labels": labels}, "data": v["data"]})
		require.NoError(t, err)
		_, err = w.fakes["a"].Apply(t.Context(), obj, driver.ApplyOptions{Manager: "kubectl"})
		require.NoError(t, err)
		_, err = w.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Data: true}, nil)
		require.NoError(t, err)
		require.Equal(t, []string{"Secret/shop-db-copy"}, w.objects("a", "shop"))
	})
}
