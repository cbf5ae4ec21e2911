package tunnel_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/agent"
	"github.com/stretchr/testify/require"
)

const (
	long = 20 * time.Second // for what is to happen
	tick = 5 * time.Millisecond
)

// web is a client of whatever is behind the cluster's agent.
func (h *hub) web(t testing.TB, cluster string) *http.Client {
	trip := &http.Transport{DialContext: h.Dialer(cluster)}
	t.Cleanup(trip.CloseIdleConnections)
	return &http.Client{Transport: trip}
}

// refused waits until an agent is told so.
func refused(t *testing.T, a *agent.Agent, category error, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		err := a.Status().Err
		return err != nil && (category == nil || errors.Is(err, category)) && strings.Contains(err.Error(), text)
	}, long, tick, "%v: %s", category, text)
}

func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	_ = r.Header.Write(w)
	fmt.Fprintf(w, "%s %s %s\n", r.Method, r.RequestURI, r.Host)
}

func get(t testing.TB, client *http.Client, url string) string {
	t.Helper()
	answer, err := client.Get(url)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.StatusCode, "%s", body)
	return string(body)
}

func TestAgentsThatMayNotComeIn(t *testing.T) {
	t.Parallel()
	t.Run("with a token that another has used", func(t *testing.T) {
		t.Parallel()
		h := newHub(t, nil)
		to := target(t, http.HandlerFunc(echo))
		stolen := h.invite(t, "edge-1")
		run(t, stolen, fixed(newKey(t)), to, quick())
		h.connected(t, "edge-1")
		thief, _ := run(t, stolen, fixed(newKey(t)), to, quick())
		refused(t, thief, appspan.ErrDenied, "used already")
		require.Len(t, h.Agents(), 1)
	})
	t.Run("with a token that has expired", func(t *testing.T) {
		t.Parallel()
		h := newHub(t, nil)
		late, grant, err := tunnel.NewToken(h.url, h.KeyID(), "edge-1", time.Now().Add(-time.Second))
		require.NoError(t, err)
		require.NoError(t, h.members.Add(grant))
		a, _ := run(t, late, fixed(newKey(t)), target(t, http.HandlerFunc(echo)), quick())
		refused(t, a, appspan.ErrDenied, "expired")
	})
	t.Run("with a token of nobody", func(t *testing.T) {
		t.Parallel()
		h := newHub(t, nil)
		made, _, err := tunnel.NewToken(h.url, h.KeyID(), "edge-1", time.Now().Add(time.Hour))
		require.NoError(t, err)
		a, _ := run(t, made, fixed(newKey(t)), target(t, http.HandlerFunc(echo)), quick())
		refused(t, a, appspan.ErrDenied, "does not know the join token")
		require.Empty(t, h.Agents())
	})
	t.Run("with the key of another cluster", func(t *testing.T) {
		t.Parallel()
		h := newHub(t, nil)
		to, key := target(t, http.HandlerFunc(echo)), newKey(t)
		_, stop := run(t, h.invite(t, "edge-1"), fixed(key), to, quick())
		h.connected(t, "edge-1")
		stop()
		a, _ := run(t, h.invite(t, "edge-2"), fixed(key), to, quick())
		refused(t, a, appspan.ErrConflict, "belongs to cluster edge-1")
	})
	t.Run("to another hub", func(t *testing.T) {
		t.Parallel()
		h := newHub(t, nil)
		other, grant, err := tunnel.NewToken(h.url, tunnel.KeyID{1}, "edge-1", time.Now().Add(time.Hour))
		require.NoError(t, err)
		require.NoError(t, h.members.Add(grant))
		a, _ := run(t, other, fixed(newKey(t)), target(t, http.HandlerFunc(echo)), quick())
		refused(t, a, appspan.ErrDenied, "proved the key "+h.KeyID().String())
		_, err = h.members.Redeem(t.Context(), redemption(other, 9))
		require.NoError(t, err, "the secret was not sent to the wrong hub")
	})
	t.Run("who have been forgotten", func(t *testing.T) {
		t.Parallel()
		h := newHub(t, &tunnel.Options{Wait: -1})
		a, _ := run(t, h.invite(t, "edge-1"), fixed(newKey(t)), target(t, http.HandlerFunc(echo)), quick())
		require.Eventually(t, func() bool { return a.Status().Connected }, long, tick)
		h.members.Forget("edge-1")
		h.Disconnect("edge-1")
		refused(t, a, appspan.ErrDenied, "does not know the join token")
		require.Empty(t, h.Agents())
	})
}

