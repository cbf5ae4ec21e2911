package refserver

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/appspan-dev/appspan"
)

// limits bound how often one party sends requests.
type limits struct {
	each  rate.Limit
	burst int

	mu    sync.Mutex
	known map[string]*limited
}

type limited struct {
	*rate.Limiter
	seen time.Time
}

// maxLimited bounds the parties that are remembered.
const maxLimited = 10_000

// of is the bucket of a party.
func (l *limits) of(party string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.known[party]
	if one == nil {
		if len(l.known) >= maxLimited {
			l.forget()
		}
		one = &limited{Limiter: rate.NewLimiter(l.each, l.burst)}
		l.known[party] = one
	}
	one.seen = time.Now()
	return one.Limiter
}

// take takes one of what a party may do, or says when it may again.
func (l *limits) take(party string) error {
	if l.each <= 0 {
		return nil
	}
	now := l.of(party).ReserveN(time.Now(), 1)
	wait := now.Delay()
	if wait <= 0 {
		return nil
	}
	now.Cancel()
	return tooMany(wait)
}

func tooMany(wait time.Duration) error {
	return appspan.MarkRetryable(fmt.Errorf("%w: come back in %v", errTooMany, wait.Round(time.Millisecond)), wait)
}

// forget forgets who was not seen for a minute, or everybody.
func (l *limits) forget() {
	before := time.Now().Add(-time.Minute)
	for party, one := range l.known {
		if one.seen.Before(before) {
			delete(l.known, party)
		}
	}
	if len(l.known) >= maxLimited {
		clear(l.known)
	}
}

// peer is where a request comes from: its address without the port, and of one of
// IPv6 the network, which is one party's.
func peer(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, 64).Masked().String()
}

// crowd bounds how many streams a party has open at a time.
type crowd struct {
	mu   sync.Mutex
	open map[string]int
}

// maxStreams is how many: a hundred pages with what is on them.
const maxStreams = 256

// enter is there until leave is called.
func (c *crowd) enter(party string) (leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[party] >= maxStreams {
		return nil, fmt.Errorf("%w: %d streams are open already; close some", errTooMany, maxStreams)
	}
	c.open[party]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open[party]--; c.open[party] == 0 {
			delete(c.open, party)
		}
	}, nil
}
