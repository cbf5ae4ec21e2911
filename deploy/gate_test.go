package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// oneCPU is an application that asks for one CPU.
func oneCPU(t *testing.T, name, image string) *appmodel.Application {
	return decode(t, fmt.Sprintf(`apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: %s}
components:
  - {id: web, kind: service, image: %q, security: {runAsUser: 1000}, resources: {requests: {cpu: "1", memory: 64Mi}}}
`, name, image))
}

func TestATeamsQuotaHoldsOverAllClustersWhateverIsDeployedAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clouds := map[string]*fake.Cluster{}
		fakes := driver.ProviderFunc(func(_ context.Context, spec driver.Spec) (driver.Cluster, error) {
			return lasting{clouds[spec.Name]}, nil
		})
		records := storage.NewRecords(memstore.NewRecords(), nil)
		defer records.Close()
		keys := newKeys(t)
		fleet, err := cluster.NewFleet(records, &cluster.FleetOptions{Keys: keys, Providers: map[string]driver.Provider{"memory": fakes}, Authorizer: appspan.AllowAll{}})
		require.NoError(t, err)
		defer fleet.Close()
		names := []string{"a", "b", "c"}
		for _, name := range names {
			clouds[name] = fake.New(&fake.Options{Name: name})
			defer clouds[name].Close()
			_, err := fleet.Add(t.Context(), cluster.Registration{Name: name, Provider: "memory"}, &cluster.AddOptions{Unverified: true})
			require.NoError(t, err)
		}
		teams, err := team.New(records, fleet, &team.Options{Installation: "test", Authorizer: appspan.AllowAll{}})
		require.NoError(t, err)
		_, err = teams.Create(t.Context(), team.Team{ID: "blue", Quota: cluster.Amounts{"cpu": "10"}})
		require.NoError(t, err)
		for _, name := range names {
			_, _, err = teams.Allocate(t.Context(), "blue", name, team.Allocation{})
			require.NoError(t, err)
		}
		_, err = teams.Reconcile(t.Context(), "blue")
		require.NoError(t, err)
		d, err := deploy.New(fleet, &deploy.Options{Installation: "test", Keys: keys, Authorizer: appspan.AllowAll{}, Gate: team.NewGate(records)})
		require.NoError(t, err)
		d = d.For(appspan.Subject{ID: "ann", Team: "blue"})
		to := func(i int) deploy.Target { return deploy.Target{Clusters: names[i%3 : i%3+1], Namespace: "blue"} }

		var mu sync.Mutex
		var in []int
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				_, err := d.Deploy(t.Context(), oneCPU(t, fmt.Sprint("app-", i), "x:1"), to(i), nil)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					in = append(in, i)
				} else if !assertExhausted(err) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Len(t, in, 10)
		for _, i := range in { // at the limit
			r, err := d.Deploy(t.Context(), oneCPU(t, fmt.Sprint("app-", i), "x:2"), to(i), nil)
			require.NoError(t, err)
			require.Equal(t, 1, r.Clusters[0].Updated)
		}
		_, err = d.Deploy(t.Context(), oneCPU(t, "one-more", "x:1"), to(0), nil)
		require.ErrorIs(t, err, appspan.ErrExhausted)
		for _, i := range in {
			_, err := d.Remove(t.Context(), fmt.Sprint("app-", i), to(i), nil, nil)
			require.NoError(t, err)
		}
		for i := range 10 {
			_, err := d.Deploy(t.Context(), oneCPU(t, fmt.Sprint("again-", i), "x:1"), to(i), nil)
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)

		_, err = d.Deploy(t.Context(), oneCPU(t, "elsewhere", "x:1"), deploy.Target{Clusters: names[:1], Namespace: "blue", Team: "red"}, nil)
		require.ErrorIs(t, err, appspan.ErrDenied)
		_, err = d.Deploy(t.Context(), oneCPU(t, "elsewhere", "x:1"), deploy.Target{Clusters: names[:1], Namespace: "default"}, nil)
		require.Error(t, err)
	})
}

// lasting is a cluster that closing leaves alone.
type lasting struct{ driver.Cluster }

func (lasting) Close() error             { return nil }
func (l lasting) Unwrap() driver.Cluster { return l.Cluster }

func assertExhausted(err error) bool {
	var quota *team.QuotaError
	return errors.As(err, &quota) && quota.Resource == "cpu" && quota.Quota == "10"
}
