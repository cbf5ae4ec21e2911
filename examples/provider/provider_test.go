package provider_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/clustertest"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/examples/provider"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/appspan-dev/appspan/storage/seal"
)

// inventory is one with a single cluster, "eu-1", in memory behind HTTP.
func inventory(t *testing.T) *provider.Inventory {
	t.Helper()
	memory := fake.New(&fake.Options{Name: "eu-1", Token: "good for an hour"})
	api := httptest.NewServer(memory.Handler())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /clusters/eu-1", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"server": api.URL, "token": "good for an hour", "expires": time.Now().Add(time.Hour), "racks": map[string]string{"eu-1-node-1": "r7"}})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		server.Close()
		api.Close()
		_ = memory.Close()
	})
	return &provider.Inventory{URL: server.URL, Client: server.Client()}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	clustertest.Run(t, func(t *testing.T) driver.Cluster {
		c, err := inventory(t).Open(t.Context(), driver.Spec{Name: "eu-1"})
		require.NoError(t, err)
		return c
	}, &clustertest.Options{Workloads: true})
}

func TestAFleetHasItsClustersByName(t *testing.T) {
	t.Parallel()
	records := storage.NewRecords(memstore.NewRecords(), nil)
	defer records.Close()
	key, err := seal.GenerateKey(nil)
	require.NoError(t, err)
	keys, err := seal.NewKeyring(key)
	require.NoError(t, err)
	fleet, err := cluster.NewFleet(records, &cluster.FleetOptions{Keys: keys, Authorizer: appspan.AllowAll{}, Providers: map[string]driver.Provider{"inventory": inventory(t)}})
	require.NoError(t, err)
	defer fleet.Close()
	_, err = fleet.Add(t.Context(), cluster.Registration{Name: "eu-1", Provider: "inventory"}, nil)
	require.NoError(t, err)
	c, err := fleet.Cluster(t.Context(), "eu-1")
	require.NoError(t, err)
	info, err := c.Info(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, info.Nodes)
	for _, node := range info.Nodes {
		require.Contains(t, node.Labels, "inventory.example.com/rack")
	}
	_, err = fleet.Add(t.Context(), cluster.Registration{Name: "us-1", Provider: "inventory"}, nil)
	require.ErrorIs(t, err, appspan.ErrInvalid)
}

func TestAProviderIsShort(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, "provider.go", nil, 0)
	require.NoError(t, err)
	require.Less(t, files.Position(ast.Node(f).End()).Line, 150)
}
