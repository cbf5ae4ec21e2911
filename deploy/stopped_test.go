package deploy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

func TestWhatSomebodyScaledToZeroIsNotReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		web := driver.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "shop-web"}
		w.edit("a", web, "kubectl", func(v map[string]any) { v["spec"].(map[string]any)["replicas"] = 0 })
		time.Sleep(time.Minute)
		s, err := w.Status(t.Context(), "shop", on("a"))
		require.NoError(t, err)
		require.Equal(t, status.Failed, s.Worst, s.Tree(nil))
		require.Contains(t, s.Tree(nil), "scaled to zero, and the application asks for 2")
	})
}

func TestAnApplicationWithNothingToWaitForIsDoneAtOnce(t *testing.T) {
	t.Parallel()
	for name, components := range map[string]string{
		"none":       `[]`,
		"a disabled": `[{id: web, kind: service, enabled: false, image: "x:1"}]`,
		"elsewhere":  `[{id: ext, kind: external, external: {hosts: [db.example.com]}}]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := two(t)
				begun := time.Now()
				r, err := w.Deploy(t.Context(), decode(t, "apiVersion: appspan.dev/v1alpha1\nkind: Application\nmetadata: {name: shop}\ncomponents: "+components+"\n"), on("a"), nil)
				require.NoError(t, err)
				require.Equal(t, deploy.OutcomeDone, r.Clusters[0].Outcome)
				require.Less(t, time.Since(begun), time.Minute)
			})
		})
	}
}
