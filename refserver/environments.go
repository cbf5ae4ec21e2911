package refserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
	"github.com/appspan-dev/appspan/storage"
)

// environment names one.
type environment struct {
	Application string `path:"application"`
	Environment string `path:"environment"`
	Of          string `query:"of" doc:"the team whose environment is meant, where several have one of that name"`
}

func (s *Server) environmentRoutes() []*route {
	const tag = "environments"
	path := "/environments/{application}/{environment}"
	return []*route{
		op("GET", "/environments", "listEnvironments", tag, "Environments, without what is their own", s.listEnvironments).asks("environment", appspan.VerbRead),
		op("GET", path, "getEnvironment", tag, "An environment with what is its own", s.getEnvironment).asks("environment", appspan.VerbUpdate),
		op("PUT", path, "putEnvironment", tag, "Make or change an environment; nothing is deployed by it", s.putEnvironment).or(http.StatusCreated).asks("environment", appspan.VerbUpdate),
		op("DELETE", path, "deleteEnvironment", tag, "Remove an environment; what runs goes on running", s.deleteEnvironment).asks("environment", appspan.VerbDelete),
		op("POST", path+"/deployments", "deployToEnvironment", tag, "Deploy an application to an environment", s.deployToEnvironment).with(http.StatusAccepted).or(http.StatusOK).asks("environment", appspan.VerbUpdate),
		op("POST", path+"/promotions", "promoteToEnvironment", tag, "Promote what runs in the environment before", s.promoteToEnvironment).with(http.StatusAccepted).or(http.StatusOK).asks("environment", appspan.VerbUpdate),
		op("POST", path+"/stages", "beginStage", tag, "Begin to bring something through the gates of an environment", s.beginStage).with(http.StatusCreated).or(http.StatusOK).asks("environment", appspan.VerbUpdate),
		op("GET", "/stages", "listStages", tag, "What is on its way, and what was of late", s.listStages).asks("environment", appspan.VerbRead),
		op("GET", "/stages/{application}/{stage}", "getStage", tag, "One stage", s.getStage).asks("environment", appspan.VerbRead),
		op("GET", "/stages/{application}/{stage}/plan", "getStagePlan", tag, "The plan of a stage, as it is now", s.getStagePlan).asks("environment", appspan.VerbRead),
		op("POST", "/stages/{application}/{stage}/approval", "approveStage", tag, "Approve the plan that you have seen", s.verdict((*deploy.Pipeline).Approve, appspan.VerbApprove)).asks("environment", appspan.VerbApprove),
		op("POST", "/stages/{application}/{stage}/rejection", "rejectStage", tag, "Say no", s.verdict(func(p *deploy.Pipeline, ctx context.Context, application, id, _, comment string) (deploy.Stage, error) {
			return p.Reject(ctx, application, id, comment)
		}, appspan.VerbApprove)).asks("environment", appspan.VerbApprove),
		op("POST", "/stages/{application}/{stage}/cancellation", "cancelStage", tag, "Take it back", s.verdict(func(p *deploy.Pipeline, ctx context.Context, application, id, _, comment string) (deploy.Stage, error) {
			return p.Cancel(ctx, application, id, comment)
		}, appspan.VerbUpdate)).asks("environment", appspan.VerbUpdate),
		op("POST", "/stages/{application}/{stage}/retry", "retryStage", tag, "Begin again what has failed", s.verdict(func(p *deploy.Pipeline, ctx context.Context, application, id, _, _ string) (deploy.Stage, error) {
			return p.Retry(ctx, application, id)
		}, appspan.VerbUpdate)).asks("environment", appspan.VerbUpdate),
		op("POST", "/stages/{application}/{stage}/decisions", "decideStage", tag, "Decide its conflicts", s.decideStage).asks("environment", appspan.VerbUpdate),
		op("POST", "/images", "imagePushed", tag, "Say that an image was pushed: environments that follow it get a stage", s.imagePushed).asks("environment", appspan.VerbUpdate),
	}
}

// parts are those that a request works on: the server's, or, for a dry run, the
// same over records that keep nothing.
func (c *call) environments(dryRun bool) (*deploy.Environments, *deploy.Pipeline, func(), error) {
	if !dryRun {
		return c.Environments, c.Pipeline, func() {}, nil
	}
	overlay := storage.Overlay(c.Records)
	end := func() { _ = overlay.Close() }
	envs, err := deploy.NewEnvironments(overlay, c.Deployer.Rehearsal(overlay))
	if err != nil {
		return nil, nil, end, err
	}
	pipeline, err := deploy.NewPipeline(envs, nil)
	return envs, pipeline, end, err
}

