package deploy

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/storage"
)

// PipelineOptions shape a [Pipeline].
type PipelineOptions struct {
	// Checks are what gates may name.
	Checks map[string]Check
	// CheckTimeout bounds one call of a check; default 5 min. CheckPatience is
	// for how long a check may be unable to say; default 1 h.
	CheckTimeout  time.Duration
	CheckPatience time.Duration
	// Interval is how often Run looks at stages that wait for something;
	// default 10 s. What is changed by somebody is looked at at once.
	Interval time.Duration
	// Apply is how plans are applied; OnEvent of it hears of every stage's.
	Apply ApplyOptions
	// OnStage hears of every state that a stage comes to in this process, never
	// two at a time.
	OnStage func(Stage)
	// TTL is after how long without a sign of life another process goes on with
	// a stage; default 15 s. Holder names this process among those that share
	// the records; default: a random name.
	TTL    time.Duration
	Holder string
	// Logger hears what no caller is told; nil discards.
	Logger *slog.Logger
}

// Pipeline takes what is new through the environments of applications: into the
// first, where it is deployed, then by promotion from one to the next, through
// the gates of each. What has passed an environment goes on by itself into those
// after it that are Auto.
//
// One [Stage] is one thing on its way into one environment. It is kept in
// Records from the call that begins it on; [Pipeline.Run] takes it further, in one
// process at a time, and in another one when that ends. In each environment one
// stage is applied at a time, the oldest first; one that has not been applied
// makes way for a newer one of its kind.
//
// An approval is of a plan, by its hash: a plan that would be another one by the
// time of its apply is checked and approved anew. Everything is planned and
// applied on behalf of who began the stage, so an approval adds to what they may
// do, and takes nothing's place.
//
// It is safe for concurrent use.
type Pipeline struct {
	environments *Environments
	d            *Deployer
	records      *storage.Records
	leases       *storage.Leases
	opts         PipelineOptions
	telling      *sync.Mutex
}

// NewPipeline returns the pipeline through environments.
func NewPipeline(environments *Environments, opts *PipelineOptions) (*Pipeline, error) {
	if environments == nil {
		return nil, fmt.Errorf("pipeline: %w: no environments", appspan.ErrInvalid)
	}
	var o PipelineOptions
	if opts != nil {
		o = *opts
	}
	for name, check := range o.Checks {
		if name == "" || check == nil {
			return nil, fmt.Errorf("pipeline: %w: check %q is nil or has no name", appspan.ErrInvalid, name)
		}
	}
	o.Checks = maps.Clone(o.Checks)
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&o.CheckTimeout, 5 * time.Minute}, {&o.CheckPatience, time.Hour}, {&o.Interval, 10 * time.Second}, {&o.TTL, 15 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	if o.Holder == "" {
		o.Holder = strings.ToLower(rand.Text()[:12])
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Apply.Key = "" // which is for one apply
	return &Pipeline{environments: environments, d: environments.d, records: environments.records,
		leases: environments.records.Leases(o.Holder, &storage.LeaseOptions{TTL: o.TTL}), opts: o, telling: &sync.Mutex{}}, nil
}

// For returns a view that acts as subject.
func (p *Pipeline) For(subject appspan.Subject) *Pipeline {
	view := *p
	view.environments = p.environments.For(subject)
	view.d = view.environments.d
	return &view
}

// Of returns a view in which names mean environments of a team; see
// [Environments.Of].
func (p *Pipeline) Of(team string) *Pipeline {
	view := *p
	view.environments = p.environments.Of(team)
	return &view
}

func (p *Pipeline) tell(s *Stage) {
	if p.opts.OnStage == nil {
		return
	}
	p.telling.Lock()
	defer p.telling.Unlock()
	p.opts.OnStage(*s)
}

var stageID = regexp.MustCompile(`^[a-z0-9]{20}$`)

// newStageID is an ID that nobody guesses.
func newStageID() string { return strings.ToLower(rand.Text()[:20]) }

// followerID is the ID of what follows a stage in an environment: the same each
// time, so that it is begun once.
func followerID(after *Stage, env environmentRef) string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("%s/%d/%s/%s", after.ID, after.Attempt, env.name, env.team)))
	return hex.EncodeToString(sum[:10])
}

// StageOptions shape a stage.
type StageOptions struct {
	// Answers are added to those of the environment.
	Answers map[string]appmodel.JSON
	// Revision, Decisions and Defaults are for a promotion; see
	// [PromotionOptions].
	Revision  int
	Decisions map[string]appmodel.Decision
	Defaults  bool
	// DataLoss is as in PlanOptions.
	DataLoss bool
}

