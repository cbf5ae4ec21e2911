package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/journal"
)

// Begin writes the apply of a plan down as an operation of the journal and
// returns: whatever process runs the journal executes it, and
// [Deployer.ResultOf] says what it came to. With ApplyOptions.Key the same call
// again returns the same operation, also once it is over; for another plan that is
// appspan.ErrConflict. Whether the plan still holds is found when it is executed.
// Without a journal it is appspan.ErrUnsupported. OnEvent is not heard: the
// operation has its events.
func (d *Deployer) Begin(ctx context.Context, p *Plan, opts *ApplyOptions) (journal.Operation, error) {
	if _, err := d.journalled(); err != nil {
		return journal.Operation{}, err
	}
	if err := d.applicable(p); err != nil {
		return journal.Operation{}, err
	}
	return d.writeDown(ctx, p, false, opts.keyed(d.subject))
}

// keyed are the options with a key of the subject's own: nobody has part in an
// operation of somebody else by guessing the key, nor in a stage's.
func (o *ApplyOptions) keyed(subject appspan.Subject) ApplyOptions {
	out := o.normal()
	if out.Key != "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", subject.Team, subject.ID, out.Key))
		out.Key = "apply/" + hex.EncodeToString(sum[:])
	}
	return out
}

// applicable checks what can be said of a plan before it is applied.
func (d *Deployer) applicable(p *Plan) error {
	if p == nil {
		return fmt.Errorf("apply: %w: no plan", appspan.ErrInvalid)
	}
	if p.Installation != d.opts.Installation {
		return fmt.Errorf("apply of %s: %w: the plan is of installation %q, this is %q", p.Application, appspan.ErrInvalid, p.Installation, d.opts.Installation)
	}
	if err := p.open(d); err != nil {
		return err
	}
	return d.sameTeam(p.Application, p.Target)
}

// writeDown makes the apply of a plan an operation of the journal.
func (d *Deployer) writeDown(ctx context.Context, p *Plan, direct bool, o ApplyOptions) (journal.Operation, error) {
	verb := p.Kind.verb()
	for _, c := range p.Target.Clusters { // nobody who may not deploy writes operations
		if err := d.authorize(ctx, verb, p.Application, p.Target, c); err != nil {
			return journal.Operation{}, err
		}
	}
	body, err := json.Marshal(operationBody{Plan: p, Direct: direct, Wait: o.Wait, ReadyTimeout: o.ReadyTimeout, FailAfter: o.FailAfter, Passed: o.passed})
	if err != nil {
		return journal.Operation{}, err
	}
	op, err := d.opts.Journal.Begin(ctx, journal.Intent{Kind: operationKind(d.opts.Installation), Key: o.Key, Subject: d.subject, PlanHash: p.Hash, Body: body,
		About: map[string]string{"action": string(p.Kind), "application": p.Application, "namespace": p.Target.Namespace, "team": p.Target.Team,
			"clusters": strings.Join(p.Target.Clusters, ",")}})
	if err != nil {
		return op, fmt.Errorf("%s of %s could not be written down, and nothing was done: %w", p.Kind, p.Application, err)
	}
	if op.PlanHash != p.Hash && !o.passed {
		return journal.Operation{}, fmt.Errorf("%s of %s: %w: operation %s, of the same key, has another plan; use another key", p.Kind, p.Application, appspan.ErrConflict, op.ID)
	}
	return op, nil
}

// ResultOf is what an apply that is over came to, of its operation; nil if it
// says nothing, as when it was cancelled before it began. An outcome that cannot be
// read is appspan.ErrCorrupt.
func (d *Deployer) ResultOf(op journal.Operation) (*Result, error) {
	if len(op.Outcome) == 0 {
		return nil, nil
	}
	result := &Result{}
	if err := json.Unmarshal(op.Outcome, result); err != nil {
		return nil, fmt.Errorf("operation %s: %w: its outcome: %w", op.ID, appspan.ErrCorrupt, err)
	}
	for i := range result.Clusters {
		result.Clusters[i].restore()
	}
	return result, nil
}
