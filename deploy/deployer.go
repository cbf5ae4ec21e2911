package deploy

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/seal"
)

// Clusters is where a Deployer finds the clusters of a [Target]; *cluster.Set
// is one.
type Clusters interface {
	// Cluster returns the cluster of a name; an unknown one is
	// appspan.ErrNotFound.
	Cluster(ctx context.Context, name string) (*cluster.Cluster, error)
}

// Options shape a [Deployer].
type Options struct {
	// Installation tells this embedding program from others on the same
	// clusters: a DNS label of at most 40 characters, for life. Required.
	Installation string
	// Keys seal the secrets in releases and plans, and sign the records by
	// which applications are known to be ours. Required. Keep the key file
	// safe: without it what runs goes on running, but can no longer be changed
	// or removed through a Deployer, only by hand.
	Keys *seal.Keyring
	// Authorizer is asked before every call; nil denies everything, and
	// appspan.AllowAll{} allows it.
	Authorizer appspan.Authorizer
	// Auditor is told of every mutation; nil: nobody is.
	Auditor appspan.Auditor
	// Gate is passed by what is deployed for a team, see Target.Team: it says
	// what a team's application may contain and reserves its quota. Nil:
	// nothing is checked.
	Gate Gate
	// Concurrency is how many writes are under way at once on one cluster;
	// default 32. The driver may hold some of them back.
	Concurrency int
	// ClusterTimeout bounds the reading of one cluster's state, and each of
	// its writes; default 1 min. Readiness has its own, see ApplyOptions.
	ClusterTimeout time.Duration
	// Journal, when set, writes every apply down before anything happens, so
	// that another process that runs the journal finishes it when this one
	// dies. One Deployer of an installation may have a journal.
	Journal *journal.Journal
	// Records, when set, hold an index of what was deployed where; see
	// [Deployer.List].
	Records *storage.Records
	// Logger hears what no caller is told; nil discards.
	Logger *slog.Logger
}

// Deployer runs applications on clusters. It holds no state that matters: what
// runs is recorded in the clusters themselves, so any number of Deployers with
// the same installation id and keys see the same. It is safe for concurrent
// use.
type Deployer struct {
	clusters Clusters
	opts     Options
	subject  appspan.Subject
	last     *lastKnown
	local    *localRuns
}

var installationID = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$`)

// New returns a Deployer over the given clusters. Options that lack an
// installation id or keys are appspan.ErrInvalid.
func New(clusters Clusters, opts *Options) (*Deployer, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	switch {
	case clusters == nil:
		return nil, fmt.Errorf("deploy: %w: no clusters; pass a *cluster.Set", appspan.ErrInvalid)
	case !installationID.MatchString(o.Installation):
		return nil, fmt.Errorf("deploy: %w: installation id %q; give a DNS label of at most 40 characters in Options.Installation", appspan.ErrInvalid, o.Installation)
	case o.Keys == nil:
		return nil, fmt.Errorf("deploy: %w: no keys; open a key file with seal.OpenOrCreateKeyFile and set Options.Keys", appspan.ErrInvalid)
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 32
	}
	if o.ClusterTimeout <= 0 {
		o.ClusterTimeout = time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Deployer{clusters: clusters, opts: o, last: &lastKnown{}, local: &localRuns{runs: map[string]*localRun{}, at: map[place]int{}}}
	if o.Journal != nil {
		if err := o.Journal.Handle(operationKind(o.Installation), d.handle); err != nil {
			return nil, fmt.Errorf("deploy: %w", err)
		}
	}
	return d, nil
}

// For returns a view of the Deployer that acts as subject; over a
// *cluster.Fleet, the clusters see the subject's team.
func (d *Deployer) For(subject appspan.Subject) *Deployer {
	view := *d
	view.subject = subject
	if fleet, ok := d.clusters.(*cluster.Fleet); ok {
		view.clusters = fleet.For(subject)
	}
	return &view
}

// Rehearsal returns a view for finding out what would happen: what it records is in
// records alone, as in a storage.Overlay, no audit hears of it, and nothing is an
// operation. It writes to clusters like any other: give it plans to make.
func (d *Deployer) Rehearsal(records *storage.Records) *Deployer {
	view := *d
	view.opts.Records, view.opts.Auditor, view.opts.Journal = records, nil, nil
	return &view
}

// limit bounds the reading of one cluster's state.
func (d *Deployer) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	silent := fmt.Errorf("%w: no answer within %v", appspan.ErrUnavailable, d.opts.ClusterTimeout)
	return context.WithTimeoutCause(ctx, d.opts.ClusterTimeout, silent)
}

// authorize asks for one access on one cluster.
func (d *Deployer) authorize(ctx context.Context, verb appspan.Verb, app string, to Target, clusterName string) error {
	return appspan.Authorize(ctx, d.opts.Authorizer, d.subject, appspan.Access{
		Verb: verb, Resource: "application", Team: to.Team, Cluster: clusterName, Namespace: to.Namespace, Application: app,
	})
}

// audit records one mutation of one cluster.
func (d *Deployer) audit(ctx context.Context, verb appspan.Verb, p *Plan, clusterName string, w *work, outcome error) error {
	if d.opts.Auditor == nil {
		return nil
	}
	entry := appspan.AuditEntry{Time: time.Now().UTC(), Subject: d.subject, PlanHash: p.Hash, Outcome: "ok",
		Access: appspan.Access{Verb: verb, Resource: "application", Team: p.Target.Team, Cluster: clusterName,
			Namespace: p.Target.Namespace, Application: p.Application}}
	if outcome != nil {
		entry.Outcome = account(outcome, w.secretTexts())
	}
	if err := d.opts.Auditor.Audit(context.WithoutCancel(ctx), entry); err != nil {
		return fmt.Errorf("audit of %s: %w", entry.Access, err)
	}
	return nil
}

// lastKnown remembers the last answer about each application and cluster, for
// when a cluster does not answer any more.
type lastKnown struct {
	mu sync.Mutex
	at map[place]status.Cluster
}

// place is one application on one cluster.
type place struct{ cluster, namespace, application string }

func (l *lastKnown) put(p place, s status.Cluster) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at == nil {
		l.at = map[place]status.Cluster{}
	}
	if len(l.at) < 100_000 {
		l.at[p] = s
	}
}

func (l *lastKnown) get(p place) (status.Cluster, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.at[p]
	return s, ok
}

func (l *lastKnown) forget(p place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.at, p)
}
