package deploy_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
)

// crowded is a namespace with very many ConfigMaps of somebody: the lists that
// do not select by label go on for ever.
type crowded struct {
	driver.Cluster

	mu    sync.Mutex
	pages int
	gets  int
}

func (c *crowded) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	if q.Kind != "ConfigMap" && q.Kind != "Secret" || q.Labels != "" {
		return c.Cluster.List(ctx, q)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pages++
	page := driver.Page{Revision: "1", Continue: fmt.Sprintf("page %d", c.pages)}
	for i := range 500 {
		name := fmt.Sprintf("theirs-%d-%d", c.pages, i)
		page.Items = append(page.Items, driver.Object{Ref: driver.Ref{APIVersion: q.APIVersion, Kind: q.Kind, Namespace: q.Namespace, Name: name},
			UID: name, JSON: []byte(`{"metadata":{"name":"` + name + `"}}`)})
	}
	return page, nil
}

func (c *crowded) Get(ctx context.Context, ref driver.Ref) (driver.Object, error) {
	c.mu.Lock()
	c.gets++
	c.mu.Unlock()
	return c.Cluster.Get(ctx, ref)
}

func TestACrowdedNamespaceIsNotReadWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := fake.New(nil)
		c := &crowded{Cluster: f}
		set, err := cluster.NewSet(cluster.New("a", c, nil))
		require.NoError(t, err)
		defer set.Close()
		d, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: newKeys(t), Authorizer: appspan.AllowAll{}})
		require.NoError(t, err)
		for _, text := range []string{`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}`,
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"shop-site","namespace":"shop"},"data":{"mine":"1"}}`} {
			obj, err := driver.ParseObject([]byte(text))
			require.NoError(t, err)
			_, err = f.Apply(t.Context(), obj, driver.ApplyOptions{Manager: "admin"})
			require.NoError(t, err)
		}
		p, err := d.Plan(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		require.ErrorContains(t, p.Err(), "not ours", "a namesake is found")
		require.LessOrEqual(t, c.pages, 4, "two kinds, two pages of each")

		_, err = d.Deploy(t.Context(), shop(t), on("a"), &deploy.DeployOptions{Plan: deploy.PlanOptions{Adopt: true}})
		require.NoError(t, err)
		c.pages, c.gets = 0, 0
		p, err = d.Plan(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		require.True(t, p.Empty())
		require.LessOrEqual(t, c.pages, 4)
		require.LessOrEqual(t, c.gets, 1, "what is ours is found by its labels; the namespace is read")

		unlabelled := driver.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "shop-site"}
		obj, err := f.Get(t.Context(), unlabelled)
		require.NoError(t, err)
		obj, err = driver.ParseObject([]byte(strings.ReplaceAll(string(obj.JSON), "appspan.dev/application", "was")))
		require.NoError(t, err)
		_, err = f.Update(t.Context(), obj, "kubectl-edit")
		require.NoError(t, err)
		p, err = d.Plan(t.Context(), shop(t), on("a"), nil)
		require.NoError(t, err)
		require.NoError(t, p.Err(), "it is ours by its UID")
		require.Len(t, p.Clusters[0].Drift(), 1)
	})
}
