package deploy_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/kuberecords"
	"github.com/appspan-dev/appspan/storage/seal"
)

// journaled is a Deployer whose applies are operations on the hub rig-2.
func (r *rig) journaled() (*deploy.Deployer, *journal.Journal) {
	r.t.Helper()
	records, err := kuberecords.NewRecords(r.cluster("rig-2").Driver(), kuberecords.Options{Namespace: r.namespace})
	require.NoError(r.t, err)
	j, err := journal.New(storage.NewRecords(records, nil), &journal.Options{TTL: 3 * time.Second})
	require.NoError(r.t, err)
	key, err := seal.NewKey([]byte("a key of tests, and of them only"))
	require.NoError(r.t, err)
	keys, err := seal.NewKeyring(key)
	require.NoError(r.t, err)
	d, err := deploy.New(r.set, &deploy.Options{Installation: "rig", Keys: keys, Authorizer: appspan.AllowAll{}, Journal: j})
	require.NoError(r.t, err)
	return d, j
}

// TestRigAnotherProcessTakesOver kills a process with SIGKILL while it applies
// an operation that is written down on a hub: this process, which shares the
// hub, finishes it.
func TestRigAnotherProcessTakesOver(t *testing.T) {
	t.Parallel()
	for _, at := range []point{{6, true}, {8, true}, {12, false}, {16, true}, {18, false}} {
		t.Run(at.String(), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "takeover", rigOptions{})
			hub, err := cluster.NewObject(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": r.namespace}})
			require.NoError(t, err)
			_, err = r.cluster("rig-2").Apply(t.Context(), hub, cluster.ApplyOptions{Manager: "test"})
			require.NoError(t, err)
			require.True(t, r.child("journal", at))

			d, j := r.journaled()
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				if err := j.Run(ctx); err != nil {
					t.Error(err)
				}
			})
			begun := time.Now()
			n := 0
			for op, err := range j.List(t.Context(), false) {
				require.NoError(t, err)
				op, err = j.Wait(t.Context(), op.ID)
				require.NoError(t, err)
				require.Equal(t, journal.Done, op.State, op.Error)
				n++
				t.Logf("taken over and done after %v, attempts %d", time.Since(begun).Round(100*time.Millisecond), op.Attempts)
			}
			require.Equal(t, 1, n)
			cancel()
			wg.Wait()
			s, err := d.Status(t.Context(), "shop", r.on("rig-1"))
			require.NoError(t, err)
			require.Equal(t, status.Ready, s.Worst, s.Tree(nil))
		})
	}
}
