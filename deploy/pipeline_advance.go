package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
)

// Advance takes a stage as far as it comes now: until it is over, or waits for
// somebody, for its turn, or for a time. It returns the stage as it is then; that
// the stage failed is its State, not the error. While another process is at an
// environment it is appspan.ErrConflict. When ctx ends, the stage stays where it
// is, and another call goes on.
func (p *Pipeline) Advance(ctx context.Context, application, id string) (Stage, error) {
	r, err := p.load(ctx, application, id)
	if err != nil {
		return Stage{}, err
	}
	if err := p.authorize(ctx, appspan.VerbUpdate, &r.Stage); err != nil {
		return Stage{}, err
	}
	r, err = p.advance(ctx, r)
	if r == nil {
		return Stage{}, err
	}
	return r.Stage, err
}

func (p *Pipeline) advance(ctx context.Context, r *stageRecord) (*stageRecord, error) {
	if r.State.Over() {
		return r, p.follow(ctx, r)
	}
	lease, err := p.leases.Try(ctx, strings.Join([]string{"pipeline", p.d.opts.Installation, r.Application, r.Environment, r.Team}, "."))
	if err != nil {
		return r, fmt.Errorf("%s: %w", r.Stage, err)
	}
	defer func() {
		released, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = lease.Release(released) // else it ends by itself
	}()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(lease.Context(), func() { cancel(context.Cause(lease.Context())) })()
	walk := &stageWalk{Pipeline: p.For(r.Subject)}
	for {
		now, err := walk.load(ctx, r.Application, r.ID)
		if err != nil {
			return r, err
		}
		r = now
		if r.State.Over() {
			return r, walk.follow(ctx, r)
		}
		next, err := walk.step(ctx, r)
		if ctx.Err() != nil {
			return r, context.Cause(ctx)
		}
		if err != nil {
			return r, err
		}
		if next == nil {
			return walk.load(ctx, r.Application, r.ID)
		}
	}
}

// stageWalk takes one stage further, on behalf of who began it.
type stageWalk struct {
	*Pipeline
	planned *Plan // a moment ago
}

// step does what is next; nil says that nothing is, for now.
func (w *stageWalk) step(ctx context.Context, r *stageRecord) (*stageRecord, error) {
	env, err := w.environments.get(ctx, r.environment())
	if errors.Is(err, appspan.ErrNotFound) || errors.Is(err, appspan.ErrDenied) {
		if r.State.applied() {
			return w.fail(ctx, r, nil, err)
		}
		return w.moved(ctx, r, StageFailed, account(err, nil))
	}
	if err != nil {
		return w.later(ctx, r, err)
	}
	if !r.State.applied() {
		if wait, next, err := w.turn(ctx, r); wait || err != nil {
			return next, err
		}
	}
	switch r.State {
	case StagePlanning:
		return w.toPlan(ctx, r, &env)
	case StageChecking:
		return w.toCheck(ctx, r, &env)
	case StageWaiting:
		return w.toWait(ctx, r, &env)
	case StageApplying:
		return w.toApply(ctx, r, &env)
	case StageVerifying:
		return w.toVerify(ctx, r, &env)
	case StageRollingBack:
		return w.toRollBack(ctx, r)
	}
	return nil, nil // conflicted: somebody decides
}

// turn lets the stages of an environment come one after the other; it reports
// whether this one has to wait, or has to make way.
func (w *stageWalk) turn(ctx context.Context, r *stageRecord) (bool, *stageRecord, error) {
	all, err := w.ofEnvironment(ctx, r.environment())
	if err != nil {
		return true, nil, err
	}
	for _, other := range all {
		switch order := compareStages(&other.Stage, &r.Stage); {
		case other.State.Over() || order == 0:
		case order > 0 && r.makesWay(&other.Stage):
			next, err := w.moved(ctx, r, StageSuperseded, "stage "+other.ID+" came after it")
			return true, next, err
		case order < 0 && !other.makesWay(&r.Stage):
			next, err := w.stay(ctx, r, fmt.Sprintf("stage %s is before it (%s)", other.ID, other.State))
			return true, next, err
		}
	}
	if wait := time.Until(r.NotBefore); wait > 0 {
		next, err := w.stay(ctx, r, soaks(r.NotBefore))
		return true, next, err
	}
	return false, nil, nil
}

