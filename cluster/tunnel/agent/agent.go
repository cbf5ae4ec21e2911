package agent

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/internal/wire"
	"github.com/coder/websocket"
)

// Options shape an [Agent]. The zero value, like nil, is the default.
type Options struct {
	// Client makes the outer connection, where proxies and authorities are its
	// matter; default one without a proxy that trusts the system's authorities.
	// Its Timeout is not used.
	Client *http.Client
	// Version is that of the program, for the hub to show.
	Version string
	// Impersonate are beginnings of the names of users and groups that the hub
	// may act as; nil is "appspan:", empty is none. An empty beginning is all
	// names. The group system:authenticated is always allowed.
	Impersonate []string
	// MinBackoff and MaxBackoff bound the time between two attempts to connect:
	// a random one, up to a bound that doubles; default 1 s and 1 min.
	MinBackoff, MaxBackoff time.Duration
	// Heartbeat is the time between two looks at whether the hub is still
	// there; default 10 s. One that does not answer for three times as long is
	// given up.
	Heartbeat time.Duration
	// Handshake bounds the time of one attempt to connect; default 20 s.
	Handshake time.Duration
	// Drain is how long what is under way may take to end when the agent stops;
	// default 10 s.
	Drain time.Duration
	// Logger hears what happens; nil discards.
	Logger *slog.Logger
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	for value, standard := range map[*time.Duration]time.Duration{
		&d.MinBackoff: time.Second, &d.MaxBackoff: time.Minute, &d.Heartbeat: 10 * time.Second,
		&d.Handshake: 20 * time.Second, &d.Drain: 10 * time.Second,
	} {
		if *value <= 0 {
			*value = standard
		}
	}
	if d.Impersonate == nil {
		d.Impersonate = []string{"appspan:"}
	}
	client := http.Client{Transport: &http.Transport{TLSHandshakeTimeout: d.Handshake, DisableKeepAlives: true}}
	if d.Client != nil {
		client = *d.Client
	}
	client.Timeout = 0 // it would end the tunnel, not the dial
	d.Client = &client
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return d
}

// Agent connects one cluster to one hub.
type Agent struct {
	ran      atomic.Bool
	token    tunnel.Token
	keys     Keys
	target   Target
	opts     Options
	instance string
	hub      tunnel.KeyID // the hub's key; zero before the first attempt
	kept     tunnel.KeyID // what of it a new process would find

	mu     sync.Mutex
	status Status
}

// Status is how an agent does.
type Status struct {
	// Connected says whether there is a tunnel, and Since when that began to be
	// so.
	Connected bool
	Since     time.Time
	// Cluster is the name under which the hub knows the agent.
	Cluster string
	// Err is why there is no tunnel, nil when there is one.
	Err error
}

// New returns an agent that has not connected yet. The token tells where the
// hub is; its secret is used until the hub knows the agent's key.
func New(token tunnel.Token, keys Keys, target Target, opts *Options) (*Agent, error) {
	if keys == nil {
		return nil, fmt.Errorf("%w: Keys is nil; use FileKey or SecretKey", appspan.ErrInvalid)
	}
	if err := token.Validate(); err != nil {
		return nil, err
	}
	if err := target.validate(); err != nil {
		return nil, err
	}
	return &Agent{token: token, keys: keys, target: target, opts: opts.withDefaults(), instance: rand.Text(), status: Status{Since: time.Now()}}, nil
}

// Format writes the agent's cluster for every verb: what is in it holds the
// token's secret.
func (a *Agent) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "agent of cluster "+a.token.Cluster)
}

// Status tells how the agent does.
func (a *Agent) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

func (a *Agent) set(connected bool, cluster string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.status.Connected != connected {
		a.status.Since = time.Now()
	}
	a.status.Connected, a.status.Err = connected, err
	if cluster != "" {
		a.status.Cluster = cluster
	}
}

// Run connects, serves, and connects again until ctx ends; then it finishes
// what is under way, up to Options.Drain, and returns nil. It runs once: called
// again it is appspan.ErrPrecondition.
func (a *Agent) Run(ctx context.Context) error {
	if a.ran.Swap(true) {
		return fmt.Errorf("agent: %w: it has run already; make another", appspan.ErrPrecondition)
	}
	backoff := a.opts.MinBackoff
	for ctx.Err() == nil {
		served, err := a.connect(ctx)
		if ctx.Err() != nil {
			break
		}
		a.set(false, "", err)
		var least time.Duration
		switch {
		case served && !errors.Is(err, errReplaced), errors.Is(err, errMoved):
			backoff = a.opts.MinBackoff
		case errors.Is(err, errReplaced), errors.Is(err, appspan.ErrDenied), errors.Is(err, appspan.ErrConflict):
			backoff, least = a.opts.MaxBackoff, a.opts.MaxBackoff/2 // it will not be better soon
		default:
			backoff = min(2*backoff, a.opts.MaxBackoff)
		}
		pause := least + mathrand.N(backoff-least+1) // of a wide span, so that all agents of a hub do not come at once
		a.opts.Logger.Warn("there is no tunnel", "error", err, "again_in", pause.Round(time.Millisecond))
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	a.set(false, "", context.Cause(ctx))
	return nil
}

// connect makes a tunnel and serves it. It reports whether there was one.
func (a *Agent) connect(ctx context.Context) (served bool, err error) {
	key, err := a.keys.Key(ctx)
	if err != nil {
		return false, fmt.Errorf("the agent's key: %w", err)
	}
	own, err := wire.Certificate(key)
	if err != nil {
		return false, fmt.Errorf("the agent's key: %w", err)
	}
	if err := a.recall(ctx); err != nil {
		return false, err
	}
	shake, cancel := context.WithTimeout(ctx, a.opts.Handshake)
	defer cancel()
	socket, answer, err := websocket.Dial(shake, a.token.Hub, &websocket.DialOptions{HTTPClient: a.opts.Client, Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return false, unanswered(answer, err)
	}
	// The tunnel outlives ctx by what is finished on it.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	conn := wire.Conn(life, socket)
	defer conn.Close()
	stop := context.AfterFunc(shake, func() { conn.Close() })
	secure, cluster, err := a.join(shake, conn, own)
	if !stop() && err == nil {
		err = shake.Err()
	}
	if err != nil {
		return false, err
	}
	cancel()
	return true, a.serve(ctx, secure, cluster)
}

// unanswered says why the hub did not upgrade the connection.
func unanswered(answer *http.Response, err error) error {
	if answer == nil || answer.StatusCode == http.StatusSwitchingProtocols {
		return fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	}
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 256))
	return fmt.Errorf("%w: the hub's address answers %s: %s", appspan.ErrUnavailable, answer.Status, wire.Printable(string(body), 256))
}

// join is the handshake inside of the outer connection.
func (a *Agent) join(ctx context.Context, conn net.Conn, own tls.Certificate) (*tls.Conn, string, error) {
	secure, err := wire.Dial(ctx, conn, own, wire.Key(a.hub))
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	}
	hello := wire.Hello{Cluster: a.token.Cluster, Version: a.opts.Version, Instance: a.instance, Token: a.token.ID, Secret: a.token.Secret(), Hub: a.kept.String()}
	if err := wire.Write(secure, hello); err != nil {
		return nil, "", fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	}
	var welcome wire.Welcome
	if err := wire.Read(secure, &welcome); err != nil {
		return nil, "", fmt.Errorf("%w: the hub does not answer: %w", appspan.ErrUnavailable, err)
	}
	if welcome.Refused == wire.Moved {
		return nil, "", a.follow(welcome.Hub)
	}
	return secure, welcome.Cluster, welcome.Err()
}