// environmentOf is an environment as the API has it.
func environmentOf(env deploy.Environment) (client.Environment, error) {
	out := client.Environment{Environment: env, Answers: env.Answers, Images: env.Images}
	for _, o := range env.Overrides {
		text, err := appmodel.EncodeOverride(o.Override, &appmodel.EncodeOptions{Secrets: true})
		if err != nil {
			return out, err
		}
		out.Overrides = append(out.Overrides, client.Override{Clusters: o.Clusters, Text: string(text)})
	}
	for ref, e := range env.Bindings {
		b := client.Binding{Component: ref.Component, Need: ref.Need, Host: e.Host, Port: e.Port, Values: e.Values}
		for name, value := range e.Secrets {
			if b.Secrets == nil {
				b.Secrets = map[string]string{}
			}
			b.Secrets[name] = value.Reveal()
		}
		out.Bindings = append(out.Bindings, b)
	}
	sortBindings(out.Bindings)
	return out, nil
}

// environmentFrom is the reverse.
func environmentFrom(in client.Environment, at environment) (deploy.Environment, error) {
	env := in.Environment
	if env.Application != "" && env.Application != at.Application || env.Name != "" && env.Name != at.Environment {
		return env, fmt.Errorf("%w: the body names %s, the path %s/%s", appspan.ErrInvalid, env, at.Application, at.Environment)
	}
	env.Application, env.Name = at.Application, at.Environment
	env.Answers, env.Images, env.Overrides = in.Answers, in.Images, nil
	for i, o := range in.Overrides {
		override, _, err := appmodel.DecodeOverride([]byte(o.Text), nil)
		if err != nil {
			return env, fmt.Errorf("override %d: %w", i+1, err)
		}
		env.Overrides = append(env.Overrides, deploy.ClusterOverride{Clusters: o.Clusters, Override: override})
	}
	if len(in.Bindings) > 0 {
		env.Bindings = bindings(in.Bindings)
	}
	return env, nil
}

type listEnvironmentsIn struct {
	Application string `query:"application"`
}

func (s *Server) listEnvironments(ctx context.Context, c *call, in *listEnvironmentsIn) (client.List[deploy.Environment], error) {
	out := client.List[deploy.Environment]{Items: []deploy.Environment{}}
	for env, err := range c.Environments.List(ctx, in.Application) {
		if err != nil {
			return out, err
		}
		if c.subject().Team == "" || c.subject().Team == env.Target.Team {
			out.Items = append(out.Items, env)
		}
	}
	return out, c.tagged(out)
}

func (s *Server) getEnvironment(ctx context.Context, c *call, in *environment) (client.Environment, error) {
	env, err := c.Environments.Of(in.Of).Get(ctx, in.Application, in.Environment)
	if err != nil {
		return client.Environment{}, err
	}
	out, err := environmentOf(env)
	if err != nil {
		return out, err
	}
	return out, c.tagged(out)
}

type putEnvironmentIn struct {
	dry
	match
	environment
	Body client.Environment
}

func (s *Server) putEnvironment(ctx context.Context, c *call, in *putEnvironmentIn) (client.Environment, error) {
	env, err := environmentFrom(in.Body, in.environment)
	if err != nil {
		return client.Environment{}, err
	}
	envs, _, end, err := c.environments(in.DryRun)
	defer end()
	if err != nil {
		return client.Environment{}, err
	}
	made := false
	envs = envs.Of(cmp.Or(env.Target.Team, in.Of))
	err = envs.Change(ctx, in.Application, in.Environment, func(now *deploy.Environment) (deploy.Environment, error) {
		if made = now == nil; made {
			if in.IfMatch != "" {
				return env, fmt.Errorf("%w: it is not there any more", appspan.ErrPrecondition)
			}
			return env, nil
		}
		before, err := environmentOf(*now)
		if err != nil {
			return env, err
		}
		return env, in.match.of(before)
	})
	if err != nil {
		return client.Environment{}, err
	}
	if made {
		c.status = http.StatusCreated
	}
	now, err := envs.Get(ctx, in.Application, in.Environment)
	if err != nil {
		return client.Environment{}, err
	}
	out, err := environmentOf(now)
	if err != nil {
		return out, err
	}
	return out, c.tagged(out)
}

type deleteEnvironmentIn struct {
	dry
	environment
}

func (s *Server) deleteEnvironment(ctx context.Context, c *call, in *deleteEnvironmentIn) (empty, error) {
	envs, _, end, err := c.environments(in.DryRun)
	defer end()
	if err != nil {
		return empty{}, err
	}
	return empty{}, envs.Of(in.Of).Delete(ctx, in.Application, in.Environment)
}

type deployToEnvironmentIn struct {
	dry
	environment
	Body client.Deployment
}

func (s *Server) deployToEnvironment(ctx context.Context, c *call, in *deployToEnvironmentIn) (client.Planned, error) {
	app, _, err := decodeDocument(ctx, &in.Body.Document)
	if err != nil {
		return client.Planned{}, err
	}
	p, err := c.Environments.Of(in.Of).PlanDeploy(ctx, in.Application, in.Environment, app, nil)
	if err != nil {
		return client.Planned{}, err
	}
	return c.planned(ctx, p, in.DryRun, in.Body.Seen)
}

