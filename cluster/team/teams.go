package team

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/seal"
)

// Clusters is where clusters are found by name: a *cluster.Set or a fleet.
type Clusters interface {
	// Cluster returns the cluster of a name; an unknown one is
	// appspan.ErrNotFound.
	Cluster(ctx context.Context, name string) (*cluster.Cluster, error)
}

// Options shape [Teams].
type Options struct {
	// Installation tells this embedding program from others on the same
	// clusters, as in deploy.Options. Required.
	Installation string
	// Keys seal image pull credentials. Required only for those.
	Keys *seal.Keyring
	// Authorizer is asked before every call; nil denies everything. An
	// [Authorizer] is one.
	Authorizer appspan.Authorizer
	// Auditor is told of every mutation; nil: nobody is. An [Audit] is one.
	Auditor appspan.Auditor
	// ClusterTimeout bounds the work on one cluster; default 1 min.
	ClusterTimeout time.Duration
	// Concurrency is on how many clusters it works at once; default 16.
	Concurrency int
}

// Teams keeps teams in records and makes them so on clusters. It is safe for
// concurrent use, and several processes may work on the same records.
type Teams struct {
	records  *storage.Records
	clusters Clusters
	opts     Options
	ledger   *Ledger
	subject  appspan.Subject
}

// New returns teams over records and clusters. The clusters are to act with the
// program's own rights: a fleet is bound to an operator that acts for no team.
// Options without an installation id are appspan.ErrInvalid.
func New(records *storage.Records, clusters Clusters, opts *Options) (*Teams, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if records == nil || clusters == nil {
		return nil, fmt.Errorf("teams: %w: records and clusters are needed", appspan.ErrInvalid)
	}
	if wrong := checkID(o.Installation); wrong != "" {
		return nil, fmt.Errorf("teams: %w: Options.Installation %q %s", appspan.ErrInvalid, o.Installation, wrong)
	}
	if o.ClusterTimeout <= 0 {
		o.ClusterTimeout = time.Minute
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 16
	}
	return &Teams{records: records, clusters: clusters, opts: o, ledger: NewLedger(records)}, nil
}

// For returns a view that acts as subject.
func (t *Teams) For(subject appspan.Subject) *Teams {
	view := *t
	view.subject = subject
	return &view
}

// Installation is the installation's id.
func (t *Teams) Installation() string { return t.opts.Installation }

// Ledger is where quota is reserved.
func (t *Teams) Ledger() *Ledger { return t.ledger }

func (t *Teams) authorize(ctx context.Context, verb appspan.Verb, resource, team, clusterName string) error {
	return appspan.Authorize(ctx, t.opts.Authorizer, t.subject, appspan.Access{Verb: verb, Resource: resource, Team: team, Cluster: clusterName})
}

// audit records a mutation and returns its error with that of the record.
func (t *Teams) audit(ctx context.Context, verb appspan.Verb, resource, team, clusterName string, outcome error) error {
	if t.opts.Auditor == nil {
		return outcome
	}
	e := appspan.AuditEntry{Time: time.Now().UTC(), Subject: t.subject, Outcome: "ok",
		Access: appspan.Access{Verb: verb, Resource: resource, Team: team, Cluster: clusterName}}
	if outcome != nil {
		e.Outcome = outcome.Error()
	}
	if err := t.opts.Auditor.Audit(context.WithoutCancel(ctx), e); err != nil {
		return errors.Join(outcome, fmt.Errorf("audit of %s: %w", e.Access, err))
	}
	return outcome
}

// Create stores a new team. It changes no cluster: [Teams.Reconcile] does. A
// team of that ID is appspan.ErrExists, a namespace of another team
// appspan.ErrConflict.
func (t *Teams) Create(ctx context.Context, team Team) (Team, error) {
	if err := t.authorize(ctx, appspan.VerbCreate, "team", team.ID, ""); err != nil {
		return Team{}, err
	}
	if err := team.Validate(); err != nil {
		return Team{}, fmt.Errorf("team %s: %w", team.ID, err)
	}
	created, err := t.create(ctx, team.clone())
	return created, t.audit(ctx, appspan.VerbCreate, "team", team.ID, "", err)
}

