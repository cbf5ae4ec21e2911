package tunnel_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/agent"
	"github.com/stretchr/testify/require"
)

// TestWritesSurviveCuts cuts the TCP connection below the tunnel at random
// bytes, a hundred times, while many write.
func TestWritesSurviveCuts(t *testing.T) {
	t.Parallel()
	server, to := memory(t)
	h := newHub(t, nil)
	token := h.invite(t, "edge-1")
	surviveCuts(t, h, server, func() { run(t, token, fixed(newKey(t)), to, quick()) })
}

// TestRigWritesSurviveCuts does so in front of a real API server.
func TestRigWritesSurviveCuts(t *testing.T) {
	h := newHub(t, nil)
	token := h.invite(t, "edge-1")
	r := newRig(t, tunnel.ManifestOptions{Token: token, Namespace: "tunnel-cuts"})
	surviveCuts(t, h, r.c, func() {
		run(t, token, agent.SecretKey(r.target, "tunnel-cuts", "appspan-agent-key"), r.target, quick())
	})
}

// surviveCuts requires that afterwards what was acknowledged is there, and that
// whatever may be created once was. The agent, of edge-1, is started within;
// server is the cluster as it is without a tunnel.
func surviveCuts(t *testing.T, h *hub, server driver.Cluster, start func()) {
	cuts, seed := 100, uint64(time.Now().UnixNano())
	if os.Getenv("APPSPAN_SOAK") != "" {
		cuts = 1000
	}
	if s, err := strconv.ParseUint(os.Getenv("APPSPAN_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	h.cutter.limit(func(n int) int { // some are cut in the handshake
		if n >= cuts {
			return 0
		}
		return 1 + random.IntN(60_000)
	})
	start()
	c := h.open(t, "edge-1")
	t.Cleanup(func() { _ = c.Close() })
	ns := parse(t, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"tunnel-shop"}}`)
	_, err := server.Apply(t.Context(), ns, driver.ApplyOptions{Manager: "test"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Delete(context.Background(), ns.Ref, driver.DeleteOptions{}) })
	_, err = server.Apply(t.Context(), counter(t, 0), driver.ApplyOptions{Manager: "test"})
	require.NoError(t, err)

	enough := func() bool {
		h.cutter.mu.Lock()
		defer h.cutter.mu.Unlock()
		return h.cutter.cuts >= cuts
	}
	var mu sync.Mutex
	winners := map[string]string{} // of what may be created once
	applied := map[string]bool{}
	var counted, perhaps, failures atomic.Int64
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for i := 0; !enough(); i++ {
				// Each name is fought for by two, who insist until they know.
				name, me := fmt.Sprintf("once-%d-%d", w/2, i), fmt.Sprint(w)
				err := insist(t, &failures, func() error {
					_, err := c.Apply(t.Context(), configMap(t, name, me), driver.ApplyOptions{Manager: "w" + me, IfAbsent: true})
					return err
				})
				mu.Lock()
				if other, taken := winners[name]; err == nil && taken {
					t.Errorf("%s was created by %s and by %s", name, other, me)
				} else if err == nil {
					winners[name] = me
				} else if !errors.Is(err, appspan.ErrExists) {
					t.Error(err)
				}
				mu.Unlock()

				name = fmt.Sprintf("apply-%d-%d", w, i)
				if err := insist(t, &failures, func() error {
					_, err := c.Apply(t.Context(), configMap(t, name, me), driver.ApplyOptions{Manager: "w" + me})
					return err
				}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				applied[name] = true
				mu.Unlock()

				// A counter that all count up, with the revision that they read.
				switch err := count(t, c); {
				case err == nil:
					counted.Add(1)
				case errors.Is(err, appspan.ErrUnavailable):
					perhaps.Add(1)
				case !errors.Is(err, appspan.ErrPrecondition):
					t.Error(err)
				}
			}
		})
	}
	workers.Wait()

	for name, winner := range winners {
		require.Equal(t, winner, data(t, server, name), name)
	}
	for name := range applied {
		require.NotEmpty(t, data(t, server, name), name)
	}
	total, err := strconv.ParseInt(data(t, server, "counter"), 10, 64)
	require.NoError(t, err)
	require.GreaterOrEqual(t, total, counted.Load())
	require.LessOrEqual(t, total, counted.Load()+perhaps.Load())
	require.NotZero(t, failures.Load()+perhaps.Load(), "the cuts were felt")
	t.Logf("%d cuts: %d created once, %d applied, %d counted and %d unknown of which %d had happened; %d calls failed",
		cuts, len(winners), len(applied), counted.Load(), perhaps.Load(), total-counted.Load(), failures.Load()+perhaps.Load())
}

// insist repeats a call as long as it meets the end of a tunnel.
func insist(t *testing.T, failures *atomic.Int64, call func() error) error {
	for {
		err := call()
		if !errors.Is(err, appspan.ErrUnavailable) || t.Context().Err() != nil {
			return err
		}
		failures.Add(1)
	}
}

func count(t *testing.T, c driver.Cluster) error {
	obj, err := c.Get(t.Context(), counter(t, 0).Ref)
	if err != nil {
		return unread(err)
	}
	n, err := strconv.Atoi(value(t, obj))
	if err != nil {
		return err
	}
	_, err = c.Apply(t.Context(), counter(t, n+1), driver.ApplyOptions{Manager: "test", IfRevision: obj.Revision})
	return err
}

// unread makes a failed read no write that may have happened.
func unread(err error) error {
	if errors.Is(err, appspan.ErrUnavailable) {
		return appspan.ErrPrecondition
	}
	return err
}

func counter(t *testing.T, n int) driver.Object { return configMap(t, "counter", strconv.Itoa(n)) }

func configMap(t *testing.T, name, v string) driver.Object {
	return parse(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":"tunnel-shop"},"data":{"v":%q}}`, name, v))
}

// data is the value of a ConfigMap as the server has it.
func data(t *testing.T, c driver.Cluster, name string) string {
	t.Helper()
	obj, err := c.Get(context.Background(), configMap(t, name, "").Ref)
	require.NoError(t, err)
	return value(t, obj)
}
