package fake

import (
	"context"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	watchBuffer   = 1000             // events a reader may be behind
	bookmarkEvery = time.Minute      // as a real server
	maxWatch      = 45 * time.Minute // a real server ends watches after 30 to 60
)

// watchEvent is one event before it is encoded. A bookmark has no record.
type watchEvent struct {
	kind   driver.WatchEventType
	record *record
	rev    uint64
}

// watch is one open watch: a bounded queue that the store fills under its
// lock, and one reader empties.
type watch struct {
	c        *Cluster
	sel      selection
	p        driver.Projection
	ctxEnded func() bool

	mu     sync.Mutex
	queue  []watchEvent
	bound  int
	err    error         // why it ended, once the queue is empty
	wake   chan struct{} // holds one token when there is something to see
	done   chan struct{}
	timers []*time.Timer
	stop   sync.Once
}

// openWatch begins a watch after revision rev, or with what there is when
// rev is empty (as synthetic additions).
func (c *Cluster) openWatch(ctx context.Context, sel selection, p driver.Projection, revision string, bookmarks bool) (*watch, error) {
	w := &watch{c: c, sel: sel, p: p, wake: make(chan struct{}, 1), done: make(chan struct{})}
	s := c.store
	s.mu.Lock()
	if revision == "" || revision == "0" {
		records := s.collect(sel.kind, sel.namespace)
		sortRecords(records)
		for _, r := range records {
			if sel.matches(r) {
				w.queue = append(w.queue, watchEvent{driver.Added, r, r.rev})
			}
		}
		if bookmarks { // from here on it follows changes
			w.queue = append(w.queue, watchEvent{driver.Bookmark, nil, s.rev})
		}
	} else {
		rev, err := parseRevision(revision)
		if err != nil {
			s.mu.Unlock()
			return nil, err
		}
		changes, ok := s.since(rev)
		if !ok {
			oldest := s.rev
			if len(s.history) > 0 {
				oldest = s.history[max(0, len(s.history)-s.bound)].rev
			}
			s.mu.Unlock()
			return nil, apierrors.NewResourceExpired("too old resource version: " + revision + " (" + strconv.FormatUint(oldest, 10) + ")")
		}
		for _, ch := range changes {
			if e, ok := sel.event(ch); ok {
				w.queue = append(w.queue, e)
			}
		}
	}
	if len(w.queue) > 0 {
		w.wake <- struct{}{}
	}
	w.bound = len(w.queue) + watchBuffer
	s.watches[w] = struct{}{}
	s.mu.Unlock()

	w.mu.Lock()
	defer w.mu.Unlock()
	if bookmarks {
		w.timers = append(w.timers, time.AfterFunc(bookmarkEvery, w.bookmark))
	}
	w.timers = append(w.timers, time.AfterFunc(maxWatch, func() { w.end(io.EOF) }))
	stop := context.AfterFunc(ctx, func() { w.end(context.Cause(ctx)) })
	w.ctxEnded = stop
	return w, nil
}

// event is what a change means to a selection.
func (s selection) event(ch change) (watchEvent, bool) {
	if ch.kind() != s.kind {
		return watchEvent{}, false
	}
	was, is := ch.before != nil && s.matches(ch.before), ch.after != nil && s.matches(ch.after)
	switch {
	case is && was:
		return watchEvent{driver.Modified, ch.after, ch.rev}, true
	case is:
		return watchEvent{driver.Added, ch.after, ch.rev}, true
	case was && ch.after == nil:
		return watchEvent{driver.Deleted, ch.last, ch.rev}, true
	case was: // it left the selection: the last state in it, at the new revision
		last := shallow(ch.before.obj)
		last.SetResourceVersion(strconv.FormatUint(ch.rev, 10))
		return watchEvent{driver.Deleted, newRecord(s.kind, last, ch.rev), ch.rev}, true
	}
	return watchEvent{}, false
}

// offer hands a change to the watch; the store's lock is held.
func (w *watch) offer(ch change) {
	if e, ok := w.sel.event(ch); ok {
		w.push(e)
	}
}

func (w *watch) push(e watchEvent) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	if len(w.queue) >= w.bound {
		w.err = io.EOF // too slow: the reader resumes from what it has seen
	} else {
		w.queue = append(w.queue, e)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// bookmark tells the reader how far it is, and comes again.
func (w *watch) bookmark() {
	w.c.store.mu.RLock()
	w.push(watchEvent{driver.Bookmark, nil, w.c.store.rev}) // in order with the changes
	w.c.store.mu.RUnlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && len(w.timers) > 0 {
		w.timers[0].Reset(bookmarkEvery)
	}
}

// end makes the watch fail with err once its queue is read.
func (w *watch) end(err error) {
	w.mu.Lock()
	if w.err == nil {
		w.err = err
	}
	for _, t := range w.timers {
		t.Stop()
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// pending reports whether next would not block.
func (w *watch) pending() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.queue) > 0 || w.err != nil
}

// next blocks for the next event.
func (w *watch) next() (watchEvent, error) {
	for {
		w.mu.Lock()
		if len(w.queue) > 0 {
			e := w.queue[0]
			w.queue = w.queue[1:]
			w.mu.Unlock()
			return e, nil
		}
		err := w.err
		w.mu.Unlock()
		if err != nil {
			w.Stop()
			return watchEvent{}, err
		}
		select {
		case <-w.wake:
		case <-w.done:
			w.end(io.EOF)
		}
	}
}

// Next implements driver.Watch.
func (w *watch) Next() (driver.WatchEvent, error) {
	e, err := w.next()
	if err != nil {
		return driver.WatchEvent{}, toDriver(err)
	}
	if e.record == nil {
		return driver.WatchEvent{Type: e.kind, Object: driver.Object{
			Ref:      driver.Ref{APIVersion: w.sel.kind.apiVersion(), Kind: w.sel.kind.gvk.Kind},
			Revision: strconv.FormatUint(e.rev, 10),
		}}, nil
	}
	return driver.WatchEvent{Type: e.kind, Object: e.record.driverObject(w.p)}, nil
}

// Stop implements driver.Watch.
func (w *watch) Stop() {
	w.stop.Do(func() {
		w.c.store.mu.Lock()
		delete(w.c.store.watches, w)
		w.c.store.mu.Unlock()
		w.end(io.EOF)
		w.ctxEnded()
		close(w.done)
	})
}
