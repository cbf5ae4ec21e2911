package team

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// placement keeps pods on the team's nodes.
func (g *guard) placement(at func(string) string, s corev1.PodSpec) {
	for _, key := range slices.Sorted(maps.Keys(g.allocation.NodePool)) {
		if want := g.allocation.NodePool[key]; s.NodeSelector[key] != want {
			g.refuse(at("nodeSelector"), fmt.Sprintf("pods of the team run on nodes with %s=%s only", key, want), "select them")
		}
	}
	foreign := func(key, value string) bool { return key == LabelTeam && value != g.team.ID }
	for key, value := range s.NodeSelector {
		if foreign(key, value) {
			g.refuse(at("nodeSelector"), fmt.Sprintf("nodes with %s=%s are not the team's", key, value), "select other nodes")
		}
	}
	if a := s.Affinity; a != nil && a.NodeAffinity != nil {
		var terms []corev1.NodeSelectorTerm
		if r := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
			terms = r.NodeSelectorTerms
		}
		for _, p := range a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			terms = append(terms[:len(terms):len(terms)], p.Preference)
		}
		for _, t := range terms {
			for _, e := range append(t.MatchExpressions[:len(t.MatchExpressions):len(t.MatchExpressions)], t.MatchFields...) {
				if e.Key == LabelTeam && !(e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1 && e.Values[0] == g.team.ID) {
					g.refuse(at("affinity"), "it selects nodes by the team that they belong to", "select other nodes")
				}
			}
		}
	}
	for i, t := range s.Tolerations {
		switch {
		case t.Key == "",
			strings.HasPrefix(t.Key, "node-role.kubernetes.io/"),
			t.Key == LabelTeam && (t.Operator == corev1.TolerationOpExists || t.Value != g.team.ID):
			g.refuse(at(fmt.Sprintf("tolerations[%d]", i)), "it lets pods on nodes that are kept for the control plane or for others", "tolerate single taints by name")
		}
	}
}

// neighbours keeps pods from choosing by those of other teams: what is not to be
// beside them is not scheduled there either.
func (g *guard) neighbours(at func(string) string, s corev1.PodSpec) {
	if s.Affinity == nil {
		return
	}
	check := func(field string, terms []corev1.PodAffinityTerm, weighted []corev1.WeightedPodAffinityTerm) {
		for _, w := range weighted {
			terms = append(terms[:len(terms):len(terms)], w.PodAffinityTerm)
		}
		for _, t := range terms {
			foreign := slices.ContainsFunc(t.Namespaces, func(n string) bool { return !g.owns(n) })
			if foreign || t.NamespaceSelector != nil {
				g.refuse(at(field), "it keeps pods of other namespaces away, or follows them", "name namespaces of the team only")
			}
		}
	}
	if a := s.Affinity.PodAffinity; a != nil {
		check("affinity.podAffinity", a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if a := s.Affinity.PodAntiAffinity; a != nil {
		check("affinity.podAntiAffinity", a.RequiredDuringSchedulingIgnoredDuringExecution, a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
}
