package deploy

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/appspan-dev/appspan/appmodel"
)

// Jobs that run at each release are made anew when the release has another
// name. An application that does not change must stay as it is, so a plan is
// made with the name that the cluster's jobs have; if anything changes, there
// is a release, and it is made once more with that one's name.

// release is the name that a cluster's jobs have.
func (r *record) release() string {
	if r == nil {
		return strconv.Itoa(1)
	}
	return r.Release
}

// nextRelease makes a cluster's part again for the next release, if there is
// to be one and a job runs at it.
func (d *Deployer) nextRelease(ctx context.Context, p *Plan, l *live, w *work, out *ClusterPlan) error {
	if len(out.Changes) == 0 || out.applying || p.Kind == KindHeal {
		return nil
	}
	next := 1
	if r := l.state.record; r != nil {
		next = r.Revision + 1
	}
	same := w.release == strconv.Itoa(next)
	w.release = strconv.Itoa(next)
	if same || !runsAtEachRelease(w.app.app) {
		return nil
	}
	out.Changes, out.Refusals, out.Unchanged = nil, nil, 0
	if err := d.prepare(l, p, w, out); err != nil {
		return err
	}
	if err := l.fill(ctx, slices.Collect(maps.Keys(w.byRef))); err != nil {
		return err
	}
	d.planChanges(p, l, w, out)
	return d.planGrowth(l, w, out)
}

func runsAtEachRelease(app *appmodel.Application) bool {
	for i := range app.Components {
		if j := app.Components[i].Job; j != nil && j.Runs == "eachRelease" {
			return true
		}
	}
	return false
}

// madeFor is the release that a plan was made for, or "" if it makes none.
func (c *ClusterPlan) madeFor() string {
	if len(c.Changes) == 0 {
		return ""
	}
	return strconv.Itoa(c.Revision)
}
