package team

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
)

// Data says what becomes of the namespaces of a team that is deleted, with all
// that is in them.
type Data string

// What can become of a team's namespaces.
const (
	// DataKeep: they stay and belong to nobody.
	DataKeep Data = "keep"
	// DataDelete: they are deleted, but those that were adopted, which stay.
	DataDelete Data = "delete"
	// DataMove: they become another team's.
	DataMove Data = "move"
)

// DeleteOptions shape [Teams.Delete]. The zero value, like nil, keeps data.
type DeleteOptions struct {
	// Data says what becomes of the namespaces; default [DataKeep].
	Data Data
	// To is the team that gets them, for DataMove.
	To string
	// Force deletes the team although something runs in its namespaces, which
	// goes on as nobody's with DataKeep and ends with DataDelete.
	Force bool
	// Forget gives up on clusters that do not answer: what is there stays.
	Forget bool
}

// Removal is what the deletion of a team takes away, or took.
type Removal struct {
	Team     string           `json:"team"`
	Data     Data             `json:"data"`
	To       string           `json:"to,omitempty"`
	Clusters []ClusterRemoval `json:"clusters"`
	Reserved []Reservation    `json:"reserved,omitempty"`
	Done     bool             `json:"done,omitempty"`
}

// ClusterRemoval is what is taken away on one cluster.
type ClusterRemoval struct {
	ClusterPlan
	// Contents are what is in the namespaces.
	Contents []Contents `json:"contents,omitempty"`
}

// Contents is what is in a namespace, at most a hundred of each.
type Contents struct {
	Namespace string `json:"namespace"`
	// Fate is ActionRelease, ActionMove or ActionDelete.
	Fate Action `json:"fate"`
	// Workloads are what runs or is to run, as "Deployment web".
	Workloads []string `json:"workloads,omitempty"`
	// Claims are volumes with data, as "data-db-0 10Gi".
	Claims []string `json:"claims,omitempty"`
}

const maxContents = 100

// PlanDelete returns what deleting a team would take away, and changes nothing.
func (t *Teams) PlanDelete(ctx context.Context, id string, opts *DeleteOptions) (Removal, error) {
	if err := t.authorize(ctx, appspan.VerbRead, "team", id, ""); err != nil {
		return Removal{}, err
	}
	d, o, err := t.toDelete(ctx, id, opts)
	if err != nil {
		return Removal{}, err
	}
	return t.removal(ctx, d, o, false)
}

// toDelete reads the team that is to be deleted, and checks how.
func (t *Teams) toDelete(ctx context.Context, id string, opts *DeleteOptions) (document, DeleteOptions, error) {
	var o DeleteOptions
	if opts != nil {
		o = *opts
	}
	d, err := load(ctx, t.records, id)
	if err != nil {
		return d, o, err
	}
	if o.Data == "" {
		o.Data = DataKeep
	}
	switch o.Data {
	case DataKeep, DataDelete:
		if o.To != "" {
			return d, o, fmt.Errorf("deletion of team %s: %w: DeleteOptions.To is for DataMove only", d.ID, appspan.ErrInvalid)
		}
	case DataMove:
		if o.To == d.ID {
			return d, o, fmt.Errorf("deletion of team %s: %w: its data can't move to itself; name another team", d.ID, appspan.ErrInvalid)
		}
		if err := t.authorize(ctx, appspan.VerbUpdate, "team", o.To, ""); err != nil { // before anything says whether it is there
			return d, o, err
		}
		if _, err := load(ctx, t.records, o.To); err != nil {
			return d, o, fmt.Errorf("deletion of team %s: DeleteOptions.To: %w", d.ID, err)
		}
	default:
		return d, o, fmt.Errorf("deletion of team %s: %w: DeleteOptions.Data is %q; use keep, delete or move", d.ID, appspan.ErrInvalid, o.Data)
	}
	return d, o, nil
}

// Delete deletes a team: its objects and rights on all its clusters, its
// credentials, reservations and record, and what becomes of its namespaces as
// the options say. While something runs in them it is appspan.ErrPrecondition,
// unless forced or moved. If a cluster does not answer it is
// appspan.ErrUnavailable: the team stays, can do nothing any more, and deleting
// it again goes on where this ended.
func (t *Teams) Delete(ctx context.Context, id string, opts *DeleteOptions) (Removal, error) {
	if err := t.authorize(ctx, appspan.VerbDelete, "team", id, ""); err != nil {
		return Removal{}, err
	}
	d, o, err := t.toDelete(ctx, id, opts)
	if err != nil {
		return Removal{}, err
	}
	removal, err := t.delete(ctx, d, o)
	return removal, t.audit(ctx, appspan.VerbDelete, "team", id, "", err)
}

