package render

import (
	"cmp"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	netv1 "k8s.io/api/networking/v1"
)

const nginxController = "k8s.io/ingress-nginx"

// ingress renders an HTTP route as an Ingress.
func (b *builder) ingress(r *appmodel.Route) {
	ing := &netv1.Ingress{TypeMeta: tm("networking.k8s.io/v1", "Ingress"), ObjectMeta: b.routeMeta(r)}
	class, controller := b.ingressClass(r)
	if class != "" {
		ing.Spec.IngressClassName = &class
	}
	hosts := b.routeHosts(r, r.HTTP.Hosts)
	if secret, annotations := b.certificate(r); secret != "" {
		ing.Spec.TLS = []netv1.IngressTLS{{Hosts: hosts, SecretName: secret}}
		for k, v := range annotations {
			ing.Annotations = put(ing.Annotations, k, v)
		}
	}
	var paths []netv1.HTTPIngressPath
	for i := range r.HTTP.Rules {
		rule := &r.HTTP.Rules[i]
		if path, ok := b.ingressPath(r, rule, controller); ok {
			paths = append(paths, path)
		}
		extra := b.ruleAnnotations(r, rule, controller)
		if len(extra) > 0 && len(r.HTTP.Rules) > 1 {
			b.routeNote(r, "http.rules["+rule.Name+"]", "an Ingress has one set of annotations: what this rule asks for beside host and path holds for all rules; make it a route of its own")
		}
		for k, v := range extra {
			if old, set := ing.Annotations[k]; set && old != v {
				b.routeNote(r, "http.rules["+rule.Name+"]", "an Ingress has one %s for all rules: %s", k, old)
				continue
			}
			ing.Annotations = put(ing.Annotations, k, v)
		}
	}
	if len(paths) == 0 {
		return
	}
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, h := range hosts {
		ing.Spec.Rules = append(ing.Spec.Rules, netv1.IngressRule{Host: h, IngressRuleValue: netv1.IngressRuleValue{HTTP: &netv1.HTTPIngressRuleValue{Paths: paths}}})
	}
	b.add(ing, Object{Route: r.ID, Phase: PhaseNetwork})
}

// ingressClass is the class that the route asks for and its controller; empty
// leaves it to the cluster's default.
func (b *builder) ingressClass(r *appmodel.Route) (class, controller string) {
	for _, c := range b.in.Info.IngressClasses {
		if c.Name == r.Class || r.Class == "" && c.Default {
			return r.Class, c.Controller
		}
	}
	if strings.Contains(r.Class, "/") {
		b.routeNote(r, "class", "the cluster has no gateway %q; an Ingress of the default class takes its place", r.Class)
		return "", ""
	}
	if r.Class != "" {
		b.routeNote(r, "class", "the cluster has no ingress class %q", r.Class)
	} else {
		b.routeNote(r, "http", "the cluster has no default ingress class; nothing serves the route until it has")
	}
	return r.Class, ""
}

// ingressPath is one rule of the route; of several backends the heaviest.
func (b *builder) ingressPath(r *appmodel.Route, rule *appmodel.HTTPRule, controller string) (netv1.HTTPIngressPath, bool) {
	to := rule.To[0]
	for _, t := range rule.To[1:] {
		if weight(t) > weight(to) {
			to = t
		}
	}
	if len(rule.To) > 1 {
		b.routeNote(r, "http.rules["+rule.Name+"].to", "an Ingress knows no weights; all requests go to %s", to.Component)
	}
	c, p := b.backend(r, to)
	if c == nil {
		return netv1.HTTPIngressPath{}, false
	}
	kind := netv1.PathTypePrefix
	switch rule.Match {
	case "exact":
		kind = netv1.PathTypeExact
	case "regex":
		kind = netv1.PathTypeImplementationSpecific
	}
	return netv1.HTTPIngressPath{Path: rule.Path, PathType: &kind, Backend: netv1.IngressBackend{
		Service: &netv1.IngressServiceBackend{Name: b.serviceName(c), Port: netv1.ServiceBackendPort{Number: int32(p.Number())}}}}, true
}

func weight(t appmodel.Backend) int {
	if t.Weight == nil {
		return 1
	}
	return *t.Weight
}

// ruleAnnotations say to a controller that is known what an Ingress cannot; to
// another one they would say nothing, so that is a note.
func (b *builder) ruleAnnotations(r *appmodel.Route, rule *appmodel.HTTPRule, controller string) map[string]string {
	const prefix = "nginx.ingress.kubernetes.io/"
	out := map[string]string{}
	path := "http.rules[" + rule.Name + "]."
	for name, used := range map[string]bool{"method": rule.Method != "", "headers": len(rule.Headers) > 0, "cookies": len(rule.Cookies) > 0} {
		if used {
			b.routeNote(r, path+name, "an Ingress cannot match by it; the rule matches without")
		}
	}
	if rule.Match == "regex" {
		out[prefix+"use-regex"] = "true"
	}
	if rule.MaxBodySize != "" {
		if q, err := rule.MaxBodySize.Parse(); err == nil {
			out[prefix+"proxy-body-size"] = strconv.FormatInt(q.Value(), 10)
		}
	}
	if t := rule.Timeouts; t != nil {
		for name, d := range map[string]appmodel.Duration{"proxy-connect-timeout": t.Connect, "proxy-read-timeout": cmp.Or(t.Backend, t.Request)} {
			if d > 0 {
				out[prefix+name] = strconv.Itoa(max(1, int(time.Duration(d).Seconds())))
			}
		}
	}
	if w := rule.Rewrite; w != nil {
		switch {
		case w.Path != "":
			out[prefix+"rewrite-target"] = w.Path
		case w.Prefix != "" && w.Prefix != rule.Path:
			b.routeNote(r, path+"rewrite", "an Ingress cannot replace a prefix; the component sees the whole path")
		}
		if w.Host != "" {
			out[prefix+"upstream-vhost"] = w.Host
		}
	}
	if rule.SessionAffinity == "cookie" {
		out[prefix+"affinity"] = "cookie"
	}
	if rule.SessionAffinity == "clientIP" {
		out[prefix+"upstream-hash-by"] = "$remote_addr"
	}
	if len(out) > 0 && controller != nginxController {
		b.routeNote(r, path[:len(path)-1], "what the rule asks for beside host and path is not known to work with the cluster's ingress controller; it is left out")
		return nil
	}
	return maps.Clone(out)
}