func soaks(until time.Time) string { return "it soaks until " + until.UTC().Format(time.RFC3339) }

// makesWay reports whether a newer stage takes the place of this one.
func (s *Stage) makesWay(newer *Stage) bool {
	return !s.State.applied() && s.Kind == newer.Kind && s.Component == newer.Component && sameRepository(s.Image, newer.Image)
}

func sameRepository(a, b string) bool {
	x, errA := parseImage(a)
	y, errB := parseImage(b)
	return a == b || errA == nil && errB == nil && x.repository == y.repository
}

// moved brings a stage to a state, if nobody ended it meanwhile.
func (w *stageWalk) moved(ctx context.Context, r *stageRecord, state StageState, reason string, edits ...func(*stageRecord)) (*stageRecord, error) {
	was := r.State
	return w.change(ctx, &r.Stage, func(now *stageRecord) error {
		if now.State != was {
			return nil // somebody was faster
		}
		now.State, now.Reason = state, reason
		for _, edit := range edits {
			edit(now)
		}
		return nil
	})
}

// stay says why a stage waits; what the error has is looked at again later.
func (w *stageWalk) stay(ctx context.Context, r *stageRecord, reason string) (*stageRecord, error) {
	if r.Reason == reason {
		return nil, nil
	}
	_, err := w.moved(ctx, r, r.State, reason)
	return nil, err
}

func (w *stageWalk) later(ctx context.Context, r *stageRecord, err error) (*stageRecord, error) {
	return w.stay(ctx, r, account(err, nil))
}

// plan makes the plan of a stage. The revision is that of what is promoted.
func (p *Pipeline) plan(ctx context.Context, r *stageRecord) (*Plan, *Promotion, error) {
	in, err := p.openIntent(r)
	if err != nil {
		return nil, nil, err
	}
	env, err := p.environments.get(ctx, r.environment())
	if err != nil {
		return nil, nil, err
	}
	switch r.Kind {
	case KindDeploy:
		app, err := decodeApplication(in.Application)
		if err != nil {
			return nil, nil, err
		}
		plan, err := p.environments.planDeploy(ctx, &env, app, &PlanOptions{Answers: in.Answers, DataLoss: in.DataLoss})
		return plan, nil, err
	case KindPromote:
		promotion, err := p.environments.planPromotion(ctx, &env, &PromotionOptions{Revision: r.Revision,
			Decisions: in.Decisions, Defaults: in.Defaults, Answers: in.Answers, DataLoss: in.DataLoss})
		if err != nil {
			return nil, promotion, err
		}
		return promotion.Plan, promotion, nil
	case KindImage:
		plan, err := p.planImage(ctx, r, &env)
		return plan, nil, err
	}
	return nil, nil, fmt.Errorf("%s: %w: kind %q", r.Stage, appspan.ErrUnsupported, r.Kind)
}

// maxConflicts bounds what a stage keeps of a promotion.
const maxConflicts = 200