func (t *Teams) delete(ctx context.Context, d document, o DeleteOptions) (Removal, error) {
	before, err := t.removal(ctx, d, o, false)
	if err != nil {
		return before, err
	}
	if running := before.running(); len(running) > 0 && !o.Force && o.Data != DataMove {
		return before, fmt.Errorf("deletion of team %s: %w: something runs there: %s; remove it, move it to another team, or force", d.ID, appspan.ErrPrecondition, strings.Join(running, ", "))
	}
	d.Deleting = &deletion{Since: time.Now().UTC(), Data: o.Data}
	if d, err = t.save(ctx, d); err != nil {
		return before, err
	}
	if o.Data == DataMove {
		if err := t.hand(ctx, d, o.To); err != nil {
			d.Deleting = nil
			_, undone := t.save(ctx, d)
			return before, errors.Join(err, undone)
		}
	}
	after, err := t.removal(ctx, d, o, true)
	if err != nil {
		return after, err
	}
	for i := range after.Clusters {
		after.Clusters[i].Contents = contentsOf(before, after.Clusters[i].Cluster)
	}
	var silent []string
	for _, c := range after.Clusters {
		if !c.Clean() && !c.Gone && !o.Forget {
			silent = append(silent, c.Cluster+" ("+c.problem()+")")
		}
	}
	if len(silent) > 0 {
		return after, fmt.Errorf("deletion of team %s: %w: it is not done on %s; delete the team again, or forget what is there", d.ID, appspan.ErrUnavailable, strings.Join(silent, ", "))
	}
	after.Done = true
	return after, t.forget(ctx, d, o)
}

func (p ClusterPlan) problem() string {
	if p.Error != "" {
		return p.Error
	}
	for _, c := range p.Changes {
		if c.Error != "" {
			return c.Error
		}
	}
	return strings.Join(p.Refused, "; ")
}

func contentsOf(r Removal, clusterName string) []Contents {
	for _, c := range r.Clusters {
		if c.Cluster == clusterName {
			return c.Contents
		}
	}
	return nil
}

// running is what runs in namespaces that end or belong to nobody then.
func (r Removal) running() []string {
	var out []string
	for _, c := range r.Clusters {
		for _, n := range c.Contents {
			for _, w := range n.Workloads {
				if len(out) == 10 {
					return append(out, "…")
				}
				out = append(out, c.Cluster+" "+n.Namespace+" "+w)
			}
		}
	}
	return out
}

// removal plans, or carries out, what is taken away on all clusters.
func (t *Teams) removal(ctx context.Context, d document, o DeleteOptions, write bool) (Removal, error) {
	out := Removal{Team: d.ID, Data: o.Data, To: o.To}
	var err error
	if out.Reserved, err = t.ledger.Reservations(ctx, d.ID); err != nil {
		return out, err
	}
	names := d.involved()
	out.Clusters = make([]ClusterRemoval, len(names))
	nothing := d
	nothing.Clusters = nil
	var g errgroup.Group
	g.SetLimit(t.opts.Concurrency)
	for i, name := range names {
		g.Go(func() error {
			fates := map[string]fate{}
			for _, n := range d.Clusters[name].Namespaces {
				switch {
				case o.Data == DataMove:
					fates[n.Name] = fate{action: ActionMove, to: o.To}
				case o.Data == DataDelete && !n.Adopt:
					fates[n.Name] = fate{action: ActionDelete}
				}
			}
			r := ClusterRemoval{ClusterPlan: t.one(ctx, nothing, name, write, fates)}
			if !write && r.Error == "" {
				var failed error
				if r.Contents, failed = t.contents(ctx, name, r.Changes); failed != nil {
					r.Error = failed.Error()
				}
			}
			out.Clusters[i] = r
			return nil
		})
	}
	_ = g.Wait()
	return out, context.Cause(ctx)
}

