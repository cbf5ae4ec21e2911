package deploy_test

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/deploy"
)

func TestAStepOnClustersThatRunDifferentThingsMeansOnEachItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t, "web:1", "web:7"), on("a"))
		w.deployed(shop(t, "web:1", "web:8"), on("b"))
		for _, kind := range []deploy.PlanKind{deploy.KindStop, deploy.KindStart} {
			w.run(kind, both)
		}
		_, err := w.Run(t.Context(), "shop", both, deploy.Command{Kind: deploy.KindImage, Images: map[string]string{"db": "registry.example.com/db:12"}}, nil)
		require.NoError(t, err)
		for name, image := range map[string]string{"a": "web:7", "b": "web:8"} {
			p, err := w.PlanCopy(t.Context(), deploy.Source{Application: "shop", Target: on(name)},
				deploy.Target{Clusters: []string{name}, Namespace: "copy"}, &deploy.CopyOptions{Hosts: map[string]string{"shop.example.com": "copy.example.com"}})
			require.NoError(t, err)
			_, err = w.Apply(t.Context(), p, nil)
			require.NoError(t, err)
			ref := webRef
			ref.Namespace = "copy"
			require.Contains(t, fmt.Sprint(w.get(name, ref)), image, "what the releases of %s mean is its own", name)
		}
	})
}
