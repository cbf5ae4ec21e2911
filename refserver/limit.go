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

// take asks for one request of a party.
func (l *limits) take(party string) error {
	if l.each <= 0 {
		return nil
	}
	l.mu.Lock()
	one := l.known[party]
	if one == nil {
		if len(l.known) >= maxLimited {
			l.forget()
		}
		one = &limited{Limiter: rate.NewLimiter(l.each, l.burst)}
		l.known[party] = one
	}
	one.seen = time.Now()
	l.mu.Unlock()
	if now := one.ReserveN(time.Now(), 1); now.Delay() > 0 {
		wait := now.Delay()
		now.Cancel()
		return appspan.MarkRetryable(fmt.Errorf("%w: come back in %v", errTooMany, wait.Round(time.Millisecond)), wait)
	}
	return nil
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
