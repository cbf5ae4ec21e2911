package render

import (
	"cmp"

	"github.com/appspan-dev/appspan/appmodel"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// disruption bounds voluntary disruptions: as the document says, or to one
// replica at a time from two replicas on.
func (b *builder) disruption(c *appmodel.Component) {
	if c.Kind != appmodel.KindService && c.Kind != appmodel.KindStateful && c.Kind != appmodel.KindFunction {
		return
	}
	spec := policyv1.PodDisruptionBudgetSpec{Selector: b.labelSelector(c)}
	switch d := c.Disruption; {
	case d != nil && d.MinAvailable != "":
		spec.MinAvailable = given(d.MinAvailable)
	case d != nil && d.MaxUnavailable != "":
		spec.MaxUnavailable = given(d.MaxUnavailable)
	case bare(c) || leastReplicas(c) < 2:
		return
	default:
		one := intstr.FromInt32(1)
		spec.MaxUnavailable = &one
	}
	b.add(&policyv1.PodDisruptionBudget{TypeMeta: tm("policy/v1", "PodDisruptionBudget"), ObjectMeta: b.meta(cmp.Or(pinnedNames(c).Disruption, b.name(c.ID)), c), Spec: spec},
		Object{Component: c.ID, Phase: PhaseNetwork})
}

// leastReplicas is how many replicas there are at least.
func leastReplicas(c *appmodel.Component) int {
	if c.Scale == nil {
		return 1
	}
	if a := c.Scale.Auto; a != nil {
		if a.Min == nil {
			return 1
		}
		return *a.Min
	}
	return firstReplicas(c)
}
