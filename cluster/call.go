package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
)

const (
	firstWait     = 100 * time.Millisecond // before the first repetition
	longestWait   = 5 * time.Second        // between repetitions of a call
	longestOutage = 30 * time.Second       // between attempts to revive a watch
)

// call runs do until it succeeds, fails for good, or Attempts or Timeout are
// used up. That nothing answered in time is retryable only if do is
// repeatable.
func (c *Cluster) call(ctx context.Context, repeatable bool, do func(context.Context) error) error {
	if err := c.info.foreign(); err != nil {
		return err
	}
	return c.attempt(ctx, repeatable, do)
}

// attempt is call for a cluster that may be another one than it was.
func (c *Cluster) attempt(ctx context.Context, repeatable bool, do func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	var last error
	for n := 1; ; n++ {
		err := do(limited)
		if limited.Err() != nil && unanswered(err) {
			if ctx.Err() != nil {
				return ended(ctx)
			}
			if last == nil || !repeatable { // this attempt may have been heard
				last = fmt.Errorf("%w: no answer within %v", appspan.ErrUnavailable, c.opts.Timeout)
				if repeatable {
					last = appspan.MarkRetryable(last, 0)
				}
			}
			c.health.heard(last)
			return last
		}
		c.health.heard(err)
		if n >= c.opts.Attempts || !appspan.Retryable(err) {
			return err
		}
		wait := backOff(n, longestWait, err)
		if deadline, _ := limited.Deadline(); time.Until(deadline) <= wait {
			return err // the caller knows by appspan.RetryAfter when to come again
		}
		last = err
		if !sleep(ctx, wait) {
			return ended(ctx)
		}
	}
}

// unanswered reports whether err may be the effect of a context that ended.
func unanswered(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, appspan.ErrUnavailable)
}

// ended is the error of a context that has ended, with its cause.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != ctx.Err() {
		return fmt.Errorf("%w: %w", ctx.Err(), cause)
	}
	return ctx.Err()
}

// backOff is the time to wait after the n-th failure in a row, from 1: it
// doubles, up to a bound, and is spread by a half so that many clients do not
// come back at once. What the server asked for is the least.
func backOff(n int, bound time.Duration, err error) time.Duration {
	d := bound
	if n < 16 {
		d = min(firstWait<<(n-1), bound)
	}
	return max(appspan.RetryAfter(err), d/2) + rand.N(d/2)
}

// sleep waits and reports whether the context is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// health remembers when the server answered last.
type health struct {
	mu     sync.Mutex
	answer time.Time
	err    error
}

// heard notes how an exchange ended. A refusal is an answer too; what a driver
// may have refused on its own says nothing.
func (h *health) heard(err error) {
	is := func(sentinels ...error) bool {
		return slices.ContainsFunc(sentinels, func(s error) bool { return errors.Is(err, s) })
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil,
		is(appspan.ErrNotFound, appspan.ErrExists, appspan.ErrConflict, appspan.ErrPrecondition, appspan.ErrExhausted):
		h.answer, h.err = time.Now(), nil
	case !is(context.Canceled, context.DeadlineExceeded, appspan.ErrInvalid, appspan.ErrUnsupported):
		h.err = err
	}
}

// LastAnswer is when the server last answered a call or a watch, zero if it
// never did. What is known of the cluster is as old as that.
func (c *Cluster) LastAnswer() time.Time {
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	return c.health.answer
}

// LastError is the failure since the last answer, nil if there is none.
func (c *Cluster) LastError() error {
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	return c.health.err
}
