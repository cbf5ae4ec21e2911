package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	choice "github.com/appspan-dev/appspan/deploy/place"
	"github.com/appspan-dev/appspan/deploy/status"
)

// The kinds of plans that a [Command] makes.
const (
	// KindStart gives stopped components their replicas back, providers first:
	// who needs another component is started when that is ready.
	KindStart PlanKind = "start"
	// KindStop takes away all replicas, consumers first. Data, addresses and
	// configuration stay. What an autoscaler had given is remembered.
	KindStop PlanKind = "stop"
	// KindRestart replaces all replicas as an update would, providers first.
	KindRestart PlanKind = "restart"
	// KindScale sets the number of replicas in place of the application's
	// own, over later releases too; Reset gives it back.
	KindScale PlanKind = "scale"
	// KindPause holds back the rolling out of changes: they are written, and
	// replicas stay as they are. Cron jobs are suspended. What has to be made
	// anew is not paused any more: it would never have replicas.
	KindPause PlanKind = "pause"
	// KindResume ends a pause.
	KindResume PlanKind = "resume"
	// KindRedeploy makes everything again as the newest release says, so that
	// what somebody changed by hand is undone.
	KindRedeploy PlanKind = "redeploy"
	// KindImage gives components other images.
	KindImage PlanKind = "image"
)

// Command is a step in the life of an application that is deployed. It is
// planned, applied, recorded as a release, resumed and rolled back like a
// deployment, and every one may be given twice. To start, stop, restart, scale,
// pause and resume takes appspan.VerbUpdate on the application, the others
// appspan.VerbDeploy.
type Command struct {
	// Kind is KindStart, KindStop, KindRestart, KindScale, KindPause,
	// KindResume, KindRedeploy or KindImage.
	Kind PlanKind `json:"kind"`
	// Components are those that it is for; none: all that it can be for.
	Components []string `json:"components,omitempty"`
	// Replicas is, for KindScale, how many; nil gives the number back to the
	// application.
	Replicas *int `json:"replicas,omitempty"`
	// Images are, for KindImage, the new images by component.
	Images map[string]string `json:"images,omitempty"`

	// At is when it was given: the same command is the same again.
	At time.Time `json:"at"`
}

// maxReplicas bounds a scale by hand: more is a slip of the finger.
const maxReplicas = 10_000

// normal checks what can be checked before a cluster is asked.
func (c Command) normal() (Command, error) {
	wrong := func(format string, args ...any) (Command, error) {
		return c, fmt.Errorf("%s: %w: %s", c.Kind, appspan.ErrInvalid, fmt.Sprintf(format, args...))
	}
	kinds := []PlanKind{KindStart, KindStop, KindRestart, KindScale, KindPause, KindResume, KindRedeploy, KindImage}
	if !slices.Contains(kinds, c.Kind) {
		return wrong("%q is no command; use one of %v", c.Kind, kinds)
	}
	if c.Replicas != nil && (c.Kind != KindScale || *c.Replicas < 0 || *c.Replicas > maxReplicas) {
		return wrong("%d replicas; KindScale takes 0 to %d", *c.Replicas, maxReplicas)
	}
	if c.Kind == KindScale && len(c.Components) == 0 {
		return wrong("name the components to scale")
	}
	if (c.Kind == KindImage) != (len(c.Images) > 0) {
		return wrong("images belong to KindImage, and it needs some")
	}
	if c.Kind == KindImage {
		if len(c.Components) > 0 {
			return wrong("Images name the components; leave Components empty")
		}
		c.Components = slices.Sorted(maps.Keys(c.Images))
	}
	c.Components = slices.Compact(slices.Sorted(slices.Values(c.Components)))
	if c.At.IsZero() {
		c.At = time.Now().UTC()
	}
	return c, nil
}

// names reports whether the command is for a component.
func (c *Command) names(id string) bool {
	return c != nil && (len(c.Components) == 0 || slices.Contains(c.Components, id))
}

// fits says why a command cannot be for a component, or "".
func (c *Command) fits(component *appmodel.Component) string {
	kind := component.Kind
	switch {
	case !component.IsEnabled():
		return "it is not enabled"
	case c.Kind == KindScale && !canScale(kind):
		return fmt.Sprintf("a %s component has no number of replicas", kind)
	case c.Kind == KindScale && c.Replicas != nil && component.Scale != nil && component.Scale.Auto != nil:
		return "it is scaled by its metrics; change scale.auto of the application"
	case (c.Kind == KindStart || c.Kind == KindStop) && !canStop(kind):
		return fmt.Sprintf("a %s component does not run until it is stopped", kind)
	case (c.Kind == KindRestart || c.Kind == KindPause || c.Kind == KindResume) && (!canStop(kind) || c.Kind == KindRestart && kind == appmodel.KindCron):
		return fmt.Sprintf("a %s component has no replicas that stay", kind)
	case c.Kind == KindImage && !kind.HasPods():
		return fmt.Sprintf("a %s component has no image", kind)
	}
	return ""
}

