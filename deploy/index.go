package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// Listed is an application of a team, or of none, as Records know it
// (Options.Records): where it was deployed, and what its newest releases are. The
// clusters hold the truth; what an apply could not write down is put right by the
// next one, and by [Environments.Recover]. Teams that have a namespace of one name,
// on different clusters, have each their own.
type Listed struct {
	Application string `json:"application"`
	Namespace   string `json:"namespace"`
	Team        string `json:"team,omitempty"`
	// Environment is the one that it was deployed to, if any; where clusters have
	// different ones, that of the newest release.
	Environment string `json:"environment,omitempty"`
	// Clusters are sorted by name.
	Clusters []ListedOn `json:"clusters"`
}

// ListedOn is an application on one cluster.
type ListedOn struct {
	Cluster string `json:"cluster"`
	// Revision, Kind, State and At are of the newest release.
	Revision int          `json:"revision"`
	Kind     PlanKind     `json:"kind,omitempty"`
	State    ReleaseState `json:"state,omitempty"`
	At       time.Time    `json:"at,omitzero"`
	Subject  string       `json:"subject,omitempty"`
	// Environment is the one that it was deployed to there, if any.
	Environment string `json:"environment,omitempty"`
	// Recycled: it was removed and may be restored.
	Recycled bool `json:"recycled,omitempty"`
}

// Key tells applications apart and orders them: by namespace, name and team.
func (l Listed) Key() string {
	key := l.Namespace + "/" + l.Application
	if l.Team != "" {
		key += "!" + l.Team // which is before what a longer name goes on with
	}
	return key
}

// Target is where the application runs: the clusters on which it is not in the
// recycle bin, or, if it is so on all, these.
func (l Listed) Target() Target {
	to := Target{Namespace: l.Namespace, Team: l.Team}
	for _, recycled := range []bool{false, true} {
		for _, on := range l.Clusters {
			if on.Recycled == recycled {
				to.Clusters = append(to.Clusters, on.Cluster)
			}
		}
		if len(to.Clusters) > 0 {
			break
		}
	}
	return to
}

// Filter chooses applications; the zero value chooses all.
type Filter struct {
	Team, Namespace, Cluster, Environment string
	// Search is a part of the name or the namespace, in any case of letters.
	Search string
	// After is the Key behind which the list begins.
	After string
	// Limit is how many are yielded at most; 0 is all.
	Limit int
}

func (f Filter) matches(l *Listed) bool {
	search := strings.ToLower(f.Search)
	return (f.Team == "" || f.Team == l.Team) && (f.Namespace == "" || f.Namespace == l.Namespace) &&
		(f.Environment == "" || slices.ContainsFunc(l.Clusters, func(on ListedOn) bool { return on.Environment == f.Environment })) &&
		(f.Cluster == "" || slices.ContainsFunc(l.Clusters, func(on ListedOn) bool { return on.Cluster == f.Cluster })) &&
		(search == "" || strings.Contains(strings.ToLower(l.Application), search) || strings.Contains(strings.ToLower(l.Namespace), search)) &&
		l.Key() > f.After
}

const (
	indexKeys   = "applications/"
	indexFormat = 1
)

// indexRecord is an application as it is stored.
type indexRecord struct {
	storage.Envelope
	Application string               `json:"application"`
	Namespace   string               `json:"namespace"`
	Clusters    map[string]indexedOn `json:"clusters"`
}

// indexedOn is an application on one cluster, and whose it is there.
type indexedOn struct {
	Team string `json:"team,omitempty"`
	ListedOn
}

// listed are the applications of a record, by team.
func (r *indexRecord) listed() []Listed {
	teams := map[string]*Listed{}
	newest := map[string]time.Time{}
	for _, name := range slices.Sorted(maps.Keys(r.Clusters)) {
		on := r.Clusters[name]
		on.Cluster = name
		l := teams[on.Team]
		if l == nil {
			l = &Listed{Application: r.Application, Namespace: r.Namespace, Team: on.Team}
			teams[on.Team] = l
		}
		if on.Environment != "" && !on.At.Before(newest[on.Team]) {
			l.Environment, newest[on.Team] = on.Environment, on.At
		}
		l.Clusters = append(l.Clusters, on.ListedOn)
	}
	out := make([]Listed, 0, len(teams))
	for _, team := range slices.Sorted(maps.Keys(teams)) {
		out = append(out, *teams[team])
	}
	return out
}

func indexKey(namespace, application string) string {
	return indexKeys + namespace + "/" + application
}

// listedOn is what a record says of an application on its cluster.
func (r *record) listedOn(cluster string) ListedOn {
	on := ListedOn{Cluster: cluster, Revision: r.Revision, Recycled: r.Recycled != nil}
	if last := r.newest(); last != nil {
		on.Kind, on.State, on.At, on.Subject = last.Kind, last.State, last.Started, last.Subject
	}
	return on
}

