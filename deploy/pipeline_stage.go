package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/storage"
)

// StageState says how far a [Stage] has come.
type StageState string

// The states of a stage, in their order.
const (
	StagePlanning    StageState = "planning"    // its turn has not come, it soaks, or its plan is being made
	StageConflicted  StageState = "conflicted"  // see Conflicts; decide with Pipeline.Decide
	StageChecking    StageState = "checking"    // the checks before are asked
	StageWaiting     StageState = "waiting"     // for approvals of PlanHash
	StageApplying    StageState = "applying"    // the plan is being applied
	StageVerifying   StageState = "verifying"   // the checks after are asked
	StageRollingBack StageState = "rollingBack" // it failed, and what was before comes back

	StageDone       StageState = "done"       // it runs, and its checks have passed
	StageFailed     StageState = "failed"     // see Reason and Clusters
	StageRolledBack StageState = "rolledBack" // it failed; what was before runs again
	StageRejected   StageState = "rejected"   // somebody said no
	StageCancelled  StageState = "cancelled"  // somebody took it back
	StageSuperseded StageState = "superseded" // a newer one took its place before it was applied
)

// Over reports whether nothing more happens.
func (s StageState) Over() bool {
	return slices.Contains([]StageState{StageDone, StageFailed, StageRolledBack, StageRejected, StageCancelled, StageSuperseded}, s)
}

// applied reports whether clusters may have been written.
func (s StageState) applied() bool {
	return s == StageApplying || s == StageVerifying || s == StageRollingBack
}

// Stage is something new on its way into one environment: a deployment, a
// promotion or an image.
type Stage struct {
	// ID is unique among all stages.
	ID          string `json:"id"`
	Application string `json:"application"`
	Environment string `json:"environment"`
	// Team is whose environment it is.
	Team string `json:"team,omitempty"`
	// Kind is KindDeploy, KindPromote or KindImage.
	Kind PlanKind `json:"kind"`
	// Subject is who began it; it is planned and applied on behalf of them.
	Subject appspan.Subject `json:"subject"`
	// Deciders are the IDs of those who decided its conflicts: they have made it
	// what it is, as who began it has.
	Deciders []string `json:"deciders,omitempty"`
	// After is the stage that this one follows by itself, empty for the first;
	// Depth is how many are before it.
	After string `json:"after,omitempty"`
	Depth int    `json:"depth,omitempty"`
	// Image is, for KindImage, the image that was pushed, and Component what
	// gets it, empty: whatever has one of its repository.
	Image     string `json:"image,omitempty"`
	Component string `json:"component,omitempty"`
	// Revision is, for KindPromote, the release of the environment before that
	// is promoted; zero until that is known.
	Revision int `json:"revision,omitempty"`

	State StageState `json:"state"`
	// Reason says why it waits, has failed, or was ended. It holds no secret.
	Reason string `json:"reason,omitempty"`
	// PlanHash is that of the plan which is approved and applied; see
	// Pipeline.Plan. Summary says on each cluster what it does.
	PlanHash string   `json:"planHash,omitempty"`
	Summary  []string `json:"summary,omitempty"`
	// Conflicts are what a promotion cannot decide by itself.
	Conflicts []appmodel.Conflict `json:"conflicts,omitempty"`
	Approvals []Approval          `json:"approvals,omitempty"`
	Checks    []CheckResult       `json:"checks,omitempty"`
	Clusters  []StageCluster      `json:"clusters,omitempty"`
	// Followed: what follows it by itself was begun.
	Followed bool `json:"followed,omitempty"`
	// Attempt counts how often it was begun; see Pipeline.Retry.
	Attempt int `json:"attempt"`

	// Created, Changed and Ended are in UTC; Changed is when the state became
	// what it is. NotBefore is until when it soaks.
	Created   time.Time `json:"created"`
	Changed   time.Time `json:"changed"`
	Ended     time.Time `json:"ended,omitzero"`
	NotBefore time.Time `json:"notBefore,omitzero"`
}

// String names the stage.
func (s Stage) String() string {
	return fmt.Sprintf("stage %s of %s/%s", s.ID, s.Application, s.Environment)
}

// Approval is what somebody said of a plan.
type Approval struct {
	Subject  appspan.Subject `json:"subject"`
	PlanHash string          `json:"planHash"`
	Comment  string          `json:"comment,omitempty"`
	Time     time.Time       `json:"time"`
}

// StageCluster is what a stage did on one cluster.
type StageCluster struct {
	Cluster string `json:"cluster"`
	// Before is the release that was there, zero: none; Revision the one that
	// the stage made.
	Before   int     `json:"before,omitempty"`
	Revision int     `json:"revision,omitempty"`
	Outcome  Outcome `json:"outcome,omitempty"`
	Error    string  `json:"error,omitempty"`
}

// stageIntent is what a stage needs and what may be secret; it is stored
// sealed.
type stageIntent struct {
	Application json.RawMessage              `json:"application,omitempty"`
	Decisions   map[string]appmodel.Decision `json:"decisions,omitempty"`
	Defaults    bool                         `json:"defaults,omitempty"`
	Answers     map[string]appmodel.JSON     `json:"answers,omitempty"`
	DataLoss    bool                         `json:"dataLoss,omitempty"`
}

// stageRecord is a stage as it is stored.
type stageRecord struct {
	storage.Envelope
	Stage
	Sealed []byte `json:"sealed"`
}

const (
	stageKeys   = "pipelines/"
	stageFormat = 1
	// keptStages is how many stages that are over are kept of an environment.
	keptStages = 50
)

func stageKey(application, id string) string { return stageKeys + application + "/" + id }

