package cluster

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Amounts are quantities by resource name ("cpu", "memory",
// "nvidia.com/gpu"), in Kubernetes' notation.
type Amounts map[string]string

// Capacity is how much of each resource there is.
type Capacity struct {
	// Total is what the machines have.
	Total Amounts `json:"total,omitempty"`
	// Allocatable is what pods can have of it.
	Allocatable Amounts `json:"allocatable,omitempty"`
	// Requested is what pods that are not over have asked for.
	Requested Amounts `json:"requested,omitempty"`
	// Used is what is measured to be used; nil where nothing measures.
	Used Amounts `json:"used,omitempty"`
}

// sums adds up resources by name.
type sums map[corev1.ResourceName]resource.Quantity

func (s sums) add(list map[corev1.ResourceName]resource.Quantity) {
	for name, q := range list {
		have := s[name]
		have.Add(q)
		s[name] = have
	}
}

// addAmounts adds quantities in text; what does not parse counts as nothing.
func (s sums) addAmounts(list map[string]string) {
	for name, text := range list {
		if q, err := resource.ParseQuantity(text); err == nil {
			s.add(map[corev1.ResourceName]resource.Quantity{corev1.ResourceName(name): q})
		}
	}
}

func (s sums) amounts() Amounts {
	if s == nil {
		return nil
	}
	out := make(Amounts, len(s))
	for name, q := range s {
		out[string(name)] = q.String()
	}
	return out
}

// sumOf adds up amounts.
func sumOf(all ...Amounts) Amounts {
	total, known := sums{}, false
	for _, a := range all {
		known = known || a != nil
		total.addAmounts(a)
	}
	if !known {
		return nil
	}
	return total.amounts()
}

// Headroom is what can still be requested: Allocatable less Requested, and
// never less than nothing.
func (c Capacity) Headroom() Amounts {
	free := sums{}
	free.addAmounts(c.Allocatable)
	for name, text := range maps.All(c.Requested) {
		have, ok := free[corev1.ResourceName(name)]
		q, err := resource.ParseQuantity(text)
		if !ok || err != nil {
			continue
		}
		if have.Sub(q); have.Sign() < 0 {
			have = resource.Quantity{Format: have.Format}
		}
		free[corev1.ResourceName(name)] = have
	}
	return free.amounts()
}
