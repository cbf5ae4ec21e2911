package clustertest

import (
	"context"
	"slices"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

const contractWatch = "driver.Watcher"

// watch opens a watch of the Secrets in the promise's namespace, or of what q
// says.
func (e *env) watch(q driver.Query) driver.Watch {
	e.t.Helper()
	return e.watchUntil(e.ctx, q)
}

func (e *env) watchUntil(ctx context.Context, q driver.Query) driver.Watch {
	e.t.Helper()
	w, err := e.tryWatch(ctx, q)
	e.NoError(err)
	return w
}

func (e *env) tryWatch(ctx context.Context, q driver.Query) (driver.Watch, error) {
	e.t.Helper()
	if q.Kind == "" {
		q.APIVersion, q.Kind = "v1", "Secret"
	}
	if q.Namespace == "" {
		q.Namespace = e.namespace()
	}
	c, _ := driver.As[driver.Watcher](e.c)
	w, err := c.Watch(ctx, q)
	if err == nil {
		e.streams = append(e.streams, w)
	}
	return w, err
}

// now is the revision from which a watch sees what comes next.
func (e *env) now() string {
	e.t.Helper()
	return e.list(driver.Query{APIVersion: "v1", Kind: "Secret"}).Revision
}

// next is the next event that is no bookmark.
func (e *env) next(w driver.Watch) driver.WatchEvent {
	e.t.Helper()
	for {
		event, err := w.Next()
		e.NoError(err)
		if event.Type != driver.Bookmark {
			return event
		}
	}
}

// events are the next n, as "ADDED name".
func (e *env) events(w driver.Watch, n int) []string {
	e.t.Helper()
	var list []string
	for range n {
		event := e.next(w)
		list = append(list, string(event.Type)+" "+event.Object.Name)
	}
	return list
}

// fails is the error that the watch ends with.
func (e *env) fails(w driver.Watch) error {
	e.t.Helper()
	for {
		if _, err := w.Next(); err != nil {
			return err
		}
	}
}

// stop ends a watch, which the promise need not do.
func (e *env) stop(w driver.Watch) {
	e.streams = slices.DeleteFunc(e.streams, func(open driver.Watch) bool { return open == w })
	w.Stop()
}

func (e *env) remove(ref driver.Ref) {
	e.t.Helper()
	e.NoError(e.c.Delete(e.ctx, ref, driver.DeleteOptions{}))
}

func watchPromises() []promise {
	const why = "Kubernetes API concepts: efficient detection of changes"
	list := []promise{
		{name: "a watch tells what is added, modified and deleted, in order", why: why, run: func(e *env) {
			w := e.watch(driver.Query{Revision: e.now()})
			obj := e.object("v1 Secret ordered", "stringData: {a: one}")
			e.apply(obj)
			e.apply(e.object("v1 Secret ordered", "stringData: {a: two}"))
			e.remove(obj.Ref)
			e.Equal([]string{"ADDED ordered", "MODIFIED ordered", "DELETED ordered"}, e.events(w, 3))
		}},
		{name: "a watch from a revision tells all that came after it, and nothing else", why: contractWatch, run: func(e *env) {
			e.apply(e.object("v1 Secret before", ""))
			from := e.now()
			e.apply(e.object("v1 Secret between", ""))
			w := e.watch(driver.Query{Revision: from})
			e.apply(e.object("v1 Secret after", ""))
			e.Equal([]string{"ADDED between", "ADDED after"}, e.events(w, 2))
		}},
		{name: "a watch can go on from an event's revision", why: why, run: func(e *env) {
			w := e.watch(driver.Query{Revision: e.now()})
			for _, name := range []string{"r1", "r2", "r3"} {
				e.apply(e.object("v1 Secret "+name, ""))
			}
			first := e.next(w)
			e.stop(w)
			e.Equal([]string{"ADDED r2", "ADDED r3"}, e.events(e.watch(driver.Query{Revision: first.Object.Revision}), 2))
		}},
		{name: "a watch can go on from the revision of a deletion", why: why + "; the object of a DELETED event has the revision of the deletion", run: func(e *env) {
			obj := e.apply(e.object("v1 Secret gone", ""))
			w := e.watch(driver.Query{Revision: e.now()})
			e.remove(obj.Ref)
			gone := e.next(w)
			e.NotEqual(obj.Revision, gone.Object.Revision)
			e.apply(e.object("v1 Secret b", ""))
			e.Equal([]string{"ADDED b"}, e.events(e.watch(driver.Query{Revision: gone.Object.Revision}), 1))
		}},
		{name: "a watch without a revision begins with what is there", why: "driver.Query.Revision", run: func(e *env) {
			e.apply(e.object("v1 Secret there", ""))
			w := e.watch(driver.Query{})
			e.Equal([]string{"ADDED there"}, e.events(w, 1))
			e.apply(e.object("v1 Secret more", ""))
			e.Equal([]string{"ADDED more"}, e.events(w, 1))
		}},
		{name: "a watch is confined to a namespace", why: "driver.Query.Namespace", run: func(e *env) {
			from, elsewhere := e.now(), e.newNamespace()
			w := e.watch(driver.Query{Revision: from})
			e.apply(e.objectIn(elsewhere, "v1 Secret there", ""))
			e.apply(e.object("v1 Secret here", ""))
			e.Equal([]string{"ADDED here"}, e.events(w, 1))
		}},
		{name: "a watch without a namespace follows all of them", why: "driver.Query.Namespace", run: func(e *env) {
			mark := unique("mark")
			c, _ := driver.As[driver.Watcher](e.c)
			w, err := c.Watch(e.ctx, driver.Query{APIVersion: "v1", Kind: "Secret", Labels: "mark=" + mark, Revision: e.now()})
			e.NoError(err)
			e.streams = append(e.streams, w)
			e.apply(e.object("v1 Secret a", "metadata: {labels: {mark: "+mark+"}}"))
			e.apply(e.objectIn(e.newNamespace(), "v1 Secret b", "metadata: {labels: {mark: "+mark+"}}"))
			e.Equal([]string{"ADDED a", "ADDED b"}, e.events(w, 2))
		}},
		{name: "a watch tells what enters and leaves its labels", why: why, run: func(e *env) {
			w := e.watch(driver.Query{Revision: e.now(), Labels: "colour=red"})
			for _, colour := range []string{"blue", "red", "red, more: so", "blue", "red"} {
				e.apply(e.object("v1 Secret a", "metadata: {labels: {colour: "+colour+"}}"))
			}
			e.Equal([]string{"ADDED a", "MODIFIED a", "DELETED a", "ADDED a"}, e.events(w, 4))
		}},
		{name: "a watch selects by fields", why: fields, run: func(e *env) {
			w := e.watch(driver.Query{Revision: e.now(), Fields: "metadata.name=b"})
			e.apply(e.object("v1 Secret a", ""))
			e.apply(e.object("v1 Secret b", ""))
			e.Equal([]string{"ADDED b"}, e.events(w, 1))
		}},
		{name: "a watch's events have the objects", why: "driver.WatchEvent", run: func(e *env) {
			w := e.watch(driver.Query{Revision: e.now()})
			obj := e.apply(e.object("v1 Secret a", "stringData: {a: one}"))
			e.Equal(obj.UID, e.next(w).Object.UID)
			e.apply(e.object("v1 Secret a", "stringData: {a: two}"))
			e.Equal("dHdv", e.at(e.next(w).Object, "data", "a"))
		}},
		{name: "the event of a deletion has the last state", why: "driver.WatchEvent", run: func(e *env) {
			obj := e.apply(e.object("v1 Secret a", "stringData: {a: one}"))
			w := e.watch(driver.Query{Revision: e.now()})
			e.remove(obj.Ref)
			e.Equal("b25l", e.at(e.next(w).Object, "data", "a"))
		}},
		{name: "a watch of metadata has no more than that", why: "driver.Metadata", run: func(e *env) {
			w := e.watch(driver.Query{Revision: e.now(), Projection: driver.Metadata})
			e.apply(e.object("v1 Secret a", "metadata: {labels: {a: b}}\nstringData: {a: one}"))
			event := e.next(w)
			e.Equal("Secret", event.Object.Kind)
			e.Equal("b", event.Object.Labels["a"])
			e.Nil(e.at(event.Object, "data"))
			e.Nil(e.at(event.Object, "metadata", "managedFields"))
		}},
		{name: "a trimmed watch has no managed fields", why: "driver.Trimmed", run: func(e *env) {
			w := e.watch(driver.Query{Revision: e.now(), Projection: driver.Trimmed})
			e.apply(e.object("v1 Secret a", "stringData: {a: one}"))
			event := e.next(w)
			e.NotNil(e.at(event.Object, "data"))
			e.Nil(e.at(event.Object, "metadata", "managedFields"))
		}},
		{name: "a watch from an old revision tells all since then, or fails", why: contractWatch, run: func(e *env) {
			e.apply(e.object("v1 Secret early", ""))
			w, err := e.tryWatch(e.ctx, driver.Query{Revision: "1"})
			for err == nil {
				var event driver.WatchEvent
				if event, err = w.Next(); event.Object.Name == "early" {
					return // the server remembers
				}
			}
			e.ErrorIs(err, appspan.ErrPrecondition)
		}},
		{name: "a watch from a revision that is none is refused", why: contractWatch, run: func(e *env) {
			w, err := e.tryWatch(e.ctx, driver.Query{Revision: "nonsense"})
			if err == nil {
				_, err = w.Next()
			}
			e.ErrorIs(err, appspan.ErrInvalid)
		}},
		{name: "a watch of a kind that is not served is unsupported", why: "appspan.ErrUnsupported", run: func(e *env) {
			_, err := e.tryWatch(e.ctx, driver.Query{APIVersion: "appspan.example/v1", Kind: "Nothing"})
			e.ErrorIs(err, appspan.ErrUnsupported)
		}},
		{name: "stop unblocks a waiting watch", why: "driver.Watch.Stop", run: func(e *env) {
			w := e.watch(driver.Query{Revision: e.now()})
			ended := make(chan error, 1)
			go func() { ended <- e.fails(w) }()
			e.stop(w)
			select {
			case err := <-ended:
				e.Error(err)
			case <-e.ctx.Done():
				e.Fail("Next is still waiting")
			}
		}},
		{name: "stop may be called again", why: "driver.Watch.Stop is idempotent", run: func(e *env) {
			w := e.watch(driver.Query{Revision: e.now()})
			e.stop(w)
			e.NotPanics(w.Stop)
		}},
		{name: "the end of its context ends a watch", why: "driver.Watcher.Watch", run: func(e *env) {
			ctx, cancel := context.WithCancel(e.ctx)
			w := e.watchUntil(ctx, driver.Query{Revision: e.now()})
			cancel()
			ended := make(chan error, 1)
			go func() { ended <- e.fails(w) }()
			select {
			case err := <-ended:
				e.ErrorIs(err, context.Canceled)
			case <-e.ctx.Done():
				e.Fail("Next is still waiting")
			}
		}},
		{name: "a watch that failed fails the same way for ever", why: "driver.Watch.Next", run: func(e *env) {
			w := e.watch(driver.Query{Revision: e.now()})
			e.stop(w)
			first := e.fails(w)
			_, second := w.Next()
			e.Equal(first, second)
		}},
	}
	for i := range list {
		list[i].needs = watcher
	}
	return list
}
