package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy/render"
	"github.com/appspan-dev/appspan/storage"
)

// Environment is an application as it is meant to run somewhere: for whom, on
// which clusters, and with what of its own. Development, test and production
// are environments of one application.
type Environment struct {
	// Application is the name that it is deployed under, Name the
	// environment's: "production". Both are DNS labels. Another team may have
	// an application and an environment of the same names.
	Application string `json:"application"`
	Name        string `json:"name"`
	// Target is where it runs; its Team is whose environment it is, for good.
	Target Target `json:"target"`
	// From names the environment that is promoted to this one; empty: it is
	// deployed to. FromTeam is whose that is; empty: of the same team, or else
	// of no team. Put finds out, if only one other team's can be meant.
	From     string `json:"from,omitempty"`
	FromTeam string `json:"fromTeam,omitempty"`
	// Gates are what has to be before something new comes to it.
	Gates Gates `json:"gates,omitzero"`
	// Auto: what is done in From is promoted to it at once; see [Pipeline].
	Auto bool `json:"auto,omitempty"`
	// RollBack: what has failed here, or a check after it, is rolled back.
	RollBack bool `json:"rollBack,omitempty"`
	// Follows says which images are deployed to it when they are pushed.
	Follows []Follow `json:"follows,omitempty"`

	// What is its own, on top of the application. In Records it is sealed.
	Answers   map[string]appmodel.JSON           `json:"-"`
	Overrides []ClusterOverride                  `json:"-"`
	Images    map[string]string                  `json:"-"`
	Bindings  map[render.NeedRef]render.Endpoint `json:"-"`
}

// String names the environment. It prints so with every verb: its answers may
// be secret.
func (env Environment) String() string { return env.Application + "/" + env.Name }

// Format writes String for every verb.
func (env Environment) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, env.String()) }

// LogValue is String.
func (env Environment) LogValue() slog.Value { return slog.StringValue(env.String()) }

// environmentKeys is where they are in Records.
const environmentKeys = "environments/"

const environmentFormat = 1

// Environments are the environments of applications, kept in Records. Any
// number of processes may use the same Records. It is safe for concurrent use.
type Environments struct {
	records *storage.Records
	d       *Deployer
	team    string // whose names mean; empty: see find
}

// NewEnvironments returns those that are in records, deployed by d, whose keys
// seal what is secret in them.
func NewEnvironments(records *storage.Records, d *Deployer) (*Environments, error) {
	if records == nil || d == nil {
		return nil, fmt.Errorf("environments: %w: records and a Deployer are needed", appspan.ErrInvalid)
	}
	return &Environments{records: records, d: d}, nil
}

// For returns a view that acts as subject.
func (e *Environments) For(subject appspan.Subject) *Environments {
	return &Environments{records: e.records, d: e.d.For(subject), team: e.team}
}

// Of returns a view in which names mean environments of a team; empty: of the
// team that the subject acts for, or, if there is none, of the only team that
// can be meant.
func (e *Environments) Of(team string) *Environments {
	return &Environments{records: e.records, d: e.d, team: team}
}

// environmentRecord is an environment as it is stored.
type environmentRecord struct {
	storage.Envelope
	Environment
	Sealed []byte `json:"sealed"`
}

// environmentOwn is what of an environment may be secret.
type environmentOwn struct {
	Answers   map[string]appmodel.JSON `json:"answers,omitempty"`
	Overrides []storedOverride         `json:"overrides,omitempty"`
	Images    map[string]string        `json:"images,omitempty"`
	Bound     []boundNeed              `json:"bound,omitempty"`
}

func (env *Environment) own() (environmentOwn, error) {
	out := environmentOwn{Answers: env.Answers, Images: env.Images}
	var err error
	if out.Overrides, err = storeOverrides(env.Overrides); err != nil {
		return out, err
	}
	for _, ref := range slices.SortedFunc(maps.Keys(env.Bindings), func(a, b render.NeedRef) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Need, b.Need))
	}) {
		out.Bound = append(out.Bound, storeBinding(ref, env.Bindings[ref]))
	}
	return out, nil
}

