package kube

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// load runs calls of a second each, n at a time, for a while, and returns how
// many ran at a time at most.
func load(t *testing.T, l *limiter, n int, d time.Duration, judge func(running int) outcome) int {
	t.Helper()
	var mu sync.Mutex
	running, most := 0, 0
	var all sync.WaitGroup
	end := time.Now().Add(d)
	for range n {
		all.Go(func() {
			for time.Now().Before(end) {
				turn, err := l.acquire(t.Context())
				if err != nil {
					return
				}
				mu.Lock()
				running++
				most = max(most, running)
				o := judge(running)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				running--
				mu.Unlock()
				turn.done(o)
			}
		})
	}
	all.Wait()
	return most
}

func TestTheWindowFollowsTheServer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		callers int
		judge   func(running int) outcome
		least   int
		most    int
		window  [2]float64
	}{
		"it grows to its bound while all goes well": {200, func(int) outcome { return succeeded }, 64, 64, [2]float64{64, 64}},
		"it does not grow when nobody waits":        {4, func(int) outcome { return succeeded }, 4, 4, [2]float64{8, 8}},
		"it falls to one when nothing is served":    {200, func(int) outcome { return overload }, 8, 8, [2]float64{1, 1}},
		"it settles below what the server can't serve": {200, func(running int) outcome {
			if running > 20 {
				return overload
			}
			return succeeded
		}, 21, 40, [2]float64{8, 24}},
		"it stays where it is without an answer": {200, func(int) outcome { return neutral }, 8, 8, [2]float64{8, 8}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(defaultWindow)
				most := load(t, l, test.callers, 2*time.Minute, test.judge)
				require.GreaterOrEqual(t, most, test.least)
				require.LessOrEqual(t, most, test.most)
				require.GreaterOrEqual(t, l.window, test.window[0])
				require.LessOrEqual(t, l.window, test.window[1])
				require.Zero(t, l.running)
				require.Empty(t, l.waiting)
			})
		})
	}
}

func TestWhoGivesUpWaitingTakesNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(1)
		held, err := l.acquire(t.Context())
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = l.acquire(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		held.done(succeeded)
		next, err := l.acquire(t.Context())
		require.NoError(t, err)
		next.done(succeeded)
		require.Zero(t, l.running)
	})
}
