package tunnel_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
)

// dialIn is a provider of the clusters whose agents dial in to a hub.
func dialIn(hub *tunnel.Server) driver.Provider {
	return driver.ProviderFunc(func(_ context.Context, spec driver.Spec) (driver.Cluster, error) {
		c, err := kube.New(&rest.Config{
			Host:  "http://" + spec.Name + ".tunnel",
			Dial:  hub.Dialer(spec.Name),
			Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		}, nil)
		if err != nil {
			return nil, err
		}
		return c, nil
	})
}

// TestAFleetSaysSinceWhenAnAgentIsAway takes the agent of a registered cluster
// away, and brings it back.
func TestAFleetSaysSinceWhenAnAgentIsAway(t *testing.T) {
	t.Parallel()
	_, to := memory(t)
	h := newHub(t, &tunnel.Options{Wait: 50 * time.Millisecond})
	token, keys := h.invite(t, "edge-1"), fixed(newKey(t))
	records := storage.NewRecords(memstore.NewRecords(), nil)
	t.Cleanup(func() { _ = records.Close() })
	f := fleetOver(t, records, map[string]driver.Provider{"tunnel": dialIn(h.Server)})(t)
	t.Cleanup(func() { _ = f.Close() })
	check := func() cluster.Status {
		require.NoError(t, f.Refresh(t.Context(), cluster.Selector{}))
		status, err := f.Status(t.Context(), "edge-1")
		require.NoError(t, err)
		return status
	}
	becomes := func(health cluster.Health) cluster.Status {
		var status cluster.Status
		require.Eventually(t, func() bool { status = check(); return status.Health == health }, long, tick)
		return status
	}

	// It may be registered before its agent has ever come.
	_, err := f.Add(t.Context(), cluster.Registration{Name: "edge-1", Provider: "tunnel"}, &cluster.AddOptions{Unverified: true})
	require.NoError(t, err)
	require.Contains(t, becomes(cluster.Unreachable).Reasons[0], "its agent has not connected since this hub began")
	_, stop := run(t, token, keys, to, quick())
	ready := becomes(cluster.Ready)
	require.NotEmpty(t, ready.UID)

	stop()
	away := becomes(cluster.Unreachable)
	require.Contains(t, away.Reasons[0], "its agent has not been connected since")
	require.True(t, away.Since.After(ready.Since))
	require.False(t, away.LastAnswer.After(away.Since))
	require.NotNil(t, away.Inspection, "what was known is still shown")
	require.Equal(t, away.Since, check().Since, "another check in vain changes nothing")

	run(t, token, keys, to, quick())
	back := becomes(cluster.Ready)
	require.True(t, back.Since.After(away.Since))
	require.Equal(t, ready.UID, back.UID)
	history, err := f.History(t.Context(), "edge-1")
	require.NoError(t, err)
	var states []cluster.Health
	for _, h := range history {
		states = append(states, h.Health)
	}
	require.Equal(t, []cluster.Health{cluster.Unreachable, cluster.Ready, cluster.Unreachable, cluster.Ready}, states)
}
