package team

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Plan reads what a team is on its clusters and returns what is not as it
// should be, and changes nothing. A cluster that does not answer is unknown in
// the plan; an error means that the call itself failed.
func (t *Teams) Plan(ctx context.Context, id string) (Plan, error) {
	if err := t.authorize(ctx, appspan.VerbRead, "team", id, ""); err != nil {
		return Plan{}, err
	}
	d, err := load(ctx, t.records, id)
	if err != nil {
		return Plan{}, err
	}
	return t.each(ctx, d, false)
}

// Reconcile makes a team so on its clusters, by server-side apply under a
// field manager of its own: what is missing is made, what has drifted is
// repaired, what the team has no more is taken away. Namespaces are never
// deleted here: one that the team has no more stays with all that is in it and
// belongs to nobody. The result is what was to be done, and what was done; it
// can be called again at any time. A cluster that does not answer is unknown
// in it and keeps no other waiting.
func (t *Teams) Reconcile(ctx context.Context, id string) (Plan, error) {
	if err := t.authorize(ctx, appspan.VerbUpdate, "team", id, ""); err != nil {
		return Plan{}, err
	}
	d, err := load(ctx, t.records, id)
	if err != nil {
		return Plan{}, err
	}
	if d.Deleting != nil {
		return Plan{}, fmt.Errorf("team %s: %w: it is being deleted; delete it again to end that", id, appspan.ErrPrecondition)
	}
	plan, err := t.each(ctx, d, true)
	if err == nil {
		err = t.left(ctx, d, plan)
	}
	for _, p := range plan.Clusters {
		undone, failed := t.undo(context.WithoutCancel(ctx), d, p)
		if !undone && failed == nil && ctx.Err() == nil {
			_, failed = t.note(ctx, d, p)
		}
		err = errors.Join(err, failed)
	}
	if changed(plan) || err != nil {
		err = t.audit(ctx, appspan.VerbUpdate, "team", id, "", err)
	}
	return plan, err
}

// changed reports whether a plan has something that was done.
func changed(p Plan) bool {
	return slices.ContainsFunc(p.Clusters, func(c ClusterPlan) bool {
		return slices.ContainsFunc(c.Changes, func(c Change) bool { return c.Done })
	})
}

// left forgets what was taken away from clusters that the team has left.
func (t *Teams) left(ctx context.Context, d document, plan Plan) error {
	var gone []string
	for _, place := range d.Leaving {
		clusterName, namespace := splitPlace(place)
		i := slices.IndexFunc(plan.Clusters, func(p ClusterPlan) bool { return p.Cluster == clusterName })
		if i < 0 {
			continue
		}
		if p := plan.Clusters[i]; !p.Gone && (p.Unknown || p.Error != "" || slices.ContainsFunc(p.Changes, func(c Change) bool {
			return !c.Done && (c.Object.Namespace == namespace || c.Object.Name == namespace)
		})) {
			continue
		}
		if err := unclaimNamespace(ctx, t.records, clusterName, namespace, d.ID); err != nil {
			return fmt.Errorf("team %s: %w", d.ID, err)
		}
		gone = append(gone, place)
	}
	if len(gone) == 0 {
		return nil
	}
	d.Leaving = slices.DeleteFunc(slices.Clone(d.Leaving), func(p string) bool { return slices.Contains(gone, p) })
	_, err := t.save(ctx, d)
	if errors.Is(err, appspan.ErrPrecondition) {
		return nil // somebody changed the team; the next Reconcile gets here again
	}
	return err
}

// each plans, and carries out, on all clusters of a team.
func (t *Teams) each(ctx context.Context, d document, write bool) (Plan, error) {
	names := d.involved()
	plan := Plan{Team: d.ID, Clusters: make([]ClusterPlan, len(names))}
	var g errgroup.Group
	g.SetLimit(t.opts.Concurrency)
	for i, name := range names {
		g.Go(func() error {
			plan.Clusters[i] = t.one(ctx, d, name, write, nil)
			return nil
		})
	}
	_ = g.Wait()
	return plan, context.Cause(ctx)
}

