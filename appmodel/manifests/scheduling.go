package manifests

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/appspan-dev/appspan/appmodel"
)

// scheduling reads on which nodes pods may run.
func (p *part) scheduling() {
	if p.obj.skip["scheduling"] != "" {
		return
	}
	s, at := appmodel.Scheduling{}, p.at+".scheduling"
	if sel := p.pod.get("nodeSelector"); len(sel.entries()) > 0 {
		s.NodeSelector = sel.texts()
		for _, f := range sel.fields {
			f.take(at + ".nodeSelector[" + f.key + "]")
		}
	}
	for i, t := range p.pod.get("tolerations").list() {
		to := fmt.Sprintf("%s.tolerations[#%d]", at, i+1)
		x := appmodel.Toleration{Key: t.get("key").str(to + ".key"), Operator: t.get("operator").str(to + ".operator"), Value: t.get("value").str(to + ".value"), Effect: t.get("effect").str(to + ".effect")}
		if n := t.get("tolerationSeconds"); n.count() > 0 {
			x.Duration = seconds(n.num(to + ".duration"))
		}
		s.Tolerations = append(s.Tolerations, x)
	}
	for _, c := range p.pod.get("topologySpreadConstraints").list() {
		key := c.get("topologyKey").text()
		over := map[string]string{corev1.LabelTopologyZone: "zone", corev1.LabelHostname: "node"}[key]
		if over == "" {
			over = key
		}
		plain := maps.Equal(c.get("labelSelector", "matchLabels").texts(), p.selector) && len(c.get("labelSelector").entries()) == 1 && p.kubernetes.Selector != nil &&
			(c.get("whenUnsatisfiable").is("DoNotSchedule") || c.get("whenUnsatisfiable").is("ScheduleAnyway"))
		for _, f := range c.entries() {
			plain = plain && slices.Contains([]string{"topologyKey", "maxSkew", "whenUnsatisfiable", "labelSelector"}, f.key)
		}
		if !plain || slices.ContainsFunc(s.Spread, func(x appmodel.Spread) bool { return x.Over == over }) {
			continue
		}
		c.take(at + ".spread[" + over + "]")
		s.Spread = append(s.Spread, appmodel.Spread{Over: over, MaxSkew: int(c.get("maxSkew").count()), Required: c.get("whenUnsatisfiable").is("DoNotSchedule")})
	}
	s.PriorityClass = p.pod.get("priorityClassName").str(at + ".priorityClass")
	if s.NodeSelector != nil || len(s.Tolerations)+len(s.Spread) > 0 || s.PriorityClass != "" {
		p.comp.Scheduling = &s
	}
}
