package deploy_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// dyingStore kills its process at one of its writes, before or after it.
type dyingStore struct {
	mortalStore
	puts  atomic.Int64
	dies  int64
	after bool
}

func (s *dyingStore) Put(ctx context.Context, key string, value []byte, ifRevision string) (string, error) {
	die := s.puts.Add(1) == s.dies
	if die && !s.after {
		s.die()
	}
	revision, err := s.mortalStore.Put(ctx, key, value, ifRevision)
	if die && s.after {
		s.die()
		return "", errKilled
	}
	return revision, err
}

func (s *dyingStore) die() {
	s.program.dead.Store(true)
	s.program.kill()
}

// pipelineOf is the pipeline of a process over a store.
func pipelineOf(t *testing.T, p *program, records *storage.Records) *deploy.Pipeline {
	t.Helper()
	e, err := deploy.NewEnvironments(records, p.Deployer)
	require.NoError(t, err)
	pipeline, err := deploy.NewPipeline(e, nil)
	require.NoError(t, err)
	return pipeline
}

func TestAnotherProcessGoesOnWithAPipelineWhereAKilledOneWas(t *testing.T) {
	t.Parallel()
	type death struct {
		cluster, record int64
		after           bool
	}
	var deaths []death
	for n := int64(1); n <= 28; n++ {
		deaths = append(deaths, death{cluster: n}, death{record: n}, death{record: n, after: true})
	}
	var killed atomic.Int64
	t.Cleanup(func() {
		if n := killed.Load(); n < int64(len(deaths)*3/4) && !t.Failed() {
			t.Errorf("of %d processes %d were killed before they were done", len(deaths), n)
		}
	})
	for _, d := range deaths {
		t.Run(fmt.Sprintf("at write %d of clusters, %d of records, after it %v", d.cluster, d.record, d.after), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := two(t)
				store := memstore.NewRecords()
				defer store.Close()
				first, second := w.start(store, d.cluster), w.start(store, 0)
				dying := &dyingStore{mortalStore: mortalStore{Records: store, program: first}, dies: d.record, after: d.after}
				records := storage.NewRecords(dying, &storage.RecordsOptions{Attempts: 1})
				one := pipelineOf(t, first, records)
				other := pipelineOf(t, second, storage.NewRecords(store, nil))
				envs, err := deploy.NewEnvironments(storage.NewRecords(store, nil), second.Deployer)
				require.NoError(t, err)
				require.NoError(t, envs.Put(t.Context(), deploy.Environment{Application: "shop", Name: "development", Target: on("a")}))
				require.NoError(t, envs.Put(t.Context(), deploy.Environment{Application: "shop", Name: "production", From: "development", Auto: true, Target: production,
					Gates: deploy.Gates{Soak: time.Second}}))
				_, err = other.For(appspan.Subject{ID: "dana"}).Deploy(t.Context(), "shop", "development", shop(t), nil)
				require.NoError(t, err)

				mortal, kill := context.WithCancel(t.Context())
				defer kill()
				first.kill = kill
				run(mortal, first, one)
				if first.dead.Load() {
					killed.Add(1)
				}
				run(t.Context(), second, other)

				states := map[string]deploy.StageState{}
				for s, err := range other.List(t.Context(), "shop") {
					require.NoError(t, err)
					require.NotContains(t, states, s.Environment, "a stage was begun twice")
					states[s.Environment] = s.State
					require.Equal(t, deploy.StageDone, s.State, s.Reason)
				}
				require.Len(t, states, 2)
				p, err := envs.PlanDeploy(t.Context(), "shop", "development", shop(t), nil)
				require.NoError(t, err)
				require.Empty(t, p.Clusters[0].Changes)
				again, err := envs.PlanPromotion(t.Context(), "shop", "production", nil)
				require.NoError(t, err)
				require.Empty(t, again.Plan.Clusters[0].Changes)
			})
		})
	}
}

// run lets a process run its journal and its pipeline for some time, or until
// it is killed.
func run(ctx context.Context, p *program, pipeline *deploy.Pipeline) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.journal.Run(ctx) })
	wg.Go(func() { _ = pipeline.Run(ctx) })
	wg.Wait()
}
