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

// Listed is an application as Records know it (Options.Records): where it was
// deployed, and what its newest releases are. The clusters hold the truth; what an
// apply could not write down is put right by the next one, and by
// [Environments.Recover].
type Listed struct {
	Application string `json:"application"`
	Namespace   string `json:"namespace"`
	Team        string `json:"team,omitempty"`
	// Environment is the one that it was deployed to, if any.
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
	// Recycled: it was removed and may be restored.
	Recycled bool `json:"recycled,omitempty"`
}

// Key orders applications: by namespace and name.
func (l Listed) Key() string { return l.Namespace + "/" + l.Application }

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
}

func (f Filter) matches(l *Listed) bool {
	search := strings.ToLower(f.Search)
	return (f.Team == "" || f.Team == l.Team) && (f.Namespace == "" || f.Namespace == l.Namespace) &&
		(f.Environment == "" || f.Environment == l.Environment) &&
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
	Application string              `json:"application"`
	Namespace   string              `json:"namespace"`
	Team        string              `json:"team,omitempty"`
	Environment string              `json:"environment,omitempty"`
	Clusters    map[string]ListedOn `json:"clusters"`
}

func (r *indexRecord) listed() Listed {
	out := Listed{Application: r.Application, Namespace: r.Namespace, Team: r.Team, Environment: r.Environment}
	for _, name := range slices.Sorted(maps.Keys(r.Clusters)) {
		on := r.Clusters[name]
		on.Cluster = name
		out.Clusters = append(out.Clusters, on)
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

// index notes what an application is on a cluster; nil: it is not there any
// more. An environment that is not named stays.
func (d *Deployer) index(ctx context.Context, namespace, application, team, environment string, cluster string, on *ListedOn) error {
	if d.opts.Records == nil {
		return nil
	}
	ctx, cancel := draining(ctx)
	defer cancel()
	_, err := d.opts.Records.Update(ctx, indexKey(namespace, application), func(old []byte) ([]byte, error) {
		r := &indexRecord{Envelope: storage.Envelope{Format: indexFormat, MinReader: indexFormat}, Application: application, Namespace: namespace}
		if old != nil {
			if err := storage.Decode(old, indexFormat, r); err != nil {
				return nil, err
			}
		}
		if on == nil {
			delete(r.Clusters, cluster)
			if len(r.Clusters) == 0 {
				return nil, nil
			}
			return json.Marshal(r)
		}
		if r.Clusters == nil {
			r.Clusters = map[string]ListedOn{}
		}
		r.Team, r.Environment = cmp.Or(team, r.Team), cmp.Or(environment, r.Environment)
		now := *on
		now.Cluster = ""
		r.Clusters[cluster] = now
		return json.Marshal(r)
	})
	return err
}

// indexed notes how an apply ended.
func (a *applier) indexed(ctx context.Context) error {
	if a.deployer.opts.Records == nil || a.fresh == nil {
		return nil
	}
	l, p := a.fresh.work.live, a.plan
	r := cmp.Or(a.record, l.state.record)
	var on *ListedOn
	if r != nil && !a.gone {
		now := r.listedOn(a.cluster.Name())
		on = &now
	}
	environment := ""
	if env := p.intent.means(a.cluster.Name()).Environment; env != nil {
		environment = env.Name
	}
	return a.deployer.index(ctx, l.scope.namespace, l.scope.application, p.Target.Team, environment, a.cluster.Name(), on)
}

// access is what one is asked for who reads an application of the index.
func (l *Listed) access() appspan.Access {
	return appspan.Access{Verb: appspan.VerbRead, Resource: "application", Team: l.Team, Application: l.Application}
}

// indexedRecords are those of the index.
func (d *Deployer) indexedRecords() (*storage.Records, error) {
	if d.opts.Records == nil {
		return nil, fmt.Errorf("applications: %w: this Deployer keeps no index of them; set Options.Records", appspan.ErrUnsupported)
	}
	return d.opts.Records, nil
}

func decodeListed(rec storage.Record) (Listed, error) {
	var r indexRecord
	if err := storage.Decode(rec.Value, indexFormat, &r); err != nil {
		return Listed{}, fmt.Errorf("record %s: %w", rec.Key, err)
	}
	if rec.Key != indexKey(r.Namespace, r.Application) {
		return Listed{}, fmt.Errorf("record %s: %w: it is of %s/%s", rec.Key, appspan.ErrCorrupt, r.Namespace, r.Application)
	}
	return r.listed(), nil
}

// List yields the applications of the index that the subject may read, by
// namespace and name. It asks no cluster. An error comes last.
func (d *Deployer) List(ctx context.Context, f Filter) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		records, err := d.indexedRecords()
		if err != nil {
			yield(Listed{}, err)
			return
		}
		var failed []error
		for rec, err := range records.List(ctx, indexKeys) {
			if err != nil {
				failed = append(failed, err)
				break
			}
			l, err := decodeListed(rec)
			if err != nil { // the others are told
				failed = append(failed, err)
				continue
			}
			if f.matches(&l) && appspan.Authorize(ctx, d.opts.Authorizer, d.subject, l.access()) == nil && !yield(l, nil) {
				return
			}
		}
		if len(failed) > 0 {
			yield(Listed{}, errors.Join(failed...))
		}
	}
}

// Find returns an application of the index. One that is not there, or that the
// subject may not read, is appspan.ErrNotFound.
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
	l, err := decodeListed(rec)
	if err != nil {
		return Listed{}, err
	}
	if err := appspan.Authorize(ctx, d.opts.Authorizer, d.subject, l.access()); errors.Is(err, appspan.ErrDenied) {
		return Listed{}, none
	} else if err != nil {
		return Listed{}, err
	}
	return l, nil
}

// reindex puts what was found on clusters back into the index.
func (d *Deployer) reindex(ctx context.Context, found *Recovered) error {
	var errs []error
	for i := range found.Clusters {
		on := &found.Clusters[i]
		errs = append(errs, d.index(ctx, found.Namespace, found.Application, found.Team, found.Environment, on.Cluster, &on.listed))
	}
	return errors.Join(errs...)
}
