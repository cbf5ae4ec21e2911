package render

import (
	"github.com/appspan-dev/appspan/appmodel"
)

// knativePort is the port of the Service that Knative makes for its own.
const knativePort = 80

// onKnative reports whether a component is a function that Knative runs.
func (b *builder) onKnative(c *appmodel.Component) bool {
	return c.Kind == appmodel.KindFunction && b.serves(knativeServing, "Service")
}

// servicePort is the number under which a component's Service has a port.
func (b *builder) servicePort(c *appmodel.Component, p *appmodel.Port) int {
	if b.onKnative(c) {
		return knativePort
	}
	return p.Number()
}

// functionHost is the host name by which Knative knows the function that a rule
// leads to; empty if it leads elsewhere. Where the rule says another one, or
// leads to several components, the function is not found, so that is a note.
func (b *builder) functionHost(r *appmodel.Route, rule *appmodel.HTTPRule, to []target) string {
	for _, t := range to {
		if !b.onKnative(t.component) {
			continue
		}
		switch {
		case len(to) > 1:
			b.routeNote(r, Warning, ruleAt(rule, "to"), "Knative finds function %s by its host name, which the others must not get; give it a rule of its own", t.component.ID)
		case rule.Rewrite != nil && rule.Rewrite.Host != "":
			b.routeNote(r, Warning, ruleAt(rule, "rewrite.host"), "Knative finds function %s by its host name; leave this out", t.component.ID)
		default:
			return b.name(t.component.ID) + "." + b.in.Namespace + ".svc"
		}
		return ""
	}
	return ""
}
