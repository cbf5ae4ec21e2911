package deploy_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/deploy"
)

func TestADeploymentIsMadeAnewToRecreateOnlyWhereTheServerWouldRefuse(t *testing.T) {
	t.Parallel()
	const head = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
components:
  - {id: web, kind: service, image: "registry.example.com/web:1"`
	for name, c := range map[string]struct {
		before, after string
		want          deploy.Action
	}{
		"defaults are nobody's": {", kubernetes: {defaults: none}}\n", ", kubernetes: {defaults: none}, update: {strategy: recreate}}\n", deploy.ActionReplace},
		"what we asked for":     {", update: {maxSurge: 1}}\n", ", update: {strategy: recreate}}\n", deploy.ActionUpdate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := two(t)
				w.deployed(decode(t, head+c.before), on("a"))
				p, err := w.Plan(t.Context(), decode(t, head+c.after), on("a"), nil)
				require.NoError(t, err)
				require.Len(t, p.Clusters[0].Changes, 1)
				require.Equal(t, c.want, p.Clusters[0].Changes[0].Action)
				_, err = w.Apply(t.Context(), p, &deploy.ApplyOptions{Wait: deploy.WaitWritten})
				require.NoError(t, err)
				require.Equal(t, map[string]any{"type": "Recreate"}, w.get("a", webRef)["spec"].(map[string]any)["strategy"])
				p, err = w.Plan(t.Context(), decode(t, head+c.after), on("a"), nil)
				require.NoError(t, err)
				require.True(t, p.Empty())
			})
		})
	}
}