// one works on one cluster. What becomes of namespaces that the team has no
// more is looked up in fates; default is their release.
func (t *Teams) one(ctx context.Context, d document, name string, write bool, fates map[string]fate) ClusterPlan {
	return t.work(ctx, d, name, job{write: write, fates: fates})
}

// job is how to work on one cluster.
type job struct {
	write      bool
	unattended bool // nobody asked for it just now
	objects    bool // namespaces are left alone
	fates      map[string]fate
}

func (t *Teams) work(ctx context.Context, d document, name string, j job) ClusterPlan {
	out := ClusterPlan{Cluster: name, namespaces: map[string]string{}}
	limited, cancel := t.limit(ctx)
	defer cancel()
	was, err := t.condition(limited, d.ID, name)
	var c *cluster.Cluster
	if err == nil {
		if c, err = t.clusters.Cluster(limited, name); err != nil {
			out.Gone = errors.Is(err, appspan.ErrNotFound)
		}
	}
	if err == nil {
		r := &reconciler{teams: t, doc: d, cluster: c, plan: &out, refused: map[string]bool{}, job: j, was: was.Namespaces}
		for round := 1; ; round++ {
			if err = r.look(limited); err != nil || !j.write || !r.write(limited) || round == maxRounds {
				break
			}
			r.again()
		}
	}
	if err != nil {
		out.fail(limited, c, err)
	}
	return out
}

// maxRounds is how often one cluster is looked at anew because others, as another
// process that keeps the same team, were faster.
const maxRounds = 3

// again forgets what was found, and keeps what was done.
func (r *reconciler) again() {
	clear(r.refused)
	clear(r.plan.namespaces)
	r.plan.Refused = nil
	r.plan.Changes = slices.DeleteFunc(r.plan.Changes, func(c Change) bool { return !c.Done })
}

// undo takes away what was written for a team while somebody deleted it, and
// reports whether it had to.
func (t *Teams) undo(ctx context.Context, d document, p ClusterPlan) (bool, error) {
	if !changed(Plan{Clusters: []ClusterPlan{p}}) {
		return false, nil
	}
	now, err := load(ctx, t.records, d.ID)
	gone := errors.Is(err, appspan.ErrNotFound)
	if err == nil && now.Deleting == nil || err != nil && !gone {
		return false, err
	}
	d.Clusters = nil
	// Whoever deletes it decides about the namespaces.
	if left := t.work(ctx, d, p.Cluster, job{write: true, objects: !gone}); !left.Clean() {
		return true, fmt.Errorf("team %s was deleted meanwhile: %w", d.ID, left.failure())
	}
	return true, nil
}

// fate is what becomes of a namespace that the team has no more.
type fate struct {
	action Action
	to     string // team, for ActionMove
}

