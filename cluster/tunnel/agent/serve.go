package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/tunnel/internal/wire"
	"github.com/hashicorp/yamux"
)

const (
	maxHeader = 64 << 10 // bytes of a request's header
	// idle is longer than the hub's own: so that only the hub closes a
	// connection on which it might be about to send.
	idle = 10 * time.Minute
)

var errReplaced = errors.New("another agent of the cluster has taken over")

// serve answers the hub's requests until the tunnel or ctx ends, or another
// agent takes over.
func (a *Agent) serve(ctx context.Context, secure net.Conn, cluster string) error {
	mux, err := wire.Accepter(secure)
	if err != nil {
		return err
	}
	defer mux.Close()
	accept, refuse := context.WithCancel(context.WithoutCancel(ctx))
	defer refuse()
	control, err := mux.AcceptStreamWithContext(accept)
	if err != nil {
		return fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	}
	trip, err := a.target.transport()
	if err != nil {
		return err
	}
	defer trip.CloseIdleConnections()
	requests := newGate(a.handler(trip))
	server := &http.Server{Handler: requests, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: time.Minute, IdleTimeout: idle,
		ErrorLog: log.New(io.Discard, "", 0)}

	var running sync.WaitGroup
	replaced := make(chan struct{})
	running.Go(func() { _ = server.Serve(&streams{mux: mux, ctx: accept, refuse: refuse}) })
	running.Go(func() {
		if order, err := readByte(control); err == nil && order == wire.Drain {
			close(replaced)
		}
	})
	running.Go(func() { a.beat(mux) })
	defer running.Wait()
	defer func() {
		_ = mux.Close()
		_ = server.Close()
		<-requests.empty()
	}()

	a.set(true, cluster, nil)
	a.opts.Logger.Info("the tunnel is open", "cluster", cluster)
	select {
	case <-mux.CloseChan():
		return fmt.Errorf("%w: the tunnel was cut", appspan.ErrUnavailable)
	case <-replaced:
		err = errReplaced
	case <-ctx.Done():
		err = ctx.Err()
		_ = mux.GoAway() // the hub opens no more streams
	}
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.opts.Drain)
	defer cancel()
	if server.Shutdown(rest) == nil { // what was upgraded is not among what it waits for
		select {
		case <-requests.empty():
		case <-rest.Done():
		}
	}
	return err
}

// beat gives up a hub that does not answer.
func (a *Agent) beat(mux *yamux.Session) {
	beat := time.NewTicker(a.opts.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-mux.CloseChan():
			return
		case <-beat.C:
		}
		if _, err := wire.Ping(mux, 3*a.opts.Heartbeat); err != nil {
			_ = mux.Close()
			return
		}
	}
}

func readByte(r io.Reader) (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r, b[:])
	return b[0], err
}

// streams is the multiplexer as a listener whose Close ends nothing but
// itself.
type streams struct {
	mux    *yamux.Session
	ctx    context.Context
	refuse context.CancelFunc
	open   atomic.Int64
}

// Accept implements net.Listener. What is too much is closed at once.
func (l *streams) Accept() (net.Conn, error) {
	for {
		stream, err := l.mux.AcceptStreamWithContext(l.ctx)
		if err != nil {
			return nil, net.ErrClosed
		}
		if l.open.Add(1) < wire.Streams {
			return &accepted{Stream: stream, leave: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		_ = stream.Close()
	}
}

func (l *streams) Close() error   { l.refuse(); return nil }
func (l *streams) Addr() net.Addr { return l.mux.Addr() }

// accepted is a stream that is counted until it is closed.
type accepted struct {
	*yamux.Stream
	leave func()
}

func (c *accepted) Close() error {
	c.leave()
	return c.Stream.Close()
}

// gate counts the requests that are under way.
type gate struct {
	next http.Handler
	mu   sync.Mutex
	n    int
	shut chan struct{} // nil until somebody waits; closed when no request is left
}

func newGate(next http.Handler) *gate { return &gate{next: next} }

// ServeHTTP implements http.Handler. Once somebody waits for the end, there are
// no new requests.
func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	if g.shut != nil {
		g.mu.Unlock()
		w.Header().Set("Connection", "close")
		fail(w, http.StatusBadGateway, "the agent is going")
		return
	}
	g.n++
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.n--; g.n == 0 && g.shut != nil {
			close(g.shut)
		}
	}()
	g.next.ServeHTTP(w, r)
}

// empty returns what is closed when no request is left.
func (g *gate) empty() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
		if g.n == 0 {
			close(g.shut)
		}
	}
	return g.shut
}
