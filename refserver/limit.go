package refserver

import (
	"fmt"
	"net"
	"net/http"
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

// left says whether a party may do anything, and takes nothing.
func (l *limits) left(party string) error {
	if l.each <= 0 {
		return nil
	}
	if tokens := l.of(party).Tokens(); tokens < 1 {
		return tooMany(time.Duration((1 - tokens) / float64(l.each) * float64(time.Second)))
	}
	return nil
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

// peer is where a request comes from: its address without the port.
func peer(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
