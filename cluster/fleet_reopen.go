package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// reopenEvery is the least time between two attempts to open a cluster.
const reopenEvery = 5 * time.Second

// reopener is the driver of a registered cluster that could not be opened. Its
// calls try again, so that the cluster is there as soon as it can be, and in
// the fleet, with the reason, until then.
type reopener struct {
	open func(context.Context) (driver.Cluster, error)
	turn chan struct{} // holds one token while somebody opens it

	mu     sync.Mutex
	opened driver.Cluster
	err    error // of the last attempt
	at     time.Time
	closed bool
}

func newReopener(err error, open func(context.Context) (driver.Cluster, error)) *reopener {
	r := &reopener{open: open, turn: make(chan struct{}, 1)}
	_, _ = r.set(nil, err)
	return r
}

// reach returns the cluster, or why it cannot be opened.
func (r *reopener) reach(ctx context.Context) (driver.Cluster, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.mu.Lock()
	opened, err, wait := r.opened, r.err, r.closed || time.Since(r.at) < reopenEvery
	r.mu.Unlock()
	if opened != nil || wait {
		return opened, err
	}
	return r.set(r.open(ctx))
}

// set notes how an attempt went.
func (r *reopener) set(opened driver.Cluster, err error) (driver.Cluster, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = time.Now()
	switch {
	case err != nil:
		r.err = fmt.Errorf("it cannot be opened: %w", err)
		return nil, r.err
	case r.closed:
		return nil, errors.Join(driver.ErrClosed, opened.Close())
	}
	r.opened, r.err = opened, nil
	return opened, nil
}

// Unwrap returns the cluster once it is open.
func (r *reopener) Unwrap() driver.Cluster {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.opened
}

// why is the error of the last attempt.
func (r *reopener) why() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *reopener) Info(ctx context.Context) (driver.Info, error) {
	c, err := r.reach(ctx)
	if err != nil {
		return driver.Info{}, err
	}
	return c.Info(ctx)
}

func (r *reopener) Apply(ctx context.Context, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
	c, err := r.reach(ctx)
	if err != nil {
		return driver.Object{}, err
	}
	return c.Apply(ctx, obj, opts)
}

func (r *reopener) Get(ctx context.Context, ref driver.Ref) (driver.Object, error) {
	c, err := r.reach(ctx)
	if err != nil {
		return driver.Object{}, err
	}
	return c.Get(ctx, ref)
}

func (r *reopener) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	c, err := r.reach(ctx)
	if err != nil {
		return driver.Page{}, err
	}
	return c.List(ctx, q)
}

func (r *reopener) Delete(ctx context.Context, ref driver.Ref, opts driver.DeleteOptions) error {
	c, err := r.reach(ctx)
	if err != nil {
		return err
	}
	return c.Delete(ctx, ref, opts)
}

// Close closes the cluster, and opens it no more.
func (r *reopener) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	opened := r.opened
	r.opened, r.err, r.closed = nil, driver.ErrClosed, true
	if opened == nil {
		return nil
	}
	return opened.Close()
}