// environment is the one that a stage is for.
func (s *Stage) environment() environmentRef {
	return environmentRef{team: s.Team, application: s.Application, name: s.Environment}
}

func (p *Pipeline) stageContext(s *Stage) []byte {
	return []byte(strings.Join([]string{"stage", p.d.opts.Installation, s.Application, s.Environment, s.ID}, "\x00"))
}

func (p *Pipeline) sealIntent(s *Stage, in *stageIntent) ([]byte, error) {
	packed, err := pack(in)
	if err != nil {
		return nil, err
	}
	return p.d.opts.Keys.Seal(packed, p.stageContext(s))
}

func (p *Pipeline) openIntent(r *stageRecord) (*stageIntent, error) {
	packed, err := p.d.opts.Keys.Open(r.Sealed, p.stageContext(&r.Stage))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Stage, err)
	}
	in := &stageIntent{}
	return in, unpack(packed, in)
}

// write stores a new stage; one of the same ID is left as it is.
func (p *Pipeline) write(ctx context.Context, s Stage, in *stageIntent) (Stage, error) {
	r := stageRecord{Envelope: storage.Envelope{Format: stageFormat, MinReader: stageFormat}, Stage: s}
	var err error
	if r.Sealed, err = p.sealIntent(&s, in); err != nil {
		return s, err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return s, err
	}
	_, err = p.records.Put(ctx, stageKey(s.Application, s.ID), data, "")
	if errors.Is(err, appspan.ErrExists) {
		before, err := p.load(ctx, s.Application, s.ID)
		return before.Stage, err
	}
	return s, err
}

func decodeStage(rec storage.Record) (*stageRecord, error) {
	r := &stageRecord{}
	if err := storage.Decode(rec.Value, stageFormat, r); err != nil {
		return nil, fmt.Errorf("record %s: %w", rec.Key, err)
	}
	if rec.Key != stageKey(r.Application, r.ID) {
		return nil, fmt.Errorf("record %s: %w: it holds %s", rec.Key, appspan.ErrCorrupt, r.Stage)
	}
	return r, nil
}

func (p *Pipeline) load(ctx context.Context, application, id string) (*stageRecord, error) {
	if !namespaceName.MatchString(application) || !stageID.MatchString(id) {
		return nil, fmt.Errorf("stage %q of %q: %w: it is not there", id, application, appspan.ErrNotFound)
	}
	rec, err := p.records.Get(ctx, stageKey(application, id))
	if errors.Is(err, appspan.ErrNotFound) {
		return nil, fmt.Errorf("stage %s of %s: %w: it is not there", id, application, appspan.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	return decodeStage(rec)
}

// change edits a stage by compare-and-swap. An edit that changes the state
// stamps it, and whoever listens hears of it.
func (p *Pipeline) change(ctx context.Context, s *Stage, edit func(*stageRecord) error) (*stageRecord, error) {
	ctx, cancel := draining(ctx)
	defer cancel()
	var now *stageRecord
	var before StageState
	key := stageKey(s.Application, s.ID)
	_, err := p.records.Update(ctx, key, func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, fmt.Errorf("%s: %w: it is not there any more", s, appspan.ErrNotFound)
		}
		var err error
		if now, err = decodeStage(storage.Record{Key: key, Value: old}); err != nil {
			return nil, err
		}
		before = now.State
		if err := edit(now); err != nil {
			return nil, err
		}
		now.Reason = cut(printable(now.Reason), maxAccount)
		if now.State != before {
			now.Changed = time.Now().UTC()
			if now.State.Over() {
				now.Ended = now.Changed
			}
		}
		return json.Marshal(now)
	})
	if err != nil {
		return nil, err
	}
	if now.State != before {
		p.tell(&now.Stage)
	}
	return now, nil
}

// stages yields the stages of an application, or of all if it is empty. What
// cannot be read is an error, and the others follow.
func (p *Pipeline) stages(ctx context.Context, application string) iter.Seq2[*stageRecord, error] {
	prefix := stageKeys
	if application != "" {
		prefix += application + "/"
	}
	return func(yield func(*stageRecord, error) bool) {
		for rec, err := range p.records.List(ctx, prefix) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(decodeStage(rec)) {
				return
			}
		}
	}
}

// ofEnvironment are the stages of an environment, the oldest first.
func (p *Pipeline) ofEnvironment(ctx context.Context, ref environmentRef) ([]*stageRecord, error) {
	var out []*stageRecord
	for r, err := range p.stages(ctx, ref.application) {
		if err != nil {
			return nil, err
		}
		if r.environment() == ref {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *stageRecord) int { return compareStages(&a.Stage, &b.Stage) })
	return out, nil
}

func compareStages(a, b *Stage) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
}

// Reseal seals every stage with the active key, and returns how many it sealed.
// It takes appspan.VerbUpdate on environments.
func (p *Pipeline) Reseal(ctx context.Context) (int, error) {
	if err := appspan.Authorize(ctx, p.d.opts.Authorizer, p.d.subject, appspan.Access{Verb: appspan.VerbUpdate, Resource: "environment", Team: p.d.subject.Team}); err != nil {
		return 0, err
	}
	n := 0
	var errs []error
	for r, err := range p.stages(ctx, "") {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !p.d.opts.Keys.Stale(r.Sealed) {
			continue
		}
		_, err = p.change(ctx, &r.Stage, func(now *stageRecord) error {
			in, err := p.openIntent(now)
			if err != nil {
				return err
			}
			now.Sealed, err = p.sealIntent(&now.Stage, in)
			return err
		})
		if err == nil {
			n++
		}
		errs = append(errs, err)
	}
	return n, errors.Join(errs...)
}
