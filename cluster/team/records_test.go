package team_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/boltrecords"
	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/kuberecords"
)

// The quota holds in every store, between processes that share it.
func TestTheQuotaHoldsInEveryStore(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) driver.Records{
		"one file": func(t *testing.T) driver.Records {
			d, err := boltrecords.Open(filepath.Join(t.TempDir(), "records"), nil)
			require.NoError(t, err)
			return d
		},
		"a hub": func(t *testing.T) driver.Records {
			hub := fake.New(nil)
			_, err := hub.Apply(t.Context(), object(t, namespace("appspan", nil)), cluster.ApplyOptions{Manager: "test"})
			require.NoError(t, err)
			d, err := kuberecords.NewRecords(hub, kuberecords.Options{Namespace: "appspan"})
			require.NoError(t, err)
			return d
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records := storage.NewRecords(open(t), nil)
			defer func() { require.NoError(t, records.Close()) }()
			clusters, err := cluster.NewSet()
			require.NoError(t, err)
			teams, err := team.New(records, clusters, &team.Options{Installation: "test", Authorizer: appspan.AllowAll{}})
			require.NoError(t, err)
			_, err = teams.Create(t.Context(), blue())
			require.NoError(t, err)
			var got atomic.Int64
			var wg sync.WaitGroup
			for i := range 50 {
				wg.Go(func() {
					err := team.NewLedger(records).Reserve(t.Context(), "blue", fmt.Sprintf("blue/app-%d", i), string("abc"[i%3]), cluster.Amounts{"cpu": "1"})
					if err == nil {
						got.Add(1)
					} else if !assertIs(t, err, appspan.ErrExhausted, new(*team.QuotaError)) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			require.EqualValues(t, 10, got.Load())
		})
	}
}
