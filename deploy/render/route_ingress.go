package render

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nginxController is the one whose annotations are known here.
const nginxController = "k8s.io/ingress-nginx"

// ingressRule is a rule as an Ingress has it: what it says in annotations
// holds for a whole Ingress.
type ingressRule struct {
	rule        *appmodel.HTTPRule
	path        netv1.HTTPIngressPath
	annotations map[string]string
	// canary says which requests go to another target, if any do.
	canary map[string]string
	other  target
}

// ingress renders an HTTP route as an Ingress; ingress-nginx gets one more for
// each set of annotations that rules ask for, and for each canary.
func (b *builder) ingress(r *appmodel.Route, hosts []string) {
	class, controller := b.ingressClass(r)
	rules := b.ingressRules(r, controller == nginxController)
	if len(rules) == 0 {
		return
	}
	type group struct {
		annotations map[string]string
		paths       []netv1.HTTPIngressPath
		suffix      string
	}
	var groups []*group
next:
	for _, x := range rules {
		for _, g := range groups {
			if maps.Equal(g.annotations, x.annotations) {
				g.paths = append(g.paths, x.path)
				continue next
			}
		}
		g := &group{annotations: x.annotations, paths: []netv1.HTTPIngressPath{x.path}}
		if len(groups) > 0 {
			g.suffix = ruleSuffix(x.rule)
		}
		groups = append(groups, g)
	}
	for i, g := range groups {
		ing := b.newIngress(r, class, hosts, g.suffix, g.paths, g.annotations)
		if i == 0 { // a certificate is the host's: one Ingress has it
			if secret, annotations := b.certificate(r); secret != "" {
				ing.Spec.TLS = []netv1.IngressTLS{{Hosts: hosts, SecretName: secret}}
				b.annotate(r, &ing.ObjectMeta, annotations)
			}
		}
		b.add(ing, Object{Route: r.ID, Phase: PhaseNetwork})
	}
	for i, x := range rules {
		if x.canary == nil {
			continue
		}
		suffix := "-canary"
		if i > 0 {
			suffix = ruleSuffix(x.rule) + suffix
		}
		path := x.path
		path.Backend = b.ingressBackend(x.other)
		b.add(b.newIngress(r, class, hosts, suffix, []netv1.HTTPIngressPath{path}, x.canary), Object{Route: r.ID, Phase: PhaseNetwork})
	}
}

// ruleSuffix tells the objects of a rule from those of the route's others.
func ruleSuffix(rule *appmodel.HTTPRule) string {
	sum := sha256.Sum256([]byte(rule.Name))
	return "-" + hex.EncodeToString(sum[:4])
}

// newIngress is an Ingress with the same paths for each host.
func (b *builder) newIngress(r *appmodel.Route, class string, hosts []string, suffix string, paths []netv1.HTTPIngressPath, annotations map[string]string) *netv1.Ingress {
	ing := &netv1.Ingress{TypeMeta: tm("networking.k8s.io/v1", "Ingress"), ObjectMeta: b.routeMeta(r, suffix)}
	b.annotate(r, &ing.ObjectMeta, annotations)
	if class != "" {
		ing.Spec.IngressClassName = &class
	}
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, h := range hosts {
		ing.Spec.Rules = append(ing.Spec.Rules, netv1.IngressRule{Host: h, IngressRuleValue: netv1.IngressRuleValue{HTTP: &netv1.HTTPIngressRuleValue{Paths: paths}}})
	}
	return ing
}

// annotate adds annotations beside those of the author, which win.
func (b *builder) annotate(r *appmodel.Route, meta *metav1.ObjectMeta, annotations map[string]string) {
	for k, v := range annotations {
		if own, set := meta.Annotations[k]; set && own != v {
			b.routeNote(r, Warning, "annotations["+k+"]", "says %q where the route's other fields ask for %q; the annotation holds", own, v)
			continue
		}
		meta.Annotations = put(meta.Annotations, k, v)
	}
}

// ingressClass is the class that the route asks for and its controller; empty
// leaves it to the cluster's default.
func (b *builder) ingressClass(r *appmodel.Route) (class, controller string) {
	asked := r.Class
	if strings.Contains(asked, "/") {
		b.routeNote(r, Warning, "class", "the cluster has no gateway %q with a listener for the route; an Ingress of the default class takes its place", asked)
		asked = ""
	}
	for _, c := range b.in.Info.IngressClasses {
		if c.Name == asked || asked == "" && c.Default {
			return asked, c.Controller
		}
	}
	if asked != "" {
		b.routeNote(r, Warning, "class", "the cluster has no ingress class %q; nothing serves the route until it has", asked)
	} else {
		b.routeNote(r, Warning, "http", "the cluster has no default ingress class; nothing serves the route until it has")
	}
	return asked, ""
}

