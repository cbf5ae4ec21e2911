package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/storage"
)

// Run looks at the applications, each cluster's on its own, until ctx ends; then it
// returns nil once what was under way has ended. What is deployed is looked at at
// once. The error is that of records which cannot be used; appspan.ErrConflict is
// one Run too many of an overview.
func (o *Overview) Run(ctx context.Context) error {
	o.mu.Lock()
	if o.running {
		o.mu.Unlock()
		return fmt.Errorf("overview: %w: it runs already", appspan.ErrConflict)
	}
	o.running = true
	o.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	err := o.follow(ctx, &wg)
	ended := ctx.Err() != nil
	cancel()
	wg.Wait()
	o.mu.Lock()
	o.running, o.loaded, o.lanes = false, false, map[string]*lane{}
	o.seen = map[string]*watched{}
	o.mu.Unlock()
	if ended {
		return nil
	}
	return fmt.Errorf("overview: %w", err)
}

// follow hears of what is deployed and removed.
func (o *overview) follow(ctx context.Context, wg *sync.WaitGroup) error {
	for e, err := range o.own.opts.Records.Watch(ctx, indexKeys, nil) {
		if err != nil {
			return err
		}
		o.mu.Lock()
		switch e.Type {
		case storage.Added, storage.Modified:
			all, err := decodeListed(e.Record)
			if err != nil {
				o.opts.Logger.Error("an application of the index cannot be read", "record", e.Record.Key, "error", err)
				break
			}
			there := map[string]bool{}
			for _, l := range all {
				there[l.Key()] = true
				o.place(l)
			}
			o.dropAll(func(key string, w *watched) bool {
				return indexKey(w.Namespace, w.Application) == e.Record.Key && !there[key]
			})
		case storage.Deleted:
			o.dropAll(func(_ string, w *watched) bool { return indexKey(w.Namespace, w.Application) == e.Record.Key })
		case storage.Reset:
			for _, w := range o.seen {
				w.again = false
			}
		case storage.Synced:
			o.dropAll(func(_ string, w *watched) bool { return !w.again })
			o.loaded = true
		}
		for _, l := range o.lanes {
			if !l.going {
				l.going = true
				wg.Go(func() { o.run(ctx, l) })
			}
		}
		o.mu.Unlock()
	}
	return context.Cause(ctx)
}

// place takes an application over from the index; the lock is held.
func (o *overview) place(l Listed) {
	key := l.Key()
	w := o.seen[key]
	before := Listed{}
	if w == nil {
		w = &watched{on: map[string]*unit{}}
		o.seen[key] = w
	} else {
		before = w.Listed
	}
	w.again = true
	w.Listed = l
	there := map[string]bool{}
	for _, on := range l.Clusters {
		if on.Recycled {
			continue
		}
		there[on.Cluster] = true
		u := w.on[on.Cluster]
		if u != nil && slices.Contains(before.Clusters, on) {
			continue
		}
		if u == nil {
			u = &unit{key: key, cluster: on.Cluster, status: unseen(&l, on)}
			w.on[on.Cluster] = u
			if o.lanes[on.Cluster] == nil {
				o.lanes[on.Cluster] = &lane{cluster: on.Cluster, wake: make(chan struct{}, 1), units: map[string]*unit{}}
			}
			o.lanes[on.Cluster].units[key] = u
		}
		u.due = time.Now()
		wake(o.lanes[on.Cluster].wake)
	}
	for name := range w.on {
		if !there[name] {
			delete(w.on, name)
			delete(o.lanes[name].units, key)
		}
	}
	o.sum(w)
	if before.Application == "" || before.Environment != l.Environment || !slices.Equal(before.Clusters, l.Clusters) {
		o.tell(o.aged(&w.Seen, time.Now()))
	}
}

// dropAll forgets applications; the lock is held.
func (o *overview) dropAll(gone func(key string, w *watched) bool) {
	for key, w := range o.seen {
		if !gone(key, w) {
			continue
		}
		for name := range w.on {
			delete(o.lanes[name].units, key)
		}
		delete(o.seen, key)
		out := o.aged(&w.Seen, time.Now())
		out.Gone = true
		o.tell(out)
	}
}

// sum puts the clusters of an application together; the lock is held.
func (o *overview) sum(w *watched) {
	clusters := make([]status.Cluster, 0, len(w.on))
	for _, u := range w.on {
		clusters = append(clusters, u.status)
	}
	slices.SortFunc(clusters, func(a, b status.Cluster) int { return strings.Compare(a.Name, b.Name) })
	w.Status = summed(w.Application, clusters)
}

// run looks at what is on one cluster.
func (o *overview) run(ctx context.Context, l *lane) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for ctx.Err() == nil {
		due, wait := o.due(l)
		for _, u := range due {
			wg.Go(func() {
				o.look(ctx, u)
				wake(l.wake)
			})
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// due are the units whose time has come, the longest ago first, as many as may be
// looked at now, and when to ask again. What was not looked at for too long is told
// as Unknown.
func (o *overview) due(l *lane) ([]*unit, time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, wait, free := time.Now(), o.opts.Interval, o.opts.Concurrency
	var due []*unit
	for _, u := range l.units {
		if u.status.Fresh && now.Sub(u.status.ObservedAt) > o.stale() {
			u.status = status.Stale(u.status, now, errNotLooked)
			w := o.seen[u.key]
			o.sum(w)
			o.tell(o.aged(&w.Seen, now))
		}
		switch {
		case u.busy:
			free--
		case !u.due.After(now):
			due = append(due, u)
		default:
			wait = min(wait, u.due.Sub(now))
		}
	}
	slices.SortFunc(due, func(a, b *unit) int { return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.key, b.key)) })
	due = due[:max(min(free, len(due)), 0)]
	for _, u := range due {
		u.busy = true
	}
	return due, wait
}

// look looks at one application on one cluster.
func (o *overview) look(ctx context.Context, u *unit) {
	o.mu.Lock()
	w := o.seen[u.key]
	if w == nil || w.on[u.cluster] != u {
		o.mu.Unlock()
		return
	}
	l, began := w.Listed, time.Now()
	o.mu.Unlock()
	found, err := o.own.Status(ctx, l.Application, Target{Clusters: []string{u.cluster}, Namespace: l.Namespace, Team: l.Team})
	o.mu.Lock()
	defer o.mu.Unlock()
	u.busy = false
	if ctx.Err() != nil || o.seen[u.key] != w || w.on[u.cluster] != u {
		return // it went meanwhile
	}
	before := u.status
	if err != nil {
		o.opts.Logger.Warn("looking at an application", "application", u.key, "cluster", u.cluster, "error", err)
		u.status = status.Stale(u.status, time.Now().UTC(), err)
		u.status.Error = account(err, nil)
	} else {
		u.status = found.Clusters[0]
	}
	w.Looked = time.Now().UTC()
	if u.due.Before(began) || u.due.Equal(began) { // else it was deployed meanwhile
		wait := o.opts.Interval
		switch u.status.Value {
		case status.Progressing, status.Degraded, status.Failed, status.Absent:
			wait = o.opts.Soon
		}
		u.due = time.Now().Add(spread(wait))
	}
	o.sum(w)
	if !sameStatus(before, u.status) {
		o.tell(o.aged(&w.Seen, time.Now()))
	}
}