// toPlan makes the plan.
func (w *stageWalk) toPlan(ctx context.Context, r *stageRecord, env *Environment) (*stageRecord, error) {
	plan, promotion, err := w.plan(ctx, r)
	if promotion != nil {
		switch promotion.FromState {
		case ReleaseApplying:
			return w.stay(ctx, r, fmt.Sprintf("release %d of the environment before is being applied", promotion.From.Revision))
		case ReleaseFailed, ReleaseInterrupted:
			return w.moved(ctx, r, StageFailed, fmt.Sprintf("release %d of the environment before is %s; mend it there, and promote again", promotion.From.Revision, promotion.FromState))
		}
		if until := promotion.FromFinished.Add(env.Gates.Soak); time.Until(until) > 0 {
			_, err := w.moved(ctx, r, StagePlanning, soaks(until), func(now *stageRecord) { now.NotBefore, now.Revision = until, promotion.From.Revision })
			return nil, err
		}
	}
	switch {
	case err == nil:
		err = plan.Err()
	case promotion != nil && len(promotion.Conflicts) > 0 && errors.Is(err, appspan.ErrConflict):
		return w.moved(ctx, r, StageConflicted, account(err, nil), func(now *stageRecord) {
			now.Conflicts = promotion.Conflicts[:min(len(promotion.Conflicts), maxConflicts)]
		})
	}
	if errors.Is(err, appspan.ErrUnavailable) {
		return w.later(ctx, r, err)
	}
	if err != nil {
		return w.moved(ctx, r, StageFailed, account(err, nil))
	}
	w.planned = plan
	return w.moved(ctx, r, StageChecking, "", func(now *stageRecord) {
		now.replan()
		now.PlanHash, now.Summary = plan.Hash, plan.summary()
		if promotion != nil {
			now.Revision = promotion.From.Revision
		}
	})
}

// summary says what a plan does, cluster by cluster.
func (p *Plan) summary() []string {
	var out []string
	for i := range p.Clusters {
		c := &p.Clusters[i]
		out = append(out, fmt.Sprintf("%s: %d to change, %d unchanged", c.Cluster, len(c.Changes), c.Unchanged))
	}
	return out
}

// again is the plan as it would be made now, if it is the one that was
// approved; another one, or a fault, takes the stage back to its planning.
func (w *stageWalk) again(ctx context.Context, r *stageRecord) (*Plan, *stageRecord, error) {
	if w.planned != nil && w.planned.Hash == r.PlanHash {
		return w.planned, nil, nil
	}
	plan, _, err := w.plan(ctx, r)
	if err == nil {
		err = plan.Err()
	}
	if errors.Is(err, appspan.ErrUnavailable) {
		next, err := w.later(ctx, r, err)
		return nil, next, err
	}
	if err == nil && plan.Hash == r.PlanHash {
		w.planned = plan
		return plan, nil, nil
	}
	next, err := w.moved(ctx, r, StagePlanning, "something has changed since the plan was made; it is planned again")
	return nil, next, err
}

// toCheck asks the checks before.
func (w *stageWalk) toCheck(ctx context.Context, r *stageRecord, env *Environment) (*stageRecord, error) {
	if len(env.Gates.Before) > 0 {
		plan, next, err := w.again(ctx, r)
		if plan == nil {
			return next, err
		}
		var passed bool
		r, passed, err = w.ask(ctx, r, phaseBefore, env.Gates.Before, CheckInput{Target: plan.Target, Plan: plan})
		if ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			return w.moved(ctx, r, StageFailed, account(err, nil))
		}
		if !passed {
			return nil, nil
		}
	}
	return w.moved(ctx, r, StageWaiting, "")
}

// toWait goes on once there are enough approvals, if the plan is still the one
// that they are for.
func (w *stageWalk) toWait(ctx context.Context, r *stageRecord, env *Environment) (*stageRecord, error) {
	if missing := env.Gates.missing(r); missing != "" {
		if r.Reason == missing {
			return nil, nil
		}
		return w.stay(ctx, r, missing)
	}
	for _, name := range env.Gates.Before { // gates may have been changed meanwhile
		if !slices.ContainsFunc(r.Checks, func(c CheckResult) bool { return c.Name == name && c.Phase == phaseBefore && c.Passed }) {
			return w.moved(ctx, r, StageChecking, "")
		}
	}
	plan, next, err := w.again(ctx, r)
	if plan == nil {
		return next, err
	}
	return w.moved(ctx, r, StageApplying, "", func(now *stageRecord) {
		now.Clusters = nil
		for i := range plan.Clusters {
			now.Clusters = append(now.Clusters, StageCluster{Cluster: plan.Clusters[i].Cluster, Before: plan.Clusters[i].From})
		}
	})
}

