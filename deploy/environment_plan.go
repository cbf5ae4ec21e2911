package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
)

// options are those with which an application is planned for the environment.
func (env *Environment) options() *PlanOptions {
	return &PlanOptions{Answers: env.Answers, ClusterOverrides: env.Overrides, Images: env.Images, Bindings: env.Bindings}
}

// PlanDeploy plans to deploy an application to an environment, with what is the
// environment's own. The application's name gives way to the environment's.
func (e *Environments) PlanDeploy(ctx context.Context, application, name string, app *appmodel.Application, onEvent func(appspan.Event)) (*Plan, error) {
	env, err := e.Get(ctx, application, name)
	if err != nil {
		return nil, err
	}
	return e.planDeploy(ctx, &env, app, &PlanOptions{OnEvent: onEvent})
}

func (e *Environments) planDeploy(ctx context.Context, env *Environment, app *appmodel.Application, o *PlanOptions) (*Plan, error) {
	app = appmodel.Clone(app)
	if app != nil {
		app.Metadata.Name = env.Application
	}
	own := env.options()
	own.Answers, own.DataLoss = maps.Clone(own.Answers), o.DataLoss
	if own.Answers == nil && len(o.Answers) > 0 {
		own.Answers = map[string]appmodel.JSON{}
	}
	maps.Copy(own.Answers, o.Answers)
	p, err := e.d.newPlan(ctx, KindDeploy, app, env.Target, own, nil)
	if err != nil {
		return nil, err
	}
	if err := p.in(env); err != nil {
		return nil, err
	}
	return e.d.planned(ctx, p, o.OnEvent)
}

// in notes the environment that a plan is for, so that it can be recovered from
// the clusters.
func (p *Plan) in(env *Environment) error {
	own, err := env.own()
	p.intent.Environment = &storedEnvironment{Environment: *env, Own: own}
	return err
}

// storedEnvironment is an environment as a release holds it, sealed.
type storedEnvironment struct {
	Environment
	Own environmentOwn `json:"own"`
}

// PlanPromotion plans to promote what runs in the environment that this one is
// promoted from: the first time as a copy, then by three-way merge. See
// [Deployer.PlanPromotion].
func (e *Environments) PlanPromotion(ctx context.Context, application, name string, opts *PromotionOptions) (*Promotion, error) {
	env, err := e.Get(ctx, application, name)
	if err != nil {
		return nil, err
	}
	return e.planPromotion(ctx, &env, opts)
}

func (e *Environments) planPromotion(ctx context.Context, env *Environment, opts *PromotionOptions) (*Promotion, error) {
	var o PromotionOptions
	if opts != nil {
		o = *opts
	}
	if env.From == "" {
		return nil, fmt.Errorf("environment %s: %w: nothing is promoted to it; deploy to it, or set From", env, appspan.ErrPrecondition)
	}
	from, err := e.from(ctx, env)
	if err != nil {
		return nil, err
	}
	if from, err = e.writable(ctx, from); err != nil {
		return nil, err
	}
	o.From, o.environment = &Source{Application: env.Application, Target: from.Target}, env
	p, err := e.d.PlanPromotion(ctx, env.Application, env.Target, &o)
	if errors.Is(err, appspan.ErrNotFound) && p == nil {
		return e.first(ctx, env, o)
	}
	return p, err
}

// first is the promotion to an environment in which nothing runs.
func (e *Environments) first(ctx context.Context, env *Environment, o PromotionOptions) (*Promotion, error) {
	from := *o.From
	from.Revision = o.Revision
	doc, err := e.d.source(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("promotion to %s/%s: %w", env.Application, env.Name, err)
	}
	lineage, err := doc.lineage()
	if err != nil {
		return nil, err
	}
	options := o.onto(env.options(), doc.app)
	options.OnEvent = o.OnEvent
	app := appmodel.Clone(doc.app)
	app.Metadata.Name = env.Application
	plan, err := e.d.newPlan(ctx, KindCopy, app, env.Target, options, lineage)
	if err != nil {
		return nil, fmt.Errorf("promotion to %s/%s: %w", env.Application, env.Name, err)
	}
	if err := plan.in(env); err != nil {
		return nil, err
	}
	out := &Promotion{From: doc.source, FromState: doc.release.State, FromFinished: doc.release.Finished, Changes: appmodel.Changes(nil, app), Notes: doc.notes}
	out.Plan, err = e.d.planned(ctx, plan, o.OnEvent)
	return out, err
}
