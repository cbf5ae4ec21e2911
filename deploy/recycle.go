package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
)

// KindRestore is the kind of a plan that brings back what was removed.
const KindRestore PlanKind = "restore"

// recycled is when and by whom an application was removed.
type recycled struct {
	At time.Time `json:"at"`
	By string    `json:"by,omitempty"`
}

// Recycled is an application that was removed from a cluster and may be brought
// back.
type Recycled struct {
	Application string    `json:"application"`
	Namespace   string    `json:"namespace"`
	Cluster     string    `json:"cluster"`
	Revision    int       `json:"revision"` // of the release that Restore brings back
	At          time.Time `json:"at"`
	By          string    `json:"by,omitempty"`
}

// recycle keeps the newest release and the record at the end of a removal. Of
// releases it is the newest that is there: that of a process which died at its
// beginning is not.
func (a *applier) recycle(ctx context.Context) error {
	l := a.fresh.work.live
	kept, err := a.deployer.written(ctx, a.cluster, l.scope, a.record)
	if err != nil {
		return err
	}
	a.record.Removing, a.record.Inventory, a.record.Kinds = false, map[string]item{}, nil
	a.record.Recycled = &recycled{At: time.Now().UTC(), By: a.deployer.subject.String()}
	a.record.Releases = slices.DeleteFunc(a.record.Releases, func(r Release) bool { return r.Revision != kept })
	if err := a.writeRecord(ctx); err != nil {
		return err
	}
	a.deployer.last.forget(place{a.cluster.Name(), l.scope.namespace, l.scope.application})
	note := "it can be restored"
	if kept == 0 {
		note = "it cannot be restored: no release of it was ever written"
	}
	a.result.Notes = append(a.result.Notes, note)
	return a.deployer.forgetReleases(ctx, a.cluster, l.scope, func(revision int) bool { return revision != kept && revision <= a.record.Revision })
}

// written is the newest release of a record that is there, 0 if none is.
func (d *Deployer) written(ctx context.Context, c *cluster.Cluster, s scope, r *record) (int, error) {
	for _, revision := range newestFirst(r) {
		_, err := c.Get(ctx, s.releaseRef(r.id(revision), 0))
		if !errors.Is(err, appspan.ErrNotFound) {
			return revision, err
		}
	}
	return 0, nil
}

// Recycled lists what was removed with RemoveOptions.Recycle and not restored
// since, on the clusters of a target and in its namespace, or in all if it names
// none; the latest first. Clusters that do not answer are in the error. Only
// what the subject may read is listed.
func (d *Deployer) Recycled(ctx context.Context, to Target) ([]Recycled, error) {
	to, err := d.choose(ctx, "recycle bin", to)
	if err != nil {
		return nil, err
	}
	var out []Recycled
	var errs []error
	for _, name := range to.Clusters {
		found, err := d.recycledOn(ctx, to, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		out = append(out, found...)
	}
	slices.SortStableFunc(out, func(a, b Recycled) int { return b.At.Compare(a.At) })
	return out, errors.Join(errs...)
}

func (d *Deployer) recycledOn(ctx context.Context, to Target, name string) ([]Recycled, error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	c, err := d.clusters.Cluster(ctx, name)
	if err != nil {
		return nil, err
	}
	parents, err := d.parents(ctx, c, to.Namespace, labelRecycled+"=true")
	if err != nil {
		return nil, err
	}
	var out []Recycled
	var errs []error
	for _, p := range parents {
		at := Target{Clusters: []string{name}, Namespace: p.namespace, Team: cmp.Or(to.Team, d.subject.Team)}
		if d.authorize(ctx, appspan.VerbRead, p.name, at, name) != nil {
			continue
		}
		st, _, err := d.readState(ctx, p.name, at, name)
		if err != nil || st == nil || st.record.Recycled == nil {
			errs = append(errs, err)
			continue
		}
		one := Recycled{Application: p.name, Namespace: p.namespace, Cluster: name, At: st.record.Recycled.At, By: st.record.Recycled.By}
		if newest := st.record.newest(); newest != nil {
			one.Revision = newest.Revision
		}
		out = append(out, one)
	}
	return out, errors.Join(errs...)
}

// PlanRestore plans to bring back an application that was removed with
// RemoveOptions.Recycle: as it ran last, with its secrets and, where it was
// kept, its data. One that was not is appspan.ErrNotFound.
func (d *Deployer) PlanRestore(ctx context.Context, application string, to Target, opts *CommandOptions) (*Plan, error) {
	var o CommandOptions
	if opts != nil {
		o = *opts
	}
	p, err := d.fromReleases(ctx, application, to, KindRestore, func(st *state) ([]int, error) {
		if st.record.Recycled == nil {
			return nil, fmt.Errorf("%w: it was not removed; it runs", appspan.ErrNotFound)
		}
		return newestFirst(st.record), nil
	})
	if err != nil {
		return nil, err
	}
	p.intent.FromRevision = nil
	return d.planned(ctx, p, o.OnEvent)
}

// Restore plans a restoration and applies it.
func (d *Deployer) Restore(ctx context.Context, application string, to Target, apply *ApplyOptions) (*Result, error) {
	p, err := d.PlanRestore(ctx, application, to, nil)
	if err != nil {
		return nil, err
	}
	return d.Apply(ctx, p, apply)
}

// Purge removes for good what Recycled lists and was removed before a time, and
// returns it. Data that was kept stays where it is.
func (d *Deployer) Purge(ctx context.Context, to Target, before time.Time) ([]Recycled, error) {
	found, err := d.Recycled(ctx, to)
	var purged []Recycled
	for _, r := range found {
		if !r.At.Before(before) {
			continue
		}
		at := Target{Clusters: []string{r.Cluster}, Namespace: r.Namespace, Team: to.Team}
		p, failed := d.PlanRemove(ctx, r.Application, at, nil)
		if failed == nil && len(p.Clusters) == 1 && p.Clusters[0].State == ClusterPlanned && !p.Clusters[0].Recycled {
			continue // it is not there any more, or runs again
		}
		if failed == nil {
			_, failed = d.Apply(ctx, p, nil)
		}
		if failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		purged = append(purged, r)
	}
	return purged, err
}