func (o *StageOptions) intent() *stageIntent {
	if o == nil {
		return &stageIntent{}
	}
	return &stageIntent{Answers: o.Answers, Decisions: o.Decisions, Defaults: o.Defaults, DataLoss: o.DataLoss}
}

// Deploy begins to bring an application into an environment. Its name gives way
// to the environment's. The stage is written down and not yet planned when it
// returns; [Pipeline.Run] or [Pipeline.Advance] goes on. The subject must be
// allowed to change the environment and to deploy to its target.
func (p *Pipeline) Deploy(ctx context.Context, application, environment string, app *appmodel.Application, opts *StageOptions) (Stage, error) {
	if app == nil {
		return Stage{}, fmt.Errorf("stage of %s/%s: %w: no application", application, environment, appspan.ErrInvalid)
	}
	named := appmodel.Clone(app)
	named.Metadata.Name = application
	if err := appmodel.Validate(named).Err(); err != nil {
		return Stage{}, fmt.Errorf("stage of %s/%s: %w", application, environment, err)
	}
	in := opts.intent()
	var err error
	if in.Application, err = encodeApplication(named); err != nil {
		return Stage{}, err
	}
	env, err := p.environments.Get(ctx, application, environment)
	if err != nil {
		return Stage{}, err
	}
	return p.start(ctx, &env, Stage{Kind: KindDeploy}, in)
}

// Promote begins to bring what runs in the environment before into this one; see
// [Environments.PlanPromotion], and Deploy for the rest.
func (p *Pipeline) Promote(ctx context.Context, application, environment string, opts *StageOptions) (Stage, error) {
	env, err := p.environments.Get(ctx, application, environment)
	if err != nil {
		return Stage{}, err
	}
	s := Stage{Kind: KindPromote}
	if opts != nil {
		s.Revision = opts.Revision
	}
	return p.start(ctx, &env, s, opts.intent())
}

// start writes a stage down.
func (p *Pipeline) start(ctx context.Context, env *Environment, s Stage, in *stageIntent) (Stage, error) {
	if s.Kind == KindPromote && env.From == "" {
		return s, fmt.Errorf("stage of %s: %w: nothing is promoted to it; deploy to it, or set From", env, appspan.ErrPrecondition)
	}
	to, err := p.d.choose(ctx, env.Application, env.Target)
	if err != nil {
		return s, err
	}
	for _, c := range to.Clusters {
		if err := p.d.authorize(ctx, appspan.VerbDeploy, env.Application, to, c); err != nil {
			return s, err
		}
	}
	s.begin(env, p.d.subject)
	s.ID = newStageID()
	s, err = p.write(ctx, s, in)
	if err != nil {
		return s, err
	}
	p.tell(&s)
	return s, p.audit(ctx, appspan.VerbUpdate, &s, "began "+string(s.Kind))
}

// begin makes a stage what one is at its beginning.
func (s *Stage) begin(env *Environment, subject appspan.Subject) {
	s.Application, s.Environment, s.Team = env.Application, env.Name, env.Target.Team
	s.Subject, s.State, s.Attempt = subject, StagePlanning, 1
	s.Created = time.Now().UTC()
	s.Changed = s.Created
}

func (p *Pipeline) audit(ctx context.Context, verb appspan.Verb, s *Stage, outcome string) error {
	if p.d.opts.Auditor == nil {
		return nil
	}
	entry := appspan.AuditEntry{Time: time.Now().UTC(), Subject: p.d.subject, PlanHash: s.PlanHash, Outcome: outcome, Access: s.access(verb)}
	if err := p.d.opts.Auditor.Audit(context.WithoutCancel(ctx), entry); err != nil {
		return fmt.Errorf("audit of %s: %w", s, err)
	}
	return nil
}

// Access is what somebody must be allowed to hear of a stage.
func (s Stage) Access() appspan.Access { return s.access(appspan.VerbRead) }

func (s *Stage) access(verb appspan.Verb) appspan.Access {
	return appspan.Access{Verb: verb, Resource: "environment", Team: s.Team, Application: s.Application}
}

