package tunnel_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/agent"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

const apiToken = "the-token-of-the-cluster"

// hub is a Server behind a listener whose connections can be cut.
type hub struct {
	*tunnel.Server
	mu      sync.Mutex // of Server, when it is replaced
	key     ed25519.PrivateKey
	members *tunnel.MemoryMembers
	url     string
	cutter  *cutter
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	return key
}

func newHub(t testing.TB, opts *tunnel.Options) *hub {
	t.Helper()
	h := &hub{key: newKey(t), members: &tunnel.MemoryMembers{}}
	h.start(t, opts)
	return h
}

// start serves the hub's identity at a new address, until the test ends.
func (h *hub) start(t testing.TB, opts *tunnel.Options) {
	t.Helper()
	server, err := tunnel.NewServer(h.key, h.members, opts)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h.Server, h.cutter = server, &cutter{Listener: listener, open: map[*budgeted]bool{}}
	web := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.now().ServeHTTP(w, r) })}
	h.url = "http://" + listener.Addr().String() + "/tunnel"
	var serving sync.WaitGroup
	serving.Go(func() { _ = web.Serve(h.cutter) })
	t.Cleanup(func() {
		_ = h.now().Close()
		_ = web.Close()
		serving.Wait()
	})
}

func (h *hub) now() *tunnel.Server {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.Server
}

// restart ends the Server, and puts a new one of the same identity in its
// place.
func (h *hub) restart(t testing.TB, opts *tunnel.Options) {
	t.Helper()
	require.NoError(t, h.Close())
	server, err := tunnel.NewServer(h.key, h.members, opts)
	require.NoError(t, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Server = server
}

// invite makes a token that lets a cluster join.
func (h *hub) invite(t testing.TB, cluster string) tunnel.Token {
	t.Helper()
	token, grant, err := tunnel.NewToken(h.url, h.KeyID(), cluster, time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.NoError(t, h.members.Add(grant))
	return token
}

// open is a driver for a cluster behind the hub.
func (h *hub) open(t testing.TB, cluster string) *kube.Cluster {
	t.Helper()
	c, err := kube.New(&rest.Config{Host: "http://" + cluster + ".tunnel", Dial: h.Dialer(cluster)}, nil)
	require.NoError(t, err)
	return c
}

// connected waits until a cluster is.
func (h *hub) connected(t testing.TB, cluster string) {
	t.Helper()
	conn, err := h.Dialer(cluster)(t.Context(), "tcp", "")
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}

// cutter cuts the TCP connections that it has accepted.
type cutter struct {
	net.Listener
	mu     sync.Mutex
	open   map[*budgeted]bool
	cuts   int           // by budget
	budget func(int) int // after so many cuts, in bytes both ways; 0 is without end
}

func (c *cutter) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &budgeted{TCPConn: conn.(*net.TCPConn), cutter: c, left: -1}
	if c.budget != nil {
		if n := c.budget(c.cuts); n > 0 {
			b.left = n
		}
	}
	c.open[b] = true
	return b, nil
}

// limit gives later connections a budget.
func (c *cutter) limit(budget func(n int) int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.budget = budget
}

// cut ends all connections without a word, and returns how many there were.
func (c *cutter) cut() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.open)
	for conn := range c.open {
		_ = conn.SetLinger(0)
		_ = conn.TCPConn.Close()
	}
	clear(c.open)
	return n
}

// freeze makes all connections swallow what they are given, and say nothing.
func (c *cutter) freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		conn.mu.Lock()
		conn.frozen = true
		conn.mu.Unlock()
	}
}

// budgeted is a connection that is reset, in the midst of whatever it carries,
// when its budget is used up.
type budgeted struct {
	*net.TCPConn
	cutter *cutter
	mu     sync.Mutex
	left   int // negative: without end
	frozen bool
}

func (b *budgeted) isFrozen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.frozen
}

// spend returns how much of n is left, and whether that is the end.
func (b *budgeted) spend(n int) (int, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < 0 {
		return n, false
	}
	most := min(n, b.left)
	b.left -= most
	return most, b.left == 0
}

func (b *budgeted) end() {
	b.cutter.mu.Lock()
	defer b.cutter.mu.Unlock()
	if b.cutter.open[b] {
		b.cutter.cuts++
		delete(b.cutter.open, b)
	}
	_ = b.SetLinger(0)
	_ = b.TCPConn.Close()
}

func (b *budgeted) Read(p []byte) (int, error) {
	n, err := b.TCPConn.Read(p)
	for err == nil && b.isFrozen() {
		n, err = b.TCPConn.Read(p)
	}
	most, end := b.spend(n)
	if end {
		b.end()
	}
	if most < n {
		return most, net.ErrClosed
	}
	return n, err
}

func (b *budgeted) Write(p []byte) (int, error) {
	if b.isFrozen() {
		return len(p), nil
	}
	most, end := b.spend(len(p))
	n, err := b.TCPConn.Write(p[:most])
	if end {
		b.end()
	}
	if err == nil && most < len(p) {
		err = net.ErrClosed
	}
	return n, err
}

func (b *budgeted) Close() error {
	b.cutter.mu.Lock()
	defer b.cutter.mu.Unlock()
	delete(b.cutter.open, b)
	return b.TCPConn.Close()
}

// target serves a handler as an API server, and gives the agent its token.
func target(t testing.TB, api http.Handler) agent.Target {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(apiToken+"\n"), 0o600))
	return agent.Target{URL: server.URL, TokenFile: file}
}

// memory is a cluster in memory, and the target that it is for an agent.
func memory(t testing.TB) (*fake.Cluster, agent.Target) {
	t.Helper()
	c := fake.New(&fake.Options{Token: apiToken})
	t.Cleanup(func() { _ = c.Close() })
	return c, target(t, c.Handler())
}

// quick are options of an agent that comes again at once, and lets the suite
// act as anybody.
func quick() *agent.Options {
	return &agent.Options{MinBackoff: 5 * time.Millisecond, MaxBackoff: 20 * time.Millisecond, Drain: time.Second, Impersonate: []string{""}}
}

// run runs an agent until the test, or the returned function, ends it.
func run(t testing.TB, token tunnel.Token, keys agent.Keys, to agent.Target, opts *agent.Options) (*agent.Agent, func()) {
	t.Helper()
	if testing.Verbose() && opts != nil && opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	a, err := agent.New(token, keys, to, opts)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	stop := func() { cancel(); <-done }
	t.Cleanup(stop)
	return a, stop
}

// fixed keeps a key, and a note, in memory.
func fixed(key ed25519.PrivateKey) agent.Keys { return &memoryKeys{key: key} }

type memoryKeys struct {
	key  ed25519.PrivateKey
	mu   sync.Mutex
	note string
	err  error // of Keep
}

func (m *memoryKeys) Key(context.Context) (ed25519.PrivateKey, error) { return m.key, nil }

func (m *memoryKeys) Note(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.note, nil
}

func (m *memoryKeys) Keep(_ context.Context, note string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.note = note
	}
	return m.err
}

func (m *memoryKeys) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func parse(t testing.TB, text string) driver.Object {
	t.Helper()
	obj, err := driver.ParseObject([]byte(text))
	require.NoError(t, err)
	return obj
}

// value is what configMap has put into an object.
func value(t testing.TB, obj driver.Object) string {
	t.Helper()
	var configMap struct{ Data map[string]string }
	require.NoError(t, json.Unmarshal(obj.JSON, &configMap))
	return configMap.Data["v"]
}
