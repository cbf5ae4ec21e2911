package deploy_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
)

// remade deletes an object and makes it anew by hand, labels and annotations
// included.
func (w *world) remade(ref driver.Ref) {
	w.t.Helper()
	v := w.get("a", ref)
	meta := v["metadata"].(map[string]any)
	for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"} {
		delete(meta, field)
	}
	delete(v, "status")
	require.NoError(w.t, w.fakes["a"].Delete(w.t.Context(), ref, driver.DeleteOptions{}))
	w.put(v)
}

// put creates an object as somebody else.
func (w *world) put(v map[string]any) {
	w.t.Helper()
	obj, err := driver.NewObject(v)
	require.NoError(w.t, err)
	_, err = w.fakes["a"].Apply(w.t.Context(), obj, driver.ApplyOptions{Manager: "somebody"})
	require.NoError(w.t, err)
}

var siteRef = driver.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "shop", Name: "shop-site"}

func TestANamesakeWithOurLabelsIsNotOurs(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(*world){
		"made anew by hand": func(w *world) {
			w.deployed(shop(w.t), on("a"))
			w.remade(siteRef)
		},
		"made before the first deployment": func(w *world) {
			w.deployed(shop(w.t), on("b"))
			v := w.get("b", siteRef)
			w.put(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop"}})
			w.put(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": siteRef.Name, "namespace": "shop",
				"labels": v["metadata"].(map[string]any)["labels"]}, "data": map[string]any{"GREETING": "theirs"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := two(t)
				prepare(w)
				p, err := w.Plan(t.Context(), shop(t, "value: hello", "value: good day"), on("a"), nil)
				require.NoError(t, err)
				require.ErrorIs(t, p.Err(), appspan.ErrConflict)
				require.Equal(t, siteRef, p.Clusters[0].Refusals[0].Object)
				require.Contains(t, p.Clusters[0].Refusals[0].Reason, "with our labels")
				require.Contains(t, p.Clusters[0].Refusals[0].Next, "Adopt")
				p, err = w.Plan(t.Context(), shop(t, "value: hello", "value: good day"), on("a"), &deploy.PlanOptions{Adopt: true})
				require.NoError(t, err)
				_, err = w.Apply(t.Context(), p, nil)
				require.NoError(t, err)
				require.Equal(t, "good day", w.get("a", siteRef)["data"].(map[string]any)["GREETING"])
				p, err = w.Plan(t.Context(), shop(t, "value: hello", "value: good day"), on("a"), nil)
				require.NoError(t, err)
				require.True(t, p.Empty(), "it is ours now")
			})
		})
	}
}

func TestWhatSomebodyMadeAnewIsNeitherPrunedNorRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		w.remade(siteRef)
		p, err := w.PlanRemove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Data: true})
		require.NoError(t, err)
		for _, c := range p.Clusters[0].Changes {
			require.NotEqual(t, siteRef, c.Object)
		}
		app := shop(t, "    envFrom: [{config: site}]\n", "", "configs:\n  - {name: site, items: [{name: GREETING, value: hello}]}\n", "")
		w.deployed(app, on("a"))
		require.Equal(t, "hello", w.get("a", siteRef)["data"].(map[string]any)["GREETING"])
		w.remade(passwordRef)
		_, err = w.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Data: true}, nil)
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"ConfigMap/shop-site", "Secret/" + passwordRef.Name}, w.objects("a", "shop"))
	})
}

func TestAnUpdateThatDiesAnywhereConvergesAndKnowsItsObjectsAfterwards(t *testing.T) {
	t.Parallel()
	// The update creates, replaces, changes and prunes.
	changed := func(t *testing.T) []string {
		return []string{"value: hello", "value: good day", "size: 1Gi", "size: 2Gi",
			"configs:\n", "configs:\n  - {name: more, items: [{name: A, value: b}]}\n",
			"image: registry.example.com/web:1\n", "image: registry.example.com/web:2\n",
			"routes:\n  - {id: shop, http: {hosts: [shop.example.com], rules: [{path: /, to: [{component: web, port: http}]}]}}\n", ""}
	}
	for n := range 32 {
		point, done := n/2, n%2 == 1
		t.Run(fmt.Sprintf("after %d writes, the next one made: %v", point, done), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := two(t)
				w.deployed(shop(t), on("a"))
				d := &dying{Cluster: w.fakes["a"], done: done}
				d.left.Store(int64(point))
				set, err := cluster.NewSet(cluster.New("a", d, nil))
				require.NoError(t, err)
				mortal, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: appspan.AllowAll{}, Concurrency: 3})
				require.NoError(t, err)
				written := &deploy.DeployOptions{Apply: deploy.ApplyOptions{Wait: deploy.WaitWritten}}
				_, _ = mortal.Deploy(t.Context(), shop(t, changed(t)...), on("a"), written)
				_, err = w.Deploy(t.Context(), shop(t, changed(t)...), on("a"), written)
				require.NoError(t, err)
				p, err := w.Plan(t.Context(), shop(t, changed(t)...), on("a"), nil)
				require.NoError(t, err)
				require.True(t, p.Empty())
				for _, name := range []string{"shop-site", "shop-more"} {
					ref := siteRef
					ref.Name = name
					w.remade(ref)
				}
				p, err = w.Plan(t.Context(), shop(t, changed(t)...), on("a"), nil)
				require.NoError(t, err)
				var refused []string
				for _, r := range p.Clusters[0].Refusals {
					refused = append(refused, r.Object.Name)
				}
				require.Equal(t, "shop-more shop-site", strings.Join(refused, " "))
			})
		})
	}
}
