package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Cluster is a driver that breaks as its rules say. It implements every
// optional interface of package driver, as far as the driver inside does.
type Cluster struct {
	driver.Cluster
	plan *plan
	user string
}

// New returns d broken by rules, which are asked in their order: all that
// match a call strike it, until one of them ends it.
func New(d driver.Cluster, rules ...Rule) *Cluster {
	c := &Cluster{Cluster: d, plan: &plan{count: map[Op]int{}, pages: map[question]driver.Page{}}}
	c.Add(rules...)
	return c
}

// Unwrap returns the driver inside.
func (c *Cluster) Unwrap() driver.Cluster { return c.Cluster }

// Add adds rules and returns what removes them.
func (c *Cluster) Add(rules ...Rule) (remove func()) {
	added := make([]*armed, len(rules))
	for i, r := range rules {
		added[i] = &armed{Rule: r, perTarget: map[target]uint64{}}
	}
	p := c.plan
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, added...)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.rules = slices.DeleteFunc(p.rules, func(a *armed) bool { return slices.Contains(added, a) })
	}
}

// Heal removes all rules. What hangs goes on hanging.
func (c *Cluster) Heal() {
	c.plan.mu.Lock()
	defer c.plan.mu.Unlock()
	c.plan.rules = nil
	clear(c.plan.pages)
}

// Calls returns the calls that have ended, oldest first; the newest 50,000 at
// least. Views that [Cluster.As] returned count too.
func (c *Cluster) Calls() []Call {
	c.plan.mu.Lock()
	defer c.plan.mu.Unlock()
	return slices.Clone(c.plan.calls)
}

// Count is how many calls of an operation have ended; [Any] counts all.
func (c *Cluster) Count(op Op) int {
	c.plan.mu.Lock()
	defer c.plan.mu.Unlock()
	if op != Any {
		return c.plan.count[op]
	}
	n := 0
	for _, count := range c.plan.count {
		n += count
	}
	return n
}

// call runs one operation with the faults that strike it. lie changes an
// answer; nil for answers that cannot lie.
func call[T any](ctx context.Context, c *Cluster, t target, run func() (T, error), lie func(Lie, T) T) (result T, err error) {
	began := time.Now()
	rules := c.plan.strikers(t)
	defer func() {
		c.plan.record(Call{Op: t.op, Ref: t.ref, User: c.user, Err: err, Struck: len(rules) > 0, Began: began, Took: time.Since(began)})
	}()
	var none T
	for _, r := range rules {
		if r.When == Before {
			if err := r.strike(ctx, nil); err != nil {
				return none, err
			}
		}
	}
	if result, err = run(); err != nil {
		return result, err
	}
	for _, r := range rules {
		if r.When == After {
			if err := r.strike(ctx, nil); err != nil {
				discard(result)
				return none, err
			}
		}
		if lie != nil {
			result = lie(r.Lie, result)
		}
	}
	return result, nil
}

// discard frees an answer that nobody gets.
func discard(answer any) {
	switch a := answer.(type) {
	case driver.Watch:
		a.Stop()
	case io.Closer:
		_ = a.Close()
	}
}

func lieObject(l Lie, obj driver.Object) driver.Object {
	if l == Corrupt {
		obj.JSON = corrupt(obj.JSON)
	}
	return obj
}

func corrupt(data json.RawMessage) json.RawMessage { return slices.Clone(data[:len(data)/2]) }

func lieJSON(l Lie, data json.RawMessage) json.RawMessage {
	if l == Corrupt {
		return corrupt(data)
	}
	return data
}

// Info implements driver.Cluster.
func (c *Cluster) Info(ctx context.Context) (driver.Info, error) {
	return call(ctx, c, target{op: Info}, func() (driver.Info, error) { return c.Cluster.Info(ctx) }, nil)
}

// Apply implements driver.Cluster.
func (c *Cluster) Apply(ctx context.Context, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
	return call(ctx, c, target{Apply, obj.Ref}, func() (driver.Object, error) { return c.Cluster.Apply(ctx, obj, opts) }, lieObject)
}

// Get implements driver.Cluster.
func (c *Cluster) Get(ctx context.Context, ref driver.Ref) (driver.Object, error) {
	return call(ctx, c, target{Get, ref}, func() (driver.Object, error) { return c.Cluster.Get(ctx, ref) }, lieObject)
}

// List implements driver.Cluster.
func (c *Cluster) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	return call(ctx, c, of(List, q), func() (driver.Page, error) { return c.Cluster.List(ctx, q) }, func(l Lie, page driver.Page) driver.Page {
		last := len(page.Items) - 1
		switch {
		case l == Stale:
			return c.plan.stale(question{q, c.user}, page)
		case last < 0:
		case l == Drop:
			page.Items = page.Items[:last:last]
		case l == Duplicate:
			page.Items = append(slices.Clone(page.Items), page.Items[last])
		case l == Corrupt:
			page.Items = slices.Clone(page.Items)
			page.Items[last] = lieObject(l, page.Items[last])
		}
		return page
	})
}

// Delete implements driver.Cluster.
func (c *Cluster) Delete(ctx context.Context, ref driver.Ref, opts driver.DeleteOptions) error {
	_, err := call(ctx, c, target{Delete, ref}, func() (struct{}, error) { return struct{}{}, c.Cluster.Delete(ctx, ref, opts) }, nil)
	return err
}

func of(op Op, q driver.Query) target {
	return target{op, driver.Ref{APIVersion: q.APIVersion, Kind: q.Kind, Namespace: q.Namespace}}
}

// inside finds an optional interface of the driver inside.
func inside[T any](c *Cluster) (T, error) {
	t, ok := driver.As[T](c.Cluster)
	if !ok {
		return t, fmt.Errorf("%w: the driver has no such ability", appspan.ErrUnsupported)
	}
	return t, nil
}

// As implements driver.Impersonator: the view breaks by the same rules.
func (c *Cluster) As(id driver.Identity) (driver.Cluster, error) {
	d, err := inside[driver.Impersonator](c)
	if err != nil {
		return nil, err
	}
	view, err := d.As(id)
	if err != nil {
		return nil, err
	}
	return &Cluster{Cluster: view, plan: c.plan, user: id.User}, nil
}