func (env *Environment) take(own environmentOwn) (err error) {
	env.Answers, env.Images = own.Answers, own.Images
	if len(own.Bound) > 0 {
		env.Bindings = endpoints(own.Bound)
	}
	env.Overrides, err = overridesOf(own.Overrides)
	return err
}

func (e *Environments) context(env *Environment) []byte {
	return []byte(strings.Join([]string{"environment", e.d.opts.Installation, env.Application, env.Name, env.Target.Team}, "\x00"))
}

// check validates what somebody wants to keep.
func (env *Environment) check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("environment %s/%s: %w: %s", env.Application, env.Name, appspan.ErrInvalid, fmt.Sprintf(format, args...))
	}
	if !namespaceName.MatchString(env.Application) || !namespaceName.MatchString(env.Name) {
		return wrong("the application and the name are DNS labels")
	}
	if len(env.Target.Clusters) == 0 && len(env.Target.Labels) == 0 {
		return wrong("its target names no clusters; name some, or give labels")
	}
	if len(env.Target.Clusters) > 0 {
		if _, err := env.Target.normal(env.Application); err != nil {
			return err
		}
	}
	switch {
	case env.From == env.Name && (env.FromTeam == "" || env.FromTeam == env.Target.Team):
		return wrong("it cannot be promoted from itself")
	case env.From != "" && !namespaceName.MatchString(env.From):
		return wrong("From %q is no name of an environment", env.From)
	case env.Auto && env.From == "":
		return wrong("Auto needs From: what is promoted by itself?")
	case env.Gates.check() != "":
		return wrong("gates: %s", env.Gates.check())
	case len(env.Follows) > maxNamed:
		return wrong("it follows more than %d images", maxNamed)
	}
	for _, f := range env.Follows {
		if why := f.check(); why != "" {
			return wrong("%s", why)
		}
	}
	for i, o := range env.Overrides {
		if o.Override == nil {
			return wrong("override %d is nil", i+1)
		}
	}
	return nil
}

// authorize asks for an access to an environment. Clusters and namespaces are
// asked for when something is deployed there.
func (e *Environments) authorize(ctx context.Context, verb appspan.Verb, env *Environment) error {
	return appspan.Authorize(ctx, e.d.opts.Authorizer, e.d.subject, appspan.Access{Verb: verb, Resource: "environment",
		Team: env.Target.Team, Application: env.Application})
}

// allowed asks for an access to an environment that is there. Who may not read
// it either is told that it is not.
func (e *Environments) allowed(ctx context.Context, verb appspan.Verb, env *Environment) error {
	err := e.authorize(ctx, verb, env)
	if errors.Is(err, appspan.ErrDenied) && !e.d.subject.IsZero() && errors.Is(e.authorize(ctx, appspan.VerbRead, env), appspan.ErrDenied) {
		return notThere(env.Application, env.Name)
	}
	return err
}

func notThere(application, name string) error {
	return fmt.Errorf("environment %s/%s: %w: it is not there; make it first", application, name, appspan.ErrNotFound)
}

func (e *Environments) open(rec storage.Record) (Environment, error) {
	var stored environmentRecord
	if err := storage.Decode(rec.Value, environmentFormat, &stored); err != nil {
		return Environment{}, fmt.Errorf("record %s: %w", rec.Key, err)
	}
	env := stored.Environment
	plain, err := e.d.opts.Keys.Open(stored.Sealed, e.context(&env))
	if err != nil {
		return Environment{}, fmt.Errorf("record %s: %w", rec.Key, err)
	}
	var own environmentOwn
	if err := json.Unmarshal(plain, &own); err != nil {
		return Environment{}, fmt.Errorf("record %s: %w: %w", rec.Key, appspan.ErrCorrupt, err)
	}
	return env, env.take(own)
}

