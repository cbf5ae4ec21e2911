package tunnel_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/internal/wire"
	"github.com/coder/websocket"
	"github.com/hashicorp/yamux"
	"github.com/stretchr/testify/require"
)

// socket is an outer connection to the hub, on which nothing has been said.
func socket(t testing.TB, url string) net.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{Subprotocols: []string{wire.Subprotocol}})
	require.NoError(t, err)
	conn := wire.Conn(t.Context(), ws)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// recorder keeps what is written.
type recorder struct {
	net.Conn
	sent []byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.sent = append(r.sent, p...)
	return r.Conn.Write(p)
}

// join does an agent's handshake by hand.
func join(t testing.TB, conn net.Conn, tok tunnel.Token, own tls.Certificate) *tls.Conn {
	t.Helper()
	secure, err := wire.Dial(t.Context(), conn, own, tok.HubKey)
	require.NoError(t, err)
	require.NoError(t, wire.Write(secure, wire.Hello{Cluster: tok.Cluster, Token: tok.ID, Secret: tok.Secret(), Instance: "by hand"}))
	var welcome wire.Welcome
	require.NoError(t, wire.Read(secure, &welcome))
	require.NoError(t, welcome.Err())
	return secure
}

func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	own, err := wire.Certificate(newKey(t))
	require.NoError(t, err)
	return own
}

func TestARecordedHandshakeLetsNobodyIn(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	conn := &recorder{Conn: socket(t, h.url)}
	join(t, conn, h.invite(t, "edge-1"), certificate(t))
	require.Eventually(t, func() bool { return len(h.Agents()) == 1 }, long, tick)
	before := h.Agents()[0].Since

	again := socket(t, h.url)
	_, err := again.Write(conn.sent)
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, again) // until the hub closes it
	require.True(t, h.Agents()[0].Connected)
	require.Equal(t, before, h.Agents()[0].Since)
}

func TestStrangersWhoSayNothingAreShownOut(t *testing.T) {
	t.Parallel()
	h := newHub(t, &tunnel.Options{Handshake: 300 * time.Millisecond, MaxHandshakes: 2})
	first, second := socket(t, h.url), socket(t, h.url)
	_, err := second.Write([]byte{22, 3, 1, 2}) // the beginning of a TLS record
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		answer, err := http.Get(h.url)
		require.NoError(t, err)
		answer.Body.Close()
		return answer.StatusCode == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") != "" ||
			answer.StatusCode == http.StatusUpgradeRequired // the strangers have left already
	}, long, tick)
	for _, conn := range []net.Conn{first, second} {
		_, err := io.Copy(io.Discard, conn)
		require.NotErrorIs(t, err, context.Canceled)
	}
	join(t, socket(t, h.url), h.invite(t, "edge-1"), certificate(t))
}

func TestStrangersWhoSayTooMuchAreShownOut(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	for name, say := range map[string]func(conn net.Conn){
		"noise": func(conn net.Conn) { _, _ = io.Copy(conn, strings.NewReader(strings.Repeat("noise", 1<<20))) },
		"a hello of a gigabyte": func(conn net.Conn) {
			secure, err := wire.Dial(t.Context(), conn, certificate(t), wire.Key(h.KeyID()))
			if err == nil {
				_, err = secure.Write([]byte{0x40, 0, 0, 0, '{'})
			}
			if err != nil {
				t.Error(err)
			}
		},
		"a hello that is none": func(conn net.Conn) {
			secure, err := wire.Dial(t.Context(), conn, certificate(t), wire.Key(h.KeyID()))
			if err == nil {
				_, err = secure.Write([]byte{0, 0, 0, 2, 'x', 'x'})
			}
			if err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn := socket(t, h.url)
			say(conn)
			_, _ = io.Copy(io.Discard, conn) // until the hub closes it
			require.Empty(t, h.Agents())
		})
	}
	answer, err := http.Get(h.url)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusUpgradeRequired, answer.StatusCode)
}

func TestAnAgentOpensNoStreamsToTheHub(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	secure := join(t, socket(t, h.url), h.invite(t, "edge-1"), certificate(t))
	mux, err := yamux.Server(secure, quiet())
	require.NoError(t, err)
	defer mux.Close()
	_, err = mux.Accept() // the control stream, behind the word that no streams are taken
	require.NoError(t, err)
	_, err = mux.Open()
	require.ErrorIs(t, err, yamux.ErrRemoteGoAway)
}

func quiet() *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput = io.Discard
	return c
}

