package clustertest

import (
	"fmt"
	"sync"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

const racers = 8

// race runs fn at the same time and returns the errors.
func race(fn func(i int) error) []error {
	errs := make([]error, racers)
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() { errs[i] = fn(i) })
	}
	all.Wait()
	return errs
}

// winners counts those who won; all others failed with the sentinel.
func (e *env) winners(errs []error, sentinel error) int {
	e.t.Helper()
	n := 0
	for _, err := range errs {
		if err == nil {
			n++
		} else {
			e.ErrorIs(err, sentinel)
		}
	}
	return n
}

func parallelPromises() []promise {
	const why = "package driver: all methods may be called at the same time"
	// racing makes every racer's object beforehand: only writes race.
	racing := func(e *env, body func(i int) (id, yaml string)) []driver.Object {
		objs := make([]driver.Object, racers)
		for i := range objs {
			id, yaml := body(i)
			objs[i] = e.object(id, yaml)
		}
		return objs
	}
	return []promise{
		{name: "parallel applies of different objects all land", why: why, run: func(e *env) {
			objs := racing(e, func(i int) (string, string) { return fmt.Sprintf("v1 Secret p%d", i), "" })
			for _, err := range race(func(i int) error {
				_, err := e.c.Apply(e.ctx, objs[i], driver.ApplyOptions{Manager: mine})
				return err
			}) {
				e.NoError(err)
			}
			e.Len(e.list(driver.Query{APIVersion: "v1", Kind: "Secret"}).Items, racers)
		}},
		{name: "parallel applies of different fields all land", why: why + "; a lost race is retryable", run: func(e *env) {
			e.apply(e.object("v1 ConfigMap crowd", ""))
			objs := racing(e, func(i int) (string, string) { return "v1 ConfigMap crowd", fmt.Sprintf("data: {k%d: v}", i) })
			for _, err := range race(func(i int) error {
				for {
					_, err := e.c.Apply(e.ctx, objs[i], driver.ApplyOptions{Manager: fmt.Sprintf("racer-%d", i)})
					if !appspan.Retryable(err) || e.ctx.Err() != nil {
						return err
					}
				}
			}) {
				e.NoError(err)
			}
			e.Len(e.at(e.get(objs[0].Ref), "data"), racers)
		}},
		{name: "of parallel applies if absent one wins", why: contractOptions + ".IfAbsent", run: func(e *env) {
			objs := racing(e, func(i int) (string, string) { return "v1 ConfigMap throne", fmt.Sprintf("data: {king: k%d}", i) })
			e.Equal(1, e.winners(race(func(i int) error {
				_, err := e.c.Apply(e.ctx, objs[i], driver.ApplyOptions{Manager: mine, IfAbsent: true})
				return err
			}), appspan.ErrExists))
		}},
		{name: "of parallel applies onto one revision one wins", why: contractOptions + ".IfRevision", run: func(e *env) {
			first := e.apply(e.object("v1 ConfigMap throne", "data: {king: none}"))
			objs := racing(e, func(i int) (string, string) { return "v1 ConfigMap throne", fmt.Sprintf("data: {king: k%d}", i) })
			e.Equal(1, e.winners(race(func(i int) error {
				_, err := e.c.Apply(e.ctx, objs[i], driver.ApplyOptions{Manager: mine, IfRevision: first.Revision, IfUID: first.UID})
				return err
			}), appspan.ErrPrecondition))
		}},
		{name: "of parallel deletes of one UID one wins", why: "driver.Cluster.Delete", run: func(e *env) {
			obj := e.apply(e.object("v1 ConfigMap doomed", ""))
			e.Equal(1, e.winners(race(func(int) error {
				return e.c.Delete(e.ctx, obj.Ref, driver.DeleteOptions{UID: obj.UID})
			}), appspan.ErrNotFound))
		}},
	}
}
