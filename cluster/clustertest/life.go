package clustertest

import (
	"context"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

func kubeSystem() driver.Ref {
	return driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: "kube-system"}
}

func lifePromises() []promise {
	const closed = "package driver: calls after Close fail with ErrUnavailable"
	const ended = "context: a call obeys its context"
	cancelled := func(e *env) context.Context {
		ctx, cancel := context.WithCancel(e.ctx)
		cancel()
		return ctx
	}
	return []promise{
		{name: "an apply whose context has ended does nothing", why: ended, run: func(e *env) {
			obj := e.object("v1 ConfigMap late", "")
			_, err := e.c.Apply(cancelled(e), obj, driver.ApplyOptions{Manager: mine})
			e.ErrorIs(err, context.Canceled)
			e.absent(obj.Ref)
		}},
		{name: "a get whose context has ended fails", why: ended, run: func(e *env) {
			_, err := e.c.Get(cancelled(e), kubeSystem())
			e.ErrorIs(err, context.Canceled)
			e.False(appspan.Retryable(err))
		}},
		{name: "a list whose context has ended fails", why: ended, run: func(e *env) {
			_, err := e.c.List(cancelled(e), driver.Query{APIVersion: "v1", Kind: "Namespace"})
			e.ErrorIs(err, context.Canceled)
		}},
		{name: "a delete whose context has ended does nothing", why: ended, run: func(e *env) {
			obj := e.apply(e.object("v1 ConfigMap kept", ""))
			e.ErrorIs(e.c.Delete(cancelled(e), obj.Ref, driver.DeleteOptions{}), context.Canceled)
			e.get(obj.Ref)
		}},
		{name: "an info whose context has ended fails", why: ended, run: func(e *env) {
			_, err := e.c.Info(cancelled(e))
			e.ErrorIs(err, context.Canceled)
		}},
		{name: "reads after Close are unavailable", why: closed, run: func(e *env) {
			e.NoError(e.c.Close())
			_, err := e.c.Get(e.ctx, kubeSystem())
			e.ErrorIs(err, appspan.ErrUnavailable)
			_, err = e.c.List(e.ctx, driver.Query{APIVersion: "v1", Kind: "Namespace"})
			e.ErrorIs(err, appspan.ErrUnavailable)
			_, err = e.c.Info(e.ctx)
			e.ErrorIs(err, appspan.ErrUnavailable)
		}},
		{name: "writes after Close are unavailable", why: closed, run: func(e *env) {
			obj := e.objectIn("default", "v1 ConfigMap "+unique("late"), "")
			e.NoError(e.c.Close())
			_, err := e.c.Apply(e.ctx, obj, driver.ApplyOptions{Manager: mine})
			e.ErrorIs(err, appspan.ErrUnavailable)
			e.ErrorIs(e.c.Delete(e.ctx, obj.Ref, driver.DeleteOptions{}), appspan.ErrUnavailable)
		}},
		{name: "Close may be called again", why: "driver.Cluster.Close is idempotent", run: func(e *env) {
			e.NoError(e.c.Close())
			e.NoError(e.c.Close())
		}},
		{name: "Close ends watches", why: "driver.Cluster.Close", needs: watcher, run: func(e *env) {
			c, _ := driver.As[driver.Watcher](e.c)
			w, err := c.Watch(e.ctx, driver.Query{APIVersion: "v1", Kind: "Secret", Namespace: "default"})
			e.NoError(err)
			e.streams = append(e.streams, w)
			e.NoError(e.c.Close())
			ended := make(chan error, 1)
			go func() { ended <- e.fails(w) }()
			select {
			case err := <-ended:
				e.ErrorIs(err, appspan.ErrUnavailable)
			case <-e.ctx.Done():
				e.Fail("Next is still waiting")
			}
		}},
	}
}
