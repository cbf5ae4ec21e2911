package cluster_test

import (
	"context"
	"fmt"
	"io"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// stub is a driver whose calls are what a test says. It cannot watch.
type stub struct {
	info   func(context.Context) (driver.Info, error)
	apply  func(context.Context, driver.Object, driver.ApplyOptions) (driver.Object, error)
	get    func(context.Context, driver.Ref) (driver.Object, error)
	list   func(context.Context, driver.Query) (driver.Page, error)
	delete func(context.Context, driver.Ref, driver.DeleteOptions) error

	closed int
}

func (s *stub) Info(ctx context.Context) (driver.Info, error) { return s.info(ctx) }

func (s *stub) Apply(ctx context.Context, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
	return s.apply(ctx, obj, opts)
}

func (s *stub) Get(ctx context.Context, ref driver.Ref) (driver.Object, error) {
	return s.get(ctx, ref)
}

func (s *stub) List(ctx context.Context, q driver.Query) (driver.Page, error) { return s.list(ctx, q) }

func (s *stub) Delete(ctx context.Context, ref driver.Ref, opts driver.DeleteOptions) error {
	return s.delete(ctx, ref, opts)
}

func (s *stub) Close() error {
	s.closed++
	return nil
}

// watchStub is a stub that can watch.
type watchStub struct {
	stub
	watch func(context.Context, driver.Query) (driver.Watch, error)
}

func (s *watchStub) Watch(ctx context.Context, q driver.Query) (driver.Watch, error) {
	return s.watch(ctx, q)
}

// step is one answer of a stream: an event, or an error that ends it.
type step struct {
	event driver.WatchEvent
	err   error
}

// stream plays steps, and then blocks until it is stopped or ctx ends.
type stream struct {
	ctx   context.Context
	steps []step
	stop  context.CancelFunc
	ended *int
}

func newStream(ctx context.Context, ended *int, steps ...step) *stream {
	ctx, stop := context.WithCancel(ctx)
	return &stream{ctx: ctx, stop: stop, steps: steps, ended: ended}
}

func (s *stream) Next() (driver.WatchEvent, error) {
	if len(s.steps) == 0 {
		<-s.ctx.Done()
		return driver.WatchEvent{}, s.ctx.Err()
	}
	next := s.steps[0]
	if next.err == nil {
		s.steps = s.steps[1:]
	}
	return next.event, next.err
}

func (s *stream) Stop() {
	s.stop()
	if s.ended != nil {
		*s.ended++
	}
}

// pod is an object with an identity and a revision.
func pod(name, revision string) driver.Object {
	return driver.Object{
		Ref: driver.Ref{APIVersion: "v1", Kind: "Pod", Namespace: "shop", Name: name},
		UID: "uid-" + name, Revision: revision,
		JSON: fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"shop","name":%q}}`, name),
	}
}

func event(kind driver.WatchEventType, obj driver.Object) step {
	return step{event: driver.WatchEvent{Type: kind, Object: obj}}
}

var endOfStream = step{err: io.EOF}
