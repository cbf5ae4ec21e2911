package clustertest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// mutation is one way in which a driver can be wrong. Its hooks stand in for
// the methods of the driver; a nil one leaves the method alone.
type mutation struct {
	info   func(context.Context, *mutant) (driver.Info, error)
	apply  func(context.Context, *mutant, driver.Object, driver.ApplyOptions) (driver.Object, error)
	get    func(context.Context, *mutant, driver.Ref) (driver.Object, error)
	list   func(context.Context, *mutant, driver.Query) (driver.Page, error)
	remove func(context.Context, *mutant, driver.Ref, driver.DeleteOptions) error
	watch  func(context.Context, *mutant, driver.Query) (driver.Watch, error)
	event  func(*mutant, driver.Query, driver.WatchEvent) (driver.WatchEvent, bool)
	sub    func(x *mutant, verb string, ref driver.Ref, sub string, body json.RawMessage, run func() (json.RawMessage, error)) (json.RawMessage, error)
	logs   func(ctx context.Context, x *mutant, pod driver.Ref, opts driver.LogOptions) (io.ReadCloser, error)
	exec   func(ctx context.Context, x *mutant, pod driver.Ref, opts driver.ExecOptions) error
	as     func(x *mutant, id driver.Identity, view driver.Cluster) driver.Cluster
	close  func(*mutant) error
}

// method is a set of a driver's methods.
type method int

const (
	methodInfo method = 1 << iota
	methodApply
	methodGet
	methodList
	methodDelete
	methodWatch
	methodSub
	methodAs
	methodClose
	methodLogs
	methodExec
)

// methods are those that the mutation changes.
func (m mutation) methods() method {
	var set method
	for i, changed := range []bool{
		m.info != nil, m.apply != nil, m.get != nil, m.list != nil, m.remove != nil, m.watch != nil || m.event != nil, m.sub != nil, m.as != nil, m.close != nil,
		m.logs != nil, m.exec != nil,
	} {
		if changed {
			set |= 1 << i
		}
	}
	return set
}

// full is what a driver with everything implements.
type full interface {
	driver.Cluster
	driver.Watcher
	driver.Subresourcer
	driver.Impersonator
	driver.LogStreamer
	driver.Execer
}

// mutant is a driver with one mutation.
type mutant struct {
	full
	m mutation

	mu     sync.Mutex
	memory map[string]string
	closed bool
	called method
}

func (x *mutant) call(m method) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.called |= m
}

func mutate(c full, m mutation) *mutant { return &mutant{full: c, m: m, memory: map[string]string{}} }

func (x *mutant) remember(key, value string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.memory[key] = value
}

func (x *mutant) recall(key string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.memory[key]
}

func (x *mutant) Info(ctx context.Context) (driver.Info, error) {
	x.call(methodInfo)
	if x.m.info != nil {
		return x.m.info(ctx, x)
	}
	return x.full.Info(ctx)
}

func (x *mutant) Apply(ctx context.Context, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
	x.call(methodApply)
	if x.m.apply != nil {
		return x.m.apply(ctx, x, obj, opts)
	}
	return x.full.Apply(ctx, obj, opts)
}

func (x *mutant) Get(ctx context.Context, ref driver.Ref) (driver.Object, error) {
	x.call(methodGet)
	if x.m.get != nil {
		return x.m.get(ctx, x, ref)
	}
	return x.full.Get(ctx, ref)
}

func (x *mutant) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	x.call(methodList)
	if x.m.list != nil {
		return x.m.list(ctx, x, q)
	}
	return x.full.List(ctx, q)
}

func (x *mutant) Delete(ctx context.Context, ref driver.Ref, opts driver.DeleteOptions) error {
	x.call(methodDelete)
	if x.m.remove != nil {
		return x.m.remove(ctx, x, ref, opts)
	}
	return x.full.Delete(ctx, ref, opts)
}

func (x *mutant) Close() error {
	x.call(methodClose)
	if x.m.close != nil {
		return x.m.close(x)
	}
	return x.full.Close()
}

func (x *mutant) Watch(ctx context.Context, q driver.Query) (driver.Watch, error) {
	x.call(methodWatch)
	open := x.full.Watch
	if x.m.watch != nil {
		open = func(ctx context.Context, q driver.Query) (driver.Watch, error) { return x.m.watch(ctx, x, q) }
	}
	w, err := open(ctx, q)
	if err == nil && x.m.event != nil {
		w = &eventMutant{w, x, q}
	}
	return w, err
}

// eventMutant changes or drops events.
type eventMutant struct {
	driver.Watch
	x *mutant
	q driver.Query
}

func (w *eventMutant) Next() (driver.WatchEvent, error) {
	for {
		e, err := w.Watch.Next()
		if err != nil || e.Type == driver.Bookmark {
			return e, err
		}
		if e, ok := w.x.m.event(w.x, w.q, e); ok {
			return e, nil
		}
	}
}

