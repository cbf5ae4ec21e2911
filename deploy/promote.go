package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy/render"
)

// KindPromote is the kind of a plan that brings an application up to date with
// what it was made from.
const KindPromote PlanKind = "promote"

// PromotionOptions shape a promotion.
type PromotionOptions struct {
	// From is what is promoted; nil is what the application was made from.
	// Something else has nothing in common with it: all that differs is a
	// conflict.
	From *Source
	// Revision is the release of the source; zero is its newest.
	Revision int
	// Decisions say whose value stands, by path, for conflicts and for any
	// other place where the two differ.
	Decisions map[string]appmodel.Decision
	// Defaults lets conflicts that are not decided stand as they are by
	// default, which is mostly as they are here.
	Defaults bool
	// Answers, Images and Bindings are added to those that the application
	// has, as for a parameter or a need that is new.
	Answers  map[string]appmodel.JSON
	Images   map[string]string
	Bindings map[render.NeedRef]render.Endpoint
	// DataLoss is as in PlanOptions.
	DataLoss bool
	// OnEvent hears how the plan goes.
	OnEvent func(appspan.Event)

	environment *Environment // whose own takes the place of what was deployed
}

// Promotion is what a promotion would do.
type Promotion struct {
	// Plan does it; nil while there are conflicts that nobody has decided.
	Plan *Plan `json:"plan,omitempty"`
	// From is the source, with the release that was read.
	From Source `json:"from"`
	// FromState is how far that release came.
	FromState ReleaseState `json:"fromState,omitempty"`
	// FromFinished is when it was deployed, in UTC.
	FromFinished time.Time `json:"fromFinished,omitzero"`
	// Changes are what becomes different of the application here, before its
	// overrides.
	Changes []appmodel.Change `json:"changes,omitempty"`
	// Kept are what stays different from the source.
	Kept []appmodel.Change `json:"kept,omitempty"`
	// Conflicts are what both changed; Overruled is what a policy of the
	// source discards; Orphaned are volumes whose data nothing will use.
	Conflicts []appmodel.Conflict `json:"conflicts,omitempty"`
	Overruled []appmodel.Change   `json:"overruled,omitempty"`
	Orphaned  []string            `json:"orphaned,omitempty"`
	// Notes are what a person should know.
	Notes []string `json:"notes,omitempty"`
}

// PlanPromotion plans to bring an application up to date with what it was made
// from, by a three-way merge: what changed there since comes here, what was
// changed here stays. Its answers, overrides, bindings and images stay on top.
// It is one plan, one release and one rollback.
//
// With conflicts that are not decided it returns the promotion without a plan
// and appspan.ErrConflict, which names them. Clusters of the target that run
// different things are appspan.ErrConflict too. The subject must be allowed to
// deploy both.
func (d *Deployer) PlanPromotion(ctx context.Context, application string, to Target, opts *PromotionOptions) (*Promotion, error) {
	var o PromotionOptions
	if opts != nil {
		o = *opts
	}
	p, err := d.planPromotion(ctx, application, to, &o)
	if err != nil {
		return p, fmt.Errorf("promotion to %s: %w", application, err)
	}
	return p, nil
}

func (d *Deployer) planPromotion(ctx context.Context, application string, to Target, o *PromotionOptions) (*Promotion, error) {
	here, err := d.presentIn(ctx, Source{Application: application, Target: to}, o.environment != nil)
	if err != nil {
		return nil, err
	}
	from, base, err := here.origin(o)
	if err != nil {
		return nil, err
	}
	theirs, err := d.source(ctx, from)
	if err != nil {
		return nil, err
	}
	if base == nil {
		base = nothing(here.app)
	}
	merged, err := appmodel.Merge(base, here.app, theirs.app, &appmodel.MergeOptions{Decisions: o.Decisions})
	if err != nil {
		return nil, err
	}
	renamed := appmodel.Clone(theirs.app)
	renamed.Metadata.Name = merged.Application.Metadata.Name
	p := &Promotion{From: theirs.source, FromState: theirs.release.State, FromFinished: theirs.release.Finished, Conflicts: merged.Conflicts, Overruled: merged.Overruled, Orphaned: merged.Orphaned,
		Changes: appmodel.Changes(here.app, merged.Application), Kept: appmodel.Changes(renamed, merged.Application), Notes: theirs.notes}
	if len(p.Conflicts) > 0 && !o.Defaults {
		var paths []string
		for _, c := range p.Conflicts {
			paths = append(paths, c.Path)
		}
		return p, fmt.Errorf("%w: both changed %s; decide in PromotionOptions.Decisions, or set Defaults", appspan.ErrConflict, strings.Join(paths, ", "))
	}
	if err := merged.Faults.Err(); err != nil {
		return p, err
	}
	lineage, err := theirs.lineage()
	if err != nil {
		return p, err
	}
	plan, err := d.newPlan(ctx, KindPromote, merged.Application, to, here.options(merged.Application, o), lineage)
	if err != nil {
		return p, err
	}
	plan.intent.Yield, plan.intent.Environment = here.yield, here.environment
	if o.environment != nil {
		if err := plan.in(o.environment); err != nil {
			return p, err
		}
	}
	p.Plan, err = d.planned(ctx, plan, o.OnEvent)
	return p, err
}

