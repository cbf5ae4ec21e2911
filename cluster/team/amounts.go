package team

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
)

// The resources that a quota can bound, beside extended ones, which are named
// as nodes name them: "nvidia.com/gpu".
const (
	ResourceCPU           = "cpu"                    // requests of CPU
	ResourceMemory        = "memory"                 // requests of memory
	ResourceEphemeral     = "ephemeral-storage"      // requests of local disk
	ResourceStorage       = "storage"                // requests of volume claims
	ResourceClaims        = "persistentvolumeclaims" // their number
	ResourcePods          = "pods"                   // at the same time
	ResourceLoadBalancers = "services.loadbalancers" // Services of that type
)

// quantities are amounts that can be computed with.
type quantities map[string]resource.Quantity

// parse reads amounts; the first that is wrong is appspan.ErrInvalid.
func parse(path string, a cluster.Amounts) (quantities, error) {
	out := make(quantities, len(a))
	for _, name := range slices.Sorted(maps.Keys(a)) {
		q, err := resource.ParseQuantity(a[name])
		switch {
		case !countable(name):
			return nil, fmt.Errorf("%s[%s]: %w: no resource that a quota can bound; those are cpu, memory, ephemeral-storage, storage, persistentvolumeclaims, pods, services.loadbalancers, and extended ones such as example.com/gpu", path, name, appspan.ErrInvalid)
		case err != nil || q.Sign() < 0:
			return nil, fmt.Errorf("%s[%s]: %w: %q is no amount; write 500m, 2, 512Mi or 10Gi", path, name, appspan.ErrInvalid, a[name])
		}
		out[name] = q
	}
	return out, nil
}

// countable reports whether a quota can bound a resource.
func countable(name string) bool {
	switch name {
	case ResourceCPU, ResourceMemory, ResourceEphemeral, ResourceStorage, ResourceClaims, ResourcePods, ResourceLoadBalancers:
		return true
	}
	domain, rest, ok := strings.Cut(name, "/")
	return ok && domain != "" && rest != "" && domain != "kubernetes.io" && len(name) <= 253
}

// ofPods reports whether it is pods that ask for a resource.
func ofPods(name string) bool {
	switch name {
	case ResourceStorage, ResourceClaims, ResourceLoadBalancers:
		return false
	}
	return true
}

// quotaName is a resource as a ResourceQuota names it.
func quotaName(name string) string {
	switch name {
	case ResourceClaims, ResourcePods, ResourceLoadBalancers:
		return name
	}
	return "requests." + name
}

func (q quantities) amounts() cluster.Amounts {
	out := make(cluster.Amounts, len(q))
	for name, v := range q {
		out[name] = v.String()
	}
	return out
}

// add adds what is in more, n times.
func (q quantities) add(more quantities, n int64) {
	for name, v := range more {
		have, product := q[name], v.DeepCopy()
		if n != 1 {
			product.Mul(n)
		}
		have.Add(product)
		q[name] = have
	}
}

// max makes every resource the greater of what it is and what it is in other.
func (q quantities) max(other quantities) {
	for name, v := range other {
		if have, ok := q[name]; !ok || v.Cmp(have) > 0 {
			q[name] = v
		}
	}
}

// minus is q less what is used, never less than nothing; resources that q does
// not have are left out.
func (q quantities) minus(used quantities) quantities {
	out := make(quantities, len(q))
	for name, v := range q {
		free := v.DeepCopy()
		if u, ok := used[name]; ok {
			free.Sub(u)
		}
		if free.Sign() < 0 {
			free = resource.Quantity{Format: v.Format}
		}
		out[name] = free
	}
	return out
}

// mustParse is parse for what was validated when it was stored; what does not
// parse counts as nothing.
func mustParse(a cluster.Amounts) quantities {
	out := make(quantities, len(a))
	for name, text := range a {
		if v, err := resource.ParseQuantity(text); err == nil {
			out[name] = v
		}
	}
	return out
}

func one() resource.Quantity { return *resource.NewQuantity(1, resource.DecimalSI) }