func (x *mutant) subresource(verb string, ref driver.Ref, sub string, body json.RawMessage, run func() (json.RawMessage, error)) (json.RawMessage, error) {
	x.call(methodSub)
	if x.m.sub != nil {
		return x.m.sub(x, verb, ref, sub, body, run)
	}
	return run()
}

func (x *mutant) GetSub(ctx context.Context, ref driver.Ref, sub string) (json.RawMessage, error) {
	return x.subresource("get", ref, sub, nil, func() (json.RawMessage, error) { return x.full.GetSub(ctx, ref, sub) })
}

func (x *mutant) UpdateSub(ctx context.Context, ref driver.Ref, sub string, patch json.RawMessage) (json.RawMessage, error) {
	return x.subresource("update", ref, sub, patch, func() (json.RawMessage, error) { return x.full.UpdateSub(ctx, ref, sub, patch) })
}

func (x *mutant) CreateSub(ctx context.Context, ref driver.Ref, sub string, body json.RawMessage) (json.RawMessage, error) {
	return x.subresource("create", ref, sub, body, func() (json.RawMessage, error) { return x.full.CreateSub(ctx, ref, sub, body) })
}

func (x *mutant) As(id driver.Identity) (driver.Cluster, error) {
	x.call(methodAs)
	view, err := x.full.As(id)
	if err == nil && x.m.as != nil {
		view = x.m.as(x, id, view)
	}
	return view, err
}

func (x *mutant) Logs(ctx context.Context, pod driver.Ref, opts driver.LogOptions) (io.ReadCloser, error) {
	x.call(methodLogs)
	if x.m.logs != nil {
		return x.m.logs(ctx, x, pod, opts)
	}
	return x.full.Logs(ctx, pod, opts)
}

func (x *mutant) Exec(ctx context.Context, pod driver.Ref, opts driver.ExecOptions) error {
	x.call(methodExec)
	if x.m.exec != nil {
		return x.m.exec(ctx, x, pod, opts)
	}
	return x.full.Exec(ctx, pod, opts)
}

// edit changes the decoded JSON of an object.
func edit(obj driver.Object, change func(map[string]any)) driver.Object {
	var m map[string]any
	if err := json.Unmarshal(obj.JSON, &m); err != nil {
		return obj
	}
	change(m)
	obj.JSON, _ = json.Marshal(m)
	return obj
}

// set puts a value at a path of the JSON; nil removes what is there.
func set(obj driver.Object, value any, path ...any) driver.Object {
	return edit(obj, func(m map[string]any) {
		var at any = m
		for _, step := range path[:len(path)-1] {
			switch step := step.(type) {
			case string:
				in, _ := at.(map[string]any)
				if in == nil {
					return
				}
				if in[step] == nil && value != nil {
					in[step] = map[string]any{}
				}
				at = in[step]
			case int:
				in, _ := at.([]any)
				if step >= len(in) {
					return
				}
				at = in[step]
			}
		}
		in, _ := at.(map[string]any)
		last := path[len(path)-1].(string)
		switch {
		case in == nil:
		case value == nil:
			delete(in, last)
		default:
			in[last] = value
		}
	})
}

// say replaces text in the JSON.
func say(obj driver.Object, old, new string) driver.Object {
	obj.JSON = bytes.ReplaceAll(obj.JSON, []byte(old), []byte(new))
	return obj
}

func has(obj driver.Object, text string) bool { return bytes.Contains(obj.JSON, []byte(text)) }

// is matches an object by kind and name; an empty one matches all.
func is(ref driver.Ref, kind, name string) bool {
	return (kind == "" || ref.Kind == kind) && (name == "" || ref.Name == name)
}

// The constructors of mutations, by what goes wrong.

// informed changes what Info says.
func informed(change func(*driver.Info)) mutation {
	return mutation{info: func(ctx context.Context, x *mutant) (driver.Info, error) {
		info, err := x.full.Info(ctx)
		if err == nil {
			change(&info)
		}
		return info, err
	}}
}

// asked changes what Apply is asked for; live is nil when nothing is there.
func asked(change func(obj *driver.Object, opts *driver.ApplyOptions, live *driver.Object)) mutation {
	return mutation{apply: func(ctx context.Context, x *mutant, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
		var live *driver.Object
		if l, err := x.full.Get(ctx, obj.Ref); err == nil {
			live = &l
		}
		change(&obj, &opts, live)
		return x.full.Apply(ctx, obj, opts)
	}}
}

// applied changes what Apply returns.
func applied(change func(obj, result driver.Object) driver.Object) mutation {
	return mutation{apply: func(ctx context.Context, x *mutant, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
		result, err := x.full.Apply(ctx, obj, opts)
		if err == nil {
			result = change(obj, result)
		}
		return result, err
	}}
}

