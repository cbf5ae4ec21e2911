package render

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// What an HTTPRoute holds at most.
const (
	maxRouteRules = 16
	maxRouteHosts = 16
)

// attachment is where an HTTP route is attached.
type attachment struct {
	version       string
	gateway       *driver.Gateway
	plain, secure []driver.Listener
}

// attach finds the gateway of an HTTP route; nil if there is none.
func (b *builder) attach(r *appmodel.Route, hosts []string) *attachment {
	a := &attachment{version: b.gatewayKind("HTTPRoute")}
	g, listeners := b.gateway(r, func(l driver.Listener) bool {
		return (l.Protocol == "HTTP" || l.Protocol == "HTTPS") && servesHost(l, hosts)
	})
	if a.version == "" || g == nil {
		return nil
	}
	a.gateway = g
	for _, l := range listeners {
		if l.Protocol == "HTTPS" {
			a.secure = append(a.secure, l)
		} else {
			a.plain = append(a.plain, l)
		}
	}
	return a
}

// httpRoute renders an HTTP route for a gateway. What asks for TLS is served
// by listeners with TLS, and those without send there.
func (b *builder) httpRoute(r *appmodel.Route, a *attachment, hosts []string) {
	b.gatewayClass(r, a.gateway.Namespace, a.gateway.Name)
	if len(hosts) > maxRouteHosts {
		b.fail("routes[%s].http.hosts: %d are too many for an HTTPRoute, which has %d; make it two routes", r.ID, len(hosts), maxRouteHosts)
	}
	spec := gatewayRouteSpec{ParentRefs: []parentRef{{Namespace: a.gateway.Namespace, Name: a.gateway.Name}}, Hostnames: hosts}
	redirect := b.gatewayTLS(r, a)
	if redirect {
		spec.ParentRefs = parents(a.gateway, a.secure)
	}
	var rules []gatewayRule
	for i := range r.HTTP.Rules {
		if rule, ok := b.gatewayRule(r, &r.HTTP.Rules[i]); ok {
			rules = append(rules, rule)
		}
	}
	if len(rules) == 0 {
		return
	}
	suffix, parts := "", 1
	for part := range slices.Chunk(rules, maxRouteRules) {
		route := &gatewayRoute{TypeMeta: tm(a.version, "HTTPRoute"), ObjectMeta: b.routeMeta(r, suffix), Spec: spec}
		route.Spec.Rules = part
		b.add(route, Object{Route: r.ID, Phase: PhaseNetwork})
		parts++
		suffix = "-" + strconv.Itoa(parts)
	}
	if redirect && len(a.plain) > 0 {
		route := &gatewayRoute{TypeMeta: tm(a.version, "HTTPRoute"), ObjectMeta: b.routeMeta(r, "-redirect"),
			Spec: gatewayRouteSpec{ParentRefs: parents(a.gateway, a.plain), Hostnames: hosts, Rules: []gatewayRule{
				{Filters: []gatewayFilter{{Type: "RequestRedirect", RequestRedirect: &requestRedirect{Scheme: "https", StatusCode: 301}}}}}}}
		b.add(route, Object{Route: r.ID, Phase: PhaseNetwork})
	}
}

// gatewayTLS reports whether a route that asks for TLS gets it from the
// gateway, whose listeners have the certificates.
func (b *builder) gatewayTLS(r *appmodel.Route, a *attachment) bool {
	t := r.HTTP.TLS
	if t == nil {
		return false
	}
	name := a.gateway.Namespace + "/" + a.gateway.Name
	if len(a.secure) == 0 {
		b.routeNote(r, Warning, "http.tls", "gateway %s has no HTTPS listener for the route; it is served without TLS", name)
		return false
	}
	from := "tls.issuer"
	if t.Secret != "" {
		from = "tls.secret"
	}
	b.routeNote(r, Information, "http."+from, "certificates are those of the listeners of gateway %s; %q is not used", name, cmp.Or(t.Secret, t.Issuer))
	return true
}