// toApply applies the plan. A process that takes it up plans again what is
// left of it: what it is made from is the same.
func (w *stageWalk) toApply(ctx context.Context, r *stageRecord, env *Environment) (*stageRecord, error) {
	plan := w.planned
	if plan == nil || plan.Hash != r.PlanHash {
		var err error
		if plan, _, err = w.plan(ctx, r); err == nil {
			err = plan.Err()
		}
		if errors.Is(err, appspan.ErrUnavailable) {
			return w.later(ctx, r, err)
		}
		if err != nil {
			return w.fail(ctx, r, env, err)
		}
	}
	w.planned = nil
	o := w.opts.Apply.normal()
	o.passed, o.Key = true, fmt.Sprintf("stage/%s/%d", r.ID, r.Attempt)
	result, err := w.d.apply(ctx, plan, o)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if result == nil && err != nil {
		if errors.Is(err, appspan.ErrUnavailable) {
			return w.later(ctx, r, err)
		}
		return w.fail(ctx, r, env, err)
	}
	noted, changed := w.moved(ctx, r, StageApplying, "", func(now *stageRecord) { now.take(result) })
	if changed != nil {
		return noted, changed
	}
	if err != nil {
		return w.fail(ctx, noted, env, err)
	}
	return w.moved(ctx, noted, StageVerifying, "")
}

// take notes what an apply did.
func (r *stageRecord) take(result *Result) {
	for i := range r.Clusters {
		c := &r.Clusters[i]
		if now := result.Cluster(c.Cluster); now != nil {
			c.Revision, c.Outcome = now.Revision, now.Outcome
			c.Error = cut(printable(now.Error), maxAccount)
		}
	}
}

// fail ends a stage that was applied in part, or begins to roll it back.
func (w *stageWalk) fail(ctx context.Context, r *stageRecord, env *Environment, err error) (*stageRecord, error) {
	state := StageFailed
	if env != nil && env.RollBack && slices.ContainsFunc(r.Clusters, func(c StageCluster) bool { return c.Before > 0 && c.Revision > c.Before }) {
		state = StageRollingBack
	}
	return w.moved(ctx, r, state, account(err, nil))
}

// toVerify asks the checks after.
func (w *stageWalk) toVerify(ctx context.Context, r *stageRecord, env *Environment) (*stageRecord, error) {
	r, passed, err := w.ask(ctx, r, phaseAfter, env.Gates.After, CheckInput{Target: r.target(env)})
	switch {
	case ctx.Err() != nil:
		return nil, err
	case err != nil:
		return w.fail(ctx, r, env, err)
	case !passed:
		return nil, nil
	}
	return w.moved(ctx, r, StageDone, "")
}

// target is where a stage was applied.
func (s *Stage) target(env *Environment) Target {
	to := env.Target
	to.Clusters = nil
	for _, c := range s.Clusters {
		to.Clusters = append(to.Clusters, c.Cluster)
	}
	return to
}

