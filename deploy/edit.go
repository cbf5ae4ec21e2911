package deploy

import (
	"context"
	"fmt"
	"maps"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy/render"
)

// Meant is an application as it is meant where it runs: before answers and
// overrides. It holds no secret.
type Meant struct {
	Application *appmodel.Application
	// Answers are those to its parameters that are not secret.
	Answers map[string]appmodel.JSON
	// Revision is the release that was made of it, on the first of the clusters.
	Revision int
}

// Meant returns what an application is meant to be, for somebody to change it: see
// [Deployer.PlanEdit], and [appmodel.Restore] for the secrets that are left out.
// Clusters of the target that run different things are appspan.ErrConflict.
func (d *Deployer) Meant(ctx context.Context, application string, to Target) (Meant, error) {
	here, err := d.presentIn(ctx, Source{Application: application, Target: to}, false)
	if err != nil {
		return Meant{}, fmt.Errorf("%s: %w", application, err)
	}
	out := Meant{Application: appmodel.Redact(here.app), Answers: maps.Clone(here.answers), Revision: here.source.Revision}
	for _, p := range here.app.Parameters {
		if p.Secret {
			delete(out.Answers, p.Name)
		}
	}
	return out, nil
}

// PlanEdit plans a change of an application as it is meant where it runs: edit
// gets it before answers and overrides, which stay with its bindings and
// images. The name cannot be edited. Clusters of the target that run different
// things are appspan.ErrConflict.
func (d *Deployer) PlanEdit(ctx context.Context, application string, to Target, edit func(*appmodel.Application) error, opts *EditOptions) (*Plan, error) {
	var o EditOptions
	if opts != nil {
		o = *opts
	}
	here, err := d.presentIn(ctx, Source{Application: application, Target: to}, false)
	if err != nil {
		return nil, fmt.Errorf("edit of %s: %w", application, err)
	}
	app := appmodel.Clone(here.app)
	if err := edit(app); err != nil {
		return nil, err
	}
	app.Metadata.Name = application
	plan, err := d.newPlan(ctx, KindDeploy, app, to, here.options(app, &PromotionOptions{Answers: o.Answers, Bindings: o.Bindings, DataLoss: o.DataLoss}), nil)
	if err != nil {
		return nil, err
	}
	plan.intent.Yield, plan.intent.Environment = here.yield, here.environment
	return d.planned(ctx, plan, o.OnEvent)
}

// EditOptions shape a [Deployer.PlanEdit].
type EditOptions struct {
	// Answers and Bindings are added to those that the application has.
	Answers  map[string]appmodel.JSON
	Bindings map[render.NeedRef]render.Endpoint
	// DataLoss is as in PlanOptions.
	DataLoss bool
	// OnEvent hears how the plan goes.
	OnEvent func(appspan.Event)
}