// failed changes the error of Apply.
func failed(change func(obj driver.Object, opts driver.ApplyOptions, err error) error) mutation {
	return mutation{apply: func(ctx context.Context, x *mutant, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
		result, err := x.full.Apply(ctx, obj, opts)
		if err != nil {
			err = change(obj, opts, err)
		}
		return result, err
	}}
}

// swallowed has Apply succeed where a text in the object makes it fail.
func swallowed(kind, text string) mutation {
	return failed(func(obj driver.Object, _ driver.ApplyOptions, err error) error {
		if is(obj.Ref, kind, "") && has(obj, text) {
			return nil
		}
		return err
	})
}

// unstored has Apply store nothing.
func unstored(kind, name string) mutation {
	return asked(func(obj *driver.Object, opts *driver.ApplyOptions, _ *driver.Object) {
		opts.DryRun = opts.DryRun || is(obj.Ref, kind, name)
	})
}

// seen changes what Get returns.
func seen(kind, name string, change func(driver.Object) driver.Object) mutation {
	return mutation{get: func(ctx context.Context, x *mutant, ref driver.Ref) (driver.Object, error) {
		obj, err := x.full.Get(ctx, ref)
		if err == nil && is(ref, kind, name) {
			obj = change(obj)
		}
		return obj, err
	}}
}

// unseen changes the error of Get.
func unseen(change func(ref driver.Ref, err error) error) mutation {
	return mutation{get: func(ctx context.Context, x *mutant, ref driver.Ref) (driver.Object, error) {
		obj, err := x.full.Get(ctx, ref)
		if err != nil {
			err = change(ref, err)
		}
		return obj, err
	}}
}

// queried changes what List is asked for.
func queried(change func(*driver.Query)) mutation {
	return mutation{list: func(ctx context.Context, x *mutant, q driver.Query) (driver.Page, error) {
		change(&q)
		return x.full.List(ctx, q)
	}}
}

// selected has List select by other labels or fields.
func selected(selector, instead string) mutation {
	return queried(func(q *driver.Query) {
		if q.Labels == selector {
			q.Labels = instead
		}
		if q.Fields == selector {
			q.Fields = instead
		}
	})
}

// listed changes what List returns.
func listed(kind string, change func(driver.Query, *driver.Page)) mutation {
	return mutation{list: func(ctx context.Context, x *mutant, q driver.Query) (driver.Page, error) {
		page, err := x.full.List(ctx, q)
		if err == nil && (kind == "" || kind == q.Kind) {
			change(q, &page)
		}
		return page, err
	}}
}

// items changes the items of lists.
func items(kind string, change func(driver.Query, driver.Object) driver.Object) mutation {
	return listed(kind, func(q driver.Query, page *driver.Page) {
		for i := range page.Items {
			page.Items[i] = change(q, page.Items[i])
		}
	})
}

// unlisted changes the error of List.
func unlisted(change func(driver.Query, error) error) mutation {
	return mutation{list: func(ctx context.Context, x *mutant, q driver.Query) (driver.Page, error) {
		page, err := x.full.List(ctx, q)
		if err != nil {
			err = change(q, err)
		}
		return page, err
	}}
}

// deleted changes what Delete is asked for; false leaves it out.
func deleted(change func(driver.Ref, *driver.DeleteOptions) bool) mutation {
	return mutation{remove: func(ctx context.Context, x *mutant, ref driver.Ref, opts driver.DeleteOptions) error {
		if !change(ref, &opts) {
			return nil
		}
		return x.full.Delete(ctx, ref, opts)
	}}
}

// undeleted changes the error of Delete.
func undeleted(change func(driver.Ref, error) error) mutation {
	return mutation{remove: func(ctx context.Context, x *mutant, ref driver.Ref, opts driver.DeleteOptions) error {
		err := x.full.Delete(ctx, ref, opts)
		if err != nil {
			err = change(ref, err)
		}
		return err
	}}
}

// opened changes what Watch is asked for.
func opened(change func(context.Context, *mutant, *driver.Query)) mutation {
	return mutation{watch: func(ctx context.Context, x *mutant, q driver.Query) (driver.Watch, error) {
		change(ctx, x, &q)
		return x.full.Watch(ctx, q)
	}}
}

// events changes or drops events of a watch.
func events(change func(driver.Query, *driver.WatchEvent) bool) mutation {
	return mutation{event: func(_ *mutant, q driver.Query, e driver.WatchEvent) (driver.WatchEvent, bool) {
		keep := change(q, &e)
		return e, keep
	}}
}

// instead returns another error when err is of a category.
func instead(err, category, other error) error {
	if errors.Is(err, category) {
		return other
	}
	return err
}