// Put makes or changes an environment. Nothing is deployed by it. What From
// names must be there, for the subject to read, and must not lead back to it. To
// change gates takes appspan.VerbApprove as well.
func (e *Environments) Put(ctx context.Context, env Environment) error {
	return e.Of(cmp.Or(env.Target.Team, e.team)).Change(ctx, env.Application, env.Name, func(*Environment) (Environment, error) { return env, nil })
}

// Change makes or changes an environment as [Environments.Put] does, by what edit
// makes of the one that is there, or of nil. It is called again when somebody else
// was faster; its error ends the change and is returned. The names stay as they
// are, and the team: that of the view, else the one that the subject acts for.
func (e *Environments) Change(ctx context.Context, application, name string, edit func(*Environment) (Environment, error)) error {
	ref := environmentRef{team: cmp.Or(e.team, e.d.subject.Team), application: application, name: name}
	if !namespaceName.MatchString(application) || !namespaceName.MatchString(name) || ref.team != "" && !namespaceName.MatchString(ref.team) {
		return fmt.Errorf("environment %q/%q of team %q: %w: the application, the name and the team are DNS labels", cut(application, 100), cut(name, 100), cut(ref.team, 100), appspan.ErrInvalid)
	}
	key := ref.key()
	_, err := e.records.Update(ctx, key, func(old []byte) ([]byte, error) {
		var before *Environment
		if old != nil {
			found, err := e.open(storage.Record{Key: key, Value: old})
			if err != nil {
				return nil, err
			}
			if err := e.authorize(ctx, appspan.VerbUpdate, &found); err != nil { // it may be another team's
				return nil, err
			}
			before = &found
		}
		env, err := edit(before)
		if err != nil {
			return nil, err
		}
		if team := env.Target.Team; team != "" && team != ref.team {
			return nil, fmt.Errorf("environment %s/%s: %w: one of team %s does not become one of team %s; make that, and delete this one", application, name, appspan.ErrInvalid, cmp.Or(ref.team, "none"), team)
		}
		env.Application, env.Name, env.Target.Team = application, name, ref.team
		return e.changed(ctx, before, &env)
	})
	return err
}

// changed checks a change, and is the record of it.
func (e *Environments) changed(ctx context.Context, before, env *Environment) ([]byte, error) {
	if env.Target.Namespace == "" {
		env.Target.Namespace = env.Application
	}
	if err := env.check(); err != nil {
		return nil, err
	}
	if err := e.d.sameTeam(env.Application, env.Target); err != nil {
		return nil, err
	}
	if err := e.authorize(ctx, appspan.VerbUpdate, env); err != nil {
		return nil, err
	}
	if before != nil && !before.Gates.same(env.Gates) { // or they would hold nobody who may change it
		if err := e.authorize(ctx, appspan.VerbApprove, before); err != nil {
			return nil, err
		}
	}
	if err := e.chain(ctx, env); err != nil {
		return nil, err
	}
	return e.seal(env)
}

func (e *Environments) seal(env *Environment) ([]byte, error) {
	own, err := env.own()
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(own)
	if err != nil {
		return nil, err
	}
	sealed, err := e.d.opts.Keys.Seal(plain, e.context(env))
	if err != nil {
		return nil, err
	}
	return json.Marshal(environmentRecord{Envelope: storage.Envelope{Format: environmentFormat, MinReader: environmentFormat}, Environment: *env, Sealed: sealed})
}

