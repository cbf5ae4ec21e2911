package deploy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// TestRigEverythingThatHasAReleaseIsRecovered loses all records, and with them
// nothing that was deployed.
func TestRigEverythingThatHasAReleaseIsRecovered(t *testing.T) {
	t.Parallel()
	r, live := newRig(t, "recover", rigOptions{}), newRig(t, "recovered", rigOptions{})
	registry := func() *deploy.Environments {
		records := storage.NewRecords(memstore.NewRecords(), nil)
		t.Cleanup(func() { require.NoError(t, records.Close()) })
		e, err := deploy.NewEnvironments(records, r.Deployer)
		require.NoError(t, err)
		return e
	}
	index := func(e *deploy.Environments) map[string]deploy.Environment {
		out := map[string]deploy.Environment{}
		for env, err := range e.List(t.Context(), "everything") {
			require.NoError(t, err)
			whole, err := e.Get(t.Context(), env.Application, env.Name)
			require.NoError(t, err)
			out[env.Name] = whole
		}
		return out
	}
	e := registry()
	require.NoError(t, e.Put(t.Context(), deploy.Environment{Application: "everything", Name: "development", Target: r.on("rig-1")}))
	require.NoError(t, e.Put(t.Context(), deploy.Environment{Application: "everything", Name: "production", From: "development",
		Target:    deploy.Target{Clusters: []string{"rig-1", "rig-2"}, Namespace: live.namespace},
		Answers:   map[string]appmodel.JSON{},
		Overrides: []deploy.ClusterOverride{{Override: override(t, "metadata: {name: live}\nset: {components: [{id: cache, scale: {replicas: 2}}], routes: [{id: site, http: {hosts: [live.example.com]}}]}\nremove: [\"routes[site].http.hosts[everything.example.com]\"]")}},
		Images:    map[string]string{"registry.example.com/cache:7": "mirror.example.com/cache:7"}}))
	apply := func(p *deploy.Plan, err error) {
		t.Helper()
		require.NoError(t, err)
		_, err = r.Apply(t.Context(), p, &patient)
		require.NoError(t, err)
	}
	apply(e.PlanDeploy(t.Context(), "everything", "development", everything(t), nil))
	promotion, err := e.PlanPromotion(t.Context(), "everything", "production", nil)
	require.NoError(t, err)
	apply(promotion.Plan, nil)
	before := index(e)

	fresh := registry()
	missed, err := fresh.Recover(t.Context(), deploy.Target{Clusters: []string{"rig-1", "nowhere"}, Namespace: r.namespace})
	require.ErrorIs(t, err, appspan.ErrNotFound)
	require.False(t, missed.Complete())
	t.Logf("incomplete: %s: %s", missed.Missed[0].Cluster, missed.Missed[0].Error)
	for _, namespace := range []string{r.namespace, live.namespace} {
		found, err := fresh.Recover(t.Context(), deploy.Target{Clusters: []string{"rig-1", "rig-2"}, Namespace: namespace})
		require.NoError(t, err)
		require.True(t, found.Complete())
		t.Logf("recovered %v (kept %v); lost: %q", found.Restored, found.Kept, found.Lost)
	}
	require.Equal(t, before, index(fresh))
	again, err := fresh.PlanPromotion(t.Context(), "everything", "production", nil)
	require.NoError(t, err)
	require.Empty(t, again.Changes, "and its lineage is there")
}
