package deploy_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// staged is a world with an application's environments.
type staged struct {
	*world
	*deploy.Environments
	records *storage.Records
}

func newStaged(t *testing.T) *staged {
	t.Helper()
	w := two(t)
	records := storage.NewRecords(memstore.NewRecords(), nil)
	t.Cleanup(func() { require.NoError(t, records.Close()) })
	e, err := deploy.NewEnvironments(records, w.Deployer)
	require.NoError(t, err)
	return &staged{w, e, records}
}

func (s *staged) put(env deploy.Environment) {
	s.t.Helper()
	require.NoError(s.t, s.Put(s.t.Context(), env))
}

// stages are development, and production, which is promoted from it.
func (s *staged) stages() {
	s.t.Helper()
	s.put(deploy.Environment{Application: "shop", Name: "development", Target: on("a")})
	s.put(deploy.Environment{Application: "shop", Name: "production", From: "development", Target: production,
		Overrides: []deploy.ClusterOverride{{Override: override(s.t, "metadata: {name: live}\nset: {components: [{id: web, scale: {replicas: 4}}]}")}},
		Images:    map[string]string{"registry.example.com/web:1": "mirror.example.com/web:1"}})
}

func (s *staged) apply(p *deploy.Plan, err error) {
	s.t.Helper()
	require.NoError(s.t, err)
	_, err = s.Apply(s.t.Context(), p, nil)
	require.NoError(s.t, err)
}

func TestAnApplicationGoesThroughItsEnvironments(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStaged(t)
		s.stages()
		s.apply(s.Environments.PlanDeploy(t.Context(), "shop", "development", shop(t), nil))
		first, err := s.Environments.PlanPromotion(t.Context(), "shop", "production", nil)
		require.NoError(t, err)
		require.Equal(t, deploy.KindCopy, first.Plan.Kind)
		s.apply(first.Plan, nil)
		require.Equal(t, 4, s.number("b", liveWeb, "spec", "replicas"))
		text, err := json.Marshal(s.get("b", liveWeb))
		require.NoError(t, err)
		require.Contains(t, string(text), "mirror.example.com/web:1")

		s.apply(s.Environments.PlanDeploy(t.Context(), "shop", "development", shop(t, "value: hello", "value: good day"), nil))
		next, err := s.Environments.PlanPromotion(t.Context(), "shop", "production", nil)
		require.NoError(t, err)
		require.Equal(t, deploy.KindPromote, next.Plan.Kind)
		require.Equal(t, []string{"configs[site].items[GREETING].value"}, paths(next.Changes))
		s.apply(next.Plan, nil)
		require.Equal(t, 4, s.number("b", liveWeb, "spec", "replicas"), "the override is on top")
		_, err = s.Environments.PlanPromotion(t.Context(), "shop", "development", nil)
		require.ErrorIs(t, err, appspan.ErrPrecondition)
	})
}

func TestEnvironmentsAreKeptSealedAndValidated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStaged(t)
		s.stages()
		s.put(deploy.Environment{Application: "shop", Name: "production", From: "development", Target: production,
			Answers: map[string]appmodel.JSON{"key": appmodel.JSON(`"c0rrect-horse"`)}})
		for rec, err := range s.records.List(t.Context(), "") {
			require.NoError(t, err)
			require.NotContains(t, string(rec.Value), "c0rrect-horse")
		}
		env, err := s.Get(t.Context(), "shop", "production")
		require.NoError(t, err)
		require.JSONEq(t, `"c0rrect-horse"`, string(env.Answers["key"]))
		require.NotContains(t, fmt.Sprintf("%+v", env), "c0rrect-horse")
		_, err = s.keys.Rotate(nil)
		require.NoError(t, err)
		n, err := s.Environments.Reseal(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, n)

		for message, env := range map[string]deploy.Environment{
			"DNS labels":                        {Application: "Shop", Name: "x", Target: on("a")},
			"names no clusters":                 {Application: "shop", Name: "x"},
			"cannot be promoted from itself":    {Application: "shop", Name: "x", From: "x", Target: on("a")},
			"it is not there":                   {Application: "shop", Name: "x", From: "nothing", Target: on("a")},
			"33 approvals":                      {Application: "shop", Name: "x", Target: on("a"), Gates: deploy.Gates{Approvals: 33}},
			"a check or an approver has no":     {Application: "shop", Name: "x", Target: on("a"), Gates: deploy.Gates{Before: []string{""}}},
			"a soak of -1ns":                    {Application: "shop", Name: "x", Target: on("a"), Gates: deploy.Gates{Soak: -1}},
			"Auto needs From":                   {Application: "shop", Name: "x", Target: on("a"), Auto: true},
			"leave out the tag":                 {Application: "shop", Name: "x", Target: on("a"), Follows: []deploy.Follow{{Repository: "web:1"}}},
			"which is no image":                 {Application: "shop", Name: "x", Target: on("a"), Follows: []deploy.Follow{{Repository: "no image"}}},
			"is no pattern":                     {Application: "shop", Name: "x", Target: on("a"), Follows: []deploy.Follow{{Repository: "web", Tags: "["}}},
			"development from production from ": {Application: "shop", Name: "development", From: "production", Target: on("a")},
		} {
			require.ErrorContains(t, s.Put(t.Context(), env), message)
		}
		require.ErrorIs(t, s.Delete(t.Context(), "shop", "development"), appspan.ErrPrecondition)
		require.NoError(t, s.Delete(t.Context(), "shop", "production"))
		var names []string
		for env, err := range s.List(t.Context(), "shop") {
			require.NoError(t, err)
			names = append(names, env.Name)
		}
		require.Equal(t, []string{"development"}, names)
	})
}
