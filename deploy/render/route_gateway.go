package render

import (
	"regexp"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	gatewayVersion = "gateway.networking.k8s.io/v1"
	gatewayAlpha   = "gateway.networking.k8s.io/v1alpha2"
)

// The routes of the Gateway API, as far as they are used here.
type gatewayRoute struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              gatewayRouteSpec `json:"spec"`
}

type gatewayRouteSpec struct {
	ParentRefs []parentRef   `json:"parentRefs"`
	Hostnames  []string      `json:"hostnames,omitempty"`
	Rules      []gatewayRule `json:"rules"`
}

type parentRef struct {
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	SectionName string `json:"sectionName,omitempty"`
}

type gatewayRule struct {
	Matches     []gatewayMatch   `json:"matches,omitempty"`
	Filters     []gatewayFilter  `json:"filters,omitempty"`
	BackendRefs []backendRef     `json:"backendRefs"`
	Timeouts    *gatewayTimeouts `json:"timeouts,omitempty"`
}

type gatewayMatch struct {
	Path    *typedValue   `json:"path,omitempty"`
	Method  string        `json:"method,omitempty"`
	Headers []headerMatch `json:"headers,omitempty"`
}

type typedValue struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

type headerMatch struct {
	Type  string `json:"type,omitempty"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

type gatewayFilter struct {
	Type       string      `json:"type"`
	URLRewrite *urlRewrite `json:"urlRewrite,omitempty"`
}

type urlRewrite struct {
	Hostname string       `json:"hostname,omitempty"`
	Path     *rewritePath `json:"path,omitempty"`
}

type rewritePath struct {
	Type               string `json:"type"`
	ReplaceFullPath    string `json:"replaceFullPath,omitempty"`
	ReplacePrefixMatch string `json:"replacePrefixMatch,omitempty"`
}

type backendRef struct {
	Name   string `json:"name"`
	Port   int    `json:"port"`
	Weight *int   `json:"weight,omitempty"`
}

type gatewayTimeouts struct {
	Request        string `json:"request,omitempty"`
	BackendRequest string `json:"backendRequest,omitempty"`
}

// listener is where a route is attached.
type listener struct {
	gateway driver.Gateway
	section string
}

// gateway finds where a route is attached: to the gateway that its class
// names, "namespace/name", or to the first with a listener of a protocol.
func (b *builder) gateway(r *appmodel.Route, protocols ...string) *listener {
	if slices.ContainsFunc(b.in.Info.IngressClasses, func(c driver.IngressClass) bool { return c.Name == r.Class }) {
		return nil // it asks for an ingress class
	}
	for _, g := range b.in.Info.Gateways {
		if strings.Contains(r.Class, "/") && r.Class != g.Namespace+"/"+g.Name {
			continue
		}
		for _, l := range g.Listeners {
			if slices.Contains(protocols, l.Protocol) {
				section := ""
				if l.Protocol != "HTTP" && l.Protocol != "HTTPS" {
					section = l.Name
				}
				return &listener{gateway: g, section: section}
			}
		}
	}
	return nil
}

func (l *listener) parents() []parentRef {
	return []parentRef{{Namespace: l.gateway.Namespace, Name: l.gateway.Name, SectionName: l.section}}
}

// httpRoute renders an HTTP route for a gateway.
func (b *builder) httpRoute(r *appmodel.Route, l *listener) {
	route := &gatewayRoute{TypeMeta: tm(gatewayVersion, "HTTPRoute"), ObjectMeta: b.routeMeta(r)}
	route.Spec.ParentRefs, route.Spec.Hostnames = l.parents(), b.routeHosts(r, r.HTTP.Hosts)
	if r.HTTP.TLS != nil && !slices.ContainsFunc(l.gateway.Listeners, func(l driver.Listener) bool { return l.Protocol == "HTTPS" }) {
		b.routeNote(r, "http.tls", "gateway %s/%s has no HTTPS listener; certificates are the gateway's", l.gateway.Namespace, l.gateway.Name)
	}
	for i := range r.HTTP.Rules {
		rule := &r.HTTP.Rules[i]
		refs := b.backendRefs(r, rule.To)
		if len(refs) == 0 {
			continue
		}
		route.Spec.Rules = append(route.Spec.Rules, gatewayRule{Matches: []gatewayMatch{match(rule)}, Filters: rewrite(rule), BackendRefs: refs, Timeouts: timeouts(rule)})
		for name, used := range map[string]bool{"maxBodySize": rule.MaxBodySize != "", "sessionAffinity": rule.SessionAffinity != "none" && rule.SessionAffinity != ""} {
			if used {
				b.routeNote(r, "http.rules["+rule.Name+"]."+name, "an HTTPRoute cannot say it; it is left to the gateway's own policies")
			}
		}
	}
	if len(route.Spec.Rules) > 0 {
		b.add(route, Object{Route: r.ID, Phase: PhaseNetwork})
	}
}

// match is what a rule matches; cookies are matched in their header.
func match(rule *appmodel.HTTPRule) gatewayMatch {
	kinds := map[string]string{"exact": "Exact", "regex": "RegularExpression"}
	kind := kinds[rule.Match]
	if kind == "" {
		kind = "PathPrefix"
	}
	m := gatewayMatch{Path: &typedValue{Type: kind, Value: rule.Path}, Method: strings.ToUpper(rule.Method)}
	for _, h := range rule.Headers {
		m.Headers = append(m.Headers, headerMatch{Name: h.Name, Value: h.Value})
	}
	for _, c := range rule.Cookies {
		m.Headers = append(m.Headers, headerMatch{Type: "RegularExpression", Name: "Cookie", Value: `(^|.*;\s*)` + regexp.QuoteMeta(c.Name+"="+c.Value) + `(;.*|$)`})
	}
	return m
}

func rewrite(rule *appmodel.HTTPRule) []gatewayFilter {
	w := rule.Rewrite
	if w == nil {
		return nil
	}
	u := &urlRewrite{Hostname: w.Host}
	switch {
	case w.Path != "":
		u.Path = &rewritePath{Type: "ReplaceFullPath", ReplaceFullPath: w.Path}
	case w.Prefix != "":
		u.Path = &rewritePath{Type: "ReplacePrefixMatch", ReplacePrefixMatch: w.Prefix}
	}
	return []gatewayFilter{{Type: "URLRewrite", URLRewrite: u}}
}

func timeouts(rule *appmodel.HTTPRule) *gatewayTimeouts {
	if rule.Timeouts == nil || rule.Timeouts.Request == 0 && rule.Timeouts.Backend == 0 {
		return nil
	}
	t := &gatewayTimeouts{}
	if d := rule.Timeouts.Request; d > 0 {
		t.Request = d.String()
	}
	if d := rule.Timeouts.Backend; d > 0 {
		t.BackendRequest = d.String()
	}
	return t
}

// backendRefs are the Services that a rule leads to.
func (b *builder) backendRefs(r *appmodel.Route, to []appmodel.Backend) []backendRef {
	var out []backendRef
	for _, t := range to {
		if c, p := b.backend(r, t); c != nil {
			out = append(out, backendRef{Name: b.serviceName(c), Port: p.Number(), Weight: t.Weight})
		}
	}
	return out
}

// streamRoute renders a TCP, UDP or TLS route for a gateway.
func (b *builder) streamRoute(r *appmodel.Route, l *listener, kind string, hosts []string, port int, to []appmodel.Backend) {
	refs := b.backendRefs(r, to)
	if len(refs) == 0 {
		return
	}
	if !slices.ContainsFunc(l.gateway.Listeners, func(x driver.Listener) bool { return x.Name == l.section && x.Port == port }) {
		b.routeNote(r, "port", "the gateway's listener %s is on another port than %d", l.section, port)
	}
	route := &gatewayRoute{TypeMeta: tm(gatewayAlpha, kind), ObjectMeta: b.routeMeta(r)}
	route.Spec = gatewayRouteSpec{ParentRefs: l.parents(), Hostnames: hosts, Rules: []gatewayRule{{BackendRefs: refs}}}
	b.add(route, Object{Route: r.ID, Phase: PhaseNetwork})
}
