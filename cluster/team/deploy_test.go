package team_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage/seal"
)

// acting are clusters as a team sees them.
type acting struct {
	clusters team.Clusters
	team     string
}

func (a acting) Cluster(ctx context.Context, name string) (*cluster.Cluster, error) {
	c, err := a.clusters.Cluster(ctx, name)
	if err != nil {
		return nil, err
	}
	return c.As(team.Identity(a.team))
}

const shop = `
apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
secrets:
  - {name: db, items: [{name: password, generate: {length: 24}}]}
components:
  - id: web
    kind: service
    image: "registry.example.com/web:1"
    ports: [{name: http, port: 8080}]
    resources: {requests: {cpu: 100m}}
    security: {runAsUser: 1000}
    env: [{name: PASSWORD, valueFrom: {secret: {name: db, item: password}}}]
    scale: {replicas: 2}
  - id: db
    kind: stateful
    image: "registry.example.com/db:1"
    ports: [{name: sql, port: 5432}]
    security: {runAsUser: 1000}
    volumes: [{name: data, kind: persistent, size: 1Gi}]
  - id: clean
    kind: cron
    cron: {schedule: "0 3 * * *"}
    image: "registry.example.com/web:1"
    security: {runAsUser: 1000}
`

// deployAsTeam takes an application through its life with the team's rights
// alone.
func deployAsTeam(t *testing.T, clusters team.Clusters, teams *team.Teams, tm team.Team, clusterName string) {
	t.Helper()
	key, err := seal.GenerateKey(rand.Reader)
	require.NoError(t, err)
	keys, err := seal.NewKeyring(key)
	require.NoError(t, err)
	d, err := deploy.New(acting{clusters, tm.ID}, &deploy.Options{Installation: teams.Installation(), Keys: keys, Authorizer: appspan.AllowAll{}})
	require.NoError(t, err)
	app, _, err := appmodel.Decode([]byte(shop), nil)
	require.NoError(t, err)
	to := deploy.Target{Clusters: []string{clusterName}, Namespace: tm.ID, Team: tm.ID}
	plan, err := d.Plan(t.Context(), app, to, nil)
	require.NoError(t, err)
	require.Empty(t, plan.Clusters[0].Error)
	require.Empty(t, plan.Clusters[0].Refusals)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	result, err := d.Apply(ctx, plan, nil)
	require.NoError(t, err)
	require.Empty(t, result.Clusters[0].Error)
	again, err := d.Plan(t.Context(), app, to, nil)
	require.NoError(t, err)
	require.True(t, again.Empty(), again)

	running, err := teams.Running(t.Context(), tm.ID, clusterName)
	require.NoError(t, err)
	require.Contains(t, running, tm.ID+"/shop")
	t.Logf("shop asks for %v", running[tm.ID+"/shop"])
	_, err = d.Remove(ctx, "shop", to, nil, nil)
	require.NoError(t, err)

	elsewhere := to
	elsewhere.Namespace = "default"
	plan, err = d.Plan(t.Context(), app, elsewhere, nil)
	if err == nil {
		require.NotEqual(t, deploy.ClusterPlanned, plan.Clusters[0].State, "not in a namespace of others")
	}
}

func TestAnApplicationLivesOnTheTeamsRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	tm := w.create(blue())
	w.reconcile("blue")
	deployAsTeam(t, w.set, w.Teams, tm, "a")
}
