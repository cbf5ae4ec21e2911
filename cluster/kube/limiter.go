package kube

import (
	"context"
	"sync"
)

const (
	firstWindow   = 8
	defaultWindow = 64
)

// limiter bounds how many calls run at a time, by additive increase and
// multiplicative decrease: the window grows while calls succeed and callers
// wait, and is halved when the server says that it is too much.
type limiter struct {
	mu      sync.Mutex
	window  float64
	most    float64
	slow    bool // the server has complained: grow by one a window, not by one a call
	running int
	waiting []chan struct{} // in order of arrival; a closed one has its turn
	cuts    int             // how often the window was halved
}

func newLimiter(most int) *limiter {
	return &limiter{window: float64(min(firstWindow, most)), most: float64(most)}
}

// turn is one place in the window.
type turn struct {
	limiter *limiter
	cuts    int  // of the limiter when the turn began
	full    bool // the window was the limit
}

// acquire waits for a turn, in order of arrival.
func (l *limiter) acquire(ctx context.Context) (turn, error) {
	l.mu.Lock()
	if err := ctx.Err(); err != nil {
		l.mu.Unlock()
		return turn{}, err
	}
	if len(l.waiting) == 0 && l.running < int(l.window) {
		l.running++
		t := turn{l, l.cuts, l.running >= int(l.window)}
		l.mu.Unlock()
		return t, nil
	}
	ready := make(chan struct{})
	l.waiting = append(l.waiting, ready)
	l.mu.Unlock()
	select {
	case <-ready:
		l.mu.Lock()
		defer l.mu.Unlock()
		return turn{l, l.cuts, true}, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range l.waiting {
		if w == ready {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return turn{}, ctx.Err()
		}
	}
	l.running-- // its turn came at the same time
	l.admit()
	return turn{}, ctx.Err()
}

// admit gives free places to who waits. The lock is held.
func (l *limiter) admit() {
	for len(l.waiting) > 0 && l.running < int(l.window) {
		close(l.waiting[0])
		l.waiting = l.waiting[1:]
		l.running++
	}
}

// outcome is what a call says about the server's load.
type outcome int

const (
	neutral   outcome = iota
	succeeded         // it was served
	overload          // it was refused as too much, or not served in time
)

// done gives the turn back.
func (t turn) done(o outcome) {
	l := t.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	switch {
	case o == succeeded && t.full:
		grow := 1.0
		if l.slow {
			grow = 1 / l.window
		}
		l.window = min(l.window+grow, l.most)
	case o == overload && t.cuts == l.cuts: // one cut for all that ran together
		l.window = max(l.window/2, 1)
		l.slow = true
		l.cuts++
	}
	l.admit()
}