func (t *Teams) create(ctx context.Context, team Team) (Team, error) {
	if _, err := t.records.Get(ctx, teamKey(team.ID)); err == nil {
		return Team{}, fmt.Errorf("team %s: %w; choose another id, or update it", team.ID, appspan.ErrExists)
	}
	if err := t.claim(ctx, Team{ID: team.ID}, team); err != nil {
		return Team{}, err
	}
	if err := t.forgetConditions(ctx, team.ID); err != nil { // of an earlier team of that id
		return Team{}, err
	}
	data, err := document{Team: team}.encode()
	if err != nil {
		return Team{}, err
	}
	revision, err := t.records.Put(ctx, teamKey(team.ID), data, "")
	if errors.Is(err, appspan.ErrExists) {
		return Team{}, fmt.Errorf("team %s: %w; choose another id, or update it", team.ID, appspan.ErrExists)
	}
	if err != nil {
		return Team{}, fmt.Errorf("team %s: %w", team.ID, err)
	}
	team.Revision = revision
	return team, nil
}

// claim claims the namespaces that a team gets.
func (t *Teams) claim(ctx context.Context, before, after Team) error {
	had := places(before)
	for _, place := range places(after) {
		if slices.Contains(had, place) {
			continue
		}
		clusterName, namespace := splitPlace(place)
		if err := claimNamespace(ctx, t.records, clusterName, namespace, after.ID); err != nil {
			return fmt.Errorf("team %s: %w", after.ID, err)
		}
	}
	return nil
}

// Get reads a team.
func (t *Teams) Get(ctx context.Context, id string) (Team, error) {
	if err := t.authorize(ctx, appspan.VerbRead, "team", id, ""); err != nil {
		return Team{}, err
	}
	d, err := load(ctx, t.records, id)
	return d.Team, err
}

// List reads the teams that the subject may see, sorted by ID. An error comes
// last.
func (t *Teams) List(ctx context.Context) iter.Seq2[Team, error] {
	return func(yield func(Team, error) bool) {
		for rec, err := range t.records.List(ctx, teamPrefix) {
			var d document
			if err == nil {
				d, err = decodeTeam(rec)
			}
			if err != nil {
				yield(Team{}, fmt.Errorf("teams: %w", err))
				return
			}
			err = t.authorize(ctx, appspan.VerbRead, "team", d.ID, "")
			if errors.Is(err, appspan.ErrDenied) {
				continue
			}
			if !yield(d.Team, err) || err != nil {
				return
			}
		}
	}
}

// Update changes a team by compare-and-swap: edit gets it as it is stored, and
// may be called again when somebody else was faster; an error of it ends the
// update. The ID stays. Whoever may "member:update" changes members and roles,
// and gives no permission that they do not have; everything else needs
// "team:update". It changes no cluster: [Teams.Reconcile]
// does, also on clusters on which the team has nothing any more.
func (t *Teams) Update(ctx context.Context, id string, edit func(*Team) error) (Team, error) {
	if edit == nil {
		return Team{}, fmt.Errorf("team %s: %w: edit is nil", id, appspan.ErrInvalid)
	}
	if t.authorize(ctx, appspan.VerbUpdate, "member", id, "") != nil {
		if err := t.authorize(ctx, appspan.VerbUpdate, "team", id, ""); err != nil {
			return Team{}, err
		}
	}
	updated, changed, err := t.update(ctx, id, edit)
	if err == nil && !changed {
		return updated, nil
	}
	return updated, t.audit(ctx, appspan.VerbUpdate, "team", id, "", err)
}

func (t *Teams) update(ctx context.Context, id string, edit func(*Team) error) (updated Team, changed bool, err error) {
	return t.edit(ctx, id, edit, func(ctx context.Context, before, after Team) error {
		if err := t.allow(ctx, before, after); err != nil {
			return err
		}
		return t.claim(ctx, before, after)
	})
}

