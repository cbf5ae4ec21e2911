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
	p, err := d.fromReleases(ctx, application, to, KindRollback, func(st *state) ([]int, error) {
		if o.Revision != 0 {
			return []int{o.Revision}, nil
		}
		if revision := previous(st.record); revision != 0 {
			return []int{revision}, nil
		}
		return nil, fmt.Errorf("%w: there is no earlier release that was deployed; there are %s", appspan.ErrNotFound, listed(st.record))
	})
	if err != nil {
		return nil, err
	}
	p.intent.Adopt, p.intent.DataLoss = o.Adopt, o.DataLoss
	for _, resolved := range p.intent.Resolved {
		if o.Yield != nil && resolved.Meant != nil {
			resolved.Meant.Yield = o.Yield
		}
	}
	return d.planned(ctx, p, o.OnEvent)
}

// earlierRelease is a release that a plan begins with.
type earlierRelease struct {
	revision int
	release  Release
	body     *releaseBody
}

// earlier reads a release of a cluster: the first that is there of those that
// are chosen.
func (d *Deployer) earlier(ctx context.Context, application string, to Target, name string, choose func(*state) ([]int, error)) (earlierRelease, error) {
	st, s, err := d.readState(ctx, application, to, name)
	if err != nil {
		return earlierRelease{}, err
	}
	if st == nil {
		return earlierRelease{}, fmt.Errorf("%w: it has never been deployed there; deploy it first", appspan.ErrNotFound)
	}
	revisions, err := choose(st)
	if err != nil {
		return earlierRelease{}, err
	}
	c, err := d.clusters.Cluster(ctx, name)
	if err != nil {
		return earlierRelease{}, err
	}
	for _, revision := range revisions {
		body, err := d.readRelease(ctx, c, s, st.record.id(revision))
		if !errors.Is(err, appspan.ErrNotFound) {
			return earlierRelease{revision: revision, release: st.record.of(revision), body: body}, err
		}
	}
	if len(revisions) == 0 {
		return earlierRelease{}, fmt.Errorf("%w: no release of it was ever written; deploy it", appspan.ErrNotFound)
	}
	return earlierRelease{}, fmt.Errorf("%w: there is no release %d; there are %s", appspan.ErrNotFound, revisions[0], listed(st.record))
}

// into makes the release what a cluster is to have.
func (t earlierRelease) into(in *intent, cluster string) {
	resolved := resolvedIntent{Application: t.body.Resolved, Params: t.body.Params, Images: t.body.Images, Bound: t.body.Bound, Lineage: t.body.Lineage}
	if t.body.Intent != nil {
		meant := t.body.Intent.meaning
		resolved.Meant = &meant
	}
	in.Resolved[cluster], in.FromRevision[cluster] = resolved, t.revision
}

// listed names the releases of a record.
func listed(r *record) string {
	var out []string
	for _, release := range r.Releases {
		out = append(out, strconv.Itoa(release.Revision))
	}
	return strings.Join(out, ", ")
}

// previous is the newest deployed release before the present one.
func previous(r *record) int {
	i := len(r.Releases) - 1
	for i >= 0 && r.Releases[i].Kind == KindHeal { // which is the one before it again
		i--
	}
	for i--; i >= 0; i-- {
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
