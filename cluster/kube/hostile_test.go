package kube_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

func TestARedirectIsNotFollowedWithTheCredentials(t *testing.T) {
	t.Parallel()
	var stolen atomic.Int32
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	t.Cleanup(thief.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1" {
			_, _ = io.WriteString(w, coreResources)
			return
		}
		http.Redirect(w, r, thief.URL+"/", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	c, err := kube.New(&rest.Config{Host: server.URL, BearerToken: "secret"}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	view, err := c.As(driver.Identity{User: "team"})
	require.NoError(t, err)
	for _, d := range []driver.Cluster{c, view} {
		for name, test := range calls(t, d) {
			err := test.call(t.Context())
			require.ErrorIs(t, err, appspan.ErrInvalid, name)
			require.ErrorContains(t, err, "redirects to", name)
		}
	}
	_, err = c.Watch(t.Context(), driver.Query{APIVersion: "v1", Kind: "ConfigMap", Revision: "1"})
	require.ErrorContains(t, err, "redirects to")
	require.Zero(t, stolen.Load(), "nothing reached the other server")
}

// silent is a server that accepts a request and never answers it; a watch it
// opens, and says nothing.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r}
	switch {
	case r.URL.Path == "/api/v1":
		answer.Body = io.NopCloser(strings.NewReader(coreResources))
		return answer, nil
	case r.URL.Query().Get("watch") != "":
		answer.Body = quiet{r.Context()}
		return answer, nil
	}
	<-r.Context().Done()
	return nil, r.Context().Err()
}

type quiet struct{ ctx context.Context }

func (q quiet) Read([]byte) (int, error) { <-q.ctx.Done(); return 0, q.ctx.Err() }
func (q quiet) Close() error             { return nil }

func TestASilentServerIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, err := kube.New(&rest.Config{Host: "http://silent", Transport: silent{}}, nil)
		require.NoError(t, err)
		defer c.Close()
		began := time.Now()
		for name, test := range calls(t, c) {
			err := test.call(context.Background())
			require.ErrorIs(t, err, appspan.ErrUnavailable, name)
			require.NotErrorIs(t, err, context.DeadlineExceeded, "%s: the caller set none", name)
			require.Equal(t, test.safe, appspan.Retryable(err), name)
			require.Less(t, time.Since(began), 3*time.Minute, name)
			began = time.Now()
		}
		w, err := c.Watch(context.Background(), driver.Query{APIVersion: "v1", Kind: "ConfigMap", Revision: "1"})
		require.NoError(t, err)
		_, err = w.Next()
		require.ErrorIs(t, err, appspan.ErrUnavailable)
		require.True(t, appspan.Retryable(err), "a watch resumes")
		require.Less(t, time.Since(began), 11*time.Minute)
	})
}

// endless is a body without an end.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) { e.read += int64(len(p)); return len(p), nil }
func (e *endless) Close() error               { return nil }

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAnAnswerIsBounded(t *testing.T) {
	t.Parallel()
	body := &endless{}
	c, err := kube.New(&rest.Config{Host: "http://endless", Transport: trip(func(r *http.Request) (*http.Response, error) {
		answer := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Request: r, Body: body, ContentLength: 1 << 40}
		if r.URL.Path == "/api/v1" {
			answer.Body, answer.ContentLength = io.NopCloser(strings.NewReader(coreResources)), -1
		}
		return answer, nil
	})}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = c.Get(t.Context(), config)
	require.ErrorIs(t, err, appspan.ErrExhausted)
	require.Less(t, body.read, int64(128<<20))
}

func TestAServerThatRepeatsAPageIsNotAskedForEver(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/apis/metrics.k8s.io/v1beta1":
			_, _ = io.WriteString(w, `{"resources":[{"name":"nodes","kind":"NodeMetrics"}]}`)
		case "/apis/metrics.k8s.io/v1beta1/nodes":
			asked.Add(1)
			_, _ = io.WriteString(w, `{"metadata":{"continue":"again"},"items":[]}`)
		default:
			http.NotFound(w, r)
		}
	})
	_, err := c.Usage(t.Context())
	require.ErrorIs(t, err, appspan.ErrUnavailable)
	require.False(t, errors.Is(err, context.DeadlineExceeded))
	require.LessOrEqual(t, asked.Load(), int32(2))
}