// chain follows From to its beginning.
func (e *Environments) chain(ctx context.Context, env *Environment) error {
	names, seen := []string{env.Name}, []environmentRef{env.ref()}
	for at := *env; at.From != ""; {
		before, err := e.from(ctx, &at)
		if len(seen) == 1 && env.FromTeam == "" && errors.Is(err, appspan.ErrNotFound) {
			if before, _, err = e.Of("").find(ctx, env.Application, env.From); err == nil {
				env.FromTeam = before.Target.Team
			}
		}
		if err == nil && len(seen) == 1 {
			err = e.allowed(ctx, appspan.VerbRead, &before)
		}
		if err != nil {
			return fmt.Errorf("environment %s/%s: From: %w", env.Application, env.Name, err)
		}
		names = append(names, before.Name)
		if slices.Contains(seen, before.ref()) {
			return fmt.Errorf("environment %s/%s: %w: it would be promoted to itself: %s", env.Application, env.Name, appspan.ErrInvalid, strings.Join(names, " from "))
		}
		seen = append(seen, before.ref())
		at = before
	}
	return nil
}

// Delete removes an environment from the records. What runs goes on running.
// One from which another is promoted is appspan.ErrPrecondition. To delete one
// that has gates takes appspan.VerbApprove as well.
func (e *Environments) Delete(ctx context.Context, application, name string) error {
	env, revision, err := e.find(ctx, application, name)
	if err != nil {
		return err
	}
	if err := e.allowed(ctx, appspan.VerbDelete, &env); err != nil {
		return err
	}
	if !env.Gates.IsZero() { // or one without would take its place
		if err := e.authorize(ctx, appspan.VerbApprove, &env); err != nil {
			return err
		}
	}
	for other, err := range e.list(ctx, application+"/") {
		if err != nil {
			return err
		}
		if other.From != name {
			continue
		}
		if from, err := e.from(ctx, &other); err == nil && from.ref() == env.ref() {
			return fmt.Errorf("environment %s/%s: %w: %s is promoted from it; change that first", application, name, appspan.ErrPrecondition, other.Name)
		}
	}
	return e.records.Delete(ctx, env.ref().key(), revision)
}

// List yields the environments of an application, or of all if it is empty,
// that the subject may read: without what is their own.
func (e *Environments) List(ctx context.Context, application string) iter.Seq2[Environment, error] {
	prefix := ""
	if application != "" {
		prefix = application + "/"
	}
	return func(yield func(Environment, error) bool) {
		for env, err := range e.list(ctx, prefix) {
			if err == nil && e.authorize(ctx, appspan.VerbRead, &env) != nil {
				continue
			}
			env.Answers, env.Overrides, env.Images, env.Bindings = nil, nil, nil, nil
			if !yield(env, err) || err != nil {
				return
			}
		}
	}
}

func (e *Environments) list(ctx context.Context, prefix string) iter.Seq2[Environment, error] {
	return func(yield func(Environment, error) bool) {
		for rec, err := range e.records.List(ctx, environmentKeys+prefix) {
			var env Environment
			if err == nil {
				env, err = e.open(rec)
			}
			if !yield(env, err) || err != nil {
				return
			}
		}
	}
}

// Reseal seals every environment with the active key, and returns how many it
// sealed. The subject must be allowed to update environments of no team, which
// are all.
func (e *Environments) Reseal(ctx context.Context) (int, error) {
	if err := appspan.Authorize(ctx, e.d.opts.Authorizer, e.d.subject, appspan.Access{Verb: appspan.VerbUpdate, Resource: "environment"}); err != nil {
		return 0, err
	}
	n := 0
	var errs []error
	for rec, err := range e.records.List(ctx, environmentKeys) {
		if err != nil {
			return n, errors.Join(append(errs, err)...)
		}
		_, err := e.records.Update(ctx, rec.Key, func(old []byte) ([]byte, error) {
			var stored environmentRecord
			if old == nil || storage.Decode(old, environmentFormat, &stored) == nil && !e.d.opts.Keys.Stale(stored.Sealed) {
				return old, nil
			}
			env, err := e.open(storage.Record{Key: rec.Key, Value: old})
			if err != nil {
				return nil, err
			}
			n++
			return e.seal(&env)
		})
		errs = append(errs, err)
	}
	return n, errors.Join(errs...)
}
