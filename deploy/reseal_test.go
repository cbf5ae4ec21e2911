package deploy_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage/seal"
)

// onlyNewest is a keyring without its older keys.
func onlyNewest(t *testing.T, keys *seal.Keyring) *seal.Keyring {
	t.Helper()
	out, err := seal.NewKeyring(keys.Keys()[0])
	require.NoError(t, err)
	return out
}

func TestAfterAResealOldKeysAreNotNeeded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		elsewhere := deploy.Target{Clusters: []string{"a"}, Namespace: "kept"}
		w.deployed(shop(t), on("a"))
		w.deployed(shop(t, "web:1", "web:2"), on("a"))
		w.deployed(shop(t), elsewhere)
		secret := func(namespace string) any {
			return w.get("a", driver.Ref{APIVersion: "v1", Kind: "Secret", Namespace: namespace, Name: "shop-db"})["data"]
		}
		password, kept := secret("shop"), secret("kept")
		_, err := w.Remove(t.Context(), "shop", elsewhere, nil, nil)
		require.NoError(t, err)

		_, err = w.keys.Rotate(nil)
		require.NoError(t, err)
		n, err := w.Reseal(t.Context(), deploy.Target{Clusters: []string{"a"}})
		require.NoError(t, err)
		require.Equal(t, 2, n, "an application and a claim")
		n, err = w.Reseal(t.Context(), deploy.Target{Clusters: []string{"a"}})
		require.NoError(t, err)
		require.Zero(t, n)

		w.keys = onlyNewest(t, w.keys)
		w.Deployer = w.deployer("test")
		_, err = w.Rollback(t.Context(), "shop", on("a"), nil, nil)
		require.NoError(t, err)
		require.Equal(t, password, secret("shop"))
		require.Contains(t, fmt.Sprint(w.get("a", webRef)["spec"]), "registry.example.com/web:1")
		w.deployed(shop(t), elsewhere)
		require.Equal(t, kept, secret("kept"), "data has its password")
		_, err = w.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Data: true}, nil)
		require.NoError(t, err)
		require.Empty(t, w.objects("a", "shop"), "nothing is left of what was sealed twice")
	})
}

// doomed is a cluster whose process dies at a write.
type doomed struct {
	driver.Cluster
	left int
}

func (d *doomed) spend() error {
	if d.left--; d.left < 0 {
		return appspan.ErrUnavailable
	}
	return nil
}

func (d *doomed) Unwrap() driver.Cluster { return d.Cluster }

func (d *doomed) Apply(ctx context.Context, obj driver.Object, o driver.ApplyOptions) (driver.Object, error) {
	if err := d.spend(); err != nil {
		return driver.Object{}, err
	}
	return d.Cluster.Apply(ctx, obj, o)
}

func (d *doomed) Delete(ctx context.Context, ref driver.Ref, o driver.DeleteOptions) error {
	if err := d.spend(); err != nil {
		return err
	}
	return d.Cluster.Delete(ctx, ref, o)
}

func (d *doomed) Close() error { return nil }

func TestAResealThatDiesAtAnyWriteLosesNothing(t *testing.T) {
	t.Parallel()
	for writes := range 7 {
		synctest.Test(t, func(t *testing.T) {
			w := two(t)
			w.deployed(shop(t), on("a"))
			w.deployed(shop(t, "web:1", "web:2"), on("a"))
			_, err := w.keys.Rotate(nil)
			require.NoError(t, err)
			set, err := cluster.NewSet(cluster.New("a", &doomed{Cluster: w.fakes["a"], left: writes}, &cluster.Options{Attempts: 1}))
			require.NoError(t, err)
			failing, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: appspan.AllowAll{}})
			require.NoError(t, err)
			_, err = failing.Reseal(t.Context(), deploy.Target{Clusters: []string{"a"}})
			require.Equal(t, writes < 5, err != nil, "two releases, the record, and two that go: %v", err)
			_, err = w.Rollback(t.Context(), "shop", on("a"), nil, nil)
			require.NoError(t, err, "after %d writes", writes)
			_, err = w.Reseal(t.Context(), on("a"))
			require.NoError(t, err)
			w.keys = onlyNewest(t, w.keys)
			w.Deployer = w.deployer("test")
			_, err = w.Rollback(t.Context(), "shop", on("a"), &deploy.RollbackOptions{Revision: 2}, nil)
			require.NoError(t, err)
			require.NoError(t, set.Close())
		})
	}
}