// edit changes a stored team; check is asked before what is valid is stored.
func (t *Teams) edit(ctx context.Context, id string, edit func(*Team) error, check func(ctx context.Context, before, after Team) error) (updated Team, changed bool, err error) {
	for range 100 {
		d, err := load(ctx, t.records, id)
		if err != nil {
			return Team{}, false, err
		}
		if d.Deleting != nil {
			return Team{}, false, fmt.Errorf("team %s: %w: it is being deleted; delete it again to end that", id, appspan.ErrPrecondition)
		}
		next := d
		next.Team = d.clone()
		if err := edit(&next.Team); err != nil {
			return Team{}, false, err
		}
		next.ID, next.Revision = d.ID, d.Revision
		if reflect.DeepEqual(next.Team, d.Team) {
			return d.Team, false, nil
		}
		if err := next.Validate(); err != nil {
			return Team{}, true, fmt.Errorf("team %s: %w", id, err)
		}
		if err := check(ctx, d.Team, next.Team); err != nil {
			return Team{}, true, err
		}
		next.leave(d.Team)
		saved, err := t.save(ctx, next)
		if errors.Is(err, appspan.ErrPrecondition) {
			continue
		}
		return saved.Team, true, err
	}
	return Team{}, true, fmt.Errorf("team %s: %w: others change it all the time; try again later", id, appspan.ErrConflict)
}

// save stores a document that is as it was read.
func (t *Teams) save(ctx context.Context, d document) (document, error) {
	data, err := d.encode()
	if err != nil {
		return d, err
	}
	d.Revision, err = t.records.Put(ctx, teamKey(d.ID), data, d.Revision)
	if err != nil {
		return d, fmt.Errorf("team %s: %w", d.ID, err)
	}
	return d, nil
}

// leave notes clusters on which something has to be taken away: those that the
// team lost, whole or a namespace of.
func (d *document) leave(before Team) {
	for _, place := range places(before) {
		clusterName, namespace := splitPlace(place)
		if !d.has(clusterName, namespace) && !slices.Contains(d.Leaving, place) {
			d.Leaving = append(slices.Clone(d.Leaving), place)
		}
	}
	d.Leaving = slices.DeleteFunc(slices.Clone(d.Leaving), func(place string) bool {
		clusterName, namespace := splitPlace(place)
		return d.has(clusterName, namespace)
	})
}

// allow asks for what an update changes.
func (t *Teams) allow(ctx context.Context, before, after Team) error {
	people := !slices.Equal(before.Members, after.Members) || !reflect.DeepEqual(before.Roles, after.Roles)
	given := given(before, after)
	before.Members, before.Roles, after.Members, after.Roles = nil, nil, nil, nil
	var errs []error
	if people {
		errs = append(errs, t.authorize(ctx, appspan.VerbUpdate, "member", after.ID, ""))
		for _, p := range slices.Sorted(maps.Keys(given)) {
			resource, verb, _ := strings.Cut(string(p), ":")
			if err := t.authorize(ctx, appspan.Verb(verb), resource, after.ID, ""); err != nil {
				errs = append(errs, fmt.Errorf("%q is not given to %s: %w", p, given[p], err))
			}
		}
	}
	if !reflect.DeepEqual(before, after) {
		errs = append(errs, t.authorize(ctx, appspan.VerbUpdate, "team", after.ID, ""))
	}
	return errors.Join(errs...)
}

// given are permissions that somebody gets by an update, each with one who does:
// nobody gives what they do not have.
func given(before, after Team) map[Permission]string {
	out := map[Permission]string{}
	for _, m := range after.Members {
		was, _ := before.Member(m.Subject)
		had, _ := before.Role(was.Role)
		has, _ := after.Role(m.Role)
		for _, p := range has.Permissions {
			if !had.Can(p) {
				out[p] = m.Subject
			}
		}
	}
	return out
}

