//go:build unix

package cluster_test

import (
	"context"
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// TestFiveHundredClustersWaitForNobody also prints what the fleet costs, for
// which it runs alone.
func TestFiveHundredClustersWaitForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPark(t, "eu-1")
		defer p.close(t)
		shared := p.clouds.by["secret-of-eu-1"]
		const all, dead, silent = 500, 50, 20
		for i := range all {
			name := fmt.Sprintf("c%03d", i)
			p.clouds.by["secret-of-"+name] = lookalike{Cluster: shared, uid: name}
			_, err := p.Add(t.Context(), of(name), nil)
			require.NoError(t, err)
			switch {
			case i < dead:
				p.clouds.set("secret-of-"+name, appspan.ErrUnavailable)
			case i < dead+silent:
				p.clouds.set("secret-of-"+name, errHangs)
			}
		}
		begun := time.Now()
		require.NoError(t, p.Refresh(t.Context(), cluster.Selector{}))
		require.LessOrEqual(t, time.Since(begun), 11*time.Second, "the time limit of one check, not their sum")
		count := map[cluster.Health]int{}
		begun = time.Now()
		for s, err := range p.Clusters(t.Context(), cluster.Selector{}) {
			require.NoError(t, err)
			count[s.Health]++
		}
		require.Zero(t, time.Since(begun), "a listing asks nobody")
		require.Equal(t, map[cluster.Health]int{cluster.Ready: all - dead - silent, cluster.Unreachable: dead + silent}, count)

		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		const settled, watched = 2 * time.Minute, 20 * time.Minute
		time.Sleep(settled)
		used := cpuTime(t)
		time.Sleep(watched)
		used = cpuTime(t) - used
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		t.Logf("%d clusters, checked every 30 s: %.2f %% of a core, heap %d MiB, %d goroutines",
			all, 100*used.Seconds()/watched.Seconds(), m.HeapAlloc>>20, runtime.NumGoroutine())
		cancel()
		require.NoError(t, <-done)
		clear(p.clouds.by)
		p.clouds.by["eu-1"] = shared
	})
}

// lookalike is a cluster of its own that has what another one has.
type lookalike struct {
	driver.Cluster
	uid string
}

func (s lookalike) Info(ctx context.Context) (driver.Info, error) {
	info, err := s.Cluster.Info(ctx)
	info.UID = s.uid
	return info, err
}

func (s lookalike) Get(ctx context.Context, ref driver.Ref) (driver.Object, error) {
	obj, err := s.Cluster.Get(ctx, ref)
	if ref.Name == "kube-system" {
		obj.UID = s.uid
	}
	return obj, err
}

// cpuTime is what this process has used of the processors.
func cpuTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
