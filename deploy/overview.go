package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy/status"
)

// OverviewOptions shape an [Overview].
type OverviewOptions struct {
	// Interval is the time between two looks at an application that is settled on a
	// cluster; default 15 s, spread by a fifth. Soon is that of one that is not;
	// default 2 s.
	Interval, Soon time.Duration
	// Concurrency is how many applications of one cluster are looked at at once, so
	// that no cluster waits for another; default 8.
	Concurrency int
	// Logger hears what no caller is told; nil discards.
	Logger *slog.Logger
}

// Overview keeps the status of every application of the index in memory, so that
// a list of them with how they do asks no cluster. [Overview.Run] looks at them;
// before it has looked, a status is Unknown, and so it is again of what was not
// looked at for more than a minute, or three times the Interval. It looks as the
// subject of the Deployer that it was made with, who must be allowed to read
// (VerbRead of "application") the applications of all teams on all clusters: give
// that one no team. What it has seen is told to who may read each. It is safe for
// concurrent use.
type Overview struct {
	*overview
	d *Deployer
}

// overview is what views share.
type overview struct {
	own  *Deployer
	opts OverviewOptions

	mu      sync.Mutex
	running bool
	loaded  bool                // the index was read to its end
	seen    map[string]*watched // by Listed.Key
	lanes   map[string]*lane    // by cluster
	changes map[*changes]bool
}

// watched is an application as it was seen.
type watched struct {
	Seen
	on    map[string]*unit // by cluster
	again bool             // since a reset
}

// unit is an application on a cluster.
type unit struct {
	key, cluster string
	due          time.Time
	busy         bool
	status       status.Cluster
}

// lane is what is looked at on a cluster.
type lane struct {
	cluster string
	wake    chan struct{}
	units   map[string]*unit // by Listed.Key
	going   bool
}

// Seen is an application with how it did when it was last looked at. What its
// Status holds is shared with others, and must not be changed.
type Seen struct {
	Listed
	// Status says, cluster by cluster, how fresh it is. One that was not looked at
	// yet is Unknown; one in the recycle bin is left out.
	Status status.Application `json:"status"`
	// Looked is when one of its clusters was looked at last, zero if none was.
	Looked time.Time `json:"looked,omitzero"`
	// Gone: it is not in the index any more.
	Gone bool `json:"gone,omitempty"`
}

