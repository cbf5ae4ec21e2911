package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/driver"
)

// watch opens a watch of what happens from now on.
func (e *env) watch(prefix string) driver.Watch {
	e.Helper()
	page, err := e.d.List(e.ctx, driver.Query{Prefix: prefix})
	e.must(err == nil && page.Position != "", "list: position %q, %v", page.Position, err)
	return e.follow(e.ctx, prefix, page.Position)
}

func (e *env) follow(ctx context.Context, prefix, position string) driver.Watch {
	e.Helper()
	watcher, _ := driver.As[driver.Watcher](e.d)
	w, err := watcher.Watch(ctx, prefix, position)
	e.must(err == nil, "watch from %q: %v", position, err)
	return w
}

// next is the next change; a store that tells nothing ends with the context.
func (e *env) next(w driver.Watch) driver.Change {
	e.Helper()
	c, err := w.Next()
	e.must(err == nil, "next: %v", err)
	return c
}

// says ends the promise unless the next changes are writes of these values, or
// deletions where a value is empty.
func (e *env) says(w driver.Watch, values ...string) (last driver.Change) {
	e.Helper()
	for _, want := range values {
		last = e.next(w)
		e.must(string(last.Record.Value) == want && last.Deleted == (want == "") && last.Position != "",
			"got %s, deleted %v, position %q; want value %q", show(last.Record), last.Deleted, last.Position, want)
	}
	return last
}

// ends ends the promise unless the watch does.
func (e *env) ends(w driver.Watch) {
	e.Helper()
	for {
		if _, err := w.Next(); err != nil {
			e.must(errors.Is(err, io.EOF), "the watch ended with %v", err)
			return
		}
	}
}

func watchPromises() []promise {
	all := []promise{
		{name: "watch tells every write in order", run: func(e *env) {
			w := e.watch("each/")
			defer w.Stop()
			revision := ""
			for n := range 10 {
				revision = e.put("each/a", fmt.Sprint(n), revision)
			}
			last := e.says(w, "0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
			e.must(last.Record.Key == "each/a" && last.Record.Revision == revision, "got %s, want revision %s", show(last.Record), revision)
		}},
		{name: "watch tells a deletion with the key", run: func(e *env) {
			w := e.watch("end/")
			defer w.Stop()
			e.remove("end/a", e.put("end/a", "one", ""))
			last := e.says(w, "one", "")
			e.must(last.Record.Key == "end/a", "got %s", show(last.Record))
		}},
		{name: "watch goes on from a position without loss or repetition", run: func(e *env) {
			w := e.watch("resume/")
			e.put("resume/b", "2", e.put("resume/b", "1", ""))
			position := e.says(w, "1", "2").Position
			w.Stop()
			e.put("resume/c", "4", e.put("resume/c", "3", ""))
			w = e.follow(e.ctx, "resume/", position)
			defer w.Stop()
			e.put("resume/d", "5", "")
			e.says(w, "3", "4", "5")
		}},
		{name: "watch from the position of a page misses nothing that came after it", run: func(e *env) {
			e.put("since/a", "0", "")
			page, err := e.d.List(e.ctx, driver.Query{Prefix: "since/"})
			e.must(err == nil, "list: %v", err)
			e.put("since/b", "1", "")
			w := e.follow(e.ctx, "since/", page.Position)
			defer w.Stop()
			e.says(w, "1")
		}},
		{name: "watch has only what begins with the prefix", run: func(e *env) {
			w := e.watch("part/a/")
			defer w.Stop()
			e.put("part/ab/x", "1", "")
			e.put("part/a", "2", "")
			e.put("part/a/x", "3", "")
			e.says(w, "3")
		}},
		{name: "watch refuses a position of another store", run: func(e *env) {
			watcher, _ := driver.As[driver.Watcher](e.d)
			w, err := watcher.Watch(e.ctx, "foreign/", "foreign-0")
			if err == nil {
				_, err = w.Next()
				w.Stop()
			}
			e.wraps(err, appspan.ErrPrecondition, "watch")
		}},
		{name: "the values that watches return are copies", run: func(e *env) {
			w, other := e.watch("told/"), e.watch("told/")
			defer w.Stop()
			defer other.Stop()
			e.put("told/a", "one", "")
			e.next(w).Record.Value[0] = 'X'
			e.says(other, "one")
			got := e.get("told/a")
			e.must(string(got.Value) == "one", "got %s", show(got))
		}},
		{name: "Stop ends a watch that waits", run: func(e *env) {
			w := e.watch("stop/")
			go w.Stop()
			e.ends(w)
			w.Stop()
		}},
		{name: "the end of its context ends a watch that waits", run: func(e *env) {
			page, err := e.d.List(e.ctx, driver.Query{Prefix: "cut/"})
			e.must(err == nil, "list: %v", err)
			ctx, cancel := context.WithCancel(e.ctx)
			w := e.follow(ctx, "cut/", page.Position)
			defer w.Stop()
			go cancel()
			_, err = w.Next()
			e.must(err != nil, "the watch goes on")
		}},
		{name: "Close ends a watch that waits", run: func(e *env) {
			w := e.watch("shut/")
			defer w.Stop()
			go func() { _ = e.d.Close() }()
			_, err := w.Next()
			e.must(err != nil && e.ctx.Err() == nil, "the watch goes on")
		}},
	}
	for i := range all {
		all[i].watches = true
	}
	return all
}

func lifePromises() []promise {
	return []promise{
		{name: "calls after Close are ErrClosed", run: func(e *env) {
			revision := e.put("late/a", "one", "")
			e.must(e.d.Close() == nil, "close failed")
			_, err := e.d.Get(e.ctx, "late/a")
			e.wraps(err, driver.ErrClosed, "get")
			_, err = e.d.Put(e.ctx, "late/a", nil, revision)
			e.wraps(err, driver.ErrClosed, "put")
			e.wraps(e.d.Delete(e.ctx, "late/a", revision), driver.ErrClosed, "delete")
			_, err = e.d.List(e.ctx, driver.Query{Prefix: "late/"})
			e.wraps(err, driver.ErrClosed, "list")
		}},
		{name: "Close is idempotent", run: func(e *env) {
			e.put("twice/a", "one", "")
			for range 2 {
				err := e.d.Close()
				e.must(err == nil, "close: %v", err)
			}
		}},
		{name: "a call whose context has ended does nothing", run: func(e *env) {
			revision := e.put("ended/a", "one", "")
			ctx, cancel := context.WithCancel(e.ctx)
			cancel()
			_, err := e.d.Put(ctx, "ended/a", []byte("two"), revision)
			e.wraps(err, context.Canceled, "put")
			e.wraps(e.d.Delete(ctx, "ended/a", revision), context.Canceled, "delete")
			_, err = e.d.Get(ctx, "ended/a")
			e.wraps(err, context.Canceled, "get")
			_, err = e.d.List(ctx, driver.Query{Prefix: "ended/"})
			e.wraps(err, context.Canceled, "list")
			e.holds("ended/a", "one", revision)
		}},
		{name: "another handle reads what was acknowledged, and revisions go on", again: true, run: func(e *env) {
			revision := e.put("handle/a", "one", "")
			e.remove("handle/b", e.put("handle/b", "one", ""))
			e.must(e.d.Close() == nil, "close failed")
			e.d = e.again(e.d)
			e.holds("handle/a", "one", revision)
			_, err := e.d.Get(e.ctx, "handle/b")
			e.wraps(err, appspan.ErrNotFound, "get")
			e.must(e.put("handle/a", "two", revision) != revision, "revision %s came back", revision)
		}},
	}
}
