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
		w := newTeamWorld(t)
		d, names := w.For(appspan.Subject{ID: "ann", Team: "blue"}), w.names
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
		_, err := d.Deploy(t.Context(), oneCPU(t, "one-more", "x:1"), to(0), nil)
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

func TestWhoeverRemovesAnApplicationFreesWhatItsTeamHeldForIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTeamWorld(t)
		held := func() map[string]string {
			list, err := w.gate.Ledger().Reservations(t.Context(), "blue")
			require.NoError(t, err)
			out := map[string]string{}
			for _, r := range list {
				require.False(t, r.Open)
				out[r.Application] = fmt.Sprint(r.Amounts["cpu"], " ", r.Amounts["storage"])
			}
			return out
		}
		to := deploy.Target{Clusters: w.names[:1], Namespace: "blue"}
		ann, admin := w.For(appspan.Subject{ID: "ann", Team: "blue"}), w.For(appspan.Subject{ID: "root"})
		for _, app := range []*appmodel.Application{oneCPU(t, "one", "x:1"), shop(t)} {
			_, err := ann.Deploy(t.Context(), app, to, nil)
			require.NoError(t, err)
		}
		require.Len(t, held(), 2)
		_, err := admin.Remove(t.Context(), "one", to, nil, nil)
		require.NoError(t, err)
		require.NotContains(t, held(), "blue/one")
		_, err = admin.Remove(t.Context(), "shop", to, nil, nil)
		require.NoError(t, err)
		require.Equal(t, map[string]string{"blue/shop": " 1Gi"}, held(), "its data was kept")
		_, err = admin.Remove(t.Context(), "shop", to, &deploy.RemoveOptions{Data: true}, nil)
		require.NoError(t, err)
		require.Empty(t, held())
	})
}

func TestWhoDoesNotNameTheTeamDoesNotGetAroundItsQuota(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newTeamWorld(t)
		admin, to := w.For(appspan.Subject{ID: "root"}), deploy.Target{Clusters: w.names[:1], Namespace: "blue"}
		for i := range 10 {
			_, err := admin.Deploy(t.Context(), oneCPU(t, fmt.Sprint("app-", i), "x:1"), to, nil)
			require.NoError(t, err)
		}
		_, err := admin.Deploy(t.Context(), oneCPU(t, "one-more", "x:1"), to, nil)
		require.True(t, assertExhausted(err), err)
	})
}

// teamWorld is three clusters, on each of which team blue has a namespace.
type teamWorld struct {
	*deploy.Deployer
	names []string
	gate  *team.Gate
}

func newTeamWorld(t *testing.T) *teamWorld {
	t.Helper()
	clouds := map[string]*fake.Cluster{}
	fakes := driver.ProviderFunc(func(_ context.Context, spec driver.Spec) (driver.Cluster, error) {
		return lasting{clouds[spec.Name]}, nil
	})
	records := storage.NewRecords(memstore.NewRecords(), nil)
	t.Cleanup(func() { require.NoError(t, records.Close()) })
	keys := newKeys(t)
	fleet, err := cluster.NewFleet(records, &cluster.FleetOptions{Keys: keys, Providers: map[string]driver.Provider{"memory": fakes}, Authorizer: appspan.AllowAll{}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fleet.Close()) })
	names := []string{"a", "b", "c"}
	for _, name := range names {
		clouds[name] = fake.New(&fake.Options{Name: name})
		t.Cleanup(func() { require.NoError(t, clouds[name].Close()) })
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
	gate := team.NewGate(records)
	d, err := deploy.New(fleet, &deploy.Options{Installation: "test", Keys: keys, Authorizer: appspan.AllowAll{}, Gate: gate})
	require.NoError(t, err)
	return &teamWorld{Deployer: d, names: names, gate: gate}
}

// lasting is a cluster that closing leaves alone.
type lasting struct{ driver.Cluster }

func (lasting) Close() error             { return nil }
func (l lasting) Unwrap() driver.Cluster { return l.Cluster }

func assertExhausted(err error) bool {
	var quota *team.QuotaError
	return errors.As(err, &quota) && quota.Resource == "cpu" && quota.Quota == "10"
}