// lyingHub takes whoever comes, and gives the test the opening end.
func lyingHub(t *testing.T) (tunnel.Token, <-chan *yamux.Session) {
	t.Helper()
	key := newKey(t)
	own, err := wire.Certificate(key)
	require.NoError(t, err)
	sessions := make(chan *yamux.Session, 1)
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol}})
		if err != nil {
			return
		}
		conn := wire.Conn(ctx, ws)
		defer conn.Close()
		secure, _, err := wire.Serve(ctx, conn, own)
		if err != nil {
			return
		}
		if wire.Read(secure, new(wire.Hello)) != nil || wire.Write(secure, wire.Welcome{Cluster: "whatever"}) != nil {
			return
		}
		mux, err := yamux.Client(secure, quiet())
		if err != nil {
			return
		}
		select {
		case sessions <- mux:
		case <-ctx.Done():
		}
		<-ctx.Done()
		mux.Close()
	}))
	t.Cleanup(func() { cancel(); server.Close() })
	public, err := tunnel.KeyIDOf(key.Public().(ed25519.PublicKey))
	require.NoError(t, err)
	tok, _, err := tunnel.NewToken(server.URL, public, "edge-1", time.Now().Add(time.Hour))
	require.NoError(t, err)
	return tok, sessions
}

func TestAHubThatLiesGetsNothingMore(t *testing.T) {
	t.Parallel()
	tok, sessions := lyingHub(t)
	run(t, tok, fixed(newKey(t)), target(t, http.HandlerFunc(echo)), quick())
	mux := <-sessions
	_, err := mux.Open() // the control stream
	require.NoError(t, err)
	ask := func(request string) *http.Response {
		stream, err := mux.Open()
		require.NoError(t, err)
		t.Cleanup(func() { stream.Close() })
		go func() { _, _ = io.WriteString(stream, request) }() // the agent may not want to hear all of it
		answer, err := http.ReadResponse(bufio.NewReader(stream), nil)
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return nil
		}
		require.NoError(t, err)
		t.Cleanup(func() { answer.Body.Close() })
		return answer
	}
	for name, test := range map[string]struct {
		request string
		code    int
	}{
		"noise":                          {strings.Repeat("\x00", 100) + "\r\n\r\n", 400},
		"a giant header":                 {"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 200<<10) + "\r\n\r\n", 431},
		"a connection to somewhere":      {"CONNECT 10.0.0.1:22 HTTP/1.1\r\nHost: 10.0.0.1:22\r\n\r\n", 400},
		"two lengths of one body":        {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400},
		"the options of the server":      {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 200},
		"a request as a master":          {"GET / HTTP/1.1\r\nHost: x\r\nImpersonate-User: a\r\nImpersonate-Group: system:masters\r\n\r\n", 200}, // quick() allows all
		"a request of the usual kind":    {"GET /a/../b HTTP/1.1\r\nHost: x\r\n\r\n", 200},
		"a request for another host":     {"GET http://10.0.0.1/secret HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", 200},
		"an upgrade that nobody answers": {"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", 200},
	} {
		t.Run(name, func(t *testing.T) {
			answer := ask(test.request)
			require.NotNil(t, answer)
			require.Equal(t, test.code, answer.StatusCode)
			if test.code == 200 {
				body, err := io.ReadAll(answer.Body)
				require.NoError(t, err)
				require.NotContains(t, string(body), "10.0.0.1", "it ends at the target all the same")
			}
		})
	}
	t.Run("more streams than it may have", func(t *testing.T) {
		for range 600 {
			stream, err := mux.Open()
			require.NoError(t, err)
			t.Cleanup(func() { stream.Close() })
		}
		require.False(t, mux.IsClosed())
	})
}

// TestNothingIsLeftRunning runs before the parallel tests go on.
func TestNothingIsLeftRunning(t *testing.T) {
	h := newHub(t, nil)
	to := target(t, http.HandlerFunc(echo))
	cycle := func() {
		h.restart(t, nil)
		trip := &http.Transport{DialContext: h.Dialer("edge-1")}
		defer trip.CloseIdleConnections()
		client := &http.Client{Transport: trip}
		key := newKey(t)
		_, first := run(t, h.invite(t, "edge-1"), fixed(key), to, quick())
		require.Contains(t, get(t, client, "http://x/"), "GET /")
		_, second := run(t, h.invite(t, "edge-1"), fixed(key), to, quick())
		h.cutter.cut()
		require.Eventually(t, func() bool {
			answer, err := client.Get("http://x/")
			if err == nil {
				_ = answer.Body.Close()
			}
			return err == nil
		}, long, tick)
		first()
		second()
		trip.CloseIdleConnections()
		require.NoError(t, h.Close())
		h.cutter.cut()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
	cycle()
	before := runtime.NumGoroutine()
	for range 10 {
		cycle()
	}
	settled := func() bool { return runtime.NumGoroutine() <= before+3 }
	for end := time.Now().Add(long); !settled() && time.Now().Before(end); {
		runtime.Gosched()
	}
	if !settled() {
		stacks := make([]byte, 1<<20)
		t.Fatalf("%d goroutines before, then:\n%s", before, stacks[:runtime.Stack(stacks, true)])
	}
}
