package deploy_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// TestRigAPipelineGoesThroughItsGates takes an application from one control
// plane to another: approved by its hash, checked, and rolled back.
func TestRigAPipelineGoesThroughItsGates(t *testing.T) {
	t.Parallel()
	r, live := newRig(t, "pipe", rigOptions{}), newRig(t, "pipelive", rigOptions{})
	records := storage.NewRecords(memstore.NewRecords(), nil)
	t.Cleanup(func() { require.NoError(t, records.Close()) })
	envs, err := deploy.NewEnvironments(records, r.Deployer)
	require.NoError(t, err)
	production := deploy.Target{Clusters: []string{"rig-2"}, Namespace: live.namespace}
	require.NoError(t, envs.Put(t.Context(), deploy.Environment{Application: "shop", Name: "development", Target: deploy.Target{Clusters: []string{"rig-1"}, Namespace: r.namespace},
		Follows: []deploy.Follow{{Repository: "registry.example.com/web", Tags: "v*"}}}))
	require.NoError(t, envs.Put(t.Context(), deploy.Environment{Application: "shop", Name: "production", From: "development", Auto: true, RollBack: true, Target: production,
		Gates: deploy.Gates{Approvals: 1, After: []string{"image"}}}))
	p, err := deploy.NewPipeline(envs, &deploy.PipelineOptions{Interval: time.Second, Apply: patient, Checks: map[string]deploy.Check{
		"image": func(ctx context.Context, about deploy.CheckInput) error {
			app, err := r.ReleasedApplication(ctx, "shop", about.Target, "rig-2", about.Stage.Clusters[0].Revision)
			if err == nil && app.Components[0].Image == "registry.example.com/web:v2" {
				err = fmt.Errorf("v2 is a bad one")
			}
			return err
		}}})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	reaches := func(environment string, state deploy.StageState) deploy.Stage {
		t.Helper()
		var last deploy.Stage
		require.Eventually(t, func() bool {
			for s, err := range p.List(t.Context(), "shop") {
				if err == nil && s.Environment == environment {
					last = s
				}
			}
			return last.State == state || last.State.Over()
		}, 2*time.Minute, 100*time.Millisecond)
		require.Equal(t, state, last.State, last.Reason)
		return last
	}
	approve := func(s deploy.Stage) {
		t.Helper()
		_, err := p.For(operator).Approve(t.Context(), "shop", s.ID, s.PlanHash, "")
		require.NoError(t, err)
	}
	_, err = p.For(dev).Deploy(t.Context(), "shop", "development", shop(t), nil)
	require.NoError(t, err)
	s := reaches("production", deploy.StageWaiting)
	approve(s)
	require.Eventually(t, func() bool {
		now, err := p.Get(t.Context(), "shop", s.ID)
		return err == nil && now.State == deploy.StageDone
	}, 2*time.Minute, 100*time.Millisecond)

	edit, err := r.PlanEdit(t.Context(), "shop", production, func(app *appmodel.Application) error {
		app.Components[0].Image = "registry.example.com/web:other"
		return nil
	}, nil)
	require.NoError(t, err)
	_, err = r.Apply(t.Context(), edit, &patient)
	require.ErrorIs(t, err, appspan.ErrPrecondition, "not around the gates")

	rendered := live.rendered("rig-2")
	pushed, err := p.For(dev).ImagePushed(t.Context(), deploy.ImagePush{Image: "registry.example.com/web:v2"})
	require.NoError(t, err)
	require.Len(t, pushed, 1)
	var next deploy.Stage
	require.Eventually(t, func() bool {
		for now, err := range p.List(t.Context(), "shop") {
			if err == nil && now.Environment == "production" && now.ID != s.ID {
				next = now
			}
		}
		return next.State == deploy.StageWaiting
	}, 2*time.Minute, 100*time.Millisecond)
	approve(next)
	last := reaches("production", deploy.StageRolledBack)
	t.Log(last.Reason, last.Clusters)
	require.Contains(t, last.Reason, "v2 is a bad one")
	require.Equal(t, rendered, live.rendered("rig-2"), "what was before runs again")
}