// check refuses a command that names what is not there, or that does not fit.
func (c *Command) check(app *appmodel.Application) error {
	for _, id := range c.Components {
		i := slices.IndexFunc(app.Components, func(x appmodel.Component) bool { return x.ID == id })
		if i < 0 {
			var ids []string
			for _, x := range app.Components {
				ids = append(ids, x.ID)
			}
			return fmt.Errorf("%s: %w: there is no component %q; there are %s", c.Kind, appspan.ErrInvalid, id, strings.Join(ids, ", "))
		}
		if why := c.fits(&app.Components[i]); why != "" {
			return fmt.Errorf("%s of %s: %w: %s", c.Kind, id, appspan.ErrInvalid, why)
		}
	}
	return nil
}

// apply is what the states are after the command. replicas says how many a
// component has at the moment.
func (c *Command) apply(before states, app *appmodel.Application, replicas func(component string) int) states {
	after := maps.Clone(before)
	if after == nil {
		after = states{}
	}
	if c == nil {
		return after
	}
	for i := range app.Components {
		component := &app.Components[i]
		if !c.names(component.ID) || c.fits(component) != "" {
			continue
		}
		s := after[component.ID]
		switch c.Kind {
		case KindStart:
			s.Stopped = false
		case KindStop:
			if !s.Stopped && component.Scale != nil && component.Scale.Auto != nil {
				s.Resume = replicas(component.ID)
			}
			s.Stopped = true
		case KindRestart:
			s.Restarted = c.At
		case KindScale:
			s.Replicas = c.Replicas
		case KindPause, KindResume:
			s.Paused = c.Kind == KindPause
		}
		after.set(component.ID, s)
	}
	return after
}

// CommandOptions shape the plan of a command.
type CommandOptions struct {
	// OnEvent hears how the plan goes.
	OnEvent func(appspan.Event)
}

// PlanCommand plans a step in the life of an application on some of its
// clusters, from the newest release of each. An application that is not
// deployed on any of them is appspan.ErrNotFound; a component that is not
// there, or that the command cannot be for, is appspan.ErrInvalid.
func (d *Deployer) PlanCommand(ctx context.Context, application string, to Target, c Command, opts *CommandOptions) (*Plan, error) {
	var o CommandOptions
	if opts != nil {
		o = *opts
	}
	c, err := c.normal()
	if err != nil {
		return nil, err
	}
	p, err := d.fromReleases(ctx, application, to, c.Kind, newestRelease)
	if err != nil {
		return nil, err
	}
	p.intent.Command = &c
	for name, resolved := range p.intent.Resolved {
		if resolved, err = c.resolve(resolved); err != nil {
			return nil, fmt.Errorf("%s on %s: %w", application, name, err)
		}
		p.intent.Resolved[name] = resolved
		err := d.intend(ctx, &c, name, resolved.Meant)
		if err != nil {
			return nil, fmt.Errorf("%s on %s: %w", application, name, err)
		}
	}
	p.intent.FromRevision = nil // which is where a rollback goes
	return d.planned(ctx, p, o.OnEvent)
}

// resolve checks the command against what runs on a cluster, and changes what
// is the application's own.
func (c *Command) resolve(r resolvedIntent) (resolvedIntent, error) {
	app, err := decodeApplication(r.Application)
	if err != nil {
		return r, err
	}
	if err := c.check(app); err != nil {
		return r, err
	}
	if c.Kind != KindImage {
		return r, nil
	}
	c.setImages(app)
	if err := appmodel.Validate(app).Err(); err != nil {
		return r, err
	}
	r.Application, err = encodeApplication(app)
	return r, err
}