func TestFailedJoinsAreLimitedAndMembersAreNot(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	to, key := target(t, http.HandlerFunc(echo)), newKey(t)
	_, stop := run(t, h.invite(t, "edge-1"), fixed(key), to, quick())
	h.connected(t, "edge-1")
	stop()

	made, _, err := tunnel.NewToken(h.url, h.KeyID(), "edge-2", time.Now().Add(time.Hour))
	require.NoError(t, err)
	a, _ := run(t, made, fixed(newKey(t)), to, quick())
	require.Eventually(t, func() bool { return errors.Is(a.Status().Err, appspan.ErrExhausted) }, long, tick)

	fresh, _ := run(t, h.invite(t, "edge-3"), fixed(newKey(t)), to, quick())
	refused(t, fresh, appspan.ErrExhausted, "wait a minute")
	run(t, h.invite(t, "edge-1"), fixed(key), to, quick())
	h.connected(t, "edge-1")
}

func TestAnotherAgentTakesOver(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	key := newKey(t)
	asked, answer := make(chan struct{}), make(chan struct{})
	first := target(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			close(asked)
			<-answer
		case "/forever":
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
		fmt.Fprint(w, "first")
	}))
	second := target(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "second") }))
	client := h.web(t, "edge-1")

	old, _ := run(t, h.invite(t, "edge-1"), fixed(key), first, &agent.Options{Drain: 300 * time.Millisecond, MinBackoff: time.Hour, MaxBackoff: time.Hour})
	require.Equal(t, "first", get(t, client, "http://x/"))
	raw, err := h.Dialer("edge-1")(t.Context(), "", "")
	require.NoError(t, err)
	defer raw.Close()
	_, err = io.WriteString(raw, "GET /forever HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	endless := bufio.NewReader(raw)
	_, err = endless.ReadString('\n')
	require.NoError(t, err)
	slow := make(chan string, 1)
	go func() { slow <- get(t, client, "http://x/slow") }()
	<-asked

	run(t, h.invite(t, "edge-1"), fixed(key), second, &agent.Options{Version: "v2"})
	require.Eventually(t, func() bool { return h.Agents()[0].Version == "v2" }, long, tick)
	close(answer)
	require.Equal(t, "first", <-slow, "what is under way ends where it began")
	require.Eventually(t, func() bool { return get(t, client, "http://x/") == "second" }, long, tick)
	_, err = io.Copy(io.Discard, endless)
	require.ErrorIs(t, err, appspan.ErrUnavailable, "what does not end is cut")
	refused(t, old, nil, "another agent")
	require.Len(t, h.Agents(), 1)
}

func TestACutStreamIsUnavailable(t *testing.T) {
	t.Parallel()
	h := newHub(t, &tunnel.Options{Wait: -1})
	a, stop := run(t, h.invite(t, "edge-1"), fixed(newKey(t)), target(t, http.HandlerFunc(echo)), quick())
	require.Eventually(t, func() bool { return a.Status().Connected }, long, tick)
	conn, err := h.Dialer("edge-1")(t.Context(), "", "")
	require.NoError(t, err)
	defer conn.Close()
	stop()
	_, err = io.Copy(io.Discard, conn)
	if err != nil { // it may also have been closed before the tunnel was
		require.ErrorIs(t, err, appspan.ErrUnavailable)
	}
	require.Eventually(t, func() bool { return !h.Agents()[0].Connected }, long, tick)
	_, err = h.Dialer("edge-1")(t.Context(), "", "")
	require.ErrorIs(t, err, appspan.ErrUnavailable)
	require.ErrorContains(t, err, "has not been connected since "+h.Agents()[0].Since.UTC().Format(time.RFC3339))
}

func TestADialWaitsForTheAgent(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	dialed := make(chan error, 1)
	go func() {
		conn, err := h.Dialer("edge-1")(context.Background(), "", "")
		if err == nil {
			conn.Close()
		}
		dialed <- err
	}()
	run(t, h.invite(t, "edge-1"), fixed(newKey(t)), target(t, http.HandlerFunc(echo)), quick())
	require.NoError(t, <-dialed)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.Dialer("nobody")(ctx, "", "")
	require.ErrorIs(t, err, context.Canceled)
}

func TestACallToNobodyWasNotSent(t *testing.T) {
	t.Parallel()
	h := newHub(t, &tunnel.Options{Wait: -1})
	c := h.open(t, "edge-1")
	defer c.Close()
	_, err := c.Apply(t.Context(), parse(t, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a"}}`), driver.ApplyOptions{Manager: "m", IfAbsent: true})
	require.ErrorIs(t, err, appspan.ErrUnavailable)
	require.ErrorContains(t, err, "has not connected since this hub began")
	require.True(t, appspan.Retryable(err))
}

func TestTheTunnelSurvivesARestartOfTheHub(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	run(t, h.invite(t, "edge-1"), fixed(newKey(t)), target(t, http.HandlerFunc(echo)), quick())
	for range 3 {
		require.Contains(t, get(t, h.web(t, "edge-1"), "http://x/version"), "GET /version")
		h.restart(t, nil)
	}
	require.Contains(t, get(t, h.web(t, "edge-1"), "http://x/version"), "GET /version")
}

func TestALineThatGoesDeadIsGivenUp(t *testing.T) {
	t.Parallel()
	beat := 100 * time.Millisecond
	for name, beats := range map[string]struct{ hub, agent time.Duration }{
		"by the hub": {beat, time.Hour}, "by the agent": {time.Hour, beat},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHub(t, &tunnel.Options{Heartbeat: beats.hub, Wait: long})
			opts := quick()
			opts.Heartbeat = beats.agent
			a, _ := run(t, h.invite(t, "edge-1"), fixed(newKey(t)), target(t, http.HandlerFunc(echo)), opts)
			require.Contains(t, get(t, h.web(t, "edge-1"), "http://x/"), "GET /")
			since := h.Agents()[0].Since
			h.cutter.freeze()
			require.Eventually(t, func() bool { s := h.Agents()[0]; return s.Connected && s.Since.After(since) }, long, tick)
			require.Contains(t, get(t, h.web(t, "edge-1"), "http://x/"), "GET /")
			require.Eventually(t, func() bool { return a.Status().Connected }, long, tick)
		})
	}
}

