package clustertest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// The field managers that promises write as.
const (
	mine   = "appspan-suite"
	theirs = "appspan-other"
)

// env is what one promise works with.
type env struct {
	*require.Assertions
	t    tb
	ctx  context.Context
	c    driver.Cluster
	opts Options

	namespaces []string
	global     []driver.Ref // cluster-scoped objects to be removed
	streams    []driver.Watch
}

func newEnv(ctx context.Context, t tb, c driver.Cluster, o Options) (*env, func()) {
	base := ctx
	ctx, cancel := context.WithTimeout(ctx, o.Wait)
	e := &env{Assertions: require.New(t), t: t, ctx: ctx, c: c, opts: o}
	return e, func() {
		defer func() { _ = c.Close() }()
		cancel()
		for _, w := range e.streams {
			w.Stop()
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(base), o.Wait)
		defer cancel()
		for _, ref := range slices.Backward(e.global) {
			_ = c.Delete(ctx, ref, driver.DeleteOptions{}) // it may be gone, or the cluster closed
		}
	}
}

// unique returns a name that nobody else uses.
func unique(prefix string) string { return "ct-" + prefix + "-" + strings.ToLower(rand.Text()[:10]) }

// namespace is the promise's own one, made when it is first asked for.
func (e *env) namespace() string {
	e.t.Helper()
	if len(e.namespaces) == 0 {
		e.newNamespace()
	}
	return e.namespaces[0]
}

// newNamespace makes one more.
func (e *env) newNamespace() string {
	e.t.Helper()
	name := unique("ns")
	ns := e.clusterwide("v1 Namespace "+name, "")
	_, err := e.c.Apply(e.ctx, ns, driver.ApplyOptions{Manager: "appspan-suite-namespace"})
	e.NoError(err)
	e.namespaces = append(e.namespaces, name)
	return name
}

// object makes an object in the promise's namespace. id is "apps/v1
// Deployment web", body is the YAML of everything but its identity.
func (e *env) object(id, body string) driver.Object {
	e.t.Helper()
	return e.objectIn(e.namespace(), id, body)
}

// clusterwide makes one cluster-scoped object, to be removed at the end.
func (e *env) clusterwide(id, body string) driver.Object {
	e.t.Helper()
	obj := e.objectIn("", id, body)
	e.global = append(e.global, obj.Ref)
	return obj
}

func (e *env) objectIn(namespace, id, body string) driver.Object {
	e.t.Helper()
	parts := strings.Fields(id)
	e.Len(parts, 3)
	o := map[string]any{}
	e.NoError(yaml.Unmarshal([]byte(body), &o))
	o["apiVersion"], o["kind"] = parts[0], parts[1]
	metadata, _ := o["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
		o["metadata"] = metadata
	}
	metadata["name"] = parts[2]
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	obj, err := driver.NewObject(o)
	e.NoError(err)
	return obj
}

// apply writes obj as the manager mine, or as opts say, which must succeed.
func (e *env) apply(obj driver.Object, opts ...driver.ApplyOptions) driver.Object {
	e.t.Helper()
	result, err := e.c.Apply(e.ctx, obj, applyOptions(opts))
	e.NoError(err)
	return result
}

// refused writes obj, which must fail with the sentinel.
func (e *env) refused(sentinel error, obj driver.Object, opts ...driver.ApplyOptions) error {
	e.t.Helper()
	_, err := e.c.Apply(e.ctx, obj, applyOptions(opts))
	e.ErrorIs(err, sentinel)
	e.False(appspan.Retryable(err), "it will fail again: %v", err)
	return err
}

func applyOptions(opts []driver.ApplyOptions) driver.ApplyOptions {
	o := driver.ApplyOptions{}
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.Manager == "" {
		o.Manager = mine
	}
	return o
}

// get reads an object that must be there.
func (e *env) get(ref driver.Ref) driver.Object {
	e.t.Helper()
	obj, err := e.c.Get(e.ctx, ref)
	e.NoError(err)
	return obj
}

// absent asserts that an object is not there.
func (e *env) absent(ref driver.Ref) {
	e.t.Helper()
	_, err := e.c.Get(e.ctx, ref)
	e.ErrorIs(err, appspan.ErrNotFound)
}

// list reads everything that q selects in the promise's namespace.
func (e *env) list(q driver.Query) driver.Page {
	e.t.Helper()
	if q.Namespace == "" {
		q.Namespace = e.namespace()
	}
	page, err := e.c.List(e.ctx, q)
	e.NoError(err)
	e.Empty(page.Continue)
	return page
}

// names are those of a page's items, sorted.
func names(items []driver.Object) []string {
	list := []string{}
	for _, item := range items {
		list = append(list, item.Name)
	}
	slices.Sort(list)
	return list
}

// at reads what is at a path of keys and indexes of an object's JSON; nil
// when there is nothing.
func (e *env) at(obj driver.Object, path ...any) any {
	e.t.Helper()
	return e.in(obj.JSON, path...)
}

func (e *env) in(data json.RawMessage, path ...any) any {
	e.t.Helper()
	var v any
	e.NoError(json.Unmarshal(data, &v))
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[step]
		case int:
			l, _ := v.([]any)
			if step >= len(l) {
				return nil
			}
			v = l[step]
		}
	}
	return v
}

// tick looks again and again until look is satisfied or the time is up.
func (e *env) tick(what string, look func() bool) {
	e.t.Helper()
	ticker := time.NewTicker(e.opts.Poll)
	defer ticker.Stop()
	for !look() {
		select {
		case <-e.ctx.Done():
			e.Failf("it did not happen", "%s within %s", what, e.opts.Wait)
			e.t.FailNow()
		case <-ticker.C:
		}
	}
}

// until waits for an object that is as wanted.
func (e *env) until(ref driver.Ref, wanted func(driver.Object) bool) driver.Object {
	e.t.Helper()
	var last driver.Object
	e.tick(fmt.Sprintf("%s is not as wanted", ref), func() bool {
		obj, err := e.c.Get(e.ctx, ref)
		if errors.Is(err, appspan.ErrNotFound) || e.ctx.Err() != nil {
			return false
		}
		e.NoError(err)
		last = obj
		return wanted(obj)
	})
	return last
}

// gone waits for an object to be gone.
func (e *env) gone(ref driver.Ref) {
	e.t.Helper()
	e.tick(fmt.Sprintf("%s is still there", ref), func() bool {
		_, err := e.c.Get(e.ctx, ref)
		return errors.Is(err, appspan.ErrNotFound)
	})
}

// equal is a condition for until: the value at a path.
func (e *env) equal(value any, path ...any) func(driver.Object) bool {
	return func(obj driver.Object) bool { return e.at(obj, path...) == value }
}