// fail notes why a cluster could not be worked on.
func (p *ClusterPlan) fail(ctx context.Context, c *cluster.Cluster, err error) {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	p.Error = err.Error()
	if c != nil {
		p.LastAnswer = c.LastAnswer()
	}
	p.Unknown = errors.Is(err, appspan.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// reconciler works for one team on one cluster.
type reconciler struct {
	teams   *Teams
	doc     document
	cluster *cluster.Cluster
	plan    *ClusterPlan
	refused map[string]bool // namespaces that are not touched
	live    map[driver.Ref]driver.Object
	foreign []rbacv1.RoleBinding // bindings in the team's namespaces that are not ours
	was     map[string]string    // UIDs of namespaces that were there before, by name
	job
}

// kinds are those of what a team is on a cluster.
func kinds() []driver.Ref {
	return []driver.Ref{
		{APIVersion: "v1", Kind: "Namespace"}, {APIVersion: "v1", Kind: "ResourceQuota"}, {APIVersion: "v1", Kind: "LimitRange"},
		{APIVersion: "v1", Kind: "ServiceAccount"}, {APIVersion: "v1", Kind: "Secret"},
		{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}, {APIVersion: rbacVersion, Kind: "Role"}, {APIVersion: rbacVersion, Kind: "RoleBinding"},
	}
}

// look compares what is with what should be.
func (r *reconciler) look(ctx context.Context) error {
	desired, err := r.desired(ctx)
	if err != nil {
		return err
	}
	if err := r.read(ctx); err != nil {
		return err
	}
	wanted := map[driver.Ref]bool{}
	for _, obj := range desired {
		wanted[obj.Ref] = true
		if err := r.compare(ctx, obj); err != nil {
			return err
		}
	}
	r.leftover(wanted)
	r.strangers()
	return nil
}

// desired is what should be.
func (r *reconciler) desired(ctx context.Context) ([]driver.Object, error) {
	if _, ok := r.doc.Clusters[r.cluster.Name()]; !ok {
		return nil, nil
	}
	objects, err := Render(r.doc.Team, r.cluster.Name(), r.teams.opts.Installation)
	if err != nil {
		return nil, err
	}
	pulls, err := r.teams.pullObjects(ctx, r.doc.Team, r.cluster.Name())
	return append(objects, pulls...), err
}

// read reads what is labelled as the team's.
func (r *reconciler) read(ctx context.Context) error {
	r.live = map[driver.Ref]driver.Object{}
	selector := LabelTeam + "=" + r.doc.ID + "," + LabelInstallation + "=" + r.teams.opts.Installation + "," + LabelTeamPart
	found := make([][]driver.Object, len(kinds()))
	g, limited := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, k := range kinds() {
		g.Go(func() error {
			for obj, err := range r.cluster.List(limited, cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Labels: selector, Projection: driver.Trimmed}) {
				if err != nil {
					return err
				}
				found[i] = append(found[i], obj)
			}
			return nil
		})
	}
	var bindings []rbacv1.RoleBinding
	g.Go(func() (err error) {
		bindings, err = bindingsIn(limited, r.cluster, r.doc.Namespaces(r.cluster.Name()), r.own)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for _, obj := range slices.Concat(found...) {
		r.live[obj.Ref] = obj
	}
	r.foreign = bindings
	return nil
}

// compare plans what one object needs.
func (r *reconciler) compare(ctx context.Context, obj driver.Object) error {
	if r.refused[obj.Namespace] {
		return nil
	}
	live, ok := r.live[obj.Ref]
	if !ok { // not there, or without its labels
		var err error
		live, err = r.cluster.Get(ctx, obj.Ref)
		ok = err == nil
		if err != nil && !errors.Is(err, appspan.ErrNotFound) {
			return err
		}
	}
	if bare := (writer{}); !ok && obj.Kind == "ServiceAccount" {
		if bare.add(defaultAccount(obj.Namespace)); string(bare.objects[0].JSON) == string(obj.JSON) {
			return nil // the cluster makes it, and there is nothing of ours in it
		}
	}
	change := Change{Object: obj.Ref, Action: ActionCreate, desired: &obj, uid: live.UID, revision: live.Revision}
	if ok {
		change.Action = ActionUpdate
	} else if obj.Kind == "Namespace" && r.lost(obj.Name) {
		return nil
	}
	if ok && obj.Kind == "Namespace" {
		if adopted, refused := r.namespace(live); refused {
			return nil
		} else if adopted {
			change.Action = ActionAdopt
		}
	}
	if change.Action == ActionUpdate {
		would, err := r.cluster.Apply(ctx, obj, driver.ApplyOptions{Manager: r.manager(), Force: true, DryRun: true})
		switch {
		case errors.Is(err, appspan.ErrInvalid) && immutable(obj.Kind) != "":
			change.Fields, change.anew = []string{immutable(obj.Kind)}, true
		case err != nil:
			return err
		default:
			if change.Fields, err = differences(live.JSON, would.JSON); err != nil {
				return err
			}
			if scoped(would) {
				change.Fields, change.anew = append(change.Fields, immutable(obj.Kind)), true
			}
			if len(change.Fields) == 0 {
				return nil
			}
		}
	}
	r.plan.Changes = append(r.plan.Changes, change)
	return nil
}

// leftover plans the end of what the team has no more: objects that bear its
// labels and the names that only we give.
func (r *reconciler) leftover(wanted map[driver.Ref]bool) {
	var changes []Change
	for ref, obj := range r.live {
		member := ref.Kind == "ServiceAccount" && ref.Namespace == MembersNamespace(r.teams.opts.Installation)
		switch {
		case wanted[ref] || obj.Deleting || r.objects && ref.Kind == "Namespace":
		case ref.Kind == "Namespace":
			f := r.fates[ref.Name]
			if f.action == "" {
				f.action = ActionRelease
			}
			changes = append(changes, Change{Object: ref, Action: f.action, uid: obj.UID})
		case member || strings.HasPrefix(ref.Name, reserved) && !r.refused[ref.Namespace]:
			changes = append(changes, Change{Object: ref, Action: ActionDelete, uid: obj.UID})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { // rights go first, namespaces last
		return cmp.Or(cmp.Compare(stage(b.Object.Kind), stage(a.Object.Kind)), strings.Compare(a.Object.String(), b.Object.String()))
	})
	r.plan.Changes = append(r.plan.Changes, changes...)
}

// write carries out what is planned, in its order, as long as namespaces are
// there, and reports whether somebody was faster.
func (r *reconciler) write(ctx context.Context) (overtaken bool) {
	failed := map[string]bool{}
	for i := range r.plan.Changes {
		change := &r.plan.Changes[i]
		if change.Done {
			continue
		}
		if failed[change.Object.Namespace] {
			change.Error = "its namespace is not there"
			continue
		}
		if err := r.do(ctx, change); err != nil {
			change.Error = err.Error()
			failed[change.Object.Name] = change.Object.Kind == "Namespace"
			if ctx.Err() != nil {
				r.plan.fail(ctx, r.cluster, err)
				return false
			}
			overtaken = overtaken || errors.Is(err, appspan.ErrExists) || errors.Is(err, appspan.ErrConflict) || errors.Is(err, appspan.ErrPrecondition)
			continue
		}
		change.Done = true
	}
	return overtaken
}

func (r *reconciler) do(ctx context.Context, change *Change) error {
	opts := driver.ApplyOptions{Manager: r.manager(), Force: true}
	switch change.Action {
	case ActionDelete:
		err := r.cluster.Delete(ctx, change.Object, driver.DeleteOptions{UID: change.uid})
		if errors.Is(err, appspan.ErrNotFound) {
			return nil
		}
		return err
	case ActionRelease:
		return r.relabel(ctx, change, nil)
	case ActionMove:
		w := writer{installation: r.teams.opts.Installation}
		return r.relabel(ctx, change, w.labelled(r.fates[change.Object.Name].to, "namespace", nil))
	case ActionUpdate, ActionAdopt:
		if opts.IfUID = change.uid; change.Object.Kind == "Namespace" { // it may be another team's by now
			opts.IfRevision = change.revision
		}
	case ActionCreate:
		if change.Object.Kind == "Namespace" {
			created, err := r.createNamespace(ctx, *change.desired)
			if err != nil {
				return err
			}
			opts.IfUID = created.UID
			r.plan.namespaces[change.Object.Name] = created.UID
		}
	}
	if change.anew {
		if err := r.cluster.Delete(ctx, change.Object, driver.DeleteOptions{UID: change.uid}); err != nil && !errors.Is(err, appspan.ErrNotFound) {
			return err
		}
		opts.IfUID = ""
	}
	_, err := r.cluster.Apply(ctx, *change.desired, opts)
	return err
}

func (r *reconciler) manager() string { return manager(r.teams.opts.Installation) }
