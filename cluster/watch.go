package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

const (
	// calm is how long a stream lives that counts as healthy although nothing
	// happened in it.
	calm = 5 * time.Second
	// mostMute is how many streams in a row may end without a word before
	// everything is listed again: there are proxies that let lists through and
	// no streams.
	mostMute = 3
)

// Watch follows what q selects: everything that there is as Added, Synced,
// then the changes. With q.Revision it begins after that revision and lists
// nothing. It goes on for ever: when the stream ends it resumes; when the
// cluster does not answer it says Stale and tries again, ever more slowly;
// when the server has forgotten where it was, it lists again and yields the
// difference, or Reset where it cannot know it (more than 200,000 objects, or
// a start from q.Revision). A driver that cannot watch is polled, and so is a
// kind whose lists have no revision. Of an object that was replaced by one of
// the same name the old one is Deleted first.
//
// The sequence is read once. It ends when the loop is left, when the context
// ends, which is its last error, and with an error that trying again would not
// mend: appspan.ErrInvalid, ErrDenied, ErrNotFound, ErrUnsupported, or a closed
// cluster.
// A slow reader holds up the stream, not memory: the server ends it, and the
// watch resumes from what was read.
func (c *Cluster) Watch(ctx context.Context, q Query) iter.Seq2[Event, error] {
	return once(func(yield func(Event, error) bool) {
		w := &watch{c: c, q: q, yield: yield, known: map[string]Object{}, gap: q.Revision != ""}
		w.q.Continue, w.q.Revision = "", ""
		w.revision = q.Revision
		w.driver, w.follows = driver.As[driver.Watcher](c.driver)
		if err := w.run(ctx); err != nil && !w.left {
			ref := Ref{APIVersion: q.APIVersion, Kind: q.Kind, Namespace: q.Namespace}
			yield(Event{}, c.wrap("watch", ref, err))
		}
	})
}

// watch is one run of Watch.
type watch struct {
	c       *Cluster
	q       Query
	driver  driver.Watcher
	follows bool // the driver can watch
	yield   func(Event, error) bool
	left    bool // the reader has left the loop

	known    map[string]Object // what the reader knows, without JSON, by place
	gap      bool              // known lacks something that the reader may know
	revision string            // where to resume; empty lists
	heard    time.Time         // when the server last said something here
	stale    bool              // the reader was told so
	synced   bool              // the reader has heard Synced since the last Reset
	mute     int               // streams in a row that ended at once, without a word
}

// run works until the reader leaves or something fails for good.
func (w *watch) run(ctx context.Context) error {
	for failures := 0; ; {
		heard := w.heard
		err := w.c.info.foreign()
		switch {
		case err != nil:
			w.outage(ctx, err)
		case w.revision == "" || !w.follows:
			err = w.list(ctx)
		default:
			err = w.follow(ctx)
		}
		wait := time.Duration(0)
		switch {
		case w.left:
			return nil
		case ctx.Err() != nil:
			return ended(ctx)
		case err == nil && w.follows && w.revision != "":
			if w.mute == 0 { // a list mends no streams
				failures = 0
			}
		case err == nil:
			failures, wait = 0, backOff(1, 2*firstWait, nil)+w.c.opts.PollInterval
		case permanent(err):
			return err
		default:
			if w.heard != heard { // it answered in between
				failures = 0
			}
			failures++
			if errors.Is(err, appspan.ErrPrecondition) || w.mute > 0 && w.mute%mostMute == 0 {
				w.revision = ""
			}
			wait = backOff(failures, longestOutage, err)
		}
		if wait > 0 && !sleep(ctx, wait) {
			return ended(ctx)
		}
	}
}

// permanent reports whether trying again would not mend err.
func permanent(err error) bool {
	for _, end := range []error{
		appspan.ErrInvalid, appspan.ErrDenied, appspan.ErrUnsupported, appspan.ErrNotFound, driver.ErrClosed,
	} {
		if errors.Is(err, end) && !appspan.Retryable(err) {
			return true
		}
	}
	return false
}

