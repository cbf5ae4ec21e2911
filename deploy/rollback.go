package deploy

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

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
	for _, name := range to.Clusters {
		if err := d.rollbackOne(ctx, application, to, name, o.Revision, in); err != nil {
			return nil, fmt.Errorf("rollback of %s on %s: %w", application, name, err)
		}
	}
	p := &Plan{Kind: KindRollback, Application: application, Installation: d.opts.Installation, Target: to, intent: in}
	events := newDispatcher(o.OnEvent)
	defer events.close()
	if err := d.planAll(ctx, p, events); err != nil {
		return nil, err
	}
	return p, p.finish(d)
}

// rollbackOne reads the release that a cluster goes back to.
func (d *Deployer) rollbackOne(ctx context.Context, application string, to Target, name string, revision int, in *intent) error {
	st, s, err := d.readState(ctx, application, to, name)
	if err != nil {
		return err
	}
	if st == nil {
		return fmt.Errorf("%w: it has never been deployed there", appspan.ErrNotFound)
	}
	if revision == 0 {
		if revision = previous(st.record); revision == 0 {
			return fmt.Errorf("%w: there is no earlier release that was deployed", appspan.ErrNotFound)
		}
	}
	c, err := d.clusters.Cluster(ctx, name)
	if err != nil {
		return err
	}
	body, err := d.readRelease(ctx, c, s, revision)
	if errors.Is(err, appspan.ErrNotFound) {
		return fmt.Errorf("%w: there is no release %d; there are %s", appspan.ErrNotFound, revision, revisions(st.record))
	}
	if err != nil {
		return err
	}
	in.Resolved[name] = resolvedIntent{Application: body.Resolved, Params: body.Params, Images: body.Images, Bound: body.Bound}
	in.FromRevision[name] = revision
	if body.Intent != nil {
		in.Application, in.Overrides = body.Intent.Application, body.Intent.Overrides
		if in.Yield == nil {
			in.Yield = body.Intent.Yield
		}
	}
	return nil
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
