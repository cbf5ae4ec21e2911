package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/appspan-dev/appspan"
)

// environmentRef says which environment: there is one of a team, an application
// and a name.
type environmentRef struct{ team, application, name string }

func (env *Environment) ref() environmentRef {
	return environmentRef{team: env.Target.Team, application: env.Application, name: env.Name}
}

// key is where it is in Records; "~" is no team.
func (r environmentRef) key() string {
	return environmentKeys + r.application + "/" + r.name + "/" + cmp.Or(r.team, "~")
}

// Get returns an environment with what is its own, secrets included: the
// subject must be allowed to update it. One that is not there, or that the
// subject may not read, is appspan.ErrNotFound; one that several teams have, of
// which none is meant, is appspan.ErrConflict: see [Environments.Of].
func (e *Environments) Get(ctx context.Context, application, name string) (Environment, error) {
	env, _, err := e.find(ctx, application, name)
	if err != nil {
		return Environment{}, err
	}
	return e.writable(ctx, env)
}

// get is Get for one that is known.
func (e *Environments) get(ctx context.Context, ref environmentRef) (Environment, error) {
	env, _, err := e.load(ctx, ref)
	if err != nil {
		return Environment{}, err
	}
	return e.writable(ctx, env)
}

func (e *Environments) writable(ctx context.Context, env Environment) (Environment, error) {
	if err := e.allowed(ctx, appspan.VerbUpdate, &env); err != nil {
		return Environment{}, err
	}
	return env, nil
}

func (e *Environments) load(ctx context.Context, ref environmentRef) (Environment, string, error) {
	rec, err := e.records.Get(ctx, ref.key())
	if errors.Is(err, appspan.ErrNotFound) {
		return Environment{}, "", notThere(ref.application, ref.name)
	}
	if err != nil {
		return Environment{}, "", err
	}
	env, err := e.open(rec)
	return env, rec.Revision, err
}

// find is the environment that a subject means by its names.
func (e *Environments) find(ctx context.Context, application, name string) (Environment, string, error) {
	if !namespaceName.MatchString(application) || !namespaceName.MatchString(name) {
		return Environment{}, "", notThere(cut(printable(application), 100), cut(printable(name), 100))
	}
	var found []Environment
	var revisions, teams []string
	for rec, err := range e.records.List(ctx, environmentKeys+application+"/"+name+"/") {
		if err != nil {
			return Environment{}, "", err
		}
		env, err := e.open(rec)
		if err != nil {
			return Environment{}, "", err
		}
		if !e.d.subject.IsZero() && errors.Is(e.authorize(ctx, appspan.VerbRead, &env), appspan.ErrDenied) {
			continue
		}
		if team := env.Target.Team; team != "" && team == cmp.Or(e.team, e.d.subject.Team) {
			return env, rec.Revision, nil
		} else if e.team != "" {
			continue
		}
		found, revisions, teams = append(found, env), append(revisions, rec.Revision), append(teams, cmp.Or(env.Target.Team, "none"))
	}
	switch len(found) {
	case 0:
		return Environment{}, "", notThere(application, name)
	case 1:
		return found[0], revisions[0], nil
	}
	return Environment{}, "", fmt.Errorf("environment %s/%s: %w: there is one of each of these teams: %s; say whose is meant (Environments.Of, Environment.FromTeam)", application, name, appspan.ErrConflict, strings.Join(teams, ", "))
}

// from is the environment that is promoted to another.
func (e *Environments) from(ctx context.Context, env *Environment) (Environment, error) {
	ref := environmentRef{team: cmp.Or(env.FromTeam, env.Target.Team), application: env.Application, name: env.From}
	from, _, err := e.load(ctx, ref)
	if errors.Is(err, appspan.ErrNotFound) && env.FromTeam == "" && ref.team != "" {
		ref.team = ""
		from, _, err = e.load(ctx, ref)
	}
	return from, err
}
