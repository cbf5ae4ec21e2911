package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/driver"
)

// EventType says what an [Event] of a watch is.
type EventType string

// The types of the events of a watch.
const (
	// Added: a record that the reader has not seen.
	Added EventType = "added"
	// Modified: a record that the reader has seen, with another value.
	Modified EventType = "modified"
	// Deleted: a record that is gone; it has no value.
	Deleted EventType = "deleted"
	// Synced: what came so far is everything that there is. It comes after the
	// first list, after Reset, and when a watch that was Stale follows again.
	Synced EventType = "synced"
	// Stale: the store does not answer; what is known is getting old. The
	// watch goes on trying.
	Stale EventType = "stale"
	// Reset: the reader forgets what it knows; everything that there is
	// follows as Added, then Synced.
	Reset EventType = "reset"
)

// Event is one step of a watch.
type Event struct {
	Type EventType
	// Record is what was Added, Modified or Deleted.
	Record Record
	// Position, where it is not empty, is where another Watch can go on after
	// this event: see WatchOptions.After.
	Position string
	// Cause is, for Stale, why.
	Cause error
}

// WatchOptions shape a Watch. The zero value, like nil, is the default.
type WatchOptions struct {
	// After is the Position of an event of an earlier Watch of the same
	// prefix: nothing is listed, and what happened since follows; or Reset and
	// everything, if the store does not remember so far back.
	After string
}

// Watch follows the records whose keys begin with prefix: everything that
// there is as Added, Synced, then the changes, each of them, in order, unless
// the store has forgotten where the reader was; then the difference. What
// changes while a first list of several pages is read may be told in its new
// state and then once more from the old one on, and ends in the new one. It goes
// on for ever: when the store does not answer it says Stale and tries again. A
// driver that cannot watch is polled; of several changes of a record between
// two lists the last is told.
//
// The sequence is read once. It ends when the loop is left, when the context
// ends, which is its last error, or with an error that trying again would not
// mend: appspan.ErrInvalid, ErrDenied, ErrUnsupported, or a closed store. A
// slow reader holds up the stream, not memory.
func (r *Records) Watch(ctx context.Context, prefix string, opts *WatchOptions) iter.Seq2[Event, error] {
	return once(func(yield func(Event, error) bool) {
		w := &watch{records: r, prefix: prefix, yield: yield, known: map[string]string{}}
		if opts != nil {
			w.position, w.gap = opts.After, opts.After != ""
		}
		w.driver, w.follows = driver.As[driver.Watcher](r.driver)
		err := checkPrefix(prefix)
		if err == nil {
			err = w.run(ctx)
		}
		if err != nil && !w.left {
			yield(Event{}, wrap("watch", prefix, err))
		}
	})
}

// watch is one run of Watch.
type watch struct {
	records *Records
	prefix  string
	driver  driver.Watcher
	follows bool // the driver can watch
	yield   func(Event, error) bool
	left    bool // the reader has left the loop

	known    map[string]string // revisions that the reader knows, by key
	gap      bool              // known lacks something that the reader may know
	position string            // where to resume; empty lists
	stale    bool              // the reader was told so
	synced   bool              // the reader has heard Synced since the last Reset
}

func (w *watch) send(e Event) {
	if !w.left && !w.yield(e, nil) {
		w.left = true
	}
}

// run works until the reader leaves or something fails for good.
func (w *watch) run(ctx context.Context) error {
	for failures := 0; ; {
		var err error
		if w.position == "" || !w.follows {
			err = w.list(ctx)
		} else {
			err = w.follow(ctx)
		}
		wait := time.Duration(0)
		switch {
		case w.left:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, driver.ErrClosed), errors.Is(err, appspan.ErrInvalid), errors.Is(err, appspan.ErrDenied), errors.Is(err, appspan.ErrUnsupported):
			return err
		case err == nil:
			failures = 0
			if !w.follows {
				wait = w.records.opts.PollInterval
			}
		case errors.Is(err, appspan.ErrPrecondition) && w.position != "":
			w.position = ""
		default:
			failures++
			wait = backOff(failures, err)
			if !w.stale {
				w.stale = true
				w.send(Event{Type: Stale, Cause: err})
			}
		}
		if wait > 0 && !sleep(ctx, wait) {
			return context.Cause(ctx)
		}
	}
}

// list reads everything and yields how it differs from what the reader knows.
func (w *watch) list(ctx context.Context) error {
	seen := map[string]bool{}
	position := ""
	for q := (driver.Query{Prefix: w.prefix}); ; {
		page, err := w.records.page(ctx, q)
		if err != nil {
			return err
		}
		if q.After == "" {
			position = page.Position // what happens between the pages follows again
		}
		if w.gap {
			w.gap, w.synced = false, false
			clear(w.known)
			w.send(Event{Type: Reset})
		}
		for _, rec := range page.Records {
			seen[rec.Key] = true
			w.update(rec, "")
		}
		if w.left {
			return nil
		}
		if !page.More {
			break
		}
		q.After = page.Records[len(page.Records)-1].Key
	}
	for key := range w.known {
		if !seen[key] {
			w.remove(key, "")
		}
	}
	w.position = position
	w.current()
	if w.follows && position == "" {
		return fmt.Errorf("%w: the store has no position to watch from", appspan.ErrUnavailable)
	}
	return nil
}

// current tells that the reader knows everything, if it does not know that.
func (w *watch) current() {
	if !w.synced || w.stale {
		w.synced, w.stale = true, false
		w.send(Event{Type: Synced, Position: w.position})
	}
}

// follow reads one stream to its end.
func (w *watch) follow(ctx context.Context) error {
	stream, err := w.driver.Watch(ctx, w.prefix, w.position)
	if err != nil {
		return err
	}
	defer stream.Stop()
	w.current()
	for !w.left {
		change, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		w.position = change.Position
		if change.Deleted {
			w.remove(change.Record.Key, change.Position)
		} else {
			w.update(change.Record, change.Position)
		}
	}
	return nil
}

// update yields a record that the reader does not know so.
func (w *watch) update(rec Record, position string) {
	was, known := w.known[rec.Key]
	if known && was == rec.Revision {
		return
	}
	w.known[rec.Key] = rec.Revision
	e := Event{Type: Added, Record: rec, Position: position}
	if known || w.gap {
		e.Type = Modified
	}
	w.send(e)
}

// remove yields that a record is gone.
func (w *watch) remove(key, position string) {
	if _, known := w.known[key]; !known && !w.gap {
		return
	}
	delete(w.known, key)
	w.send(Event{Type: Deleted, Record: Record{Key: key}, Position: position})
}
