package cluster

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// Options shape a [Cluster]. The zero value, like nil, is the default.
type Options struct {
	// Attempts is how often a call is sent at most while its error is
	// appspan.Retryable; default 4, 1 repeats nothing.
	Attempts int
	// Timeout bounds one call with its repetitions, and the opening of a
	// watch; default 30 s.
	Timeout time.Duration
	// UID is the cluster's known UID. Empty: the first one that Info sees.
	UID string
	// Labels are what the program that connects the cluster says of it, for
	// ${cluster.labels.…}.
	Labels map[string]string
	// InfoTTL is how old the answer of Info may be; default 5 min.
	InfoTTL time.Duration
	// PollInterval is the time between the lists of a Watch whose driver
	// cannot watch; default 10 s.
	PollInterval time.Duration
}

// Cluster is one connected cluster under the name by which people know it.
type Cluster struct {
	name   string
	driver driver.Cluster
	opts   Options
	info   *infoCache                         // shared with the views of As
	labels *atomic.Pointer[map[string]string] // shared with the views of As
	health health
	close  sync.Once
	closed error
}

// New returns a cluster that works through d, which it closes with itself.
func New(name string, d driver.Cluster, opts *Options) *Cluster {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.Attempts < 1 {
		o.Attempts = 4
	}
	labels := &atomic.Pointer[map[string]string]{}
	labels.Store(new(maps.Clone(o.Labels)))
	positive := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	positive(&o.Timeout, 30*time.Second)
	positive(&o.InfoTTL, 5*time.Minute)
	positive(&o.PollInterval, 10*time.Second)
	return &Cluster{name: name, driver: d, opts: o, info: &infoCache{turn: make(chan struct{}, 1), uid: o.UID}, labels: labels}
}

// As finds the optional interface T (driver.Subresourcer, driver.LogStreamer,
// …) of the cluster's driver. Calls through it are the driver's own: they are
// not retried, and their errors do not say where.
func As[T any](c *Cluster) (T, bool) { return driver.As[T](c.driver) }

// Name is the cluster's name.
func (c *Cluster) Name() string { return c.name }

// Labels returns a copy of the cluster's labels. A Fleet changes them as they
// are changed in its registry.
func (c *Cluster) Labels() map[string]string { return maps.Clone(*c.labels.Load()) }

// Driver is the driver that the cluster works through.
func (c *Cluster) Driver() driver.Cluster { return c.driver }

// Apply makes obj so, by server-side apply, and returns the object as the
// server has it now. Options that exclude each other, and a Ref that disagrees
// with the JSON, are appspan.ErrInvalid; fields of other managers are
// appspan.ErrConflict, as a [ConflictError], unless Force is set.
func (c *Cluster) Apply(ctx context.Context, obj Object, opts ApplyOptions) (Object, error) {
	if err := driver.CheckApply(obj, opts); err != nil {
		return Object{}, c.wrap("apply", obj.Ref, err)
	}
	var result Object
	repeatable := !opts.IfAbsent && opts.IfRevision == ""
	err := c.call(ctx, repeatable, func(ctx context.Context) (err error) {
		result, err = c.driver.Apply(ctx, obj, opts)
		return err
	})
	return result, c.wrap("apply", obj.Ref, err)
}

// Get reads one object; a missing one is appspan.ErrNotFound.
func (c *Cluster) Get(ctx context.Context, ref Ref) (Object, error) {
	var result Object
	err := c.call(ctx, true, func(ctx context.Context) (err error) {
		result, err = c.driver.Get(ctx, ref)
		return err
	})
	return result, c.wrap("get", ref, err)
}

// Delete removes one object, or begins to: finalizers and foreground
// propagation go on after it. A missing one is appspan.ErrNotFound.
func (c *Cluster) Delete(ctx context.Context, ref Ref, opts DeleteOptions) error {
	err := c.call(ctx, false, func(ctx context.Context) error { return c.driver.Delete(ctx, ref, opts) })
	return c.wrap("delete", ref, err)
}

// Close closes the driver: watches end, later calls fail. It is idempotent.
func (c *Cluster) Close() error {
	c.close.Do(func() { c.closed = c.wrap("close", Ref{}, c.driver.Close()) })
	return c.closed
}
