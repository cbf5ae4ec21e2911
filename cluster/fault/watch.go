package fault

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// Watch implements driver.Watcher: rules for [Watch] strike the opening, rules
// for [Next] each event.
func (c *Cluster) Watch(ctx context.Context, q driver.Query) (driver.Watch, error) {
	return optional(ctx, c, of(Watch, q), func(d driver.Watcher) (driver.Watch, error) {
		inner, err := d.Watch(ctx, q)
		if err != nil {
			return nil, err
		}
		return &watch{Watch: inner, ctx: ctx, c: c, stopped: make(chan struct{})}, nil
	}, nil)
}

// watch is an open watch whose events may be struck.
type watch struct {
	driver.Watch
	ctx     context.Context // of the watch: it bounds delays of events
	c       *Cluster
	stopped chan struct{}
	once    sync.Once

	mu    sync.Mutex // one Next at a time
	again *driver.WatchEvent
	err   error
}

// Stop implements driver.Watch.
func (w *watch) Stop() {
	w.once.Do(func() { close(w.stopped) })
	w.Watch.Stop()
}

// Next implements driver.Watch.
func (w *watch) Next() (driver.WatchEvent, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return driver.WatchEvent{}, w.err
	}
	if e := w.again; e != nil {
		w.again = nil
		return *e, nil
	}
	for {
		e, err := w.Watch.Next()
		if err != nil {
			w.err = err
			return e, err
		}
		if e, deliver, err := w.struck(e); err != nil || deliver {
			if err != nil {
				w.err = err
				w.Stop()
			}
			return e, err
		}
	}
}

// struck lets the rules strike an event. It reports whether the event is to
// be delivered.
func (w *watch) struck(e driver.WatchEvent) (_ driver.WatchEvent, deliver bool, err error) {
	began := time.Now()
	t := target{Next, e.Object.Ref}
	rules := w.c.plan.strikers(t)
	defer func() {
		w.c.plan.record(Call{Op: Next, Ref: t.ref, User: w.c.user, Err: err, Struck: len(rules) > 0, Began: began, Took: time.Since(began)})
	}()
	for _, r := range rules {
		err := r.strike(w.ctx, w.stopped)
		select {
		case <-w.stopped:
			if err == nil {
				err = io.EOF
			}
		default:
		}
		if err != nil {
			return driver.WatchEvent{}, false, err
		}
		switch r.Lie {
		case Drop:
			return e, false, nil
		case Duplicate:
			copied := e
			w.again = &copied
		case Corrupt:
			if len(e.Object.JSON) > 0 {
				e.Object = lieObject(Corrupt, e.Object)
			}
		}
	}
	return e, true, nil
}
