package render

import (
	"cmp"
	"maps"
	"slices"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// scheduling says on which nodes the pods may run.
func (p *podWriter) scheduling(spec *corev1.PodSpec) {
	s := p.c.Scheduling
	if s == nil {
		return
	}
	spec.NodeSelector, spec.PriorityClassName = maps.Clone(s.NodeSelector), s.PriorityClass
	for _, t := range s.Tolerations {
		spec.Tolerations = append(spec.Tolerations, toleration(t))
	}
	spec.TopologySpreadConstraints = p.spread(s.Spread)
	spec.Affinity = architectures(s.Architectures)
}

func toleration(t appmodel.Toleration) corev1.Toleration {
	out := corev1.Toleration{Key: t.Key, Operator: corev1.TolerationOperator(t.Operator), Value: t.Value, Effect: corev1.TaintEffect(t.Effect)}
	if t.Duration != 0 {
		n := int64(seconds(t.Duration))
		out.TolerationSeconds = &n
	}
	return out
}

// spread distributes the pods over zones, nodes or the values of a label.
func (p *podWriter) spread(list []appmodel.Spread) []corev1.TopologySpreadConstraint {
	var out []corev1.TopologySpreadConstraint
	for _, s := range list {
		key := map[string]string{"zone": corev1.LabelTopologyZone, "node": corev1.LabelHostname}[s.Over]
		when := corev1.ScheduleAnyway
		if s.Required {
			when = corev1.DoNotSchedule
		}
		out = append(out, corev1.TopologySpreadConstraint{MaxSkew: int32(s.MaxSkew), TopologyKey: cmp.Or(key, s.Over), WhenUnsatisfiable: when,
			LabelSelector: &metav1.LabelSelector{MatchLabels: p.b.selector(p.c.ID)}})
	}
	slices.SortFunc(out, func(x, y corev1.TopologySpreadConstraint) int { return cmp.Compare(x.TopologyKey, y.TopologyKey) })
	return out
}

// architectures keeps the pods on nodes that the image runs on.
func architectures(names []string) *corev1.Affinity {
	if len(names) == 0 {
		return nil
	}
	term := corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{
		Key: corev1.LabelArchStable, Operator: corev1.NodeSelectorOpIn, Values: slices.Sorted(slices.Values(names))}}}
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{term}}}}
}
