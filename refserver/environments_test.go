package refserver_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
)

func TestEachTeamHasEnvironmentsOfItsOwnNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // in which blue has shop/test
	of := func(team string) client.Environment {
		return client.Environment{Environment: deploy.Environment{Application: "shop", Name: "test", Target: deploy.Target{Clusters: []string{"a"}, Namespace: team, Team: team}}}
	}
	red, admin := w.client("red-admin", "red"), w.client("admin", "")
	made, err := red.PutEnvironment(t.Context(), of("red"), "")
	require.NoError(t, err)
	require.Equal(t, "red", made.Target.Namespace)
	for env, err := range red.Environments(t.Context(), "") {
		require.NoError(t, err)
		require.Equal(t, "red", env.Target.Team)
	}

	_, _, err = admin.Environment(t.Context(), "shop", "test")
	require.ErrorIs(t, err, appspan.ErrConflict)
	require.ErrorContains(t, err, "blue, red")
	for _, team := range []string{"red", "blue"} {
		env, tag, err := admin.Of(team).Environment(t.Context(), "shop", "test")
		require.NoError(t, err)
		require.Equal(t, team, env.Target.Namespace)
		env.RollBack = true
		env, err = admin.PutEnvironment(t.Context(), env, tag)
		require.NoError(t, err)
		require.Equal(t, team, env.Target.Team)
	}
	_, _, err = red.Of("blue").Environment(t.Context(), "shop", "test")
	require.ErrorIs(t, err, appspan.ErrNotFound)
	require.NoError(t, admin.Of("red").DeleteEnvironment(t.Context(), "shop", "test"))
	env, _, err := admin.Environment(t.Context(), "shop", "test")
	require.NoError(t, err, "there is one left")
	require.True(t, env.RollBack)
}

func TestGatesThatCameLaterHoldAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // in which blue's shop runs in blue on a, which shop/test is
	dev, admin := w.client("blue-developer", "blue"), w.client("blue-admin", "blue")
	env, tag, err := admin.Environment(t.Context(), "shop", "test")
	require.NoError(t, err)
	env.Gates = deploy.Gates{Approvals: 1}
	_, err = admin.PutEnvironment(t.Context(), env, tag)
	require.NoError(t, err)
	around := client.Deployment{Document: client.Document{Text: strings.Replace(shop, "web:1", "web:evil", 1)}, Target: deploy.Target{Clusters: []string{"a"}, Namespace: "blue"}}
	_, err = dev.PlanDeploy(t.Context(), around)
	require.ErrorIs(t, err, appspan.ErrPrecondition, "a dry run says so too")
	begun, err := dev.Deploy(t.Context(), around)
	require.NoError(t, err)
	op, err := dev.Wait(t.Context(), begun, nil)
	require.ErrorIs(t, err, appspan.ErrPrecondition)
	require.Contains(t, op.Error, "has gates")

	// Another team's environment has no say here.
	red := w.client("red-admin", "red")
	_, err = red.PutEnvironment(t.Context(), client.Environment{Environment: deploy.Environment{Application: "other", Name: "live", Target: deploy.Target{Clusters: []string{"a"}, Namespace: "blue"}, Gates: deploy.Gates{Approvals: 1}}}, "")
	require.NoError(t, err)
	other := around
	other.Document.Text = strings.Replace(shop, "{name: shop}", "{name: other}", 1)
	_, err = dev.PlanDeploy(t.Context(), other)
	require.NoError(t, err)
	_, err = w.client("blue-observer", "blue").PlanDeploy(t.Context(), other)
	require.ErrorIs(t, err, appspan.ErrDenied, "a dry run asks for rights too")
}
