package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	podresource "k8s.io/component-helpers/resource"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// NodeStatus is one node as it is now.
type NodeStatus struct {
	Name          string            `json:"name"`
	Labels        map[string]string `json:"labels,omitempty"`
	Architecture  string            `json:"architecture,omitempty"`
	OS            string            `json:"os,omitempty"`
	Kubelet       string            `json:"kubelet,omitempty"` // its version
	Ready         bool              `json:"ready"`
	Unschedulable bool              `json:"unschedulable,omitempty"` // cordoned
	// Taints are in kubectl's notation: key=value:effect.
	Taints []string `json:"taints,omitempty"`
	// Problems are the conditions that are not as they should be, in words:
	// "NotReady: kubelet stopped posting node status".
	Problems []string `json:"problems,omitempty"`
	Pods     int      `json:"pods"`
	Capacity Capacity `json:"capacity"`
}

// Inspection is what was found on a cluster.
type Inspection struct {
	// At is when.
	At time.Time `json:"at"`
	// Nodes are sorted by name.
	Nodes []NodeStatus `json:"nodes,omitempty"`
	// Capacity is that of all nodes, with the requests of pods that wait for
	// a node.
	Capacity Capacity `json:"capacity"`
	// Pods are those that are not over; Pending of them have no node.
	Pods    int `json:"pods"`
	Pending int `json:"pending,omitempty"`
	// Unreadable says what the credentials may not read, in words; what would
	// follow from it is left out.
	Unreadable []string `json:"unreadable,omitempty"`
	// Unmeasured says why it is not known what is used, where the cluster
	// should be able to tell.
	Unmeasured string `json:"unmeasured,omitempty"`
}

// Inspect reads the nodes, what runs on them and, where the cluster measures
// it, what they use. What may not be read, and why nothing is measured, is in
// the result; anything else that fails is an error.
func (c *Cluster) Inspect(ctx context.Context) (Inspection, error) {
	var nodes []corev1.Node
	var pods []corev1.Pod
	var usage []driver.Usage
	var podsDenied, nodesDenied bool
	var unmeasured error
	g, limited := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		nodes, err = all[corev1.Node](limited, c, Query{APIVersion: "v1", Kind: "Node", Projection: driver.Trimmed})
		nodesDenied = errors.Is(err, appspan.ErrDenied)
		return unless(nodesDenied, err)
	})
	g.Go(func() (err error) {
		pods, err = all[corev1.Pod](limited, c, Query{APIVersion: "v1", Kind: "Pod", Projection: driver.Trimmed,
			Fields: "status.phase!=Succeeded,status.phase!=Failed"})
		podsDenied = errors.Is(err, appspan.ErrDenied)
		return unless(podsDenied, err)
	})
	g.Go(func() error {
		reader, ok := As[driver.UsageReader](c)
		if !ok {
			return nil
		}
		var err error
		usage, err = reader.Usage(limited)
		if !errors.Is(err, appspan.ErrUnsupported) {
			unmeasured = err // which hides nothing else
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return Inspection{}, err
	}
	out := inspection(nodes, pods, usage)
	out.At = time.Now().UTC()
	if nodesDenied {
		out.Unreadable = append(out.Unreadable, "nodes: the credentials may not list them")
	}
	if podsDenied {
		out.Unreadable = append(out.Unreadable, "pods of all namespaces: the credentials may not list them; what is requested is not known")
	}
	if unmeasured != nil {
		out.Unmeasured = reason(unmeasured)
	}
	return out, nil
}

func unless(excused bool, err error) error {
	if excused {
		return nil
	}
	return err
}

// all lists and decodes.
func all[T any](ctx context.Context, c *Cluster, q Query) ([]T, error) {
	var out []T
	for obj, err := range c.List(ctx, q) {
		if err != nil {
			return nil, err
		}
		var v T
		if err := json.Unmarshal(obj.JSON, &v); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", obj.Ref, appspan.ErrCorrupt, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// inspection adds up what was read.
func inspection(nodes []corev1.Node, pods []corev1.Pod, usage []driver.Usage) Inspection {
	var out Inspection
	requested, count := map[string]sums{}, map[string]int{}
	for i := range pods {
		p := &pods[i]
		out.Pods++
		if p.Spec.NodeName == "" {
			out.Pending++
		}
		if requested[p.Spec.NodeName] == nil {
			requested[p.Spec.NodeName] = sums{}
		}
		requested[p.Spec.NodeName].add(podresource.PodRequests(p, podresource.PodResourcesOptions{}))
		count[p.Spec.NodeName]++
	}
	used := make(map[string]Amounts, len(usage))
	for _, u := range usage {
		used[u.Node] = u.Used
	}
	var totals [4][]Amounts
	for i := range nodes {
		n := nodeStatus(&nodes[i])
		n.Pods = count[n.Name]
		n.Capacity.Requested = sums(requested[n.Name]).amounts()
		n.Capacity.Used = used[n.Name]
		for i, a := range []Amounts{n.Capacity.Total, n.Capacity.Allocatable, n.Capacity.Requested, n.Capacity.Used} {
			totals[i] = append(totals[i], a)
		}
		out.Nodes = append(out.Nodes, n)
	}
	slices.SortFunc(out.Nodes, func(a, b NodeStatus) int { return strings.Compare(a.Name, b.Name) })
	totals[2] = append(totals[2], requested[""].amounts())
	out.Capacity = Capacity{Total: sumOf(totals[0]...), Allocatable: sumOf(totals[1]...), Requested: sumOf(totals[2]...), Used: sumOf(totals[3]...)}
	return out
}

// nodeStatus is what a node says of itself.
func nodeStatus(n *corev1.Node) NodeStatus {
	total, allocatable := sums{}, sums{}
	total.add(n.Status.Capacity)
	allocatable.add(n.Status.Allocatable)
	out := NodeStatus{Name: n.Name, Labels: n.Labels, Architecture: n.Status.NodeInfo.Architecture, OS: n.Status.NodeInfo.OperatingSystem,
		Kubelet: n.Status.NodeInfo.KubeletVersion, Unschedulable: n.Spec.Unschedulable,
		Capacity: Capacity{Total: total.amounts(), Allocatable: allocatable.amounts()}}
	for _, t := range n.Spec.Taints {
		out.Taints = append(out.Taints, t.ToString())
	}
	said := false
	for _, c := range n.Status.Conditions {
		good := corev1.ConditionFalse // pressure and the like
		name := string(c.Type)
		if c.Type == corev1.NodeReady {
			good, said, name = corev1.ConditionTrue, true, "NotReady"
			out.Ready = c.Status == good
		}
		if c.Status != good {
			out.Problems = append(out.Problems, problem(name, string(c.Status), c.Message))
		}
	}
	if !said {
		out.Problems = append(out.Problems, "NotReady: the node has not said that it is ready")
	}
	return out
}

func problem(name, value, message string) string {
	if value == string(corev1.ConditionUnknown) {
		name += " unknown"
	}
	if message == "" {
		return name
	}
	return name + ": " + message
}
