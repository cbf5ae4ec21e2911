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
	"github.com/appspan-dev/appspan/storage"
)

// OverviewOptions shape an [Overview].
type OverviewOptions struct {
	// Interval is the time between two looks at an application that is settled;
	// default 15 s, spread by a fifth. Soon is that of one that is not, and of one
	// that was changed; default 2 s.
	Interval, Soon time.Duration
	// Concurrency is how many applications are looked at once; default 8.
	Concurrency int
	// Logger hears what no caller is told; nil discards.
	Logger *slog.Logger
}

// Overview keeps the status of every application of the index in memory, so that
// a list of them with how they do asks no cluster. [Overview.Run] looks at them;
// without it, and before it has looked, a status is Unknown. It looks as the
// subject of the Deployer that it was made with, who must be allowed to read all
// applications; what it has seen is told to who may read each. It is safe for
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
	seen    map[string]*Seen // by Listed.Key
	due     map[string]time.Time
	loaded  bool // the index was read to its end
	changes map[*changes]bool
}

// Seen is an application with how it did when it was last looked at.
type Seen struct {
	Listed
	// Status says, cluster by cluster, how fresh it is. One that was not looked at
	// yet is Unknown.
	Status status.Application `json:"status"`
	// Looked is when it was looked at, zero if it was not.
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
	return &Overview{d: d, overview: &overview{own: d, opts: o, seen: map[string]*Seen{}, due: map[string]time.Time{}, changes: map[*changes]bool{}}}, nil
}

// For returns a view that acts as subject.
func (o *Overview) For(subject appspan.Subject) *Overview {
	return &Overview{overview: o.overview, d: o.d.For(subject)}
}

// unseen is what an application is before it was looked at.
func unseen(l Listed) status.Application {
	out := status.Application{Name: l.Application, Worst: status.Unknown, Summary: map[status.Value]int{}}
	for _, on := range l.Clusters {
		if on.Recycled {
			continue
		}
		out.Clusters = append(out.Clusters, status.Cluster{Name: on.Cluster, Namespace: l.Namespace, Value: status.Unknown, Revision: on.Revision, Error: "it was not looked at yet"})
		out.Summary[status.Unknown]++
	}
	return out
}

// aged is what was seen, as old as it is now.
func (s *Seen) aged(now time.Time) Seen {
	out := *s
	out.Status.Clusters = slices.Clone(s.Status.Clusters)
	for i := range out.Status.Clusters {
		if c := &out.Status.Clusters[i]; !c.ObservedAt.IsZero() {
			c.Age = max(now.Sub(c.ObservedAt), 0)
		}
	}
	return out
}

// List yields the applications that the subject may read, by namespace and name,
// from memory once Run has read the index, else from Records.
func (o *Overview) List(ctx context.Context, f Filter) iter.Seq2[Seen, error] {
	return func(yield func(Seen, error) bool) {
		o.mu.Lock()
		loaded := o.loaded
		var all []Seen
		if loaded {
			now := time.Now()
			for _, s := range o.seen {
				if f.matches(&s.Listed) {
					all = append(all, s.aged(now))
				}
			}
		}
		o.mu.Unlock()
		if !loaded {
			for l, err := range o.d.List(ctx, f) {
				if !yield(Seen{Listed: l, Status: unseen(l)}, err) || err != nil {
					return
				}
			}
			return
		}
		slices.SortFunc(all, func(a, b Seen) int { return cmp.Compare(a.Key(), b.Key()) })
		for _, s := range all {
			if appspan.Authorize(ctx, o.d.opts.Authorizer, o.d.subject, s.access()) == nil && !yield(s, nil) {
				return
			}
		}
	}
}

