package clustertest_test

import (
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appspan-dev/appspan/cluster/clustertest"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
)

// mutants are wrong drivers by the promise that each of them breaks.
func mutants(t *testing.T) map[string]mutation {
	all := map[string]mutation{}
	for _, group := range []map[string]mutation{
		infoMutants(), applyMutants(), ownershipMutants(), preconditionMutants(), validationMutants(), deleteMutants(), getMutants(), listMutants(),
		watchMutants(), lifeMutants(), subresourceMutants(), identityMutants(), parallelMutants(), workloadMutants(),
		logMutants(), execMutants(),
	} {
		for name := range group {
			require.NotContains(t, all, name)
		}
		maps.Copy(all, group)
	}
	return all
}

func TestEveryPromiseHasAMutant(t *testing.T) {
	t.Parallel()
	promises := clustertest.Promises()
	all := mutants(t)
	require.GreaterOrEqual(t, len(promises), 60)
	seen := map[string]bool{}
	for _, name := range promises {
		require.False(t, seen[name], "two promises are called %q", name)
		require.Contains(t, all, name)
		seen[name] = true
	}
	require.Len(t, all, len(promises))
}

// TestEveryMutantFailsItsPromiseAlone runs the promises on each mutant: what
// one promise finds, no other may find too, or else they overlap. Waiting
// costs nothing: the clock is virtual. A promise that never calls what a
// mutant changes cannot notice it, and is left out.
func TestEveryMutantFailsItsPromiseAlone(t *testing.T) {
	if racing {
		t.Skip("two hundred runs of the suite, which itself runs with the race detector; run it without, as make unit does")
	}
	t.Parallel()
	promises := clustertest.Promises()
	calls := map[string]method{}
	for name, x := range check(t, promises, mutation{}) {
		require.Empty(t, x.failure, name)
		calls[name] = x.called
	}
	for broken, m := range mutants(t) {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			var concerned, failing []string
			for _, name := range promises {
				if calls[name]&m.methods() != 0 {
					concerned = append(concerned, name)
				}
			}
			for name, x := range check(t, concerned, m) {
				if x.failure != "" {
					failing = append(failing, name)
				}
			}
			require.Equal(t, []string{broken}, failing)
		})
	}
}

// outcome is what became of one promise.
type outcome struct {
	failure string
	called  method
}

// check runs promises one after another on mutants of one cluster, in a
// bubble; those about Close have a cluster of their own.
func check(t *testing.T, promises []string, m mutation) map[string]outcome {
	outcomes := map[string]outcome{}
	synctest.Test(t, func(t *testing.T) {
		shared := start()
		defer func() { _ = shared.Close() }()
		for _, name := range promises {
			var x *mutant
			if strings.Contains(name, "Close") || strings.Contains(name, "closing") {
				own := start()
				defer func() { _ = own.Close() }() // whatever the mutant does
				x = mutate(own, m)
			} else {
				x = mutate(lent{shared}, m)
			}
			failure := clustertest.Check(t.Context(), name, x, &clustertest.Options{Workloads: true, Logs: true, Exec: true, Wait: 5 * time.Second})
			synctest.Wait() // for what is being cleaned up
			outcomes[name] = outcome{failure, x.called}
		}
	})
	return outcomes
}

func start() *fake.Cluster {
	return fake.New(&fake.Options{History: 64, Nodes: fake.Nodes(1, "64", "256Gi")})
}

// lent is a cluster that promises cannot close.
type lent struct{ full }

func (lent) Close() error { return nil }