// gatewayRule is a rule of an HTTPRoute; false if it leads nowhere, or cannot
// be told: a rule that matches more than it says would let in too much.
func (b *builder) gatewayRule(r *appmodel.Route, rule *appmodel.HTTPRule) (gatewayRule, bool) {
	to := b.targets(r, ruleAt(rule, "to"), rule.To)
	if len(to) == 0 {
		return gatewayRule{}, false
	}
	if rule.Method != "" && !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}, rule.Method) {
		b.routeNote(r, Warning, ruleAt(rule, "method"), "an HTTPRoute does not know %s; the rule is left out", rule.Method)
		return gatewayRule{}, false
	}
	if len(rule.Cookies) > 1 {
		b.routeNote(r, Warning, ruleAt(rule, "cookies"), "an HTTPRoute matches by one cookie at most; the rule is left out")
		return gatewayRule{}, false
	}
	for _, t := range to {
		if p := t.port.AppProtocol; rule.WebSocket && webSocketProtocol(p) == "" {
			b.routeNote(r, Information, ruleAt(rule, "webSocket"), "port %d of %s says that it speaks %s, so the gateway is not told that WebSockets are meant", t.port.Port, t.component.ID, p)
		}
		if nginxProtocol(t.port.AppProtocol) == "HTTPS" {
			b.routeNote(r, Information, ruleAt(rule, "to"), "component %s speaks TLS; a gateway does towards it if a BackendTLSPolicy says so", t.component.ID)
		}
		if externalName(t.component) {
			b.routeNote(r, Warning, ruleAt(rule, "to"), "component %s is a DNS name elsewhere; many gateways lead nowhere but to addresses", t.component.ID)
		}
	}
	b.gatewayLacks(r, rule)
	return gatewayRule{Matches: []gatewayMatch{match(rule)}, Filters: rewrite(rule, b.functionHost(r, rule, to)), BackendRefs: b.backendRefs(to), Timeouts: b.timeouts(r, rule)}, true
}

// gatewayLacks tells what an HTTPRoute cannot say.
func (b *builder) gatewayLacks(r *appmodel.Route, rule *appmodel.HTTPRule) {
	for _, x := range []struct {
		field string
		used  bool
	}{
		{"maxBodySize", rule.MaxBodySize != ""},
		{"sessionAffinity", rule.SessionAffinity == "cookie" || rule.SessionAffinity == "clientIP"},
		{"timeouts.connect", rule.Timeouts != nil && rule.Timeouts.Connect > 0},
	} {
		if x.used {
			b.routeNote(r, Warning, ruleAt(rule, x.field), "an HTTPRoute cannot say it; it is left to the gateway's own policies")
		}
	}
}

// match is what a rule matches; a cookie is matched in its header.
func match(rule *appmodel.HTTPRule) gatewayMatch {
	kind := "PathPrefix"
	switch rule.Match {
	case "exact":
		kind = "Exact"
	case "regex":
		kind = "RegularExpression"
	}
	m := gatewayMatch{Path: &typedValue{Type: kind, Value: rule.Path}, Method: rule.Method}
	for _, h := range rule.Headers {
		m.Headers = append(m.Headers, headerMatch{Name: h.Name, Value: h.Value})
	}
	for _, c := range rule.Cookies {
		m.Headers = append(m.Headers, headerMatch{Type: "RegularExpression", Name: "Cookie", Value: `(^|.*;\s*)` + regexp.QuoteMeta(c.Name+"="+c.Value) + `(;.*|$)`})
	}
	return m
}

// rewrite changes what the component sees; host is the name that it has to see,
// if any.
func rewrite(rule *appmodel.HTTPRule, host string) []gatewayFilter {
	w := rule.Rewrite
	if w == nil {
		if host == "" {
			return nil
		}
		w = &appmodel.Rewrite{}
	}
	u := &urlRewrite{Hostname: cmp.Or(w.Host, host)}
	switch {
	case w.Path != "":
		u.Path = &rewritePath{Type: "ReplaceFullPath", ReplaceFullPath: w.Path}
	case w.Prefix != "":
		u.Path = &rewritePath{Type: "ReplacePrefixMatch", ReplacePrefixMatch: w.Prefix}
	}
	return []gatewayFilter{{Type: "URLRewrite", URLRewrite: u}}
}

// timeouts bound a request; that of one try cannot be longer than the whole.
func (b *builder) timeouts(r *appmodel.Route, rule *appmodel.HTTPRule) *gatewayTimeouts {
	if rule.Timeouts == nil || rule.Timeouts.Request == 0 && rule.Timeouts.Backend == 0 {
		return nil
	}
	t, request, backend := &gatewayTimeouts{}, rule.Timeouts.Request, rule.Timeouts.Backend
	if request > 0 {
		t.Request = gatewayDuration(request)
		if backend > request {
			b.routeNote(r, Information, ruleAt(rule, "timeouts.backend"), "is longer than the whole request may take, %s, which bounds it", request)
			backend = request
		}
	}
	if backend > 0 {
		t.BackendRequest = gatewayDuration(backend)
	}
	return t
}

// gatewayDuration writes a duration in whole numbers of at most five digits,
// as the Gateway API wants it (GEP-2257).
func gatewayDuration(d appmodel.Duration) string {
	v := max(time.Duration(d).Round(time.Millisecond), time.Millisecond)
	var s strings.Builder
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if n := v / unit.length; n > 0 {
			fmt.Fprintf(&s, "%d%s", min(n, 99999), unit.name)
			v %= unit.length
		}
	}
	return s.String()
}
