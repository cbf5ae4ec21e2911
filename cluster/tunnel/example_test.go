package tunnel_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/agent"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/appspan-dev/appspan/storage/seal"
	"k8s.io/client-go/rest"
)

// A cluster joins a hub, and the hub lists its nodes. Here the hub, the agent
// and the cluster are in one process.
func Example() {
	// The hub. A program keeps the key sealed, and the members in its records.
	_, key, _ := ed25519.GenerateKey(nil)
	members := &tunnel.MemoryMembers{}
	server, err := tunnel.NewServer(key, members, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()

	// A cluster is invited.
	token, grant, err := tunnel.NewToken(web.URL, server.KeyID(), "edge-1", time.Now().Add(time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := members.Add(grant); err != nil {
		fmt.Println(err)
		return
	}

	// Its agent dials in; in Kubernetes it is what Manifest installs.
	stop := dialInFromMemory(token)
	defer stop()

	// From here on it is a cluster like any other.
	d, err := kube.New(&rest.Config{Host: "http://edge-1.tunnel", Dial: server.Dialer("edge-1")}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	c := cluster.New("edge-1", d, nil)
	defer c.Close()
	for node, err := range c.List(context.Background(), cluster.Query{APIVersion: "v1", Kind: "Node"}) {
		fmt.Println(node.Name, err)
	}
	fmt.Println(server.Agents()[0].Cluster, server.Agents()[0].Connected)
	// Output:
	// node-1 <nil>
	// node-2 <nil>
	// node-3 <nil>
	// edge-1 true
}

// A hub's tunnels as a provider of a fleet: a cluster whose agent dials in is
// registered, listed and asked like any other.
func ExampleServer_Dialer() {
	_, key, _ := ed25519.GenerateKey(nil) // a program keeps it sealed: members.HubKey
	known := &tunnel.MemoryMembers{}      // a program keeps them in its records: members.New
	server, err := tunnel.NewServer(key, known, &tunnel.Options{Wait: 5 * time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()

	// The provider opens whatever is registered with it, by its name.
	tunnels := driver.ProviderFunc(func(_ context.Context, spec driver.Spec) (driver.Cluster, error) {
		c, err := kube.New(&rest.Config{Host: "http://" + spec.Name + ".tunnel", Dial: server.Dialer(spec.Name)}, nil)
		if err != nil {
			return nil, err // not c: a nil *kube.Cluster is not a nil driver.Cluster
		}
		return c, nil
	})
	secret, _ := seal.NewKey([]byte("a secret of thirty-two bytes ..."))
	keys, _ := seal.NewKeyring(secret)
	fleet, err := cluster.NewFleet(storage.NewRecords(memstore.NewRecords(), nil), &cluster.FleetOptions{
		Keys:       keys,
		Providers:  map[string]driver.Provider{"kubeconfig": kube.Provider{}, "tunnel": tunnels},
		Authorizer: appspan.AllowAll{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer fleet.Close()

	// A cluster, with its agent, joins.
	token, grant, err := tunnel.NewToken(web.URL, server.KeyID(), "edge-1", time.Now().Add(time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := known.Add(grant); err != nil {
		fmt.Println(err)
		return
	}
	stop := dialInFromMemory(token)
	defer stop()

	ctx := context.Background()
	edge := cluster.Registration{Name: "edge-1", Provider: "tunnel", Labels: map[string]string{"site": "edge"}}
	if _, err := fleet.Add(ctx, edge, nil); err != nil {
		fmt.Println(err)
		return
	}
	if err := fleet.Refresh(ctx, cluster.Selector{}); err != nil {
		fmt.Println(err)
		return
	}
	status, err := fleet.Status(ctx, "edge-1")
	fmt.Println(status.Name, status.Provider, status.Health, len(status.Inspection.Nodes), "nodes", err)
	// Output: edge-1 tunnel ready 3 nodes <nil>
}

// dialInFromMemory runs the agent of a cluster in memory until stop.
func dialInFromMemory(token tunnel.Token) (stop func()) {
	memory := fake.New(nil)
	api := httptest.NewServer(memory.Handler())
	dir, _ := os.MkdirTemp("", "agent")
	a, err := agent.New(token, agent.FileKey(filepath.Join(dir, "key.pem")), agent.Target{URL: api.URL}, nil)
	if err != nil {
		fmt.Println(err)
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	return func() {
		cancel()
		<-done
		api.Close()
		_ = memory.Close()
		_ = os.RemoveAll(dir)
	}
}

func ExampleManifest() {
	token, _, err := tunnel.NewToken("https://hub.example.org/tunnel", tunnel.KeyID{1}, "edge-1", time.Now().Add(time.Hour))
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := tunnel.Manifest(tunnel.ManifestOptions{Token: token, Image: "registry.example.org/appspan/agent:v1"})
	fmt.Println(strings.Count(string(text), "\nkind: "), "objects", err)
	// Output: 9 objects <nil>
}

func ExampleNewToken() {
	token, grant, err := tunnel.NewToken("https://hub.example.org/tunnel", tunnel.KeyID{1}, "edge-1", time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		fmt.Println(err)
		return
	}
	read, err := tunnel.ParseToken(token.Encode())
	fmt.Println(read.Cluster, read.ID == grant.ID, err)
	// Output: edge-1 true <nil>
}