// authorize asks for an access to a stage. Who may not read it is told that it
// is not there.
func (p *Pipeline) authorize(ctx context.Context, verb appspan.Verb, s *Stage) error {
	err := appspan.Authorize(ctx, p.d.opts.Authorizer, p.d.subject, s.access(appspan.VerbRead))
	if errors.Is(err, appspan.ErrDenied) && p.d.subject.Team != s.Team {
		return fmt.Errorf("stage %s of %s: %w: it is not there", s.ID, s.Application, appspan.ErrNotFound)
	}
	if err != nil || verb == appspan.VerbRead {
		return err
	}
	return appspan.Authorize(ctx, p.d.opts.Authorizer, p.d.subject, s.access(verb))
}

// Get returns a stage.
func (p *Pipeline) Get(ctx context.Context, application, id string) (Stage, error) {
	r, err := p.load(ctx, application, id)
	if err != nil {
		return Stage{}, err
	}
	if err := p.authorize(ctx, appspan.VerbRead, &r.Stage); err != nil {
		return Stage{}, err
	}
	return r.Stage, nil
}

// List yields the stages of an application, or of all if it is empty, that the
// subject may read: all that are not over, and the last fifty of each
// environment, the oldest first.
func (p *Pipeline) List(ctx context.Context, application string) iter.Seq2[Stage, error] {
	return func(yield func(Stage, error) bool) {
		var out []Stage
		var failed error
		for r, err := range p.stages(ctx, application) {
			if err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			if p.authorize(ctx, appspan.VerbRead, &r.Stage) == nil {
				out = append(out, r.Stage)
			}
		}
		slices.SortFunc(out, func(a, b Stage) int { return compareStages(&a, &b) })
		for _, s := range out {
			if !yield(s, nil) {
				return
			}
		}
		if failed != nil {
			yield(Stage{}, failed)
		}
	}
}

// Watch yields every stage that the subject may read, and then each change of
// one, until ctx ends. An error comes last: of records that cannot be used any
// more, or ctx's.
func (p *Pipeline) Watch(ctx context.Context) iter.Seq2[Stage, error] {
	return func(yield func(Stage, error) bool) {
		for e, err := range p.records.Watch(ctx, stageKeys, nil) {
			if err != nil {
				yield(Stage{}, err)
				return
			}
			if e.Type != storage.Added && e.Type != storage.Modified {
				continue
			}
			r, err := decodeStage(e.Record)
			if err == nil && p.authorize(ctx, appspan.VerbRead, &r.Stage) == nil && !yield(r.Stage, nil) {
				return
			}
		}
	}
}

// Approve says yes to a plan, by its hash: the one that the subject has seen,
// else it is appspan.ErrPrecondition. It takes appspan.VerbApprove on the
// environment, and what its [Gates] ask for. To approve twice is to approve once.
func (p *Pipeline) Approve(ctx context.Context, application, id, planHash, comment string) (Stage, error) {
	return p.say(ctx, application, id, appspan.VerbApprove, "approved", func(r *stageRecord) error {
		env, _, err := p.environments.load(ctx, r.environment())
		if err != nil {
			return err
		}
		if r.State != StageWaiting {
			return fmt.Errorf("%s: %w: it is %s and waits for no approval", r.Stage, appspan.ErrPrecondition, r.State)
		}
		if planHash == "" || planHash != r.PlanHash {
			return fmt.Errorf("%s: %w: its plan is %s, not %q; look at Pipeline.Plan and approve that", r.Stage, appspan.ErrPrecondition, r.PlanHash, cut(printable(planHash), 100))
		}
		if why := env.Gates.admits(p.d.subject, &r.Stage); why != "" {
			return fmt.Errorf("%s: %w: %s", r.Stage, appspan.ErrDenied, why)
		}
		if slices.ContainsFunc(r.Approvals, func(a Approval) bool { return a.Subject.ID == p.d.subject.ID && a.PlanHash == planHash }) {
			return nil
		}
		r.Approvals = append(r.Approvals, Approval{Subject: p.d.subject, PlanHash: planHash, Comment: cut(printable(comment), maxAccount), Time: time.Now().UTC()})
		r.Reason = env.Gates.missing(r)
		return nil
	})
}

// approved counts the approvals of the plan that still count.
func (g Gates) approved(r *stageRecord) int {
	n := 0
	for _, a := range r.Approvals {
		if a.PlanHash == r.PlanHash && g.admits(a.Subject, &r.Stage) == "" {
			n++
		}
	}
	return n
}

// missing says which approvals a stage waits for, or "".
func (g Gates) missing(r *stageRecord) string {
	n := g.approved(r)
	if n >= g.Approvals {
		return ""
	}
	of := ""
	if len(g.Approvers) > 0 {
		of = " of " + strings.Join(g.Approvers, ", ")
	}
	return fmt.Sprintf("%d of %d approvals%s", n, g.Approvals, of)
}