// index notes what an application is on a cluster; nil: it is not there any more.
// Whoever has written asks the cluster, if it answers, whether it is still so, and
// else writes again: so the last word is what was done last, whoever was slow to
// note it. A team and an environment that are not named stay.
func (d *Deployer) index(ctx context.Context, at place, team string, on *ListedOn) error {
	if d.opts.Records == nil {
		return nil
	}
	if !namespaceName.MatchString(at.namespace) || !namespaceName.MatchString(at.application) {
		return fmt.Errorf("%w: %q in %q are no DNS labels", appspan.ErrInvalid, cut(at.application, 100), cut(at.namespace, 100))
	}
	ctx, cancel := draining(ctx)
	defer cancel()
	for range maxNoted {
		wrote := false
		_, err := d.opts.Records.Update(ctx, indexKey(at.namespace, at.application), func(old []byte) (out []byte, err error) {
			out, wrote, err = noted(old, at, team, on)
			return out, err
		})
		if err != nil || !wrote {
			return err
		}
		now, err := d.onCluster(ctx, at)
		if err != nil || on == nil && now == nil || on != nil && now != nil && now.same(*on) {
			return nil // what was done is noted
		}
		on = now
	}
	return fmt.Errorf("%w: others change it all the time", appspan.ErrConflict)
}

const maxNoted = 10

// onCluster is what an application is on a cluster now; nil: it is not there.
func (d *Deployer) onCluster(ctx context.Context, at place) (*ListedOn, error) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	st, _, err := d.readState(ctx, at.application, Target{Namespace: at.namespace}, at.cluster)
	if err != nil || st == nil || st.record == nil {
		return nil, err
	}
	on := st.record.listedOn(at.cluster)
	return &on, nil
}

// same reports whether two say the same, but for the environment.
func (on ListedOn) same(other ListedOn) bool {
	on.Environment, on.At = other.Environment, on.At.Round(0).UTC()
	other.At = other.At.Round(0).UTC()
	return on == other
}

// noted changes a record of the index, if something else is to be noted.
func noted(old []byte, at place, team string, on *ListedOn) (value []byte, changed bool, err error) {
	r := &indexRecord{}
	if old != nil {
		if err := storage.Decode(old, indexFormat, r); errors.Is(err, appspan.ErrCorrupt) {
			r = &indexRecord{} // it is written anew
		} else if err != nil {
			return nil, false, err
		}
	}
	before, known := r.Clusters[at.cluster]
	if !known && on == nil {
		return old, false, nil
	}
	r.Envelope = storage.Envelope{Format: indexFormat, MinReader: indexFormat}
	if on == nil {
		if delete(r.Clusters, at.cluster); len(r.Clusters) == 0 {
			return nil, true, nil
		}
	} else {
		now := indexedOn{Team: cmp.Or(team, before.Team), ListedOn: *on}
		now.Cluster, now.At, now.Environment = "", on.At.Round(0).UTC(), cmp.Or(on.Environment, before.Environment)
		if known && now == before && r.Application == at.application && r.Namespace == at.namespace {
			return old, false, nil
		}
		if r.Clusters == nil {
			r.Clusters = map[string]indexedOn{}
		}
		r.Clusters[at.cluster] = now
	}
	r.Application, r.Namespace = at.application, at.namespace
	value, err = json.Marshal(r)
	return value, true, err
}

// indexed notes how an apply ended that changed something, or found that nothing
// was to change.
func (a *applier) indexed(ctx context.Context, failed error) error {
	if a.deployer.opts.Records == nil || a.fresh == nil || a.fresh.work == nil || failed != nil && !a.began {
		return nil
	}
	l, p := a.fresh.work.live, a.plan
	r := cmp.Or(a.record, l.state.record)
	var on *ListedOn
	if r != nil && !a.gone {
		now := r.listedOn(a.cluster.Name())
		on = &now
		if env := p.intent.means(a.cluster.Name()).Environment; env != nil {
			on.Environment = env.Name
		}
	}
	team := p.Target.Team
	if l.namespace != nil { // its label says whose it is
		team = cmp.Or(l.namespace.Labels[labelTeam], team)
	}
	return a.deployer.index(ctx, place{a.cluster.Name(), l.scope.namespace, l.scope.application}, team, on)
}

// access is what one is asked for who reads an application of the index.
func (l *Listed) access() appspan.Access {
	return appspan.Access{Verb: appspan.VerbRead, Resource: "application", Team: l.Team, Namespace: l.Namespace, Application: l.Application}
}

