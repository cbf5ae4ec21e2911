package cluster

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/seal"
)

// FleetOptions shape a [Fleet].
type FleetOptions struct {
	// Keys seal the clusters' credentials. Required.
	Keys *seal.Keyring
	// Providers are where clusters come from, by the name that
	// [Registration].Provider gives. Required.
	Providers map[string]driver.Provider
	// Authorizer is asked before every call; nil denies everything, and
	// appspan.AllowAll{} allows it.
	Authorizer appspan.Authorizer
	// Auditor is told of every mutation; nil: nobody is.
	Auditor appspan.Auditor
	// Applications says what runs on a cluster and removes it. Nil: a cluster
	// is removed only with Force, and nothing is pruned from a forgotten one.
	Applications Applications
	// Cluster is for every cluster of the fleet; its UID and Labels are set by
	// the registration.
	Cluster Options
	// CheckInterval is the time between two checks of one cluster, spread by
	// a fifth; default 30 s. Every tenth check, and the first after an outage,
	// reads the nodes and what runs on them too.
	CheckInterval time.Duration
	// CheckTimeout bounds one check; default 10 s.
	CheckTimeout time.Duration
	// Metrics hears of every check; nil: nobody does.
	Metrics Metrics
	// Logger hears what no caller is told; nil discards.
	Logger *slog.Logger
}

// Applications is what a Fleet asks of whoever runs applications on its
// clusters.
type Applications interface {
	// Running names the applications on a cluster: "team-a/shop".
	Running(ctx context.Context, c *Cluster) ([]string, error)
	// Prune removes every application from a cluster, but not its data, and
	// names them.
	Prune(ctx context.Context, c *Cluster) ([]string, error)
}

// Metrics hears of checks. It is called from several goroutines.
type Metrics interface {
	// Checked tells how a check of a cluster ended and how long it took.
	Checked(cluster string, health Health, took time.Duration)
}

// Fleet is the clusters that are registered in Records, open and looked after.
// Any number of processes may have a Fleet over the same Records. It is safe
// for concurrent use.
//
// Without [Fleet.Run], clusters are read from Records as they are asked for,
// and their health is what the last Refresh found.
type Fleet struct {
	*fleet
	subject appspan.Subject
}

// fleet is what the views of a Fleet share.
type fleet struct {
	records *storage.Records
	opts    FleetOptions

	mu      sync.Mutex
	members map[string]*member
	synced  bool // members are all that are registered, kept so by Run
	closed  bool
}

