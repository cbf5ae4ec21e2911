package deploy_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

func TestAReleaseThatWasMadeMeanwhileMakesAPlanStale(t *testing.T) {
	t.Parallel()
	for _, stored := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := two(t)
			w.deployed(shop(t), both)
			p, err := w.Plan(t.Context(), shop(t, "replicas: 2", "replicas: 3"), both, nil)
			require.NoError(t, err)
			require.Equal(t, 1, p.Clusters[0].From)
			require.Equal(t, 2, p.Clusters[0].Revision)
			if stored {
				data, err := json.Marshal(p)
				require.NoError(t, err)
				p = &deploy.Plan{}
				require.NoError(t, json.Unmarshal(data, p))
			}
			// It touches nothing that the plan is about.
			w.deployed(shop(t, "value: hello", "value: good day"), on("a"))
			r, err := w.Apply(t.Context(), p, nil)
			require.ErrorIs(t, err, appspan.ErrPrecondition)
			require.ErrorContains(t, err, "release 2 was made meanwhile")
			require.Equal(t, deploy.OutcomeStale, r.Cluster("a").Outcome)
			require.Equal(t, deploy.OutcomeDone, r.Cluster("b").Outcome)
			require.EqualValues(t, 2, w.get("a", webRef)["spec"].(map[string]any)["replicas"])
			r, err = w.Apply(t.Context(), p, nil)
			require.ErrorIs(t, err, appspan.ErrPrecondition)
			require.Equal(t, deploy.OutcomeUnchanged, r.Cluster("b").Outcome, "its own release does not make a plan stale")
		})
	}
}

func TestARollbackGivesEachClusterItsOwnAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		app := decode(t, `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
parameters:
  - {name: greeting, schema: {type: string}, default: hello}
components:
  - {id: web, kind: service, image: "registry.example.com/web:1", env: [{name: GREETING, template: "${param.greeting}"}]}
`)
		greet := func(cluster, greeting string) {
			_, err := w.Deploy(t.Context(), app, on(cluster), &deploy.DeployOptions{Plan: deploy.PlanOptions{
				Answers: map[string]appmodel.JSON{"greeting": appmodel.JSON(`"` + greeting + `"`)}}})
			require.NoError(t, err)
		}
		greeting := func(cluster string) any {
			spec := w.get(cluster, webRef)["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
			return spec["containers"].([]any)[0].(map[string]any)["env"].([]any)[0].(map[string]any)["value"]
		}
		greet("a", "good morning")
		greet("b", "good evening")
		greet("a", "later")
		greet("b", "later")
		p, err := w.PlanRollback(t.Context(), "shop", both, nil)
		require.NoError(t, err)
		data, err := json.Marshal(p)
		require.NoError(t, err)
		stored := &deploy.Plan{}
		require.NoError(t, json.Unmarshal(data, stored))
		_, err = w.Apply(t.Context(), stored, nil)
		require.NoError(t, err)
		require.Equal(t, "good morning", greeting("a"))
		require.Equal(t, "good evening", greeting("b"))
		releases, err := w.Releases(t.Context(), "shop", both)
		require.NoError(t, err)
		require.Equal(t, 1, releases["a"][0].RollbackTo)
		require.Equal(t, 1, releases["b"][0].RollbackTo)
	})
}

func TestAServiceWithoutEndpointsIsNotReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		s, err := w.Status(t.Context(), "shop", on("a"))
		require.NoError(t, err)
		require.Equal(t, status.Ready, s.Clusters[0].Value)
		w.edit("a", driver.Ref{APIVersion: "v1", Kind: "Service", Namespace: "shop", Name: "shop-web"}, "kubectl-edit", func(v map[string]any) {
			v["spec"].(map[string]any)["selector"] = map[string]any{"nobody": "here"}
		})
		time.Sleep(time.Minute) // of the bubble's clock
		s, err = w.Status(t.Context(), "shop", on("a"))
		require.NoError(t, err)
		require.NotEqual(t, status.Ready, s.Clusters[0].Value)
		for _, c := range s.Clusters[0].Components {
			if c.ID == "web" {
				require.Equal(t, status.NoEndpoints, c.Causes[0].Reason)
			}
		}
	})
}
