package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver"
	"github.com/appspan-dev/appspan/refserver/client"
	"github.com/appspan-dev/appspan/storage/journal"
)

// freePort is a port of this machine that nobody has.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return strings.TrimPrefix(l.Addr().String(), "127.0.0.1:")
}

// TestRigNothingIsLostWhenReplicasAreKilled kills one of two replicas on a hub
// again and again, while clients change and deploy things and listen: what was
// acknowledged is there, every operation ends, and who listens knows how.
func TestRigNothingIsLostWhenReplicasAreKilled(t *testing.T) {
	kills := 20
	if os.Getenv("APPSPAN_SOAK") != "" {
		kills = 200
	}
	kubeconfig, hub := rig(t)
	suffix := strconv.FormatInt(time.Now().UnixNano()%1e12, 36)
	namespaceFor(t, hub, "kill-"+suffix)
	space := "killed-" + suffix
	t.Cleanup(func() {
		_ = hub.Delete(context.Background(), driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: space}, driver.DeleteOptions{})
	})
	keys := filepath.Join(t.TempDir(), "appspan.key")
	require.NoError(t, run(t.Context(), []string{"keys", keys}, io.Discard, io.Discard))
	shared := []string{"-hub", kubeconfig, "-hub-context", "rig-1", "-hub-namespace", "kill-" + suffix, "-keys", keys}
	var token bytes.Buffer
	require.NoError(t, run(t.Context(), append([]string{"token", "-subject", "ann"}, shared...), &token, t.Output()))
	c := &config{hub: kubeconfig, hubContext: "rig-1", hubNamespace: "kill-" + suffix, keys: keys}
	records, ring, err := c.records()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, records.Close()) })
	server, err := refserver.Open(t.Context(), &refserver.Options{Records: records, Keys: ring, Operators: []string{"ann"}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	data, err := os.ReadFile(kubeconfig)
	require.NoError(t, err)
	_, err = server.Parts().Fleet.For(appspan.Subject{ID: "ann"}).Add(t.Context(), cluster.Registration{Name: "rig-1", Provider: "kubeconfig", Config: data, Context: "rig-1"}, nil)
	require.NoError(t, err)

	args := append([]string{"-tokens", "-operators", "ann", "-log-level", "error"}, shared...)
	ports := []string{freePort(t), freePort(t)}
	begin := func(i int) *replica {
		return startReplica(t, append([]string{"-addr", "127.0.0.1:" + ports[i]}, args...)...)
	}
	replicas := []*replica{begin(0), begin(1)}
	clients := make([]*client.Client, 2)
	for i := range clients {
		clients[i], err = client.New("http://127.0.0.1:"+ports[i], &client.Options{Token: strings.TrimSpace(token.String()), Attempts: 2, Timeout: 20 * time.Second})
		require.NoError(t, err)
	}

	load, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[string]int{} // environments, by the number that they were last given
	begun := map[string]bool{}       // operations
	var refused atomic.Int64
	for w := range 4 {
		wg.Go(func() { // changes of what is kept
			name := fmt.Sprintf("env-%d", w)
			for n := 1; load.Err() == nil; n++ {
				c := clients[(n+w)%2]
				_, etag, err := c.Environment(load, "app", name)
				if err != nil && !errors.Is(err, appspan.ErrNotFound) {
					refused.Add(1)
					continue
				}
				env := client.Environment{Environment: deploy.Environment{Application: "app", Name: name, Target: deploy.Target{Clusters: []string{"rig-1"}, Namespace: space}},
					Images: map[string]string{"a.example.com/x:1": fmt.Sprintf("a.example.com/x:%d", n)}}
				if _, err = c.PutEnvironment(load, env, etag); err != nil {
					refused.Add(1)
					continue
				}
				mu.Lock()
				acknowledged[name] = n
				mu.Unlock()
			}
		})
		wg.Go(func() { // long work
			for n := 1; load.Err() == nil; n++ {
				text := strings.ReplaceAll(strings.ReplaceAll(shopText, "name: shop", fmt.Sprintf("name: app-%d", w)), "web:1", fmt.Sprintf("web:%d", n))
				p, err := clients[(n+w)%2].Deploy(load, client.Deployment{Document: client.Document{Text: text}, Target: deploy.Target{Clusters: []string{"rig-1"}, Namespace: space}})
				if err != nil || p.Operation == nil {
					refused.Add(1)
					continue
				}
				mu.Lock()
				begun[p.Operation.ID] = true
				mu.Unlock()
				wait, done := context.WithTimeout(load, 5*time.Second)
				_, _ = clients[n%2].Wait(wait, p, nil)
				done()
			}
		})
	}
	known := make([]map[string]journal.State, 2) // what each listener knows of operations
	var heard sync.Mutex
	listening, quiet := context.WithCancel(t.Context())
	defer quiet()
	var listeners sync.WaitGroup
	for i := range known {
		known[i] = map[string]journal.State{}
		listeners.Go(func() {
			for e, err := range clients[i].Events(listening, "operation") {
				if err != nil {
					return
				}
				var op journal.Operation
				if e.Kind == "operation" && json.Unmarshal(e.Data, &op) == nil {
					heard.Lock()
					known[i][op.ID] = op.State
					heard.Unlock()
				}
				if e.Kind == "resync" { // what came between is read again
					for now, err := range clients[i].Operations(listening, true) {
						if err != nil {
							break // it is cut again, and so is the stream
						}
						heard.Lock()
						known[i][now.ID] = now.State
						heard.Unlock()
					}
				}
			}
		})
	}
	for n := range kills {
		time.Sleep(1500 * time.Millisecond)
		require.NoError(t, replicas[n%2].cmd.Process.Kill())
		_ = replicas[n%2].cmd.Wait()
		replicas[n%2] = begin(n % 2)
	}
	time.Sleep(2 * time.Second)
	stop()
	wg.Wait()
	require.NotEmpty(t, begun)
	require.Len(t, acknowledged, 4)
	for name, n := range acknowledged {
		env, _, err := clients[0].Environment(t.Context(), "app", name)
		require.NoError(t, err)
		var last int
		_, err = fmt.Sscanf(env.Images["a.example.com/x:1"], "a.example.com/x:%d", &last)
		require.NoError(t, err)
		require.GreaterOrEqual(t, last, n, "%s: what was acknowledged is there, or what came after it", name)
	}
	ends := map[journal.State]int{}
	for id := range begun {
		require.Eventually(t, func() bool {
			op, err := clients[1].Operation(t.Context(), id)
			if err == nil && op.State.Over() {
				ends[op.State]++
				if op.State == journal.Failed { // somebody else's deployment of the same came between
					require.ErrorIs(t, op.Err(), appspan.ErrPrecondition, op.Error)
				}
				return true
			}
			return false
		}, 2*time.Minute, 200*time.Millisecond, "operation %s ends", id)
	}
	for i := range known {
		require.Eventually(t, func() bool {
			heard.Lock()
			defer heard.Unlock()
			for id := range begun {
				if !known[i][id].Over() {
					return false
				}
			}
			return true
		}, time.Minute, 100*time.Millisecond, "listener %d knows how every operation ended", i)
	}
	quiet()
	listeners.Wait()
	t.Logf("%d kills: %d operations ended %v, environments at %v, %d calls were refused or cut", kills, len(begun), ends, acknowledged, refused.Load())
}