// present is an application as it is meant where it runs: before its overrides,
// which stay.
type present struct {
	document
	overrides []ClusterOverride
	lineage   *storedLineage
	yield     []Yield
	// environment is the one that it was deployed to, if any.
	environment *storedEnvironment
}

// present reads what an application is meant to be in its environment.
func (d *Deployer) present(ctx context.Context, at Source) (*present, error) {
	return d.presentIn(ctx, at, true)
}

// presentIn reads what an application is meant to be. What its clusters have
// beside it has to be the same on all, but for an environment, which says it
// itself.
func (d *Deployer) presentIn(ctx context.Context, at Source, environment bool) (*present, error) {
	to, err := d.reading(ctx, at.Application, at.Target)
	if err != nil {
		return nil, err
	}
	at.Target = to
	var found *present
	var absent error // where it does not run yet, it will
	for _, name := range to.Clusters {
		one, err := d.presentOn(ctx, at, name)
		if errors.Is(err, appspan.ErrNotFound) {
			absent = fmt.Errorf("%s: %w", name, err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if found == nil {
			found = one
		} else if !sameDocument(&found.document, &one.document, environment) {
			return nil, fmt.Errorf("%w: %s and %s run different things (releases %d and %d); promote to one after the other",
				appspan.ErrConflict, found.cluster, one.cluster, found.source.Revision, one.source.Revision)
		}
	}
	if found == nil {
		return nil, absent
	}
	return found, nil
}

func (d *Deployer) presentOn(ctx context.Context, at Source, name string) (*present, error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	runs := false
	found, err := d.earlier(ctx, at.Application, at.Target, name, func(st *state) ([]int, error) {
		out, err := newestRelease(st)
		runs = err == nil && slices.ContainsFunc(st.record.Releases, func(r Release) bool { return r.State == ReleaseDeployed })
		return out, err
	})
	if runs && errors.Is(err, appspan.ErrNotFound) { // else it would pass for one that does not run
		return nil, fmt.Errorf("%w: it runs, and what it was made from is gone: %v; deploy it again", appspan.ErrPrecondition, err)
	}
	if err != nil {
		return nil, err
	}
	in := found.body.Intent
	if in == nil || in.Application == nil {
		return nil, fmt.Errorf("%w: release %d does not say what it was made from; deploy it again", appspan.ErrUnsupported, found.revision)
	}
	out := &present{document: document{answers: in.Answers, images: found.body.Images, bound: found.body.Bound, source: at, cluster: name}, lineage: found.body.Lineage, yield: in.Yield, environment: in.Environment}
	out.source.Revision = found.revision
	if out.app, err = decodeApplication(in.Application); err != nil {
		return nil, err
	}
	out.apart = []any{in.Overrides, in.Yield}
	out.overrides, err = overridesOf(in.Overrides)
	return out, err
}

// origin is what is promoted, and the document that both began with.
func (here *present) origin(o *PromotionOptions) (Source, *appmodel.Application, error) {
	var from Source
	switch {
	case o.From != nil:
		from = *o.From
	case here.lineage != nil:
		from = here.lineage.From
		from.Revision = 0
	default:
		return from, nil, fmt.Errorf("%w: it was made from nothing; name what to promote in PromotionOptions.From", appspan.ErrPrecondition)
	}
	if o.Revision != 0 {
		from.Revision = o.Revision
	}
	if here.lineage == nil || !sameOrigin(from, here.lineage.From) {
		return from, nil, nil
	}
	base, err := decodeApplication(here.lineage.Base)
	return from, base, err
}

func sameOrigin(a, b Source) bool {
	return a.Application == b.Application && a.Target.Namespace == b.Target.Namespace
}

// nothing is where two applications began that never met: what only one of
// them has was added there, and what both have differently is for somebody to
// decide.
func nothing(app *appmodel.Application) *appmodel.Application {
	return &appmodel.Application{APIVersion: app.APIVersion, Kind: app.Kind, Metadata: appmodel.Metadata{Name: app.Metadata.Name}}
}

// options are those with which the merged application is planned.
func (here *present) options(app *appmodel.Application, o *PromotionOptions) *PlanOptions {
	out := &PlanOptions{Answers: here.answers, Images: here.images, ClusterOverrides: here.overrides, Bindings: endpoints(here.bound)}
	if o.environment != nil {
		out = o.environment.options()
	}
	return o.onto(out, app)
}

// onto adds what is said here to what an application has. The answer to a
// parameter that is gone goes with it, and so does the binding of a need.
func (o *PromotionOptions) onto(own *PlanOptions, app *appmodel.Application) *PlanOptions {
	out := &PlanOptions{Answers: map[string]appmodel.JSON{}, Images: map[string]string{}, Bindings: map[render.NeedRef]render.Endpoint{},
		ClusterOverrides: own.ClusterOverrides, DataLoss: o.DataLoss}
	for _, p := range app.Parameters {
		if v, ok := own.Answers[p.Name]; ok {
			out.Answers[p.Name] = v
		}
	}
	for _, need := range outside(app) {
		if e, ok := own.Bindings[need]; ok {
			out.Bindings[need] = e
		}
	}
	maps.Copy(out.Images, own.Images)
	maps.Copy(out.Answers, o.Answers)
	maps.Copy(out.Images, o.Images)
	maps.Copy(out.Bindings, o.Bindings)
	return out
}
