package refserver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
)

// TestRigTwoHundredClients reads what is cached with 150 clients while 50 listen to
// everything that happens and something is deployed again and again; what it
// measures is printed beside what the API server takes for lists at the same time.
func TestRigTwoHundredClients(t *testing.T) {
	const readers, listeners, applications = 150, 50, 20
	duration := 30 * time.Second
	if os.Getenv("APPSPAN_SOAK") != "" {
		duration = 5 * time.Minute
	}
	s := newRigSite(t)
	ctx := t.Context()
	blue := s.as("blue-dev", "blue")
	space := "blue-" + s.suffix
	document := func(i, version int) client.Deployment {
		return client.Deployment{Target: deploy.Target{Clusters: []string{"rig-1", "rig-2"}, Namespace: space}, Document: client.Document{Text: fmt.Sprintf(`
apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: app-%02d}
components:
  - {id: web, kind: service, image: "registry.example.com/web:%d", ports: [{name: http, port: 8080}], security: {runAsUser: 1000}}
`, i, version)}}
	}
	for i := range applications {
		p, err := blue.Deploy(ctx, document(i, 1))
		require.NoError(t, err)
		_, err = blue.Wait(ctx, p, nil)
		require.NoError(t, err)
	}
	direct, err := s.server.Parts().Fleet.For(admin).Cluster(ctx, "rig-1")
	require.NoError(t, err)

	load, end := context.WithTimeout(ctx, duration)
	defer end()
	var wg sync.WaitGroup
	var failed, heard, changed atomic.Int64
	var first atomic.Pointer[error]
	fail := func(err error) {
		if err != nil && load.Err() == nil {
			failed.Add(1)
			first.CompareAndSwap(nil, &err)
		}
	}
	var mu sync.Mutex
	var reads, lists []time.Duration
	sample := func(into *[]time.Duration, began time.Time) {
		took := time.Since(began)
		mu.Lock()
		defer mu.Unlock()
		*into = append(*into, took)
	}
	for i := range readers {
		c := s.as("blue-dev", "blue")
		wg.Go(func() {
			for n := 0; load.Err() == nil; n++ {
				began := time.Now()
				var err error
				if (n+i)%4 == 0 {
					_, err = c.Application(load, space, fmt.Sprintf("app-%02d", (n+i)%applications), false)
				} else {
					for _, err = range c.Applications(load, nil) {
						if err != nil {
							break
						}
					}
				}
				fail(err)
				if err == nil {
					sample(&reads, began)
				}
				rest(load, 200*time.Millisecond+rand.N(200*time.Millisecond))
			}
		})
	}
	for range listeners {
		c := s.as("blue-dev", "blue")
		wg.Go(func() {
			for e, err := range c.Events(load) {
				if err != nil {
					fail(err)
					return
				}
				if e.Kind == "resync" {
					fail(fmt.Errorf("a listener lost events"))
				}
				heard.Add(1)
			}
		})
	}
	wg.Go(func() { // something changes meanwhile
		for version := 2; load.Err() == nil; version++ {
			p, err := blue.Deploy(load, document(version%applications, version))
			fail(err)
			if err == nil {
				_, err = blue.Wait(load, p, nil)
				fail(err)
				changed.Add(1)
			}
		}
	})
	wg.Go(func() { // what the API server itself takes
		for load.Err() == nil {
			began := time.Now()
			for _, err := range direct.List(load, cluster.Query{APIVersion: "apps/v1", Kind: "Deployment", Namespace: space}) {
				if err != nil {
					fail(err)
					break
				}
			}
			if load.Err() == nil {
				sample(&lists, began)
			}
			rest(load, 50*time.Millisecond)
		}
	})
	var heaps []uint64
	for load.Err() == nil {
		rest(load, duration/10)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		heaps = append(heaps, m.HeapAlloc>>20)
	}
	wg.Wait()
	if err := first.Load(); err != nil {
		t.Errorf("%d calls failed, the first: %v", failed.Load(), *err)
	}
	require.NotEmpty(t, reads)
	require.NotEmpty(t, lists)
	require.Positive(t, heard.Load())
	t.Logf("%d reads by %d clients: p50 %v, p99 %v; the API server's own lists of the same: %d, p50 %v, p99 %v; %d events to %d listeners; %d deployments; heap MiB %v",
		len(reads), readers, quantile(reads, 50), quantile(reads, 99), len(lists), quantile(lists, 50), quantile(lists, 99), heard.Load(), listeners, changed.Load(), heaps)
	half := len(heaps) / 2
	require.Less(t, slices.Max(heaps[half:]), 2*slices.Max(heaps[:half])+16, "memory is flat")
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func quantile(all []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)].Round(10 * time.Microsecond)
}
