package fake

import (
	"fmt"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// Options shape a [Cluster]. The zero value, like nil, is a cluster of three
// nodes that does everything at once.
type Options struct {
	// Name goes into names of nodes and addresses; default "fake".
	Name string
	// Version is the server's version; default "v1.37.2".
	Version string
	// Nodes are the shapes of the nodes; nil is three of 16 CPUs and 64Gi in
	// three zones, an empty slice is none.
	Nodes []driver.Node
	// Latency is added to every call from outside; it obeys the context.
	Latency time.Duration
	// ReadyAfter is how long a pod takes from being scheduled to being ready.
	ReadyAfter time.Duration
	// TerminateAfter is how long a running pod takes to end when it is deleted.
	TerminateAfter time.Duration
	// JobDuration is how long the pod of a Job runs; default 100 ms.
	JobDuration time.Duration
	// StorageClasses, nil: one default class "standard" that can expand and
	// binds at once. Empty is none.
	StorageClasses []driver.StorageClass
	// IngressClasses, nil: one default class "nginx". Empty is none.
	IngressClasses []driver.IngressClass
	// Gateways, if any, also make the kinds of the Gateway API known.
	Gateways []driver.Gateway
	// ExtraKinds are custom kinds that the cluster serves without a schema.
	ExtraKinds []ExtraKind
	// Scripts are failures from the start, see [Cluster.Script].
	Scripts []Script
	// History is how many changes a watch or a continue token can go back;
	// default 10,000.
	History int
	// Token, when not empty, is the bearer token that [Cluster.Handler] asks
	// for.
	Token string
	// OnCall observes every call from outside once it has ended. It is called
	// on the caller's goroutine, from several at once.
	OnCall func(Call)
}

// ExtraKind is one custom kind without a schema: its lists are atomic in
// server-side apply, as those of a CustomResourceDefinition that preserves
// unknown fields.
type ExtraKind struct {
	APIVersion string
	Kind       string
	// Resource is the plural; empty is the lower-case kind with an s.
	Resource string
	// ClusterScoped kinds have no namespace.
	ClusterScoped bool
	// NoStatus kinds have no status subresource: status is a field like others.
	NoStatus bool
}

const (
	defaultVersion     = "v1.37.2"
	defaultHistory     = 10000
	defaultJobDuration = 100 * time.Millisecond
)

// withDefaults returns a copy with every default filled in.
func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Name == "" {
		d.Name = "fake"
	}
	if d.Version == "" {
		d.Version = defaultVersion
	}
	if d.Nodes == nil {
		d.Nodes = Nodes(3, "16", "64Gi")
	}
	if d.JobDuration == 0 {
		d.JobDuration = defaultJobDuration
	}
	if d.StorageClasses == nil {
		d.StorageClasses = []driver.StorageClass{{
			Name: "standard", Provisioner: "fake.appspan.dev/disk", Default: true, AllowExpansion: true, ReclaimPolicy: "Delete",
		}}
	}
	if d.IngressClasses == nil {
		d.IngressClasses = []driver.IngressClass{{Name: "nginx", Controller: "k8s.io/ingress-nginx", Default: true}}
	}
	if d.History == 0 {
		d.History = defaultHistory
	}
	return d
}

// Nodes returns n equal nodes, spread over the zones a, b and c.
func Nodes(n int, cpu, memory string) []driver.Node {
	nodes := make([]driver.Node, n)
	for i := range nodes {
		name := fmt.Sprintf("node-%d", i+1)
		nodes[i] = driver.Node{
			Name: name, Architecture: "amd64", Ready: true,
			Labels:      map[string]string{"topology.kubernetes.io/zone": string(rune('a' + i%3))},
			Allocatable: map[string]string{"cpu": cpu, "memory": memory, "pods": "110", "ephemeral-storage": "100Gi"},
		}
	}
	return nodes
}