// Reject ends a stage that was not applied. It takes appspan.VerbApprove on the
// environment.
func (p *Pipeline) Reject(ctx context.Context, application, id, comment string) (Stage, error) {
	return p.end(ctx, application, id, appspan.VerbApprove, StageRejected, comment)
}

// Cancel takes back a stage that was not applied.
func (p *Pipeline) Cancel(ctx context.Context, application, id, comment string) (Stage, error) {
	return p.end(ctx, application, id, appspan.VerbUpdate, StageCancelled, comment)
}

func (p *Pipeline) end(ctx context.Context, application, id string, verb appspan.Verb, state StageState, comment string) (Stage, error) {
	return p.say(ctx, application, id, verb, string(state), func(r *stageRecord) error {
		if r.State.Over() || r.State.applied() {
			return fmt.Errorf("%s: %w: it is %s; roll back what it did with Deployer.Rollback", r.Stage, appspan.ErrPrecondition, r.State)
		}
		r.State = state
		r.Reason = fmt.Sprintf("%s by %s", state, p.d.subject)
		if comment != "" {
			r.Reason += ": " + comment
		}
		return nil
	})
}

// Retry begins a stage again that has failed or was rolled back.
func (p *Pipeline) Retry(ctx context.Context, application, id string) (Stage, error) {
	return p.say(ctx, application, id, appspan.VerbUpdate, "begun again", func(r *stageRecord) error {
		if r.State != StageFailed && r.State != StageRolledBack {
			return fmt.Errorf("%s: %w: it is %s; only what has failed is begun again", r.Stage, appspan.ErrPrecondition, r.State)
		}
		r.State, r.Reason, r.Ended, r.Approvals, r.Clusters = StagePlanning, "", time.Time{}, nil, nil
		r.replan()
		r.Attempt++
		return nil
	})
}

// Decide decides conflicts of a promotion, by path; see
// PromotionOptions.Decisions.
func (p *Pipeline) Decide(ctx context.Context, application, id string, decisions map[string]appmodel.Decision) (Stage, error) {
	return p.say(ctx, application, id, appspan.VerbUpdate, "decided", func(r *stageRecord) error {
		if r.State != StageConflicted {
			return fmt.Errorf("%s: %w: it is %s and has nothing to decide", r.Stage, appspan.ErrPrecondition, r.State)
		}
		in, err := p.openIntent(r)
		if err != nil {
			return err
		}
		if in.Decisions == nil {
			in.Decisions = map[string]appmodel.Decision{}
		}
		maps.Copy(in.Decisions, decisions)
		r.State, r.Reason = StagePlanning, ""
		if !slices.Contains(r.Deciders, p.d.subject.ID) {
			r.Deciders = append(r.Deciders, p.d.subject.ID)
		}
		r.replan()
		r.Sealed, err = p.sealIntent(&r.Stage, in)
		return err
	})
}

// replan forgets what a plan had.
func (s *Stage) replan() {
	s.PlanHash, s.Summary, s.Conflicts, s.Checks = "", nil, nil, nil
}

// say is what somebody does to a stage.
func (p *Pipeline) say(ctx context.Context, application, id string, verb appspan.Verb, what string, edit func(*stageRecord) error) (Stage, error) {
	r, err := p.load(ctx, application, id)
	if err != nil {
		return Stage{}, err
	}
	if err := p.authorize(ctx, verb, &r.Stage); err != nil {
		return Stage{}, err
	}
	if r, err = p.change(ctx, &r.Stage, edit); err != nil {
		return Stage{}, err
	}
	return r.Stage, p.audit(ctx, verb, &r.Stage, what)
}

// Plan makes the plan of a stage that has not been applied, as it is now: to be
// looked at before it is approved. Its Hash may differ from the stage's PlanHash
// when something changed; then that will be approved anew.
func (p *Pipeline) Plan(ctx context.Context, application, id string) (*Plan, error) {
	r, err := p.load(ctx, application, id)
	if err != nil {
		return nil, err
	}
	if err := p.authorize(ctx, appspan.VerbRead, &r.Stage); err != nil {
		return nil, err
	}
	if r.State.Over() {
		return nil, fmt.Errorf("%s: %w: it is %s; its releases say what it did", r.Stage, appspan.ErrPrecondition, r.State)
	}
	plan, _, err := p.For(r.Subject).plan(ctx, r)
	return plan, err
}
