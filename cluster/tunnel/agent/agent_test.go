package agent_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/agent"
	"github.com/stretchr/testify/require"
)

func api(t *testing.T) (*fake.Cluster, agent.Target) {
	t.Helper()
	c := fake.New(&fake.Options{Token: "secret"})
	server := httptest.NewServer(c.Handler())
	t.Cleanup(func() { server.Close(); _ = c.Close() })
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("secret"), 0o600))
	return c, agent.Target{URL: server.URL + "/", TokenFile: file}
}

func apply(t *testing.T, c *fake.Cluster, text string) {
	t.Helper()
	obj, err := driver.ParseObject([]byte(text))
	require.NoError(t, err)
	_, err = c.Apply(t.Context(), obj, driver.ApplyOptions{Manager: "kubectl", Force: true})
	require.NoError(t, err)
}

const emptySecret = `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"key","namespace":"default"},"type":"Opaque"}`

// same asks for a key several times at once, from stores made anew, and
// requires that all get the same.
func same(t *testing.T, store func() agent.Keys) ed25519.PrivateKey {
	t.Helper()
	keys := make([]ed25519.PrivateKey, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			key, err := store().Key(t.Context())
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	all.Wait()
	for _, key := range keys {
		require.True(t, keys[0].Equal(key))
	}
	return keys[0]
}

func TestAKeyIsKeptInASecret(t *testing.T) {
	t.Parallel()
	c, target := api(t)
	keys := agent.SecretKey(target, "default", "key")
	_, err := keys.Key(t.Context())
	require.ErrorIs(t, err, appspan.ErrNotFound)

	apply(t, c, emptySecret)
	key := same(t, func() agent.Keys { return agent.SecretKey(target, "default", "key") })
	got, err := keys.Key(t.Context())
	require.NoError(t, err, "it is there now")
	require.True(t, key.Equal(got))

	apply(t, c, emptySecret) // the manifest, again
	got, err = agent.SecretKey(target, "default", "key").Key(t.Context())
	require.NoError(t, err)
	require.True(t, key.Equal(got))

	require.NoError(t, os.WriteFile(target.TokenFile, []byte("wrong"), 0o600))
	_, err = agent.SecretKey(target, "default", "key").Key(t.Context())
	require.ErrorIs(t, err, appspan.ErrDenied)
	got, err = keys.Key(t.Context())
	require.NoError(t, err, "who has it does not ask again")
	require.True(t, key.Equal(got))
}

func TestAKeyIsKeptInAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "key.pem")
	key := same(t, func() agent.Keys { return agent.FileKey(file) })
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 1, "nothing is left beside it")
	again, err := agent.FileKey(file).Key(t.Context())
	require.NoError(t, err)
	require.True(t, key.Equal(again))

	for name, text := range map[string]string{
		"nothing":       "",
		"no PEM":        "hello",
		"another block": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"no key":        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	} {
		t.Run("a file with "+name+" is corrupt", func(t *testing.T) {
			t.Parallel()
			bad := filepath.Join(t.TempDir(), "key.pem")
			require.NoError(t, os.WriteFile(bad, []byte(text), 0o600))
			_, err := agent.FileKey(bad).Key(t.Context())
			require.ErrorIs(t, err, appspan.ErrCorrupt)
		})
	}
	_, err = agent.FileKey(filepath.Join(dir, "none", "key.pem")).Key(t.Context())
	require.ErrorIs(t, err, appspan.ErrUnavailable)
}

func TestAgentsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	token, _, err := tunnel.NewToken("https://hub.example.org", tunnel.KeyID{1}, "edge-1", time.Now())
	require.NoError(t, err)
	keys, target := agent.FileKey("x"), agent.Target{URL: "https://10.0.0.1"}
	_, err = agent.New(token, keys, target, nil)
	require.NoError(t, err)
	_, err = agent.New(tunnel.Token{}, keys, target, nil)
	require.ErrorIs(t, err, appspan.ErrInvalid)
	_, err = agent.New(token, nil, target, nil)
	require.ErrorIs(t, err, appspan.ErrInvalid)
	for _, address := range []string{"", "10.0.0.1", "ftp://x", "https://u:p@x", "https://x?y"} {
		_, err = agent.New(token, keys, agent.Target{URL: address}, nil)
		require.ErrorIs(t, err, appspan.ErrInvalid, address)
	}
	require.Equal(t, "https://[fd00::1]:443", agent.InCluster("fd00::1", "443").URL)
}

func TestHealthSaysWhetherThereIsATunnel(t *testing.T) {
	t.Parallel()
	var members tunnel.MemoryMembers
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	hub, err := tunnel.NewServer(key, &members, nil)
	require.NoError(t, err)
	var open atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !open.Load() {
			http.Error(w, "come later", http.StatusServiceUnavailable)
			return
		}
		hub.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { _ = hub.Close(); server.Close() })
	token, grant, err := tunnel.NewToken(server.URL, hub.KeyID(), "edge-1", time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.NoError(t, members.Add(grant))
	_, target := api(t)
	a, err := agent.New(token, agent.FileKey(filepath.Join(t.TempDir(), "key")), target, &agent.Options{MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond})
	require.NoError(t, err)
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		a.Health().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	require.Eventually(t, func() bool { return a.Status().Err != nil }, 10*time.Second, time.Millisecond)
	code, text := get("/readyz")
	require.Equal(t, 503, code)
	require.Contains(t, text, "the hub's address answers 503 Service Unavailable: come later")
	code, _ = get("/healthz")
	require.Equal(t, 200, code)

	open.Store(true)
	require.Eventually(t, func() bool { code, text = get("/readyz"); return code == 200 }, 10*time.Second, time.Millisecond)
	require.Contains(t, text, "connected as edge-1")
	cancel()
	require.NoError(t, <-done)
	code, _ = get("/readyz")
	require.Equal(t, 503, code)
	require.Equal(t, "edge-1", a.Status().Cluster)
}

func ExampleNew() {
	token, _, err := tunnel.NewToken("https://hub.example.org/tunnel", tunnel.KeyID{1}, "edge-1", time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	a, err := agent.New(token, agent.FileKey("/var/lib/appspan/key.pem"), agent.Target{URL: "https://127.0.0.1:6443"}, nil)
	fmt.Println(a.Status().Connected, err)
	// Output: false <nil>
}