type promoteToEnvironmentIn struct {
	dry
	environment
	Body client.PromotionRequest
}

func (s *Server) promoteToEnvironment(ctx context.Context, c *call, in *promoteToEnvironmentIn) (client.Planned, error) {
	p, err := c.Environments.Of(in.Of).PlanPromotion(ctx, in.Application, in.Environment, promotionOptions(&in.Body))
	return c.promoted(ctx, p, err, in.DryRun, in.Body.Seen)
}

type beginStageIn struct {
	dry
	environment
	Body client.StageRequest
}

func (s *Server) beginStage(ctx context.Context, c *call, in *beginStageIn) (deploy.Stage, error) {
	_, pipeline, end, err := c.environments(in.DryRun)
	defer end()
	if err != nil {
		return deploy.Stage{}, err
	}
	if in.DryRun {
		c.status = http.StatusOK
	}
	o := &deploy.StageOptions{Answers: in.Body.Answers, Revision: in.Body.Revision, Decisions: in.Body.Decisions, Defaults: in.Body.Defaults, DataLoss: in.Body.DataLoss}
	var stage deploy.Stage
	pipeline = pipeline.Of(in.Of)
	if in.Body.Document == nil {
		stage, err = pipeline.Promote(ctx, in.Application, in.Environment, o)
	} else {
		var app *appmodel.Application
		if app, _, err = decodeDocument(ctx, in.Body.Document); err == nil {
			stage, err = pipeline.Deploy(ctx, in.Application, in.Environment, app, o)
		}
	}
	if err == nil && !in.DryRun {
		c.location("/stages/%s/%s", stage.Application, stage.ID)
	}
	return stage, err
}

func (s *Server) listStages(ctx context.Context, c *call, in *listEnvironmentsIn) (client.List[deploy.Stage], error) {
	out := client.List[deploy.Stage]{Items: []deploy.Stage{}}
	for stage, err := range c.Pipeline.List(ctx, in.Application) {
		if errors.Is(err, appspan.ErrCorrupt) || errors.Is(err, appspan.ErrUnsupported) {
			continue // the others are told
		}
		if err != nil {
			return out, err
		}
		if c.subject().Team == "" || c.subject().Team == stage.Team {
			out.Items = append(out.Items, stage)
		}
	}
	return out, c.tagged(out)
}

type stageIn struct {
	Application string `path:"application"`
	Stage       string `path:"stage"`
}

func (s *Server) getStage(ctx context.Context, c *call, in *stageIn) (deploy.Stage, error) {
	return c.Pipeline.Get(ctx, in.Application, in.Stage)
}

func (s *Server) getStagePlan(ctx context.Context, c *call, in *stageIn) (client.Planned, error) {
	p, err := c.Pipeline.Plan(ctx, in.Application, in.Stage)
	if err != nil {
		return client.Planned{}, err
	}
	return client.Planned{Plan: p, Text: p.String(), Unchanged: p.Empty()}, nil
}

type verdictIn struct {
	dry
	stageIn
	Body client.Verdict
}

// verdict is what somebody says of a stage.
func (s *Server) verdict(say func(p *deploy.Pipeline, ctx context.Context, application, id, planHash, comment string) (deploy.Stage, error), _ appspan.Verb) func(context.Context, *call, *verdictIn) (deploy.Stage, error) {
	return func(ctx context.Context, c *call, in *verdictIn) (deploy.Stage, error) {
		_, pipeline, end, err := c.environments(in.DryRun)
		defer end()
		if err != nil {
			return deploy.Stage{}, err
		}
		return say(pipeline, ctx, in.Application, in.Stage, in.Body.PlanHash, in.Body.Comment)
	}
}

func (s *Server) decideStage(ctx context.Context, c *call, in *verdictIn) (deploy.Stage, error) {
	_, pipeline, end, err := c.environments(in.DryRun)
	defer end()
	if err != nil {
		return deploy.Stage{}, err
	}
	return pipeline.Decide(ctx, in.Application, in.Stage, in.Body.Decisions)
}

type imagePushedIn struct {
	dry
	Body client.Push
}

func (s *Server) imagePushed(ctx context.Context, c *call, in *imagePushedIn) (client.List[deploy.Stage], error) {
	out := client.List[deploy.Stage]{Items: []deploy.Stage{}}
	_, pipeline, end, err := c.environments(in.DryRun)
	defer end()
	if err != nil {
		return out, err
	}
	stages, err := pipeline.ImagePushed(ctx, deploy.ImagePush{Image: in.Body.Image, Digest: in.Body.Digest})
	out.Items = append(out.Items, stages...)
	return out, err
}

func sortBindings(list []client.Binding) {
	slices.SortFunc(list, func(a, b client.Binding) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Need, b.Need))
	})
}
