package refserver_test

import (
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
