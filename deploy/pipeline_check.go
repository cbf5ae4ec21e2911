package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/appspan-dev/appspan"
)

// Check is asked whether a stage may go on. It returns nil when it may,
// appspan.ErrUnavailable when that cannot be said yet, so that it is asked
// again, and any other error when it may not. The error's text is kept and shown:
// it holds no secret. A check may be asked twice, and is safe for concurrent use.
type Check func(ctx context.Context, about CheckInput) error

// CheckInput is what a check is about.
type CheckInput struct {
	Stage Stage
	// Target is where the environment is, its clusters named.
	Target Target
	// Plan is what will be applied, for a check before; nil after.
	Plan *Plan
}

// CheckResult is what a check said.
type CheckResult struct {
	Name string `json:"name"`
	// Phase is "before" or "after".
	Phase string `json:"phase"`
	// Passed: it said yes. Otherwise Message says why not, or not yet.
	Passed  bool      `json:"passed"`
	Message string    `json:"message,omitempty"`
	Time    time.Time `json:"time"`
}

// The phases of checks.
const (
	phaseBefore = "before"
	phaseAfter  = "after"
)

// ask asks the checks of a phase that have not passed yet, until one does not.
// It reports whether all have passed; an error is why the stage cannot go on.
func (p *Pipeline) ask(ctx context.Context, r *stageRecord, phase string, names []string, about CheckInput) (*stageRecord, bool, error) {
	for _, name := range names {
		if slices.ContainsFunc(r.Checks, func(c CheckResult) bool { return c.Name == name && c.Phase == phase && c.Passed }) {
			continue
		}
		about.Stage = r.Stage
		err := p.askOne(ctx, name, about)
		if ctx.Err() != nil {
			return r, false, context.Cause(ctx)
		}
		later := errors.Is(err, appspan.ErrUnavailable)
		if later && time.Since(r.Changed) > p.opts.CheckPatience {
			later, err = false, fmt.Errorf("for %v it could not be said: %w", p.opts.CheckPatience, err)
		}
		result := CheckResult{Name: name, Phase: phase, Passed: err == nil, Time: time.Now().UTC()}
		if err != nil {
			result.Message = cut(printable(err.Error()), maxAccount)
		}
		r, err = p.change(ctx, &r.Stage, func(now *stageRecord) error {
			now.Checks = append(slices.DeleteFunc(now.Checks, func(c CheckResult) bool { return c.Name == name && c.Phase == phase }), result)
			if later {
				now.Reason = fmt.Sprintf("check %s cannot say yet: %s", name, result.Message)
			}
			return nil
		})
		switch {
		case err != nil:
			return r, false, err
		case later:
			return r, false, nil
		case !result.Passed:
			return r, false, fmt.Errorf("check %s: %w: %s", name, appspan.ErrPrecondition, result.Message)
		}
	}
	return r, true, nil
}

func (p *Pipeline) askOne(ctx context.Context, name string, about CheckInput) (err error) {
	check := p.opts.Checks[name]
	if check == nil {
		return fmt.Errorf("%w: this program has no check of that name; put it into PipelineOptions.Checks", appspan.ErrUnavailable)
	}
	late := fmt.Errorf("%w: no answer within %v", appspan.ErrUnavailable, p.opts.CheckTimeout)
	limited, cancel := context.WithTimeoutCause(ctx, p.opts.CheckTimeout, late)
	defer cancel()
	if err = check(limited, about); err != nil && ctx.Err() == nil && limited.Err() != nil {
		return late
	}
	return err
}
