package tunnel

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/tunnel/internal/wire"
	"github.com/coder/websocket"
)

// Options shape a [Server]. The zero value, like nil, is the default.
type Options struct {
	// Wait is how long a dial waits for an agent that is not connected;
	// default 5 s, negative does not wait. It is to be less than a fleet's
	// CheckTimeout, so that a check hears since when the agent is away.
	Wait time.Duration
	// Heartbeat is the time between two looks at whether an agent is still
	// there; default 10 s. One that does not answer for three times as long is
	// given up.
	Heartbeat time.Duration
	// Handshake bounds the time in which a stranger has to say who it is;
	// default 10 s.
	Handshake time.Duration
	// MaxHandshakes is how many strangers may be doing that at a time;
	// default 128. Others are asked to come later.
	MaxHandshakes int
	// Drain is how long a connection that another agent of the cluster has
	// replaced may finish what is under way; default 30 s.
	Drain time.Duration
	// Previous are keys that the hub had before, by which agents still know it.
	// It proves to be their owner too, to tell those agents its key, and nothing
	// else: an agent keeps the new one and comes again.
	Previous []ed25519.PrivateKey
	// Address says where a request comes from: what failed joins are counted
	// by, and what is shown. Default: the host of RemoteAddr, which behind a
	// reverse proxy is the proxy's.
	Address func(*http.Request) string
	// Logger hears of agents that come and go and of those that are refused;
	// nil discards.
	Logger *slog.Logger
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	for value, standard := range map[*time.Duration]time.Duration{
		&d.Wait: 5 * time.Second, &d.Heartbeat: 10 * time.Second, &d.Handshake: 10 * time.Second, &d.Drain: 30 * time.Second,
	} {
		if *value == 0 {
			*value = standard
		}
	}
	if d.MaxHandshakes <= 0 {
		d.MaxHandshakes = 128
	}
	if d.Address == nil {
		d.Address = func(r *http.Request) string {
			host, _, err := net.SplitHostPort(r.RemoteAddr)
			if err != nil {
				return r.RemoteAddr
			}
			return host
		}
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return d
}

// Server is the hub's end of all tunnels: an http.Handler that agents connect
// to. It may be mounted at any path, and behind any reverse proxy that lets
// WebSockets through.
type Server struct {
	own       []tls.Certificate // the first is that of key
	key       KeyID
	members   Members
	opts      Options
	strangers chan struct{} // one for each handshake under way
	failures  failures
	started   time.Time

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	open   sync.WaitGroup // requests that are being served

	mu      sync.Mutex
	closed  bool
	peers   map[string]*peer
	changed chan struct{} // closed, and replaced, when a peer changes
}

// NewServer returns a server that proves to be the owner of key, the hub's
// identity: agents that have joined accept no other, so that the program must
// keep it, and keep it secret. It does no I/O.
func NewServer(key ed25519.PrivateKey, members Members, opts *Options) (*Server, error) {
	var own []tls.Certificate
	o := opts.withDefaults()
	for _, k := range append([]ed25519.PrivateKey{key}, o.Previous...) {
		certificate, err := wire.Certificate(k)
		if err != nil {
			return nil, fmt.Errorf("the hub's key: %w", err)
		}
		own = append(own, certificate)
	}
	o.Previous = nil // own has them
	id, err := KeyIDOf(key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	if members == nil {
		return nil, fmt.Errorf("%w: Members is nil", appspan.ErrInvalid)
	}
	s := &Server{own: own, key: id, members: members, opts: o, started: time.Now(),
		peers: map[string]*peer{}, changed: make(chan struct{})}
	s.strangers = make(chan struct{}, s.opts.MaxHandshakes)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// KeyID names the hub's key: what tokens carry.
func (s *Server) KeyID() KeyID { return s.key }

// Format writes the name of the hub's key for every verb: what is in it holds
// the key.
func (s *Server) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "hub "+s.key.String()) }

// Close ends all tunnels and waits for them. Later agents are refused, later
// dials fail with ErrUnavailable.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.open.Wait()
	return nil
}

