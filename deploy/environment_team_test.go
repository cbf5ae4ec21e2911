package deploy_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
)

// members may do everything in their team; who acts for none, everywhere.
type members struct{}

func (members) Authorize(_ context.Context, who appspan.Subject, a appspan.Access) error {
	if who.ID != "" && (who.Team == "" || who.Team == a.Team) {
		return nil
	}
	return fmt.Errorf("%s: %w", a, appspan.ErrDenied)
}

// teamed are two teams, and an operator, over the same environments.
type teamed struct {
	*staged
	*deploy.Pipeline
	red, blue, operator appspan.Subject
}

func newTeamed(t *testing.T) *teamed {
	t.Helper()
	s := newStaged(t)
	d, err := deploy.New(s.set, &deploy.Options{Installation: "test", Keys: s.keys, Authorizer: members{}})
	require.NoError(t, err)
	s.Environments, err = deploy.NewEnvironments(s.records, d)
	require.NoError(t, err)
	p, err := deploy.NewPipeline(s.Environments, nil)
	require.NoError(t, err)
	return &teamed{s, p, appspan.Subject{ID: "ann", Team: "red"}, appspan.Subject{ID: "bob", Team: "blue"}, appspan.Subject{ID: "root"}}
}

// of are the environments as somebody has them.
func (w *teamed) of(who appspan.Subject) *deploy.Environments { return w.Environments.For(who) }

func in(namespace string) deploy.Target {
	return deploy.Target{Clusters: []string{"a"}, Namespace: namespace}
}

func (w *teamed) names(who appspan.Subject) (out []string) {
	w.t.Helper()
	for env, err := range w.of(who).List(w.t.Context(), "shop") {
		require.NoError(w.t, err)
		out = append(out, env.Target.Team+":"+env.Name)
	}
	return out
}

func TestTwoTeamsHaveEnvironmentsOfTheSameNames(t *testing.T) {
	t.Parallel()
	w := newTeamed(t)
	for _, who := range []appspan.Subject{w.red, w.blue} {
		for _, env := range []deploy.Environment{
			{Application: "shop", Name: "development", Target: in(who.Team + "-dev")},
			{Application: "shop", Name: "production", From: "development", Target: in(who.Team)},
		} {
			require.NoError(t, w.of(who).Put(t.Context(), env))
		}
		require.Equal(t, []string{who.Team + ":development", who.Team + ":production"}, w.names(who))
		env, err := w.of(who).Get(t.Context(), "shop", "production")
		require.NoError(t, err)
		require.Equal(t, who.Team, env.Target.Namespace)
	}

	_, err := w.of(w.operator).Get(t.Context(), "shop", "production")
	require.ErrorIs(t, err, appspan.ErrConflict)
	require.ErrorContains(t, err, "blue, red")
	env, err := w.of(w.operator).Of("red").Get(t.Context(), "shop", "production")
	require.NoError(t, err)
	require.Equal(t, "red", env.Target.Namespace)
	_, err = w.of(w.red).Of("blue").Get(t.Context(), "shop", "production")
	require.ErrorIs(t, err, appspan.ErrNotFound, "it is another team's")
	_, err = w.of(w.operator).Of("green").Get(t.Context(), "shop", "production")
	require.ErrorIs(t, err, appspan.ErrNotFound)
	_, err = w.of(w.operator).Get(t.Context(), "../shop", "production")
	require.ErrorIs(t, err, appspan.ErrNotFound)

	require.ErrorIs(t, w.of(w.red).Change(t.Context(), "shop", "production", func(now *deploy.Environment) (deploy.Environment, error) {
		env := *now
		env.Target.Team = "blue"
		return env, nil
	}), appspan.ErrInvalid, "one team's does not become another's")
	require.ErrorIs(t, w.of(w.red).Delete(t.Context(), "shop", "development"), appspan.ErrPrecondition)
	require.NoError(t, w.of(w.red).Delete(t.Context(), "shop", "production"))
	require.NoError(t, w.of(w.red).Delete(t.Context(), "shop", "development"), "blue's production is not promoted from it")
	require.Equal(t, []string{"blue:development", "blue:production"}, w.names(w.operator))
}

func TestWhatIsDoneInOneTeamsEnvironmentGoesOnInItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTeamed(t)
		for _, who := range []appspan.Subject{w.red, w.blue} {
			require.NoError(t, w.of(who).Put(t.Context(), deploy.Environment{Application: "shop", Name: "development", Target: in(who.Team + "-dev")}))
			require.NoError(t, w.of(who).Put(t.Context(), deploy.Environment{Application: "shop", Name: "production", From: "development", Auto: true, Target: in(who.Team), Overrides: hosts(t, who.Team+".example.com")}))
		}
		stage, err := w.Pipeline.For(w.red).Deploy(t.Context(), "shop", "development", shop(t), nil)
		require.NoError(t, err)
		stage, err = w.Pipeline.For(w.red).Advance(t.Context(), "shop", stage.ID)
		require.NoError(t, err)
		require.Equal(t, deploy.StageDone, stage.State, stage.Reason)
		var seen []string
		for s, err := range w.Pipeline.For(w.operator).List(t.Context(), "shop") {
			require.NoError(t, err)
			seen = append(seen, s.Team+":"+s.Environment)
			if s.Environment == "production" {
				s, err = w.Pipeline.For(w.operator).Advance(t.Context(), "shop", s.ID)
				require.NoError(t, err)
				require.Equal(t, deploy.StageDone, s.State, s.Reason)
			}
		}
		require.Equal(t, []string{"red:development", "red:production"}, seen)
		for namespace, runs := range map[string]bool{"red": true, "red-dev": true, "blue": false, "blue-dev": false} {
			st, err := w.Status(t.Context(), "shop", in(namespace))
			require.NoError(t, err)
			require.Equal(t, runs, len(st.Clusters) > 0 && st.Clusters[0].Revision > 0, namespace)
		}
	})
}

func TestAnEnvironmentIsPromotedFromAnotherTeams(t *testing.T) {
	t.Parallel()
	w := newTeamed(t)
	put := func(team, name, from string) error {
		to := in(team + "-" + name)
		to.Team = team
		return w.of(w.operator).Put(t.Context(), deploy.Environment{Application: "shop", Name: name, From: from, Target: to})
	}
	require.NoError(t, put("red", "development", ""))
	require.NoError(t, put("blue", "production", "development"))
	env, err := w.of(w.blue).Get(t.Context(), "shop", "production")
	require.NoError(t, err)
	require.Equal(t, "red", env.FromTeam, "only that can be meant")
	require.ErrorIs(t, w.of(w.operator).Delete(t.Context(), "shop", "development"), appspan.ErrPrecondition)

	require.NoError(t, put("blue", "development", ""))
	env, err = w.of(w.blue).Get(t.Context(), "shop", "production")
	require.NoError(t, err)
	require.Equal(t, "red", env.FromTeam, "it stays promoted from what it was")
	require.NoError(t, w.of(w.operator).Of("blue").Delete(t.Context(), "shop", "development"))

	require.ErrorContains(t, put("red", "development", "production"), "development from production from development")
}