// intend changes what is meant for a cluster as the command does, so that a copy
// or a promotion finds it.
func (d *Deployer) intend(ctx context.Context, c *Command, name string, in *meaning) error {
	if c.Kind != KindImage || in == nil || in.Application == nil {
		return nil
	}
	at, err := d.clusters.Cluster(ctx, name)
	if err != nil {
		return err
	}
	app, err := decodeApplication(in.Application)
	if err != nil {
		return err
	}
	c.setImages(app)
	overrides, err := overridesOf(in.Overrides)
	if err != nil {
		return err
	}
	meant := app
	for _, o := range overrides {
		if !choice.Matches(o.Clusters, choice.Cluster{Name: name, Labels: at.Labels()}) {
			continue
		}
		if meant, _, err = appmodel.Apply(meant, o.Override); err != nil {
			return err
		}
	}
	changed := appmodel.Clone(meant)
	c.setImages(changed)
	if len(appmodel.Changes(meant, changed)) > 0 { // an override says otherwise
		last, err := appmodel.Diff(meant, changed)
		if err != nil {
			return err
		}
		last.Metadata.Name = "images"
		data, err := appmodel.EncodeOverride(last, &appmodel.EncodeOptions{Secrets: true, JSON: true})
		if err != nil {
			return err
		}
		in.Overrides = append(slices.Clone(in.Overrides), storedOverride{Document: data})
	}
	in.Application, err = encodeApplication(app)
	return err
}

func (c *Command) setImages(app *appmodel.Application) {
	for i := range app.Components {
		if image, ok := c.Images[app.Components[i].ID]; ok {
			app.Components[i].Image = image
		}
	}
}

// Run plans a command and applies it. A cluster on which something stands in
// its way is left alone and named in the error.
func (d *Deployer) Run(ctx context.Context, application string, to Target, c Command, apply *ApplyOptions) (*Result, error) {
	p, err := d.PlanCommand(ctx, application, to, c, nil)
	if err != nil {
		return nil, err
	}
	return d.Apply(ctx, p, apply)
}

// fromReleases begins a plan that takes an earlier release of each cluster as
// it was resolved there; which, says choose.
func (d *Deployer) fromReleases(ctx context.Context, application string, to Target, kind PlanKind, choose func(*state) ([]int, error)) (*Plan, error) {
	to, err := d.reading(ctx, application, to)
	if err != nil {
		return nil, err
	}
	in := &intent{envelope: envelope{Format: intentFormat, MinReader: intentFormat}, Kind: kind,
		Resolved: map[string]resolvedIntent{}, FromRevision: map[string]int{}}
	p := &Plan{Kind: kind, Application: application, Installation: d.opts.Installation, Target: to, intent: in, failed: map[string]error{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range to.Clusters {
		wg.Go(func() {
			limited, cancel := d.limit(ctx)
			defer cancel()
			found, err := d.earlier(limited, application, to, name, choose)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				p.failed[name] = fmt.Errorf("%s of %s: %w", kind, application, err)
				return
			}
			found.into(in, name)
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if len(p.failed) == len(to.Clusters) { // nowhere is anything to begin with
		if err := errors.Join(slices.Collect(maps.Values(p.failed))...); errors.Is(err, appspan.ErrNotFound) {
			return nil, err
		}
	}
	return p, nil
}

// planned completes a plan.
func (d *Deployer) planned(ctx context.Context, p *Plan, onEvent func(appspan.Event)) (*Plan, error) {
	events := newDispatcher(onEvent)
	defer events.close()
	if err := d.planAll(ctx, p, events); err != nil {
		return nil, err
	}
	return p, p.finish(d)
}

// components say what became of the components that the plan's command was
// for.
func (a *applier) components(failed error) []ComponentResult {
	c := a.plan.intent.Command
	if c == nil {
		return nil
	}
	changed := map[string]bool{}
	for _, change := range a.fresh.Changes {
		changed[change.Component] = true
	}
	seen := map[string]status.Component{}
	for _, s := range a.result.Status.Components {
		seen[s.ID] = s
	}
	var out []ComponentResult
	app := a.fresh.work.app.app
	for i := range app.Components {
		component := &app.Components[i]
		if !c.names(component.ID) {
			continue
		}
		r := ComponentResult{Component: component.ID, Outcome: OutcomeUnchanged}
		now, known := seen[component.ID]
		switch why := c.fits(component); {
		case why != "":
			r.Outcome, r.Message = OutcomeSkipped, why
		case failed != nil && (!known || now.Value != status.Ready && now.Value != status.Stopped):
			r.Outcome, r.Message = OutcomeFailed, now.Message
			if len(now.Causes) > 0 {
				r.Message = now.Causes[0].Message
			}
		case changed[component.ID]:
			r.Outcome = OutcomeDone
		}
		out = append(out, r)
	}
	return out
}