// Get returns an application as it is in the index now, with how it did when it
// was last looked at. One that is not there, or that the subject may not read, is
// appspan.ErrNotFound.
func (o *Overview) Get(ctx context.Context, namespace, application string) (Seen, error) {
	l, err := o.d.Find(ctx, namespace, application)
	if err != nil {
		return Seen{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.seen[l.Key()]
	if s == nil {
		return Seen{Listed: l, Status: unseen(l)}, nil
	}
	out := s.aged(time.Now())
	out.Listed = l
	return out, nil
}

// Access is what one is asked for who reads the application.
func (l Listed) Access() appspan.Access { return l.access() }

// changes is one reader of what changed: the newest of each application.
type changes struct {
	wake  chan struct{}
	fresh map[string]Seen
}

// Changes yields each application whose place or status changed, as it is then,
// until ctx ends; of one that changes while the reader is slow, the newest. Those
// that the subject may not read are left out. The error, last, is ctx's.
func (o *Overview) Changes(ctx context.Context) iter.Seq2[Seen, error] {
	return func(yield func(Seen, error) bool) {
		c := &changes{wake: make(chan struct{}, 1), fresh: map[string]Seen{}}
		o.mu.Lock()
		o.changes[c] = true
		o.mu.Unlock()
		defer func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			delete(o.changes, c)
		}()
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
				if appspan.Authorize(ctx, o.d.opts.Authorizer, o.d.subject, s.access()) == nil && !yield(s, nil) {
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
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// Run looks at the applications, until ctx ends; then it returns nil once what was
// under way has ended. A cluster that does not answer holds up what is on it alone,
// as far as Concurrency goes. The error is that of records which cannot be used.
func (o *Overview) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	changed := make(chan struct{}, 1)
	wg.Go(func() {
		if err := o.follow(ctx, changed); err != nil && ctx.Err() == nil {
			cancel(fmt.Errorf("overview: %w", err))
		}
	})
	slots := make(chan struct{}, o.opts.Concurrency)
	busy := map[string]bool{}
	ended := make(chan string, o.opts.Concurrency)
	for {
		now := time.Now()
		next := now.Add(o.opts.Interval)
		for _, key := range o.overdue(now, busy, &next) {
			full := false
			select {
			case slots <- struct{}{}:
			default:
				full = true
			}
			if full {
				break
			}
			busy[key] = true
			wg.Go(func() {
				defer func() { <-slots; ended <- key }()
				o.look(ctx, key)
			})
		}
		timer := time.NewTimer(max(time.Until(next), 10*time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			wg.Go(func() { // those that are under way say so
				for len(busy) > 0 {
					delete(busy, <-ended)
				}
			})
			wg.Wait()
			if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return nil
		case key := <-ended:
			delete(busy, key)
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// overdue are the applications whose time has come, the longest ago first; next is
// when another one's comes.
func (o *overview) overdue(now time.Time, busy map[string]bool, next *time.Time) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var keys []string
	for key, at := range o.due {
		switch {
		case busy[key]:
		case !at.After(now):
			keys = append(keys, key)
		case at.Before(*next):
			*next = at
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(o.due[a].Compare(o.due[b]), cmp.Compare(a, b)) })
	return keys
}

// follow hears of what is deployed and removed.
func (o *overview) follow(ctx context.Context, changed chan<- struct{}) error {
	for e, err := range o.own.opts.Records.Watch(ctx, indexKeys, nil) {
		if err != nil {
			return err
		}
		o.mu.Lock()
		switch e.Type {
		case storage.Added, storage.Modified:
			l, err := decodeListed(e.Record)
			if err != nil {
				o.opts.Logger.Error("an application of the index cannot be read", "record", e.Record.Key, "error", err)
				break
			}
			s := o.seen[l.Key()]
			if s == nil {
				s = &Seen{Status: unseen(l)}
				o.seen[l.Key()] = s
			}
			s.Listed = l
			o.due[l.Key()] = time.Now()
			o.tell(s.aged(time.Now()))
		case storage.Deleted:
			key := e.Record.Key[len(indexKeys):]
			if s := o.seen[key]; s != nil {
				gone := s.aged(time.Now())
				gone.Gone = true
				delete(o.seen, key)
				delete(o.due, key)
				o.tell(gone)
			}
		case storage.Reset:
			o.seen, o.due, o.loaded = map[string]*Seen{}, map[string]time.Time{}, false
		case storage.Synced:
			o.loaded = true
		}
		o.mu.Unlock()
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	return nil
}

// look looks at one application.
func (o *overview) look(ctx context.Context, key string) {
	o.mu.Lock()
	s := o.seen[key]
	if s == nil {
		o.mu.Unlock()
		return
	}
	l := s.Listed
	o.mu.Unlock()
	to := l.Target()
	now, err := status.Application{Name: l.Application, Summary: map[status.Value]int{}}, error(nil)
	if !slices.ContainsFunc(l.Clusters, func(on ListedOn) bool { return !on.Recycled }) {
		now.Worst = status.Stopped // it waits in the recycle bin
	} else if now, err = o.own.Status(ctx, l.Application, to); err != nil {
		if ctx.Err() != nil {
			return
		}
		o.opts.Logger.Warn("looking at an application", "application", key, "error", err)
		now = unseen(l)
		for i := range now.Clusters {
			now.Clusters[i].Error = account(err, nil)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.seen[key] != s {
		return // it went and came meanwhile
	}
	changed := s.Looked.IsZero() || !sameSeen(&s.Status, &now)
	s.Status, s.Looked = now, time.Now().UTC()
	wait := o.opts.Interval
	if now.Worst != status.Ready && now.Worst != status.Stopped && now.Worst != status.Unknown {
		wait = o.opts.Soon
	}
	o.due[key] = time.Now().Add(spread(wait))
	if changed {
		o.tell(s.aged(time.Now()))
	}
}

// sameSeen reports whether two statuses say the same, but for when.
func sameSeen(a, b *status.Application) bool {
	return a.Worst == b.Worst && slices.EqualFunc(a.Clusters, b.Clusters, func(x, y status.Cluster) bool {
		return x.Name == y.Name && x.Value == y.Value && x.Revision == y.Revision && x.Fresh == y.Fresh && x.Error == y.Error &&
			slices.EqualFunc(x.Components, y.Components, func(m, n status.Component) bool {
				return m.ID == n.ID && m.Value == n.Value && m.Replicas == n.Replicas && m.Message == n.Message
			})
	})
}