// ingressRules are the rules that an Ingress can have. One that matches by
// more than host and path is left out, as without that it would let in too
// much; unless it is a canary of another rule.
func (b *builder) ingressRules(r *appmodel.Route, nginx bool) []*ingressRule {
	var rules []*ingressRule
	var later []*appmodel.HTTPRule
	for i := range r.HTTP.Rules {
		rule := &r.HTTP.Rules[i]
		if rule.Method != "" || len(rule.Headers) > 0 || len(rule.Cookies) > 0 {
			later = append(later, rule)
			continue
		}
		if x := b.ingressRule(r, rule, nginx); x != nil {
			rules = append(rules, x)
		}
	}
	if nginx {
		b.nginxExpressions(r, rules)
	}
	for _, rule := range later {
		if nginx && b.headerCanary(r, rule, rules) {
			continue
		}
		for _, by := range []struct {
			field string
			used  bool
		}{{"method", rule.Method != ""}, {"headers", len(rule.Headers) > 0}, {"cookies", len(rule.Cookies) > 0}} {
			if by.used {
				b.routeNote(r, Warning, ruleAt(rule, by.field), "the cluster's Ingress cannot match by it; the rule is left out, so that it does not match more than it says")
			}
		}
	}
	return rules
}

// ingressRule is one rule that matches by host and path; nil if it leads
// nowhere.
func (b *builder) ingressRule(r *appmodel.Route, rule *appmodel.HTTPRule, nginx bool) *ingressRule {
	to := b.targets(r, ruleAt(rule, "to"), rule.To)
	if len(to) == 0 {
		return nil
	}
	kind, path := netv1.PathTypePrefix, rule.Path
	switch rule.Match {
	case "exact":
		kind = netv1.PathTypeExact
	case "regex": // it begins where the path begins
		kind, path = netv1.PathTypeImplementationSpecific, strings.TrimPrefix(rule.Path, "^")
		if !strings.HasPrefix(path, "/") {
			b.routeNote(r, Warning, ruleAt(rule, "path"), "the path of an Ingress begins with /; the rule is left out")
			return nil
		}
	}
	x := &ingressRule{rule: rule, path: netv1.HTTPIngressPath{Path: path, PathType: &kind}}
	main, instead := heaviest(to)
	host := b.functionHost(r, rule, to)
	if nginx {
		b.nginxRule(r, x)
		if host != "" {
			x.annotations[nginxPrefix+"upstream-vhost"] = host
		}
	} else {
		b.ingressLacks(r, rule)
		if host != "" {
			b.routeNote(r, Warning, ruleAt(rule, "to"), "Knative finds function %s by the host name %s, which the cluster's ingress controller has to be told to send", main.component.ID, host)
		}
	}
	switch {
	case nginx && len(to) == 2: // the first stays what it is while the weights shift
		main, x.other = to[0], to[1]
		x.canary = nginxCanary(x, to[0].share(), to[1].share())
	case nginx && len(to) > 2:
		b.routeNote(r, Warning, ruleAt(rule, "to"), "ingress-nginx shares requests between two components, not %d; %s", len(to), instead)
	case len(to) > 1:
		b.routeNote(r, Warning, ruleAt(rule, "to"), "the cluster's Ingress is not known to share requests by weight; %s", instead)
	}
	x.path.Backend = b.ingressBackend(main)
	if protocol := nginxProtocol(main.port.AppProtocol); protocol != "" && nginx {
		x.annotations[nginxPrefix+"backend-protocol"] = protocol
	} else if protocol != "" {
		b.routeNote(r, Warning, ruleAt(rule, "to"), "component %s speaks %s, which the cluster's ingress controller may have to be told by annotations", main.component.ID, protocol)
	}
	return x
}

func (b *builder) ingressBackend(t target) netv1.IngressBackend {
	return netv1.IngressBackend{Service: &netv1.IngressServiceBackend{Name: b.serviceName(t.component), Port: netv1.ServiceBackendPort{Number: int32(b.servicePort(t.component, t.port))}}}
}

// ingressLacks tells what an Ingress cannot say without its controller's
// annotations.
func (b *builder) ingressLacks(r *appmodel.Route, rule *appmodel.HTTPRule) {
	t := rule.Timeouts
	if t == nil {
		t = &appmodel.RouteTimeouts{}
	}
	w := rule.Rewrite
	if w == nil {
		w = &appmodel.Rewrite{}
	}
	for _, x := range []struct {
		field string
		used  bool
	}{
		{"match", rule.Match == "regex"},
		{"maxBodySize", rule.MaxBodySize != ""},
		{"timeouts.connect", t.Connect > 0},
		{"timeouts.request", t.Request > 0},
		{"timeouts.backend", t.Backend > 0},
		{"rewrite.prefix", w.Prefix != "" && w.Prefix != rule.Path},
		{"rewrite.path", w.Path != ""},
		{"rewrite.host", w.Host != ""},
		{"sessionAffinity", rule.SessionAffinity == "cookie" || rule.SessionAffinity == "clientIP"},
		{"webSocket", rule.WebSocket},
	} {
		if x.used {
			b.routeNote(r, Warning, ruleAt(rule, x.field), "an Ingress cannot say it, and how the cluster's ingress controller is told is not known; it is left to the controller, or to annotations of the route")
		}
	}
}