// NewFleet returns the fleet that is registered in records. Options without
// keys or providers are appspan.ErrInvalid.
func NewFleet(records *storage.Records, opts *FleetOptions) (*Fleet, error) {
	var o FleetOptions
	if opts != nil {
		o = *opts
	}
	switch {
	case records == nil:
		return nil, fmt.Errorf("fleet: %w: no records; open a store, as boltrecords.Open", appspan.ErrInvalid)
	case o.Keys == nil:
		return nil, fmt.Errorf("fleet: %w: no keys; open a key file with seal.OpenOrCreateKeyFile and set FleetOptions.Keys", appspan.ErrInvalid)
	case len(o.Providers) == 0:
		return nil, fmt.Errorf("fleet: %w: no providers; set FleetOptions.Providers, as {\"kubeconfig\": kube.Provider{}}", appspan.ErrInvalid)
	}
	if o.CheckInterval <= 0 {
		o.CheckInterval = 30 * time.Second
	}
	if o.CheckTimeout <= 0 {
		o.CheckTimeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Providers = maps.Clone(o.Providers)
	return &Fleet{fleet: &fleet{records: records, opts: o, members: map[string]*member{}}}, nil
}

// For returns a view of the fleet that acts as subject: every call is
// authorized as the subject's, and where the subject acts for a team and the
// driver can, the clusters see the team and not this program.
func (f *Fleet) For(subject appspan.Subject) *Fleet { return &Fleet{fleet: f.fleet, subject: subject} }

// Close closes every cluster. Calls that follow fail.
func (f *Fleet) Close() error {
	f.mu.Lock()
	members := slices.Collect(maps.Values(f.members))
	clear(f.members)
	f.closed = true
	f.mu.Unlock()
	var errs []error
	for _, m := range members {
		errs = append(errs, m.close())
	}
	return errors.Join(errs...)
}

// errFleetClosed is what calls after Close fail with.
var errFleetClosed = fmt.Errorf("fleet: %w: it is closed", appspan.ErrUnavailable)

func (f *Fleet) authorize(ctx context.Context, verb appspan.Verb, name string) error {
	return appspan.Authorize(ctx, f.opts.Authorizer, f.subject, appspan.Access{Verb: verb, Resource: "cluster", Team: f.subject.Team, Cluster: name})
}

// audit tells of a mutation that has ended.
func (f *Fleet) audit(ctx context.Context, verb appspan.Verb, name string, outcome error) error {
	if f.opts.Auditor == nil {
		return outcome
	}
	entry := appspan.AuditEntry{Time: time.Now().UTC(), Subject: f.subject, Outcome: "ok",
		Access: appspan.Access{Verb: verb, Resource: "cluster", Team: f.subject.Team, Cluster: name}}
	if outcome != nil {
		entry.Outcome = outcome.Error()
	}
	if err := f.opts.Auditor.Audit(context.WithoutCancel(ctx), entry); err != nil {
		return errors.Join(outcome, fmt.Errorf("audit of %s: %w", entry.Access, err))
	}
	return outcome
}

// Cluster returns the cluster of a name; one that is not registered is
// appspan.ErrNotFound. It does not wait for the cluster to answer. It is the
// fleet's: do not close it. It is closed, and calls that run on it fail, when
// the cluster is removed, or when other credentials are registered for it;
// every other change leaves it open.
func (f *Fleet) Cluster(ctx context.Context, name string) (*Cluster, error) {
	if err := f.authorize(ctx, appspan.VerbRead, name); err != nil {
		return nil, err
	}
	m, err := f.member(ctx, name)
	if err != nil {
		return nil, err
	}
	return m.as(f.subject)
}

// Selector chooses clusters. The zero Selector is all of them.
type Selector struct {
	// Names are the clusters; empty is any.
	Names []string
	// Labels must all be there with these values.
	Labels map[string]string
	// Health is one of these; empty is any.
	Health []Health
}

func (s Selector) matches(st *Status) bool {
	if len(s.Names) > 0 && !slices.Contains(s.Names, st.Name) || len(s.Health) > 0 && !slices.Contains(s.Health, st.Health) {
		return false
	}
	for k, v := range s.Labels {
		if have, ok := st.Labels[k]; !ok || have != v {
			return false
		}
	}
	return true
}

// Clusters returns what is known of the clusters that sel chooses, sorted by
// name, without asking them anything. Those that the subject may not read are
// left out. An error is that of reading the registry.
func (f *Fleet) Clusters(ctx context.Context, sel Selector) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		members, err := f.all(ctx)
		if err != nil {
			yield(Status{}, err)
			return
		}
		for _, m := range members {
			st := m.status()
			if !sel.matches(&st) || f.authorize(ctx, appspan.VerbRead, m.name) != nil {
				continue
			}
			if !yield(st, nil) {
				return
			}
		}
	}
}

// Select returns the names of the clusters that sel chooses and the subject may
// read, sorted.
func (f *Fleet) Select(ctx context.Context, sel Selector) ([]string, error) {
	var out []string
	for s, err := range f.Clusters(ctx, sel) {
		if err != nil {
			return nil, err
		}
		out = append(out, s.Name)
	}
	return out, nil
}

// Status returns what is known of one cluster, without asking it anything.
func (f *Fleet) Status(ctx context.Context, name string) (Status, error) {
	if err := f.authorize(ctx, appspan.VerbRead, name); err != nil {
		return Status{}, err
	}
	m, err := f.member(ctx, name)
	if err != nil {
		return Status{}, err
	}
	return m.status(), nil
}

// clusterName is a DNS label, so that it fits labels, names and URLs.
var clusterName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
