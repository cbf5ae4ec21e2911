package deploy_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
)

func override(t *testing.T, text string) *appmodel.Override {
	t.Helper()
	o, _, err := appmodel.DecodeOverride([]byte("apiVersion: appspan.dev/v1alpha1\nkind: Override\n"+text), nil)
	require.NoError(t, err)
	return o
}

// regions is a world of labelled clusters.
func regions(t *testing.T) *world {
	w := two(t)
	var members []*cluster.Cluster
	for name, region := range map[string]string{"cn-1": "cn", "cn-2": "cn", "eu-1": "eu"} {
		w.fakes[name] = fake.New(&fake.Options{Name: name})
		members = append(members, cluster.New(name, w.fakes[name], &cluster.Options{Labels: map[string]string{"region": region}}))
	}
	set, err := cluster.NewSet(members...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, set.Close()) })
	w.set = set
	w.Deployer = w.deployer("test")
	return w
}

func TestOverridesAreForTheClustersThatTheyChoose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := regions(t)
		all := deploy.Target{Clusters: []string{"cn-1", "cn-2", "eu-1"}, Namespace: "shop"}
		options := &deploy.PlanOptions{
			Overrides: []*appmodel.Override{override(t, "metadata: {name: production}\nset: {components: [{id: web, scale: {replicas: 3}}]}")},
			ClusterOverrides: []deploy.ClusterOverride{
				{Override: override(t, "metadata: {name: cn}\nset: {components: [{id: web, scale: {replicas: 4}}]}"), Clusters: appmodel.ClusterSelector{Labels: map[string]string{"region": "cn"}}},
				{Override: override(t, "metadata: {name: hotfix}\nset: {components: [{id: web, image: \"web:9\"}]}"), Clusters: appmodel.ClusterSelector{Names: []string{"cn-2"}}},
			}}
		p, err := w.Plan(t.Context(), shop(t), all, options)
		require.NoError(t, err)
		require.Equal(t, []string{"production", "cn", "hotfix"}, layers(p.Clusters[1]))
		require.Equal(t, []string{"production"}, layers(p.Clusters[2]))
		require.Equal(t, "components[web].image", p.Clusters[1].Layers[2].Changes[0].Path)
		data, err := json.Marshal(p)
		require.NoError(t, err)
		stored := &deploy.Plan{}
		require.NoError(t, json.Unmarshal(data, stored))
		_, err = w.Apply(t.Context(), stored, nil)
		require.NoError(t, err)
		for name, want := range map[string]int{"cn-1": 4, "cn-2": 4, "eu-1": 3} {
			require.Equal(t, want, w.number(name, webRef, "spec", "replicas"), name)
		}
		require.Contains(t, fmt.Sprint(w.get("cn-2", webRef)), "image:web:9")
		require.NotContains(t, fmt.Sprint(w.get("cn-1", webRef)), "image:web:9")

		options.Overrides = nil
		r, err := w.Deploy(t.Context(), shop(t), all, &deploy.DeployOptions{Plan: *options})
		require.NoError(t, err)
		require.Equal(t, deploy.OutcomeDone, r.Cluster("cn-1").Outcome, "no object changes, but what is meant")
		require.Equal(t, deploy.OutcomeDone, r.Cluster("eu-1").Outcome)
		_, err = w.Rollback(t.Context(), "shop", all, &deploy.RollbackOptions{Revision: 1}, nil)
		require.NoError(t, err)
		require.Equal(t, 3, w.number("eu-1", webRef, "spec", "replicas"))
	})
}

func layers(c deploy.ClusterPlan) []string {
	var out []string
	for _, l := range c.Layers {
		out = append(out, l.Override)
	}
	return out
}

func TestATargetMayChooseClustersByLabels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := regions(t)
		cn := deploy.Target{Labels: map[string]string{"region": "cn"}, Namespace: "shop"}
		r, err := w.Deploy(t.Context(), shop(t), cn, nil)
		require.NoError(t, err)
		require.Len(t, r.Clusters, 2)
		s, err := w.Status(t.Context(), "shop", cn)
		require.NoError(t, err)
		require.Len(t, s.Clusters, 2)
		_, err = w.Run(t.Context(), "shop", cn, deploy.Command{Kind: deploy.KindStop}, nil)
		require.NoError(t, err)
		_, err = w.Plan(t.Context(), shop(t), deploy.Target{Labels: map[string]string{"region": "mars"}}, nil)
		require.ErrorIs(t, err, appspan.ErrNotFound)
		_, err = w.Plan(t.Context(), shop(t), deploy.Target{}, nil)
		require.ErrorIs(t, err, appspan.ErrInvalid)
	})
}