func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	run(t, h.invite(t, "edge-1"), fixed(newKey(t)), target(t, http.HandlerFunc(echo)), quick())
	dial := h.Dialer("edge-1")
	var conns []net.Conn
	for range 511 {
		conn, err := dial(t.Context(), "", "")
		require.NoError(t, err)
		conns = append(conns, conn)
	}
	require.Equal(t, 511, h.Agents()[0].Streams)
	_, err := dial(t.Context(), "", "")
	require.ErrorIs(t, err, appspan.ErrExhausted)
	for _, conn := range conns {
		require.NoError(t, conn.Close())
		_ = conn.Close() // once is enough
	}
	require.Zero(t, h.Agents()[0].Streams)
	require.Contains(t, get(t, h.web(t, "edge-1"), "http://x/"), "GET /")
}

func TestAgentsAreShown(t *testing.T) {
	t.Parallel()
	h := newHub(t, &tunnel.Options{Heartbeat: 100 * time.Millisecond, Wait: long})
	for _, name := range []string{"b", "a"} {
		run(t, h.invite(t, name), fixed(newKey(t)), target(t, http.HandlerFunc(echo)), &agent.Options{Version: "v1\x1b"})
		h.connected(t, name)
	}
	var agents []tunnel.Agent
	require.Eventually(t, func() bool {
		agents = h.Agents()
		return agents[0].RoundTrip > 0 && agents[0].Connected && agents[1].Connected
	}, long, tick)
	require.Len(t, agents, 2)
	require.Equal(t, "a", agents[0].Cluster)
	require.Equal(t, "v1 ", agents[0].Version)
	require.Equal(t, "127.0.0.1", agents[0].Address)
	require.False(t, agents[0].Heartbeat.Before(agents[0].Since))
}

func TestAClosedHubSaysSo(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	require.NoError(t, h.Close())
	_, err := h.Dialer("a")(t.Context(), "", "")
	require.ErrorIs(t, err, appspan.ErrUnavailable)
	answer, err := http.Get(h.url)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusServiceUnavailable, answer.StatusCode)
}

func TestServersThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	_, err := tunnel.NewServer(nil, &tunnel.MemoryMembers{}, nil)
	require.ErrorIs(t, err, appspan.ErrInvalid)
	_, err = tunnel.NewServer(newKey(t), nil, nil)
	require.ErrorIs(t, err, appspan.ErrInvalid)
}

func TestMegabytesGoThroughBothWaysAtOnce(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	to := target(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	}))
	run(t, h.invite(t, "edge-1"), fixed(newKey(t)), to, quick())
	client := h.web(t, "edge-1")
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			sent := bytes.Repeat([]byte{byte(i), 1, 2, 3, 4, 5, 6}, 1<<20)
			answer, err := client.Post("http://x/", "", bytes.NewReader(sent))
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			got, err := io.ReadAll(answer.Body)
			if err != nil || !bytes.Equal(sent, got) {
				t.Error(i, len(got), err)
			}
		})
	}
	all.Wait()
}

func TestAReverseProxyMayEndTheOuterTLS(t *testing.T) {
	t.Parallel()
	h := newHub(t, &tunnel.Options{Address: func(r *http.Request) string { return r.Header.Get("X-Forwarded-For") }})
	inner, err := url.Parse(h.url)
	require.NoError(t, err)
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: inner.Scheme, Host: inner.Host})
		r.SetXForwarded()
	}})
	t.Cleanup(proxy.Close)
	token, grant, err := tunnel.NewToken(proxy.URL+"/some/path", h.KeyID(), "edge-1", time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.NoError(t, h.members.Add(grant))

	wary, stop := run(t, token, fixed(newKey(t)), target(t, http.HandlerFunc(echo)), quick())
	refused(t, wary, appspan.ErrUnavailable, "certificate")
	stop()
	opts := quick()
	opts.Client = proxy.Client()
	run(t, token, fixed(newKey(t)), target(t, http.HandlerFunc(echo)), opts)
	require.Contains(t, get(t, h.web(t, "edge-1"), "http://x/"), "GET /")
	require.Equal(t, "127.0.0.1", h.Agents()[0].Address)
}