// contents reads what is in the namespaces that a plan has something for.
func (t *Teams) contents(ctx context.Context, name string, changes []Change) ([]Contents, error) {
	limited, cancel := t.limit(ctx)
	defer cancel()
	c, err := t.clusters.Cluster(limited, name)
	if err != nil {
		return nil, err
	}
	var out []Contents
	for _, change := range changes {
		if change.Object.Kind != "Namespace" {
			continue
		}
		n := Contents{Namespace: change.Object.Name, Fate: change.Action}
		for _, k := range []cluster.Ref{
			{APIVersion: "apps/v1", Kind: "Deployment"}, {APIVersion: "apps/v1", Kind: "StatefulSet"}, {APIVersion: "apps/v1", Kind: "DaemonSet"},
			{APIVersion: "batch/v1", Kind: "CronJob"}, {APIVersion: "batch/v1", Kind: "Job"}, {APIVersion: "v1", Kind: "Pod"},
			{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		} {
			for obj, err := range c.List(limited, cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: n.Namespace, Projection: cluster.Trimmed}) {
				if err != nil {
					return out, err
				}
				if k.Kind == "PersistentVolumeClaim" {
					n.Claims = append(n.Claims, claimText(obj))
				} else if counted, err := counts(obj, nil); err != nil {
					return out, err
				} else if counted {
					n.Workloads = append(n.Workloads, obj.Kind+" "+obj.Name)
				}
				if len(n.Claims) >= maxContents || len(n.Workloads) >= maxContents {
					break
				}
			}
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b Contents) int { return strings.Compare(a.Namespace, b.Namespace) })
	return out, nil
}

func claimText(obj cluster.Object) string {
	var v struct {
		Spec struct {
			Resources struct{ Requests map[string]string }
		}
	}
	if json.Unmarshal(obj.JSON, &v) != nil {
		return obj.Name
	}
	return strings.TrimSpace(obj.Name + " " + v.Spec.Resources.Requests["storage"])
}

// hand gives the namespaces, credentials apart, and the reservations of a team
// to another; or neither.
func (t *Teams) hand(ctx context.Context, d document, to string) error {
	taken, err := t.ledger.Reservations(ctx, d.ID)
	if err != nil {
		return err
	}
	unchecked := func(context.Context, Team, Team) error { return nil }
	var before map[string]Allocation
	_, changed, err := t.edit(ctx, to, func(other *Team) error {
		before = other.clone().Clusters
		other.receive(d.Clusters)
		return nil
	}, unchecked)
	if err != nil {
		return fmt.Errorf("move of team %s to team %s: %w", d.ID, to, err)
	}
	for i, r := range taken {
		err := t.ledger.Reserve(ctx, to, r.Application, r.Cluster, r.Amounts)
		if err == nil {
			err = t.ledger.Settle(ctx, to, r.Application, r.Cluster, r.Amounts)
		}
		if err == nil {
			continue
		}
		err = fmt.Errorf("move of %s on %s to team %s: %w", r.Application, r.Cluster, to, err)
		for _, r := range taken[:i] {
			err = errors.Join(err, t.ledger.Release(ctx, to, r.Application, r.Cluster))
		}
		if changed {
			_, _, undone := t.edit(ctx, to, func(other *Team) error { other.Clusters = before; return nil }, unchecked)
			err = errors.Join(err, undone)
		}
		return err
	}
	for _, place := range places(d.Team) {
		clusterName, namespace := splitPlace(place)
		if err := moveClaim(ctx, t.records, clusterName, namespace, d.ID, to); err != nil {
			return err
		}
	}
	return nil
}

// receive adds the namespaces of another team: where it has something on a
// cluster they join it, under its own rules.
func (t *Team) receive(clusters map[string]Allocation) {
	if t.Clusters == nil {
		t.Clusters = map[string]Allocation{}
	}
	for name, a := range clusters {
		have, ok := t.Clusters[name]
		if !ok {
			t.Clusters[name] = a.clone()
			continue
		}
		for _, n := range a.Namespaces {
			if !t.has(name, n.Name) {
				have.Namespaces = append(have.Namespaces, n)
			}
		}
		t.Clusters[name] = have
	}
}

// forget deletes the records of a team; its own comes last.
func (t *Teams) forget(ctx context.Context, d document, o DeleteOptions) error {
	gone := func(key string) error {
		_, err := t.records.Update(ctx, key, func([]byte) ([]byte, error) { return nil, nil })
		return err
	}
	for _, name := range d.involved() {
		if err := gone(credentialsKey(d.ID, name)); err != nil {
			return err
		}
	}
	if o.Data != DataMove {
		for _, place := range append(places(d.Team), d.Leaving...) {
			clusterName, namespace := splitPlace(place)
			if err := unclaimNamespace(ctx, t.records, clusterName, namespace, d.ID); err != nil {
				return err
			}
		}
	}
	if err := gone(ledgerKey(d.ID)); err != nil {
		return err
	}
	if err := t.forgetConditions(ctx, d.ID); err != nil {
		return err
	}
	return gone(teamKey(d.ID))
}
