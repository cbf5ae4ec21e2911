package clustertest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// getMutants say what Get can get wrong.
func getMutants() map[string]mutation {
	return map[string]mutation{
		"get of what is missing is not found": unseen(func(ref driver.Ref, err error) error {
			if ref.Kind == "PodTemplate" {
				return nil
			}
			return err
		}),
		"get in a missing namespace is not found": unseen(func(ref driver.Ref, err error) error {
			if strings.HasPrefix(ref.Namespace, "ct-none") {
				return appspan.ErrDenied
			}
			return err
		}),
		"get of a kind that is not served is unsupported": unseen(func(_ driver.Ref, err error) error {
			return instead(err, appspan.ErrUnsupported, appspan.ErrNotFound)
		}),
		"get returns the whole object":                seen("PodDisruptionBudget", "whole", without("metadata", "managedFields")),
		"get returns fields that agree with the JSON": seen("NetworkPolicy", "", func(o object) object { o.Labels = nil; return o }),
		"get reads cluster-scoped kinds":              seen("ClusterRole", "", func(object) object { return object{} }),
	}
}

// listMutants say what List can get wrong.
func listMutants() map[string]mutation {
	projected := func(from, to driver.Projection) mutation {
		return queried(func(q *driver.Query) {
			if q.Projection == from {
				q.Projection = to
			}
		})
	}
	return map[string]mutation{
		"list is confined to a namespace": queried(func(q *driver.Query) {
			if q.Kind == "Secret" && q.Labels == "" && q.Fields == "" && q.Limit == 0 && !strings.HasPrefix(q.Namespace, "ct-none") {
				q.Namespace = ""
			}
		}),
		"list without a namespace reads all of them": queried(func(q *driver.Query) {
			if q.Kind == "Secret" && q.Namespace == "" {
				q.Namespace = "default"
			}
		}),
		"list reads cluster-scoped kinds":                             listed("ClusterRole", func(_ driver.Query, page *driver.Page) { page.Items = nil }),
		"list selects by a label's value":                             selected("tier=back", ""),
		"list selects by several labels at once":                      selected("tier=back,env=prod", "tier=back"),
		"list selects what has not a label's value, or not the label": selected("tier!=front", "tier,tier!=front"),
		"list selects by a set of values":                             selected("tier in (front, none)", "tier"),
		"list selects what is not in a set, or has not the label":     selected("tier notin (back)", "tier,tier notin (back)"),
		"list selects what has a label":                               selected("env", ""),
		"list selects what has not a label":                           selected("!env", ""),
		"list selects by name":                                        selected("metadata.name=b", ""),
		"list selects all names but one":                              selected("metadata.name!=b", ""),
		"list selects Secrets by type":                                selected("type=appspan.example/state", ""),
		"list selects all Secrets but those of a type":                selected("type!=appspan.example/state", ""),
		"a label selector that is none is refused":                    selected("a in b", ""),
		"a field selector that the kind does not have is refused":     selected("spec.colour=red", ""),
		"list of nothing is empty and has a revision":                 listed("PodTemplate", func(_ driver.Query, page *driver.Page) { page.Revision = "" }),
		"list of a missing namespace is empty": {list: func(ctx context.Context, x *mutant, q driver.Query) (driver.Page, error) {
			if strings.HasPrefix(q.Namespace, "ct-none") {
				return driver.Page{}, appspan.ErrNotFound
			}
			return x.full.List(ctx, q)
		}},
		"list of a kind that is not served is unsupported": unlisted(func(_ driver.Query, err error) error {
			return instead(err, appspan.ErrUnsupported, appspan.ErrNotFound)
		}),
		"list returns objects that say what they are": items("Secret", func(_ driver.Query, o object) object {
			if o.Name == "typed" {
				return set(o, nil, "kind")
			}
			return o
		}),
		"a whole list has managed fields":           projected(driver.Whole, driver.Trimmed),
		"a trimmed list has all but managed fields": projected(driver.Trimmed, driver.Whole),
		"a list of metadata has no more than that":  projected(driver.Metadata, driver.Trimmed),
		"pages hold every item once": listed("Secret", func(q driver.Query, page *driver.Page) {
			if q.Limit == 3 {
				page.Items = slices.DeleteFunc(page.Items, func(o object) bool { return o.Name == "s3" })
			}
		}),
		"a page is not larger than its limit": queried(func(q *driver.Query) {
			if q.Limit == 3 && q.Continue == "" {
				q.Limit = 4
			}
		}),
		"pages have a stable order": listed("Secret", func(q driver.Query, page *driver.Page) {
			if q.Limit == 2 {
				slices.Reverse(page.Items)
			}
		}),
		"pages show the state of the first one": {list: func(ctx context.Context, x *mutant, q driver.Query) (driver.Page, error) {
			last, ok := strings.CutPrefix(q.Continue, "after ")
			if q.Limit == 0 || q.Continue != "" && !ok {
				return x.full.List(ctx, q)
			}
			limit := q.Limit
			q.Limit, q.Continue = 0, ""
			page, err := x.full.List(ctx, q)
			page.Items = slices.DeleteFunc(page.Items, func(o object) bool { return o.Name <= last })
			if len(page.Items) > limit {
				page.Items = page.Items[:limit]
				page.Continue = "after " + page.Items[limit-1].Name
			}
			return page, err
		}},
		"a continue token that is none is refused": queried(func(q *driver.Query) {
			if q.Continue == "nonsense" {
				q.Continue = ""
			}
		}),
	}
}

