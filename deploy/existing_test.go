package deploy_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel/manifests"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
)

func TestWhatRunsInANamespaceIsReadToBeTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		_, err := w.Existing(t.Context(), on("a"), nil)
		require.ErrorIs(t, err, appspan.ErrNotFound)
		_, err = w.Existing(t.Context(), both, nil)
		require.ErrorIs(t, err, appspan.ErrInvalid)
		w.deployed(shop(t), on("a")) // which is an application already
		for _, text := range []string{
			`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"site","namespace":"shop","labels":{"of":"old"}},"data":{"GREETING":"hello"}}`,
			`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"old","namespace":"shop","labels":{"of":"old"}},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"old"}},
				"template":{"metadata":{"labels":{"app":"old"}},"spec":{"containers":[{"name":"old","image":"old:1","envFrom":[{"configMapRef":{"name":"site"}}]}]}}}}`,
		} {
			obj, err := driver.ParseObject([]byte(text))
			require.NoError(t, err)
			_, err = w.fakes["a"].Apply(t.Context(), obj, driver.ApplyOptions{Manager: "kubectl"})
			require.NoError(t, err)
		}
		synctest.Wait()
		before := w.podUIDs("a")
		data, err := w.Existing(t.Context(), on("a"), nil)
		require.NoError(t, err)
		app, _, err := manifests.Import(t.Context(), data, &manifests.Options{Name: "old"})
		require.NoError(t, err)
		require.Len(t, app.Components, 1, "what is an application's is left out")
		require.Len(t, app.Configs, 1)
		p, err := w.Plan(t.Context(), app, on("a"), &deploy.PlanOptions{Adopt: true})
		require.NoError(t, err)
		_, err = w.Apply(t.Context(), p, nil)
		require.NoError(t, err)
		require.Equal(t, before, w.podUIDs("a"))
		_, err = w.Existing(t.Context(), on("a"), nil)
		require.ErrorIs(t, err, appspan.ErrNotFound, "it has been taken over")
	})
}
