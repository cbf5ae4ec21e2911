package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/appspan-dev/appspan"
)

// RollbackOptions say where a rollback goes.
type RollbackOptions struct {
	// Revision is the release to go back to, on every cluster; zero is on
	// each the newest release before the present one that was deployed.
	Revision int
	// Adopt, Yield and DataLoss are as in PlanOptions.
	Adopt    bool
	Yield    []Yield
	DataLoss bool
	// OnEvent hears how the plan goes.
	OnEvent func(appspan.Event)
}

// PlanRollback plans to go back to an earlier release: the application exactly
// as it was resolved for each cluster then. What came after is removed again,
// data excepted; secrets that were generated are kept.
func (d *Deployer) PlanRollback(ctx context.Context, application string, to Target, opts *RollbackOptions) (*Plan, error) {
	var o RollbackOptions
	if opts != nil {
		o = *opts
	}
	to, err := d.reading(ctx, application, to)
	if err != nil {
		return nil, err
	}
	in := &intent{envelope: envelope{Format: intentFormat, MinReader: intentFormat}, Kind: KindRollback, Adopt: o.Adopt, Yield: o.Yield, DataLoss: o.DataLoss,
		Resolved: map[string]resolvedIntent{}, FromRevision: map[string]int{}}
	p := &Plan{Kind: KindRollback, Application: application, Installation: d.opts.Installation, Target: to, intent: in, failed: map[string]error{}}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range to.Clusters {
		wg.Go(func() {
			limited, cancel := d.limit(ctx)
			defer cancel()
			target, err := d.rollbackTarget(limited, application, to, name, o.Revision)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				p.failed[name] = fmt.Errorf("rollback of %s: %w", application, err)
				return
			}
			target.into(in, name)
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if len(p.failed) == len(to.Clusters) { // nowhere is anything to go back to
		if err := errors.Join(slices.Collect(maps.Values(p.failed))...); errors.Is(err, appspan.ErrNotFound) {
			return nil, err
		}
	}
	events := newDispatcher(o.OnEvent)
	defer events.close()
	if err := d.planAll(ctx, p, events); err != nil {
		return nil, err
	}
	return p, p.finish(d)
}

// rollbackTarget is the release that a cluster goes back to.
type rollbackTarget struct {
	revision int
	body     *releaseBody
}

// rollbackTarget reads the release that a cluster goes back to.
func (d *Deployer) rollbackTarget(ctx context.Context, application string, to Target, name string, revision int) (rollbackTarget, error) {
	none := func(format string, args ...any) (rollbackTarget, error) {
		return rollbackTarget{}, fmt.Errorf("%w: %s", appspan.ErrNotFound, fmt.Sprintf(format, args...))
	}
	st, s, err := d.readState(ctx, application, to, name)
	if err != nil {
		return rollbackTarget{}, err
	}
	if st == nil {
		return none("it has never been deployed there; deploy it first")
	}
	if revision == 0 {
		if revision = previous(st.record); revision == 0 {
			return none("there is no earlier release that was deployed; there are %s", revisions(st.record))
		}
	}
	c, err := d.clusters.Cluster(ctx, name)
	if err != nil {
		return rollbackTarget{}, err
	}
	body, err := d.readRelease(ctx, c, s, revision)
	if errors.Is(err, appspan.ErrNotFound) {
		return none("there is no release %d; there are %s", revision, revisions(st.record))
	}
	return rollbackTarget{revision: revision, body: body}, err
}

// into makes the release what a cluster is to have.
func (t rollbackTarget) into(in *intent, cluster string) {
	in.Resolved[cluster] = resolvedIntent{Application: t.body.Resolved, Params: t.body.Params, Images: t.body.Images, Bound: t.body.Bound}
	in.FromRevision[cluster] = t.revision
	if t.body.Intent == nil {
		return
	}
	in.Application, in.Overrides = t.body.Intent.Application, t.body.Intent.Overrides
	if in.Yield == nil {
		in.Yield = t.body.Intent.Yield
	}
}

// revisions lists the releases of a record.
func revisions(r *record) string {
	var out []string
	for _, release := range r.Releases {
		out = append(out, strconv.Itoa(release.Revision))
	}
	return strings.Join(out, ", ")
}

// previous is the newest deployed release before the present one.
func previous(r *record) int {
	for i := len(r.Releases) - 2; i >= 0; i-- {
		if r.Releases[i].State == ReleaseDeployed {
			return r.Releases[i].Revision
		}
	}
	return 0
}

// Rollback plans a rollback and applies it. A cluster on which something
// stands in its way is left alone and named in the error.
func (d *Deployer) Rollback(ctx context.Context, application string, to Target, opts *RollbackOptions, apply *ApplyOptions) (*Result, error) {
	p, err := d.PlanRollback(ctx, application, to, opts)
	if err != nil {
		return nil, err
	}
	return d.Apply(ctx, p, apply)
}