// watchMutants say what a watch can get wrong.
func watchMutants() map[string]mutation {
	lost := func(kind driver.WatchEventType, name string) mutation {
		return events(func(_ driver.Query, e *driver.WatchEvent) bool { return e.Type != kind || e.Object.Name != name })
	}
	emptied := func(kind driver.WatchEventType) mutation {
		return events(func(q driver.Query, e *driver.WatchEvent) bool {
			if e.Type == kind && e.Object.Name == "a" && q.Labels == "" && q.Projection == driver.Whole {
				e.Object = set(e.Object, nil, "data")
			}
			return true
		})
	}
	ask := func(change func(q *driver.Query)) mutation {
		return opened(func(_ context.Context, _ *mutant, q *driver.Query) { change(q) })
	}
	wrapped := func(wrap func(driver.Watch) driver.Watch) mutation {
		return mutation{watch: func(ctx context.Context, x *mutant, q driver.Query) (driver.Watch, error) {
			w, err := x.full.Watch(ctx, q)
			if err == nil {
				w = wrap(w)
			}
			return w, err
		}}
	}
	now := func(ctx context.Context, x *mutant, q *driver.Query) {
		page, err := x.full.List(ctx, driver.Query{APIVersion: q.APIVersion, Kind: q.Kind, Limit: 1})
		if err == nil {
			q.Revision = page.Revision
		}
	}
	return map[string]mutation{
		"a watch tells what is added, modified and deleted, in order":            lost(driver.Modified, "ordered"),
		"a watch from a revision tells all that came after it, and nothing else": lost(driver.Added, "between"),
		"a watch can go on from an event's revision": events(func(_ driver.Query, e *driver.WatchEvent) bool {
			if e.Object.Name == "r1" {
				e.Object.Revision = ""
			}
			return true
		}),
		"a watch can go on from the revision of a deletion": {
			apply: func(ctx context.Context, x *mutant, obj object, opts options) (object, error) {
				result, err := x.full.Apply(ctx, obj, opts)
				x.remember(obj.Name, result.Revision)
				return result, err
			},
			event: func(x *mutant, _ driver.Query, e driver.WatchEvent) (driver.WatchEvent, bool) {
				if e.Object.Name == "gone" && e.Type == driver.Deleted {
					e.Object.Revision = x.recall("gone")
				}
				return e, true
			},
		},
		"a watch without a revision begins with what is there": opened(func(ctx context.Context, x *mutant, q *driver.Query) {
			if q.Revision == "" {
				now(ctx, x, q)
			}
		}),
		"a watch is confined to a namespace": ask(func(q *driver.Query) {
			if q.Labels == "" && q.Fields == "" && q.Revision != "" {
				q.Namespace = ""
			}
		}),
		"a watch without a namespace follows all of them": ask(func(q *driver.Query) {
			if q.Namespace == "" && q.Kind == "Secret" {
				q.Namespace = "default"
			}
		}),
		"a watch tells what enters and leaves its labels": events(func(q driver.Query, e *driver.WatchEvent) bool { return q.Labels == "" || e.Type != driver.Deleted }),
		"a watch selects by fields":                       ask(func(q *driver.Query) { q.Fields = "" }),
		"a watch's events have the objects":               emptied(driver.Modified),
		"the event of a deletion has the last state":      emptied(driver.Deleted),
		"a watch of metadata has no more than that": ask(func(q *driver.Query) {
			if q.Projection == driver.Metadata {
				q.Projection = driver.Trimmed
			}
		}),
		"a trimmed watch has no managed fields": ask(func(q *driver.Query) {
			if q.Projection == driver.Trimmed {
				q.Projection = driver.Whole
			}
		}),
		"a watch from an old revision tells all since then, or fails": opened(func(ctx context.Context, x *mutant, q *driver.Query) {
			if q.Revision == "1" {
				now(ctx, x, q)
			}
		}),
		"a watch from a revision that is none is refused": ask(func(q *driver.Query) {
			if q.Revision == "nonsense" {
				q.Revision = ""
			}
		}),
		"a watch of a kind that is not served is unsupported": {watch: func(ctx context.Context, x *mutant, q driver.Query) (driver.Watch, error) {
			w, err := x.full.Watch(ctx, q)
			return w, instead(err, appspan.ErrUnsupported, appspan.ErrNotFound)
		}},
		"stop unblocks a waiting watch": wrapped(func(w driver.Watch) driver.Watch { return deafWatch{w} }),
		"stop may be called again":      wrapped(func(w driver.Watch) driver.Watch { return &brittleWatch{Watch: w} }),
		"the end of its context ends a watch": {watch: func(ctx context.Context, x *mutant, q driver.Query) (driver.Watch, error) {
			return x.full.Watch(context.WithoutCancel(ctx), q)
		}},
		"a watch that failed fails the same way for ever": wrapped(func(w driver.Watch) driver.Watch { return &fickleWatch{Watch: w} }),
	}
}