// list reads everything and yields how it differs from what the reader knows.
func (w *watch) list(ctx context.Context) error {
	if w.gap {
		clear(w.known)
		w.gap, w.synced = false, false
		w.send(Event{Type: Reset})
	}
	seen := map[string]struct{}{} // of what is known: nothing else can be missed
	for q := w.q; ; {
		page, err := w.c.page(ctx, q)
		if err != nil {
			if !errors.Is(err, appspan.ErrPrecondition) && !permanent(err) {
				w.outage(ctx, err)
			}
			return err
		}
		w.heard = time.Now()
		for _, obj := range page.Items {
			w.update(driver.Added, obj)
			if _, known := w.known[place(obj)]; known {
				seen[place(obj)] = struct{}{}
			}
			if w.left {
				return nil
			}
		}
		if q.Continue = page.Continue; q.Continue == "" {
			w.revision = page.Revision
			break
		}
	}
	for id, obj := range w.known {
		if _, there := seen[id]; !there && !w.left {
			w.remove(obj)
		}
	}
	w.current()
	return nil
}

// follow reads one stream to its end. An end in good order is no error.
func (w *watch) follow(ctx context.Context) error {
	life, cancel := context.WithCancel(ctx)
	defer cancel()
	q := w.q
	q.Revision = w.revision
	late := time.AfterFunc(w.c.opts.Timeout, cancel)
	stream, err := w.driver.Watch(life, q)
	if !late.Stop() && err != nil {
		err = fmt.Errorf("%w: no answer within %v", appspan.ErrUnavailable, w.c.opts.Timeout)
	}
	w.c.health.heard(err)
	if err != nil {
		if !errors.Is(err, appspan.ErrPrecondition) && !permanent(err) {
			w.outage(ctx, err)
		}
		return err
	}
	defer stream.Stop()
	opened, before := time.Now(), w.heard
	w.current()
	for !w.left {
		event, err := stream.Next()
		if err != nil {
			if time.Since(opened) >= calm {
				w.heard = time.Now()
			}
			w.mute++
			if w.heard != before {
				w.mute = 0
			}
			if !errors.Is(err, io.EOF) {
				w.c.health.heard(err)
			}
			return err
		}
		w.heard = time.Now()
		w.c.health.heard(nil)
		if event.Object.Revision != "" {
			w.revision = event.Object.Revision
		}
		switch event.Type {
		case driver.Added, driver.Modified:
			w.update(event.Type, event.Object)
		case driver.Deleted:
			w.remove(event.Object)
		}
	}
	return nil
}

// send yields an event, unless the reader has left.
func (w *watch) send(e Event) {
	if !w.left && !w.yield(e, nil) {
		w.left = true
	}
}

// update tells the reader of an object, if it does not know this state.
// Whether it is new to the reader says what is known, or else the server.
func (w *watch) update(said driver.WatchEventType, obj Object) {
	id := place(obj)
	before, known := w.known[id]
	if known && before.UID != obj.UID {
		w.remove(before)
		known = false
	}
	if known && before.Revision == obj.Revision && obj.Revision != "" {
		return
	}
	if known || len(w.known) < maxRemembered {
		remembered := obj
		remembered.JSON = nil
		w.known[id] = remembered
	} else {
		w.gap = true
	}
	e := Event{Type: Added, Object: obj}
	if known || w.gap && said == driver.Modified {
		e.Type = Modified
	}
	w.send(e)
}

// remove tells the reader that an object is gone, unless it knows that, and
// what has taken the object's place.
func (w *watch) remove(obj Object) {
	if now, known := w.known[place(obj)]; known && now.UID != obj.UID {
		return
	}
	delete(w.known, place(obj))
	w.send(Event{Type: Deleted, Object: obj})
}

// place is where an object of a watch stands, whichever it is.
func place(obj Object) string { return obj.Namespace + "/" + obj.Name }

// current tells the reader that it knows everything, if that is news.
func (w *watch) current() {
	if w.stale || !w.synced {
		w.stale, w.synced = false, true
		w.send(Event{Type: Synced})
	}
}

// outage tells the reader, once, that the cluster does not answer.
func (w *watch) outage(ctx context.Context, err error) {
	if !w.stale && ctx.Err() == nil {
		w.stale = true
		w.send(Event{Type: Stale, Since: w.heard, Cause: err})
	}
}