// reads is nil if the subject may read an application of the index, and else
// appspan.ErrDenied, or why nobody can tell.
func (d *Deployer) reads(ctx context.Context, l *Listed) error {
	if err := d.sameTeam(l.Application, Target{Team: l.Team}); err != nil {
		return err
	}
	return appspan.Authorize(ctx, d.opts.Authorizer, d.subject, l.access())
}

// indexedRecords are those of the index.
func (d *Deployer) indexedRecords() (*storage.Records, error) {
	if d.opts.Records == nil {
		return nil, fmt.Errorf("applications: %w: this Deployer keeps no index of them; set Options.Records", appspan.ErrUnsupported)
	}
	return d.opts.Records, nil
}

func decodeListed(rec storage.Record) ([]Listed, error) {
	var r indexRecord
	if err := storage.Decode(rec.Value, indexFormat, &r); err != nil {
		return nil, fmt.Errorf("record %s: %w", rec.Key, err)
	}
	if rec.Key != indexKey(r.Namespace, r.Application) {
		return nil, fmt.Errorf("record %s: %w: it is of %q in %q", rec.Key, appspan.ErrCorrupt, cut(r.Application, 100), cut(r.Namespace, 100))
	}
	return r.listed(), nil
}

// List yields the applications of the index that the subject may read, by their
// Key. It asks no cluster. Records that cannot be read are left out, and told by
// the error, which comes last. The subject needs to be allowed to read an
// application of the team whose it is.
func (d *Deployer) List(ctx context.Context, f Filter) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		records, err := d.indexedRecords()
		if err != nil {
			yield(Listed{}, err)
			return
		}
		var failed []error
		n := 0
		for rec, err := range records.List(ctx, indexKeys) {
			if err != nil {
				failed = append(failed, err)
				break
			}
			all, err := decodeListed(rec)
			if err != nil { // the others are told
				failed = append(failed, err)
			}
			for i := range all {
				l := &all[i]
				if !f.matches(l) || d.reads(ctx, l) != nil {
					continue
				}
				if n++; !yield(*l, nil) || n == f.Limit {
					return
				}
			}
		}
		if len(failed) > 0 {
			yield(Listed{}, errors.Join(failed...))
		}
	}
}

// Find returns an application of the index. One that is not there, or that the
// subject may not read, is appspan.ErrNotFound; one that several teams have, all
// of which the subject may read, is appspan.ErrConflict.
func (d *Deployer) Find(ctx context.Context, namespace, application string) (Listed, error) {
	none := fmt.Errorf("application %s/%s: %w", cut(printable(namespace), 100), cut(printable(application), 100), appspan.ErrNotFound)
	records, err := d.indexedRecords()
	if err != nil {
		return Listed{}, err
	}
	if !namespaceName.MatchString(namespace) || !namespaceName.MatchString(application) {
		return Listed{}, none
	}
	rec, err := records.Get(ctx, indexKey(namespace, application))
	if errors.Is(err, appspan.ErrNotFound) {
		return Listed{}, none
	}
	if err != nil {
		return Listed{}, err
	}
	all, err := decodeListed(rec)
	if err != nil {
		return Listed{}, err
	}
	var found []Listed
	for i := range all {
		err := d.reads(ctx, &all[i])
		switch {
		case err == nil:
			found = append(found, all[i])
		case !errors.Is(err, appspan.ErrDenied):
			return Listed{}, err
		}
	}
	switch len(found) {
	case 0:
		return Listed{}, none
	case 1:
		return found[0], nil
	}
	return Listed{}, fmt.Errorf("application %s/%s: %w: teams %q and %q have one; act for one of them", namespace, application, appspan.ErrConflict, found[0].Team, found[1].Team)
}

// reindex puts what was found on clusters back into the index, and takes out of it
// what is no more on those of which all was read.
func (d *Deployer) reindex(ctx context.Context, to Target, r *Recovery) error {
	if d.opts.Records == nil {
		return nil
	}
	var errs []error
	there := map[place]bool{}
	for _, app := range r.Applications {
		for i := range app.Clusters {
			at := place{app.Clusters[i].Cluster, app.Namespace, app.Application}
			there[at] = true
			errs = append(errs, d.index(ctx, at, app.Team, &app.Clusters[i].listed))
		}
	}
	for rec, err := range d.opts.Records.List(ctx, indexKeys) {
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		all, err := decodeListed(rec)
		errs = append(errs, err)
		for _, l := range all {
			for _, on := range l.Clusters {
				at := place{on.Cluster, l.Namespace, l.Application}
				asked := slices.Contains(to.Clusters, on.Cluster) && (to.Namespace == "" || to.Namespace == l.Namespace)
				missed := slices.ContainsFunc(r.Missed, func(m Missed) bool { return m.Cluster == on.Cluster })
				if asked && !missed && !there[at] {
					errs = append(errs, d.index(ctx, at, "", nil))
				}
			}
		}
	}
	return errors.Join(errs...)
}