// deafWatch does not hear Stop.
type deafWatch struct{ driver.Watch }

func (deafWatch) Stop() {}

// brittleWatch does not bear a second Stop.
type brittleWatch struct {
	driver.Watch
	stopped atomic.Bool
}

func (w *brittleWatch) Stop() {
	if w.stopped.Swap(true) {
		panic("close of closed channel")
	}
	w.Watch.Stop()
}

// fickleWatch says something else each time.
type fickleWatch struct {
	driver.Watch
	failures atomic.Int64
}

func (w *fickleWatch) Next() (driver.WatchEvent, error) {
	e, err := w.Watch.Next()
	if err != nil && w.failures.Add(1) > 1 {
		err = fmt.Errorf("%w, for the %d. time", err, w.failures.Load())
	}
	return e, err
}

// lifeMutants say what can go wrong with contexts and Close.
func lifeMutants() map[string]mutation {
	deaf := context.WithoutCancel
	return map[string]mutation{
		"an apply whose context has ended does nothing": {apply: func(ctx context.Context, x *mutant, obj object, opts options) (object, error) {
			return x.full.Apply(deaf(ctx), obj, opts)
		}},
		"a get whose context has ended fails": {get: func(ctx context.Context, x *mutant, ref driver.Ref) (object, error) {
			return x.full.Get(deaf(ctx), ref)
		}},
		"a list whose context has ended fails": {list: func(ctx context.Context, x *mutant, q driver.Query) (driver.Page, error) {
			return x.full.List(deaf(ctx), q)
		}},
		"a delete whose context has ended does nothing": {remove: func(ctx context.Context, x *mutant, ref driver.Ref, opts driver.DeleteOptions) error {
			return x.full.Delete(deaf(ctx), ref, opts)
		}},
		"an info whose context has ended fails": {info: func(ctx context.Context, x *mutant) (driver.Info, error) { return x.full.Info(deaf(ctx)) }},
		"reads after Close are unavailable":     unseen(func(_ driver.Ref, err error) error { return instead(err, driver.ErrClosed, appspan.ErrNotFound) }),
		"writes after Close are unavailable": failed(func(_ object, _ options, err error) error {
			return instead(err, driver.ErrClosed, appspan.ErrInvalid)
		}),
		"Close may be called again": {close: func(x *mutant) error {
			x.mu.Lock()
			defer x.mu.Unlock()
			if x.closed {
				return errors.New("it is closed already")
			}
			x.closed = true
			return x.full.Close()
		}},
		"Close ends watches": {watch: func(ctx context.Context, x *mutant, q driver.Query) (driver.Watch, error) {
			w, err := x.full.Watch(ctx, q)
			return &openWatch{Watch: w, stopped: make(chan struct{})}, err
		}},
	}
}

// openWatch stays open when the cluster is closed.
type openWatch struct {
	driver.Watch
	once    sync.Once
	stopped chan struct{}
}

func (w *openWatch) Next() (driver.WatchEvent, error) {
	e, err := w.Watch.Next()
	if errors.Is(err, driver.ErrClosed) {
		<-w.stopped
	}
	return e, err
}

func (w *openWatch) Stop() {
	w.once.Do(func() { close(w.stopped) })
	w.Watch.Stop()
}
