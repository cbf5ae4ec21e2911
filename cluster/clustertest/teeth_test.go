package clustertest_test

import (
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appspan-dev/appspan/cluster/clustertest"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
)

// mutants are wrong drivers by the promise that each of them breaks.
func mutants(t *testing.T) map[string]mutation {
	all := map[string]mutation{}
	for _, group := range []map[string]mutation{
		infoMutants(), applyMutants(), ownershipMutants(), preconditionMutants(), validationMutants(), deleteMutants(), getMutants(), listMutants(),
		watchMutants(), lifeMutants(), subresourceMutants(), identityMutants(), parallelMutants(), workloadMutants(),
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

// TestEveryMutantFailsItsPromiseAlone runs each promise on each mutant: what
// one promise finds, no other may find too, or else they overlap. Waiting
// costs nothing: the clock is virtual.
func TestEveryMutantFailsItsPromiseAlone(t *testing.T) {
	t.Parallel()
	promises := clustertest.Promises()
	for broken, m := range mutants(t) {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			var failing []string
			for _, name := range promises {
				if check(t, name, m) != "" {
					failing = append(failing, name)
				}
			}
			require.Equal(t, []string{broken}, failing)
		})
	}
}

// check runs one promise on a fresh mutant, in a bubble of its own.
func check(t *testing.T, name string, m mutation) (failure string) {
	synctest.Test(t, func(t *testing.T) {
		c := fake.New(&fake.Options{History: 24})
		defer func() { _ = c.Close() }() // whatever the mutant does
		failure = clustertest.Check(t.Context(), name, mutate(c, m), &clustertest.Options{Workloads: true, Wait: 5 * time.Second})
	})
	return failure
}

var _ full = (*fake.Cluster)(nil)
var _ driver.Watch = deafWatch{}