// toRollBack brings back what was there before.
func (w *stageWalk) toRollBack(ctx context.Context, r *stageRecord) (*stageRecord, error) {
	env, _, err := w.environments.load(ctx, r.environment())
	if err != nil {
		return w.later(ctx, r, err)
	}
	var errs []error
	for _, c := range r.Clusters {
		if c.Before == 0 || c.Revision <= c.Before {
			continue
		}
		to := env.Target
		to.Clusters = []string{c.Cluster}
		plan, err := w.d.PlanRollback(ctx, r.Application, to, &RollbackOptions{Revision: c.Before})
		if err == nil {
			err = plan.Err()
		}
		if err == nil {
			_, err = w.d.Apply(ctx, plan, &w.opts.Apply)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if errors.Is(err, appspan.ErrUnavailable) && time.Since(r.Changed) < w.opts.CheckPatience {
			return w.stay(ctx, r, fmt.Sprintf("%s; the rollback waits: %s", reasonOf(r), account(err, nil)))
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return w.moved(ctx, r, StageFailed, reasonOf(r)+"; it could not be rolled back: "+account(err, nil))
	}
	return w.moved(ctx, r, StageRolledBack, reasonOf(r))
}

// reasonOf is why a stage is rolled back, without why that waits.
func reasonOf(r *stageRecord) string {
	before, _, _ := strings.Cut(r.Reason, "; the rollback waits: ")
	return before
}

// maxDepth bounds a chain of stages: environments that two people have closed to a
// circle at the same time end there.
const maxDepth = 32

// follow begins what follows a stage that is done by itself.
func (p *Pipeline) follow(ctx context.Context, r *stageRecord) error {
	if r.State != StageDone || r.Followed || r.Depth >= maxDepth {
		return nil
	}
	view := p.For(r.Subject)
	newer, err := view.newerIn(ctx, &r.Stage)
	if err != nil {
		return err
	}
	if newer { // what follows that, follows
		return nil
	}
	for env, err := range view.environments.list(ctx, r.Application+"/") {
		if err != nil {
			return err
		}
		if !env.Auto || env.From != r.Environment {
			continue
		}
		from, err := view.environments.from(ctx, &env)
		if err != nil {
			return err
		}
		if from.ref() != r.environment() {
			continue // another team's of the same name
		}
		id := followerID(&r.Stage, env.ref())
		if _, err := view.load(ctx, r.Application, id); err == nil {
			continue
		} else if !errors.Is(err, appspan.ErrNotFound) {
			return err
		}
		s := Stage{ID: id, Kind: KindPromote, After: r.ID, Depth: r.Depth + 1, Revision: r.uniform()}
		s.begin(&env, r.Subject)
		s.NotBefore = r.Ended.Add(env.Gates.Soak)
		if s, err = view.write(ctx, s, &stageIntent{}); err != nil {
			return err
		}
		view.tell(&s)
		if err := view.audit(ctx, appspan.VerbUpdate, &s, "began "+string(s.Kind)+" after stage "+r.ID); err != nil {
			return err
		}
	}
	_, err = view.change(ctx, &r.Stage, func(now *stageRecord) error {
		now.Followed = true
		return nil
	})
	return err
}

// newerIn reports whether a newer stage is done in the same environment.
func (p *Pipeline) newerIn(ctx context.Context, s *Stage) (bool, error) {
	all, err := p.ofEnvironment(ctx, s.environment())
	return slices.ContainsFunc(all, func(r *stageRecord) bool { return r.State == StageDone && compareStages(&r.Stage, s) > 0 }), err
}

// uniform is the release that a stage made, if it is the same on every cluster.
func (s *Stage) uniform() int {
	out := 0
	for i, c := range s.Clusters {
		if i > 0 && c.Revision != out {
			return 0
		}
		out = c.Revision
	}
	return out
}

// planImage plans to give components another image.
func (p *Pipeline) planImage(ctx context.Context, r *stageRecord, env *Environment) (*Plan, error) {
	here, err := p.d.present(ctx, Source{Application: r.Application, Target: env.Target})
	if err != nil {
		return nil, err
	}
	images := imagesOf(here.app, r.Component, r.Image)
	if len(images) == 0 {
		return nil, fmt.Errorf("%s: %w: no component has an image of the repository of %s", r.Stage, appspan.ErrNotFound, r.Image)
	}
	return p.d.PlanCommand(ctx, r.Application, env.Target, Command{Kind: KindImage, Images: images, At: r.Created}, nil)
}

// imagesOf says which components get an image.
func imagesOf(app *appmodel.Application, component, name string) map[string]string {
	pushed, err := parseImage(name)
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for i := range app.Components {
		c := &app.Components[i]
		own, err := parseImage(c.Image)
		if component == c.ID || component == "" && c.Image != "" && err == nil && own.repository == pushed.repository {
			out[c.ID] = name
		}
	}
	return out
}