// NewOverview returns the overview of the applications in d's index; without
// Options.Records it is appspan.ErrUnsupported.
func NewOverview(d *Deployer, opts *OverviewOptions) (*Overview, error) {
	if d == nil {
		return nil, fmt.Errorf("overview: %w: no Deployer", appspan.ErrInvalid)
	}
	if _, err := d.indexedRecords(); err != nil {
		return nil, fmt.Errorf("overview: %w", err)
	}
	var o OverviewOptions
	if opts != nil {
		o = *opts
	}
	if o.Interval <= 0 {
		o.Interval = 15 * time.Second
	}
	if o.Soon <= 0 {
		o.Soon = 2 * time.Second
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 8
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Overview{d: d, overview: &overview{own: d, opts: o, seen: map[string]*watched{}, lanes: map[string]*lane{}, changes: map[*changes]bool{}}}, nil
}

// For returns a view that acts as subject.
func (o *Overview) For(subject appspan.Subject) *Overview {
	return &Overview{overview: o.overview, d: o.d.For(subject)}
}

// unseen is what an application is on a cluster before it was looked at.
func unseen(l *Listed, on ListedOn) status.Cluster {
	return status.Cluster{Name: on.Cluster, Namespace: l.Namespace, Value: status.Unknown, Revision: on.Revision, Error: "it was not looked at yet"}
}

// unseenAll is what an application is before it was looked at.
func unseenAll(l Listed) Seen {
	var clusters []status.Cluster
	for _, on := range l.Clusters {
		if !on.Recycled {
			clusters = append(clusters, unseen(&l, on))
		}
	}
	return Seen{Listed: l, Status: summed(l.Application, clusters)}
}

// summed puts the clusters of an application together; one that waits in the
// recycle bin on all of them is Stopped.
func summed(application string, clusters []status.Cluster) status.Application {
	out := status.Of(application, clusters)
	if len(clusters) == 0 {
		out.Worst = status.Stopped
	}
	return out
}

// stale is how old what was seen may be before nobody can tell any more.
func (o *overview) stale() time.Duration { return max(3*o.opts.Interval, time.Minute) }

var errNotLooked = errors.New("it was not looked at of late")

// aged is what was seen, as old as it is now.
func (o *overview) aged(s *Seen, now time.Time) Seen {
	out := *s
	out.Status.Clusters = slices.Clone(s.Status.Clusters)
	expired := false
	for i := range out.Status.Clusters {
		c := &out.Status.Clusters[i]
		if !c.ObservedAt.IsZero() {
			c.Age = max(now.Sub(c.ObservedAt), 0)
		}
		if c.Fresh && c.Age > o.stale() {
			*c, expired = status.Stale(*c, now, errNotLooked), true
		}
	}
	if expired {
		out.Status = summed(out.Application, out.Status.Clusters)
	}
	return out
}

// List yields the applications that the subject may read, by their Key, from
// memory once Run has read the index, else from Records.
func (o *Overview) List(ctx context.Context, f Filter) iter.Seq2[Seen, error] {
	return func(yield func(Seen, error) bool) {
		o.mu.Lock()
		loaded := o.loaded
		var all []*Seen
		for _, w := range o.seen {
			if loaded && f.matches(&w.Listed) {
				all = append(all, &w.Seen)
			}
		}
		slices.SortFunc(all, func(a, b *Seen) int { return cmp.Compare(a.Key(), b.Key()) })
		copies := make([]Seen, len(all))
		for i, s := range all {
			copies[i] = *s
		}
		o.mu.Unlock()
		if !loaded {
			for l, err := range o.d.List(ctx, f) {
				if err != nil {
					yield(Seen{}, err)
					return
				}
				if !yield(unseenAll(l), nil) {
					return
				}
			}
			return
		}
		now, n := time.Now(), 0
		for i := range copies {
			if o.d.reads(ctx, &copies[i].Listed) != nil {
				continue
			}
			if n++; !yield(o.aged(&copies[i], now), nil) || n == f.Limit {
				return
			}
		}
	}
}

// Get returns an application as it is in the index now, with how it did when it
// was last looked at; the errors are those of [Deployer.Find].
func (o *Overview) Get(ctx context.Context, namespace, application string) (Seen, error) {
	l, err := o.d.Find(ctx, namespace, application)
	if err != nil {
		return Seen{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.seen[l.Key()]
	if w == nil {
		return unseenAll(l), nil
	}
	out := o.aged(&w.Seen, time.Now())
	out.Listed = l
	return out, nil
}

// Access is what one is asked for who reads the application.
func (l Listed) Access() appspan.Access { return l.access() }

// changes is one reader of what changed: the newest of each application, so that
// a slow reader costs no more than a fast one and misses nothing that still holds.
type changes struct {
	wake  chan struct{}
	fresh map[string]Seen
}

// Changes yields each application whose place or status changed since it was
// called, as it is then, until ctx ends; of one that changes while the reader is
// slow, the newest. Call it, then [Overview.List], then read it: nothing is missed.
// Those that the subject may not read are left out. It is read once; the error,
// last, is ctx's.
func (o *Overview) Changes(ctx context.Context) iter.Seq2[Seen, error] {
	c := &changes{wake: make(chan struct{}, 1), fresh: map[string]Seen{}}
	o.mu.Lock()
	o.changes[c] = true
	o.mu.Unlock()
	leave := func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.changes, c)
	}
	context.AfterFunc(ctx, leave) // also of one that is never read
	return func(yield func(Seen, error) bool) {
		defer leave()
		for {
			select {
			case <-ctx.Done():
				yield(Seen{}, context.Cause(ctx))
				return
			case <-c.wake:
			}
			o.mu.Lock()
			fresh := c.fresh
			c.fresh = map[string]Seen{}
			o.mu.Unlock()
			for _, key := range slices.Sorted(maps.Keys(fresh)) {
				s := fresh[key]
				if o.d.reads(ctx, &s.Listed) == nil && !yield(s, nil) {
					return
				}
			}
		}
	}
}

// tell notes a change for those who read; the lock is held.
func (o *overview) tell(s Seen) {
	for c := range o.changes {
		c.fresh[s.Key()] = s
		wake(c.wake)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
