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

	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/agent"
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
	memory := fake.New(nil)
	defer memory.Close()
	api := httptest.NewServer(memory.Handler())
	defer api.Close()
	dir, _ := os.MkdirTemp("", "agent")
	defer os.RemoveAll(dir)
	a, err := agent.New(token, agent.FileKey(filepath.Join(dir, "key.pem")), agent.Target{URL: api.URL}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- a.Run(ctx) }()
	defer func() { cancel(); <-done }()

	// From here on it is a cluster like any other.
	driver, err := kube.New(&rest.Config{Host: "http://edge-1.tunnel", Dial: server.Dialer("edge-1")}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	c := cluster.New("edge-1", driver, nil)
	defer c.Close()
	for node, err := range c.List(ctx, cluster.Query{APIVersion: "v1", Kind: "Node"}) {
		fmt.Println(node.Name, err)
	}
	fmt.Println(server.Agents()[0].Cluster, server.Agents()[0].Connected)
	// Output:
	// node-1 <nil>
	// node-2 <nil>
	// node-3 <nil>
	// edge-1 true
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
