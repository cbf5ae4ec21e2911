package leaktest_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/agent"
	"github.com/appspan-dev/appspan/cluster/tunnel/members"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

// hub is where clusters dial in.
type hub struct {
	*tunnel.Server
	w       *world
	members *members.Members
	url     string
}

func (w *world) hub() *hub {
	ctx := w.t.Context()
	h := &hub{w: w, members: members.New(w.records)}
	key, err := h.members.HubKey(ctx, w.keys)
	w.ok("the hub's key", err)
	w.finder.Add("the hub's key", key.Seed())
	h.Server, err = tunnel.NewServer(key, h.members, &tunnel.Options{Logger: w.logger, Wait: time.Second})
	w.ok("a hub", err)
	w.hear("a hub", h.Server)
	h.url = "http://" + w.plain(h.Server) + "/tunnel"
	w.t.Cleanup(func() { _ = h.Close() })
	return h
}

// invite makes a token that lets a cluster join.
func (h *hub) invite(name string, valid time.Duration) tunnel.Token {
	token, err := h.members.Invite(h.w.t.Context(), h.url, h.KeyID(), name, valid)
	h.w.ok("an invitation", err)
	h.token(token)
	return token
}

// token makes a token's secret a credential to look for, and prints the token.
func (h *hub) token(token tunnel.Token) {
	h.w.finder.Add("a join token of "+token.Cluster, token.Secret())
	h.w.hear("a join token", token)
	h.w.hear("a join token", &token)
	h.w.hear("a manifest's options", tunnel.ManifestOptions{Token: token})
}

// key makes an agent's key, in a file.
func (w *world) key(name string) (file string, text []byte) {
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(w.t, err)
	w.finder.Add(name, key.Seed())
	text = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
	file = filepath.Join(w.t.TempDir(), "agent.key")
	require.NoError(w.t, os.WriteFile(file, text, 0o600))
	return file, text
}

// dialIn runs an agent for a cluster until the test, or the returned function,
// ends it.
func (h *hub) dialIn(token tunnel.Token, target agent.Target) (*agent.Agent, func()) {
	file, _ := h.w.key("the key of the agent of " + token.Cluster)
	return h.run(token, agent.FileKey(file), target)
}

func (h *hub) run(token tunnel.Token, keys agent.Keys, target agent.Target) (*agent.Agent, func()) {
	w := h.w
	a, err := agent.New(token, keys, target,
		&agent.Options{Logger: w.logger, MinBackoff: 5 * time.Millisecond, MaxBackoff: 20 * time.Millisecond, Drain: time.Second, Version: "v1"})
	w.ok("an agent", err)
	w.hear("an agent", a)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	stop := func() { cancel(); <-done }
	w.t.Cleanup(stop)
	return a, stop
}

// fails runs an agent that cannot connect, and notes why.
func (h *hub) fails(where string, token tunnel.Token, keys agent.Keys, target agent.Target) {
	a, stop := h.run(token, keys, target)
	require.Eventually(h.w.t, func() bool { return a.Status().Err != nil }, time.Minute, time.Millisecond)
	h.w.fails(where, a.Status().Err)
	h.w.hear("an agent's status", a.Status())
	stop()
}

// provider opens clusters that have dialled in.
func (h *hub) provider() driver.Provider {
	return driver.ProviderFunc(func(_ context.Context, spec driver.Spec) (driver.Cluster, error) {
		return kube.New(&rest.Config{Host: "http://" + spec.Name + ".tunnel", Dial: h.Dialer(spec.Name)}, nil)
	})
}

// target is an API server for an agent whose token is a credential.
func (w *world) target(name string, h http.Handler) agent.Target {
	token := w.secret("the token of the agent of " + name)
	file := filepath.Join(w.t.TempDir(), "token")
	require.NoError(w.t, os.WriteFile(file, []byte(token+"\n"), 0o600))
	return agent.Target{URL: "http://" + w.plain(h), TokenFile: file}
}