// involved are the clusters on which a team has, or may have, something.
func (d document) involved() []string {
	names := slices.Collect(maps.Keys(d.Clusters))
	for _, place := range d.Leaving {
		clusterName, _ := splitPlace(place)
		names = append(names, clusterName)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Allocate gives a team something on a cluster, or changes what it has there:
// one namespace with the team's ID, if a names none. It looks at the cluster
// first: a namespace that belongs to another team or installation is
// appspan.ErrConflict, one that exists is appspan.ErrExists unless it is to be
// adopted, and then warned of. A cluster that does not answer is warned of too;
// Reconcile looks again before it changes anything.
func (t *Teams) Allocate(ctx context.Context, id, clusterName string, a Allocation) (Team, []string, error) {
	if err := t.authorize(ctx, appspan.VerbUpdate, "team", id, clusterName); err != nil {
		return Team{}, nil, err
	}
	a = a.clone()
	if len(a.Namespaces) == 0 {
		a.Namespaces = []Namespace{{Name: id}}
	}
	d, err := load(ctx, t.records, id)
	if err != nil {
		return Team{}, nil, err
	}
	c, err := t.clusters.Cluster(ctx, clusterName)
	if err != nil {
		return Team{}, nil, err
	}
	var warnings []string
	for _, n := range a.Namespaces {
		if d.has(clusterName, n.Name) {
			continue
		}
		limited, cancel := t.limit(ctx)
		s, err := t.standing(limited, c, id, n)
		cancel()
		switch {
		case err != nil && ctx.Err() != nil:
			return Team{}, nil, err
		case err != nil:
			warnings = append(warnings, fmt.Sprintf("namespace %s on %s could not be looked at: %v", n.Name, clusterName, err))
		case s.refusal != nil:
			return Team{}, nil, fmt.Errorf("team %s: %w", id, s.refusal)
		case s.warning != "":
			warnings = append(append(warnings, s.warning), t.adopted(ctx, c, n.Name)...)
		}
	}
	team, err := t.Update(ctx, id, func(team *Team) error {
		if team.Clusters == nil {
			team.Clusters = map[string]Allocation{}
		}
		team.Clusters[clusterName] = a
		return nil
	})
	if err != nil {
		return Team{}, nil, err
	}
	return team, warnings, nil
}

// limit bounds the work on one cluster.
func (t *Teams) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	silent := fmt.Errorf("%w: no answer within %v", appspan.ErrUnavailable, t.opts.ClusterTimeout)
	return context.WithTimeoutCause(ctx, t.opts.ClusterTimeout, silent)
}

// standing is how a namespace on a cluster stands to a team.
type standing struct {
	exists  bool
	ours    bool
	refusal error
	warning string
}

// standing looks at a namespace.
func (t *Teams) standing(ctx context.Context, c *cluster.Cluster, id string, n Namespace) (standing, error) {
	obj, err := c.Get(ctx, cluster.Ref{APIVersion: "v1", Kind: "Namespace", Name: n.Name})
	if errors.Is(err, appspan.ErrNotFound) {
		return standing{}, nil
	}
	if err != nil {
		return standing{}, err
	}
	return judge(obj, c.Name(), id, t.opts.Installation, n), nil
}

// judge says how a namespace that exists stands to a team.
func judge(obj cluster.Object, clusterName, id, installation string, n Namespace) standing {
	s := standing{exists: true}
	owner, theirs := obj.Labels[LabelTeam], obj.Labels[LabelInstallation]
	where := fmt.Sprintf("namespace %s on %s", n.Name, clusterName)
	switch {
	case obj.Deleting:
		s.refusal = fmt.Errorf("%s: %w: it is being deleted; wait until it is gone", where, appspan.ErrConflict)
	case theirs != "" && theirs != installation:
		s.refusal = fmt.Errorf("%s: %w: it belongs to installation %q; choose another name", where, appspan.ErrConflict, theirs)
	case owner != "" && (owner != id || theirs != installation):
		s.refusal = fmt.Errorf("%s: %w: it belongs to team %q; choose another name", where, appspan.ErrConflict, owner)
	case owner == id:
		s.ours = true
	case !n.Adopt:
		s.refusal = fmt.Errorf("%s: %w and belongs to no team; choose another name, or adopt it with all that is in it", where, appspan.ErrExists)
	default:
		s.warning = where + " exists already: all that is in it becomes the team's, and pods that break its rules are refused from then on"
		if made := strings.TrimSpace(obj.Labels[labelManagedBy]); made != "" && made != "appspan" {
			s.warning += "; it is managed by " + made
		}
	}
	return s
}