// hole passes a connection on until it is plugged; then nothing comes through,
// and nothing is closed.
type hole struct {
	net.Listener
	target  string
	plugged atomic.Bool
}

func (h *hole) run() {
	for {
		client, err := h.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", h.target)
		if err != nil {
			client.Close()
			return
		}
		pass := func(to, from net.Conn) {
			buffer := make([]byte, 32<<10)
			for {
				n, err := from.Read(buffer)
				if err != nil {
					to.Close()
					return
				}
				if !h.plugged.Load() {
					_, _ = to.Write(buffer[:n])
				}
			}
		}
		go pass(server, client)
		go pass(client, server)
	}
}

// The transport of client-go takes its times from the environment.
func TestADeadConnectionIsNoticed(t *testing.T) {
	t.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "1")
	t.Setenv("HTTP2_PING_TIMEOUT_SECONDS", "1")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.ProtoMajor != 2:
			t.Errorf("%s over %s", r.URL, r.Proto)
		case r.URL.Path == "/api/v1":
			_, _ = io.WriteString(w, coreResources)
		default:
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	h := &hole{Listener: l, target: server.Listener.Addr().String()}
	go h.run()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	c, err := kube.New(&rest.Config{Host: "https://" + l.Addr().String(), TLSClientConfig: rest.TLSClientConfig{CAData: ca}}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	w, err := c.Watch(t.Context(), driver.Query{APIVersion: "v1", Kind: "ConfigMap", Revision: "1"})
	require.NoError(t, err)
	h.plugged.Store(true)
	_, err = w.Next()
	require.ErrorIs(t, err, appspan.ErrUnavailable)
	require.True(t, appspan.Retryable(err))
}

func TestWhatAServerWasToldIsNotRepeated(t *testing.T) {
	t.Parallel()
	const token, password = "a-token-of-many-letters", `pass"<&>\word é`
	told := func(r *http.Request) string {
		_, password, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		return r.Header.Get("Authorization") + " " + password + " " + string(body)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"in a Status": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "message": told(r)})
		},
		"in a page": func(w http.ResponseWriter, r *http.Request) { http.Error(w, told(r), http.StatusBadGateway) },
		"in a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere/?"+url.QueryEscape(told(r)), http.StatusFound)
		},
		"in no answer": func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
				_, _ = conn.Write([]byte("HELLO-" + credentials + "\r\n\r\n"))
				_ = conn.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/api/v1" {
					_, _ = w.Write([]byte(`{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"secrets","kind":"Secret","namespaced":true,"verbs":["get"]}]}`))
					return
				}
				answer(w, r)
			}))
			t.Cleanup(server.Close)
			for _, config := range []*rest.Config{{Host: server.URL, BearerToken: token}, {Host: server.URL, Username: "a", Password: password}} {
				c, err := kube.New(config, nil)
				require.NoError(t, err)
				secret, err := driver.NewObject(map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"namespace": "a", "name": "b"},
					"data": map[string]any{"x": []byte("the value of a Secret")}, "stringData": map[string]any{"y": "another value"}})
				require.NoError(t, err)
				_, err = c.Apply(t.Context(), secret, driver.ApplyOptions{Manager: "test"})
				require.ErrorContains(t, err, "(redacted)")
				text := fmt.Sprintf("%v %+v %v %+v", err, err, c, c)
				for _, hidden := range []string{token, password, "YTpwYXNz", "the value of a Secret", "dGhlIHZhbHVl", "another value"} {
					require.NotContains(t, text, hidden)
				}
				require.NoError(t, c.Close())
			}
		})
	}
}
