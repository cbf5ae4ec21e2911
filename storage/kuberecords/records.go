package kuberecords

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/appspan-dev/appspan"
	cluster "github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/storage/driver"
)

// MaxValue is how many bytes a value has at most. A Secret has 1 MiB of data,
// an etcd request 1.5 MiB with everything, and data is encoded to four thirds
// on the way.
const MaxValue = 1<<20 - 16<<10

const manager = "appspan-records"

// Options say where records are.
type Options struct {
	// Namespace is where the Secrets are. It has to exist.
	Namespace string
	// Store is the store's name, a label value: several stores may share a
	// namespace. Default "default".
	Store string
}

// Records is a store in a Kubernetes cluster, as a driver.
type Records struct {
	hub      cluster.Cluster
	opts     Options
	selector string

	life  context.Context // until Close
	end   context.CancelFunc
	calls sync.WaitGroup
	mu    sync.Mutex
	name  string // the store's name in positions, once known
}

var _ driver.Records = (*Records)(nil)

// NewRecords returns the store of a namespace of hub, which stays the
// caller's: Close does not close it. If hub is a driver.Watcher of package
// cluster/driver, the store is a driver.Watcher; otherwise package storage
// polls.
func NewRecords(hub cluster.Cluster, opts Options) (driver.Records, error) {
	if opts.Store == "" {
		opts.Store = "default"
	}
	if opts.Namespace == "" || !validLabel(opts.Store) {
		return nil, fmt.Errorf("%w: a namespace and a store name of at most 63 letters, digits and -_. are needed, not %q and %q", appspan.ErrInvalid, opts.Namespace, opts.Store)
	}
	r := &Records{hub: hub, opts: opts, selector: labelStore + "=" + opts.Store}
	r.life, r.end = context.WithCancel(context.Background())
	if watcher, ok := cluster.As[cluster.Watcher](hub); ok {
		return &watchable{Records: r, watcher: watcher}, nil
	}
	return r, nil
}

// enter begins a call; leave ends it. Close ends the contexts of calls.
func (r *Records) enter(ctx context.Context) (inside context.Context, leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.life.Err() != nil {
		return nil, nil, driver.ErrClosed
	}
	r.calls.Add(1)
	inside, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(r.life, cancel)
	return inside, func() { stop(); cancel(); r.calls.Done() }, nil
}

// Get implements driver.Records.
func (r *Records) Get(ctx context.Context, key string) (driver.Record, error) {
	ctx, leave, err := r.enter(ctx)
	if err != nil {
		return driver.Record{}, err
	}
	defer leave()
	obj, err := r.hub.Get(ctx, r.ref(key))
	if err != nil {
		return driver.Record{}, r.failed(err)
	}
	return r.decode(obj)
}

// Put implements driver.Records. Each write differs from the one before, or
// else a server would keep the revision.
func (r *Records) Put(ctx context.Context, key string, value []byte, ifRevision string) (string, error) {
	if len(value) > MaxValue {
		return "", fmt.Errorf("%w: the value has %d bytes, a Secret keeps at most %d; put what is large into a bucket", appspan.ErrInvalid, len(value), MaxValue)
	}
	ctx, leave, err := r.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	obj, err := r.encode(key, value)
	if err != nil {
		return "", err
	}
	opts := cluster.ApplyOptions{Manager: manager, IfAbsent: ifRevision == ""}
	if ifRevision != "" {
		opts.IfRevision, opts.Force = ifRevision, true
	}
	stored, err := r.hub.Apply(ctx, obj, opts)
	if errors.Is(err, appspan.ErrNotFound) { // nobody lost a race: do not say so
		return "", fmt.Errorf("%w: the hub has no namespace %s; create it: %v", appspan.ErrUnavailable, r.opts.Namespace, err)
	}
	if err != nil {
		return "", r.failed(err)
	}
	return stored.Revision, nil
}

// Delete implements driver.Records.
func (r *Records) Delete(ctx context.Context, key, ifRevision string) error {
	ctx, leave, err := r.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return r.failed(r.hub.Delete(ctx, r.ref(key), cluster.DeleteOptions{Revision: ifRevision}))
}

// failed is an error of a call: one that Close ended was closed.
func (r *Records) failed(err error) error {
	if err != nil && r.life.Err() != nil {
		return fmt.Errorf("%w: %w", driver.ErrClosed, err)
	}
	return err
}

// Close implements driver.Records: it ends the calls under way, and waits for
// them.
func (r *Records) Close() error {
	r.mu.Lock()
	r.end()
	r.mu.Unlock()
	r.calls.Wait()
	return nil
}