// ServeHTTP implements http.Handler: it upgrades the request to a WebSocket and
// returns when the tunnel has ended. The http.Server needs a ReadHeaderTimeout
// of its own.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		http.Error(w, "the hub is being shut down", http.StatusServiceUnavailable)
		return
	}
	s.open.Add(1)
	s.mu.Unlock()
	defer s.open.Done()

	address := wire.Printable(s.opts.Address(r), 64)
	select {
	case s.strangers <- struct{}{}:
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many agents are connecting; come again later", http.StatusServiceUnavailable)
		return
	}
	known := sync.OnceFunc(func() { <-s.strangers })
	defer known()

	ctx, cancel := context.WithTimeout(s.ctx, s.opts.Handshake)
	defer cancel()
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return // it has been answered
	}
	conn := wire.Conn(s.ctx, socket)
	defer conn.Close()
	if socket.Subprotocol() != wire.Subprotocol {
		return
	}
	session, err := s.admit(ctx, conn, address)
	if err != nil {
		s.opts.Logger.Warn("an agent was not let in", "address", address, "error", err)
		return
	}
	known()
	cancel()
	s.serve(session)
}

// admit does the handshake with a stranger.
func (s *Server) admit(ctx context.Context, conn net.Conn, address string) (*session, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() }) // whatever it is in the middle of
	defer stop()
	secure, key, err := wire.Serve(ctx, conn, s.own...)
	if err != nil {
		return nil, err
	}
	var hello wire.Hello
	if err := wire.Read(secure, &hello); err != nil {
		return nil, fmt.Errorf("hello of agent %s: %w", KeyID(key), err)
	}
	cluster, err := s.identify(ctx, key, hello, address)
	if err != nil {
		_ = wire.Write(secure, welcomeNot(err))
		return nil, fmt.Errorf("agent %s, which says it is of cluster %q: %w", KeyID(key), wire.Printable(hello.Cluster, 64), err)
	}
	if len(s.own) > 1 && !wire.Wants(secure, wire.Key(s.key)) {
		return nil, errors.Join(fmt.Errorf("agent %s of cluster %s: it knew the hub by an earlier key, and has been told the new one", KeyID(key), cluster),
			wire.Write(secure, wire.Welcome{Refused: wire.Moved, Hub: s.key.String(), Message: "the hub has a new key"}))
	}
	if err := wire.Write(secure, wire.Welcome{Cluster: cluster}); err != nil {
		return nil, err
	}
	mux, err := wire.Opener(secure)
	if err != nil {
		return nil, err
	}
	control, err := mux.OpenStream()
	if err != nil {
		_ = mux.Close()
		return nil, err
	}
	if !stop() {
		_ = mux.Close()
		return nil, ctx.Err()
	}
	knows, _ := ParseKeyID(hello.Hub) // of an agent that does not say it is zero
	now := time.Now()
	return &session{mux: mux, control: control, retired: make(chan struct{}), instance: hello.Instance, agent: Agent{
		Cluster: cluster, Connected: true, Since: now, Key: key, HubKey: knows, Address: address,
		Version: wire.Printable(hello.Version, 64), Heartbeat: now,
	}}, nil
}

// identify finds the cluster of an agent by its key, or lets it join.
func (s *Server) identify(ctx context.Context, key KeyID, hello wire.Hello, address string) (string, error) {
	cluster, err := s.members.Member(ctx, key)
	switch {
	case err == nil && hello.Cluster != cluster:
		return "", fmt.Errorf("%w: the agent's key belongs to cluster %s, not to %s; remove the key from the agent, and make a new token", appspan.ErrConflict, cluster, wire.Printable(hello.Cluster, 64))
	case err == nil:
		return cluster, nil
	case !errors.Is(err, appspan.ErrNotFound):
		return "", fmt.Errorf("%w: the hub cannot look the agent up: %w", appspan.ErrUnavailable, err)
	case hello.Token == "":
		return "", fmt.Errorf("%w: the hub does not know the agent; make a join token for it", appspan.ErrDenied)
	case s.failures.blocked(address):
		return "", fmt.Errorf("%w: too many joins from this address have failed; wait a minute", appspan.ErrExhausted)
	}
	cluster, err = s.members.Redeem(ctx, Redemption{TokenID: hello.Token, SecretHash: sha256.Sum256(hello.Secret), Agent: key})
	if errors.Is(err, appspan.ErrDenied) {
		s.failures.add(address)
	}
	return cluster, err
}

// welcomeNot is what an agent is told of an error. Of failures of the hub's own
// it hears nothing but that there was one.
func welcomeNot(err error) wire.Welcome {
	for category, sentinel := range map[wire.Refusal]error{
		wire.Denied: appspan.ErrDenied, wire.Conflict: appspan.ErrConflict, wire.Exhausted: appspan.ErrExhausted,
	} {
		if errors.Is(err, sentinel) {
			return wire.Welcome{Refused: category, Message: wire.Printable(err.Error(), 512)}
		}
	}
	return wire.Welcome{Refused: wire.Unavailable, Message: "the hub cannot look the agent up; its log says why"}
}
