package deploy_test

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/render"
)

func TestACommandForSeveralApplicationsGoesInTheOrderOfTheirNeeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		money := deploy.Target{Clusters: []string{"a"}, Namespace: "money"}
		_, err := w.Deploy(t.Context(), decode(t, billing), money, nil)
		require.NoError(t, err)
		_, err = w.Deploy(t.Context(), decode(t, needy), on("a"), &deploy.DeployOptions{Plan: deploy.PlanOptions{Bindings: map[render.NeedRef]render.Endpoint{
			{Component: "web", Need: "ledger"}: {Host: "billing-ledger.money", Port: 80}}}})
		require.NoError(t, err)
		both := []deploy.Selection{{Application: "shop", Target: on("a")}, {Application: "billing", Target: money}, {Application: "nothing", Target: on("b")}}
		for _, step := range []struct {
			kind deploy.PlanKind
			want []string
		}{{deploy.KindStop, []string{"web", "ledger"}}, {deploy.KindStart, []string{"ledger", "web"}}} {
			var mu sync.Mutex
			var order []string
			results, err := w.RunAll(t.Context(), both, deploy.Command{Kind: step.kind}, &deploy.BatchOptions{Apply: deploy.ApplyOptions{OnEvent: func(e appspan.Event) {
				mu.Lock()
				defer mu.Unlock()
				if e.Kind == appspan.EventProgress && e.Phase == deploy.PhaseApply && e.Component != "" {
					order = append(order, e.Component)
				}
			}}})
			require.ErrorIs(t, err, appspan.ErrNotFound, "the third is nowhere")
			require.Equal(t, step.want, order)
			require.Equal(t, deploy.OutcomeDone, results[0].Result.Cluster("a").Outcome)
			require.Equal(t, deploy.OutcomeDone, results[1].Result.Clusters[0].Outcome)
			require.NoError(t, results[0].Err())
			require.ErrorIs(t, results[2].Err(), appspan.ErrNotFound)
			require.Nil(t, results[2].Result)
		}
		_, err = w.RunAll(t.Context(), both, deploy.Command{Kind: "dance"}, nil)
		require.ErrorIs(t, err, appspan.ErrInvalid)
	})
}

func TestWhoComesAfterAFailureIsSkipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		_, err := w.Deploy(t.Context(), decode(t, needy), on("a"), &deploy.DeployOptions{Plan: deploy.PlanOptions{Bindings: map[render.NeedRef]render.Endpoint{
			{Component: "web", Need: "ledger"}: {Host: "x", Port: 80}}}})
		require.NoError(t, err)
		results, err := w.RunAll(t.Context(), []deploy.Selection{{Application: "shop", Target: on("a")}, {Application: "billing", Target: on("b")}}, deploy.Command{Kind: deploy.KindRestart}, nil)
		require.Error(t, err)
		require.True(t, results[0].Skipped)
		require.ErrorIs(t, results[0].Err(), appspan.ErrPrecondition)
		require.False(t, results[1].Skipped)
	})
}