// tunnels has clusters join in each way, and fail to.
func (w *world) tunnels(fleet *cluster.Fleet, h *hub) {
	t := w.t
	fakes, _ := w.fake("edge", nil)
	h.dialIn(h.invite("edge", time.Hour), w.target("edge", fakes.Handler()))
	h.connected("edge")
	w.add(fleet, cluster.Registration{Name: "edge", Provider: "tunnel"})

	// A token that is used by two, one that has expired, one of nobody.
	used := h.invite("twice", time.Hour)
	h.dialIn(used, w.target("twice", fakes.Handler()))
	h.connected("twice")
	expired, err := h.members.Invite(t.Context(), h.url, h.KeyID(), "expired", time.Nanosecond)
	w.ok("an invitation", err)
	h.token(expired)
	foreign, _, err := tunnel.NewToken(h.url, h.KeyID(), "foreign", time.Now().Add(time.Hour))
	w.ok("a token", err)
	h.token(foreign)
	other, _, err := tunnel.NewToken(h.url, tunnel.KeyID{1}, "other", time.Now().Add(time.Hour))
	w.ok("a token", err)
	h.token(other)
	elsewhere, _, err := tunnel.NewToken("http://"+w.plain(http.NotFoundHandler()), h.KeyID(), "elsewhere", time.Now().Add(time.Hour))
	w.ok("a token", err)
	h.token(elsewhere)
	for _, token := range []tunnel.Token{used, expired, foreign, other, elsewhere} {
		file, _ := w.key("another key of " + token.Cluster)
		h.fails("joining with the token of "+token.Cluster, token, agent.FileKey(file), w.target("nobody", fakes.Handler()))
	}
	text := used.Encode()
	for at := range text {
		for _, odd := range []string{text[:at], text[:at] + "!" + text[at+1:], text[:at] + "A" + text[at+1:]} {
			if _, err := tunnel.ParseToken(odd); err != nil {
				w.unfold("errors of odd join tokens", err)
			}
		}
	}
	_, err = tunnel.Manifest(tunnel.ManifestOptions{Token: used, Image: "not an image"})
	w.fails("a manifest", err)

	// API servers that tell the agent's token.
	for name, handler := range w.echoes() {
		if strings.HasSuffix(name, "-event") {
			continue // an agent passes on what the API server answers with success
		}
		name = "edge-" + name
		_, stop := h.dialIn(h.invite(name, time.Hour), w.target(name, handler))
		h.connected(name)
		_, err := fleet.Add(t.Context(), cluster.Registration{Name: name, Provider: "tunnel"}, &cluster.AddOptions{Unverified: true})
		w.ok("a registration of "+name, err)
		w.ok("a refresh", fleet.Refresh(t.Context(), cluster.Selector{Names: []string{name}}))
		c, err := fleet.Cluster(t.Context(), name)
		w.ok("a cluster", err)
		w.calls(c)
		st, err := fleet.Status(t.Context(), name)
		w.ok("a status", err)
		w.hear("the status of a cluster", st)
		stop()
	}

	// The agent's key in a Secret of an API server that tells its token.
	for name, handler := range w.echoes() {
		target := w.target("a key's Secret", handler)
		h.fails("reading the agent's key from a server that answers with "+name, used, agent.SecretKey(target, "appspan-system", "key"), target)
	}
	h.oddKeys(used)
	for _, a := range h.Agents() {
		w.hear("agents", a)
	}
	w.hear("members", h.members)
}

// connected waits until a cluster is.
func (h *hub) connected(name string) {
	h.w.t.Helper()
	var conn net.Conn
	require.Eventually(h.w.t, func() (ok bool) {
		var err error
		conn, err = h.Dialer(name)(h.w.t.Context(), "tcp", "")
		return err == nil
	}, time.Minute, time.Millisecond, name)
	_ = conn.Close()
}

// oddKeys are keys that break off, or have something odd in them.
func (h *hub) oddKeys(token tunnel.Token) {
	w := h.w
	file, whole := w.key("the key of a file")
	target := w.target("an odd key", http.NotFoundHandler())
	for at := 0; at < len(whole); at += 7 {
		for _, odd := range [][]byte{whole[:at], slices.Concat(whole[:at], []byte("!"), whole[at+1:])} {
			require.NoError(w.t, os.WriteFile(file, odd, 0o600))
			h.fails("an odd key", token, agent.FileKey(file), target)
		}
	}
	server := func(out http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(out).Encode(map[string]any{"data": map[string][]byte{"key.pem": whole[:len(whole)/2]}})
	}
	target = w.target("a damaged Secret", http.HandlerFunc(server))
	h.fails("a damaged Secret", token, agent.SecretKey(target, "appspan-system", "key"), target)
}
