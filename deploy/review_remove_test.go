package deploy_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
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

// vanishing is a driver under whose first write the namespace goes.
type vanishing struct {
	driver.Cluster
	once sync.Once
	gone func()
}

func (v *vanishing) Apply(ctx context.Context, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
	v.once.Do(v.gone)
	return v.Cluster.Apply(ctx, obj, opts)
}

func TestARemovalWhoseNamespaceGoesMeanwhileIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		namespace := driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: "shop"}
		broken := &vanishing{Cluster: w.fakes["a"], gone: func() { // as the removal before, which was interrupted, has asked for
			require.NoError(t, w.fakes["a"].Delete(t.Context(), namespace, driver.DeleteOptions{}))
			time.Sleep(10 * time.Second)
			_, err := w.fakes["a"].Get(t.Context(), namespace)
			require.ErrorIs(t, err, appspan.ErrNotFound)
		}}
		set, err := cluster.NewSet(cluster.New("a", broken, nil))
		require.NoError(t, err)
		defer set.Close()
		first := *w
		first.set = set
		_, err = first.deployer("test").Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Data: true}, nil)
		require.NoError(t, err)
		require.Empty(t, w.objects("a", "shop"))
	})
}
