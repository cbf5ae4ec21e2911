package deploy_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// index is every environment with what is its own.
func (s *staged) index(e *deploy.Environments) map[string]deploy.Environment {
	s.t.Helper()
	out := map[string]deploy.Environment{}
	for env, err := range e.List(s.t.Context(), "") {
		require.NoError(s.t, err)
		whole, err := e.Get(s.t.Context(), env.Application, env.Name)
		require.NoError(s.t, err)
		out[env.String()] = whole
	}
	return out
}

func TestTheClustersAndTheKeysAreEnoughToRecover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStaged(t)
		s.stages()
		s.put(deploy.Environment{Application: "shop", Name: "production", From: "development", Target: production,
			Answers:   map[string]appmodel.JSON{},
			Overrides: []deploy.ClusterOverride{{Override: override(t, "metadata: {name: live}\nset: {components: [{id: web, scale: {replicas: 4}}]}"), Clusters: appmodel.ClusterSelector{Names: []string{"b"}}}},
			Images:    map[string]string{"registry.example.com/web:1": "mirror.example.com/web:1"}})
		s.apply(s.Environments.PlanDeploy(t.Context(), "shop", "development", shop(t), nil))
		p, err := s.Environments.PlanPromotion(t.Context(), "shop", "production", nil)
		require.NoError(t, err)
		s.apply(p.Plan, nil)
		s.run(deploy.KindRestart, on("a")) // which keeps the environment
		before := s.index(s.Environments)
		s.put(deploy.Environment{Application: "shop", Name: "draft", Target: on("a")})
		_, err = s.Remove(t.Context(), "shop", on("a"), &deploy.RemoveOptions{Recycle: true}, nil)
		require.NoError(t, err)

		records := storage.NewRecords(memstore.NewRecords(), nil) // all of them are gone
		defer records.Close()
		fresh, err := deploy.NewEnvironments(records, s.Deployer)
		require.NoError(t, err)
		r, err := fresh.Recover(t.Context(), deploy.Target{Clusters: []string{"a", "b"}, Namespace: "nowhere"})
		require.NoError(t, err)
		require.Empty(t, r.Applications, "nothing is in the namespace that was named")
		r, err = fresh.Recover(t.Context(), deploy.Target{Clusters: []string{"a", "b"}})
		require.NoError(t, err)
		require.True(t, r.Complete())
		require.Equal(t, []string{"shop/development", "shop/production"}, r.Restored)
		require.NotEmpty(t, r.Lost)
		require.Empty(t, r.Notes)
		require.Len(t, r.Applications, 2)
		require.Equal(t, "live", r.Applications[0].Namespace)
		require.Equal(t, "production", r.Applications[0].Environment)
		require.Equal(t, "shop", r.Applications[0].Clusters[0].Lineage.From.Application)
		require.True(t, r.Applications[1].Clusters[0].Recycled)
		require.Equal(t, before, s.index(fresh), "but for the draft, to which nothing was deployed")
		r, err = fresh.Recover(t.Context(), deploy.Target{Clusters: []string{"a", "b"}})
		require.NoError(t, err)
		require.Empty(t, r.Restored)
		require.Len(t, r.Kept, 2)
	})
}

// gone is a cluster that does not answer.
type gone struct{ driver.Cluster }

func (gone) Info(context.Context) (driver.Info, error) { return driver.Info{}, appspan.ErrUnavailable }
func (gone) List(context.Context, driver.Query) (driver.Page, error) {
	return driver.Page{}, appspan.ErrUnavailable
}

func TestARecoveryThatMissesSomethingSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStaged(t)
		s.stages()
		s.apply(s.Environments.PlanDeploy(t.Context(), "shop", "development", shop(t), nil))
		other := cluster.New("other", s.fakes["a"], nil)
		set, err := cluster.NewSet(other, cluster.New("b", gone{s.fakes["b"]}, &cluster.Options{Attempts: 1}))
		require.NoError(t, err)
		d, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: s.keys, Authorizer: appspan.AllowAll{}})
		require.NoError(t, err)
		records := storage.NewRecords(memstore.NewRecords(), nil)
		defer records.Close()
		fresh, err := deploy.NewEnvironments(records, d)
		require.NoError(t, err)
		r, err := fresh.Recover(t.Context(), deploy.Target{Clusters: []string{"other", "b"}})
		require.ErrorIs(t, err, appspan.ErrUnavailable)
		require.False(t, r.Complete())
		require.Equal(t, "b", r.Missed[0].Cluster)
		require.Equal(t, []string{"shop/development"}, r.Restored, "what was read is there")
		require.Contains(t, r.Notes[0], "runs on other, which it does not name: it names a")

		foreign, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: newKeys(t), Authorizer: appspan.AllowAll{}})
		require.NoError(t, err)
		fresh, err = deploy.NewEnvironments(records, foreign)
		require.NoError(t, err)
		r, err = fresh.Recover(t.Context(), deploy.Target{Clusters: []string{"other"}})
		require.Error(t, err, "without the keys nothing comes back")
		require.Equal(t, "shop", r.Missed[0].Application)
	})
}
