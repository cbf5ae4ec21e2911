package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/appspan-dev/appspan"
)

// Usage is what an application's replicas use on one cluster. What is not
// known is not there: it is never zero.
type Usage struct {
	Cluster string `json:"cluster"`
	// Replicas are those that were measured, by component and pod.
	Replicas []ReplicaUsage `json:"replicas,omitempty"`
	// Unmeasured are pods of which there is no measurement, as of those that
	// have just started.
	Unmeasured []string `json:"unmeasured,omitempty"`
	// Error is why nothing is known of the cluster; Unsupported, that it
	// measures nothing.
	Error       string `json:"error,omitempty"`
	Unsupported bool   `json:"unsupported,omitempty"`
}

// ReplicaUsage is what one replica uses.
type ReplicaUsage struct {
	Component string `json:"component"`
	Pod       string `json:"pod"`
	// MilliCPU is thousandths of a CPU over Window; Memory is bytes.
	MilliCPU int64         `json:"milliCPU"`
	Memory   int64         `json:"memory"`
	Measured time.Time     `json:"measured"`
	Window   time.Duration `json:"window"`
}

// Component sums the measured replicas of a component; an empty id, of all.
// Measured is how many there are.
func (u Usage) Component(id string) (milliCPU, memory int64, measured int) {
	for _, r := range u.Replicas {
		if id == "" || r.Component == id {
			milliCPU, memory, measured = milliCPU+r.MilliCPU, memory+r.Memory, measured+1
		}
	}
	return milliCPU, memory, measured
}

// podMetrics is the kind that metrics servers serve.
var podMetrics = kindRef{"metrics.k8s.io/v1beta1", "PodMetrics"}

// Usage reads the CPU and memory that the replicas of an application use on the
// clusters of a target, in the target's order, where metrics.k8s.io is served.
// The error is about the call; no cluster's failure is one.
func (d *Deployer) Usage(ctx context.Context, application string, to Target) ([]Usage, error) {
	to, err := d.reading(ctx, application, to)
	if err != nil {
		return nil, err
	}
	out := make([]Usage, len(to.Clusters))
	var wg sync.WaitGroup
	for i, name := range to.Clusters {
		wg.Go(func() {
			var err error
			if out[i], err = d.usageOn(ctx, application, to, name); err != nil {
				out[i] = Usage{Error: err.Error(), Unsupported: out[i].Unsupported}
			}
			out[i].Cluster = name
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return out, nil
}

func (d *Deployer) usageOn(ctx context.Context, application string, to Target, name string) (u Usage, err error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	c, err := d.clusters.Cluster(ctx, name)
	if err != nil {
		return u, err
	}
	info, err := c.Info(ctx)
	if err != nil {
		return u, err
	}
	if !info.Has(podMetrics.APIVersion, podMetrics.Kind) {
		return Usage{Unsupported: true}, fmt.Errorf("%w: the cluster does not serve metrics.k8s.io; install a metrics server", appspan.ErrUnsupported)
	}
	s := d.scopeOf(application, to)
	pods, err := d.podsOf(ctx, c, s)
	if err != nil {
		return u, err
	}
	queries, _, err := d.podQueries(ctx, c, s)
	if err != nil {
		return u, err
	}
	measured := map[string]ReplicaUsage{}
	for _, q := range queries {
		for obj, err := range c.List(ctx, q.query(podMetrics.APIVersion, podMetrics.Kind, to.Namespace)) {
			if err != nil {
				return u, err
			}
			if r, ok := readMetrics(obj.JSON); ok && len(measured) < maxPods {
				measured[obj.Name] = r
			}
		}
	}
	for _, p := range pods {
		r, known := measured[p.Name]
		if !known || r.Measured.Before(p.CreationTimestamp.Time) { // a namesake that is gone
			u.Unmeasured = append(u.Unmeasured, p.Name)
			continue
		}
		r.Component, r.Pod = p.component, p.Name
		u.Replicas = append(u.Replicas, r)
	}
	slices.SortFunc(u.Replicas, func(a, b ReplicaUsage) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Pod, b.Pod))
	})
	return u, nil
}

// readMetrics sums the containers of a measurement. One that lacks a quantity
// is none.
func readMetrics(data json.RawMessage) (ReplicaUsage, bool) {
	var m struct {
		Timestamp  time.Time `json:"timestamp"`
		Window     string    `json:"window"`
		Containers []struct {
			Usage struct {
				CPU    *resource.Quantity `json:"cpu"`
				Memory *resource.Quantity `json:"memory"`
			} `json:"usage"`
		} `json:"containers"`
	}
	if json.Unmarshal(data, &m) != nil || len(m.Containers) == 0 {
		return ReplicaUsage{}, false
	}
	r := ReplicaUsage{Measured: m.Timestamp.UTC()}
	r.Window, _ = time.ParseDuration(m.Window)
	for _, k := range m.Containers {
		if k.Usage.CPU == nil || k.Usage.Memory == nil {
			return ReplicaUsage{}, false
		}
		r.MilliCPU += k.Usage.CPU.MilliValue()
		r.Memory += k.Usage.Memory.Value()
	}
	return r, true
}
