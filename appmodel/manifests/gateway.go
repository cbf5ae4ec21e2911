package manifests

import (
	"slices"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// parent is the gateway of a route, as the class of one; it says why not, if
// the route has several.
func parent(o *object) (class, why string) {
	parents := o.at("spec", "parentRefs").list()
	if len(parents) != 1 {
		return "", "it is attached to several gateways, or to none"
	}
	p := parents[0]
	if kind := p.get("kind"); kind != nil && !kind.is("Gateway") {
		return "", "it is attached to what is no gateway"
	}
	namespace := p.get("namespace").text()
	if namespace == "" {
		namespace = o.namespace
	}
	if namespace == "" {
		return "", ""
	}
	return namespace + "/" + p.get("name").text(), ""
}

// attached accounts for what a route says of its gateway.
func (o *object) attached(class, at string) {
	p := o.at("spec", "parentRefs").items[0]
	if class == "" {
		p.get("name").settle(fidelity.Degraded, at+".class", "whichever gateway the cluster has: the namespace of this one is not known")
	}
	p.get("name").take(at + ".class")
	p.get("namespace").take(at + ".class")
	p.get("kind").settle(fidelity.Implied, "", "the default")
	p.get("group").settle(fidelity.Implied, "", "the default")
	p.get("sectionName").settle(fidelity.Degraded, at+".class", "the listener is chosen by host and protocol")
	p.get("port").settle(fidelity.Degraded, at+".class", "the listener is chosen by host and protocol")
}

// backends reads where a rule of a route leads.
func (im *importer) backends(o *object, rule *place) ([]appmodel.Backend, bool) {
	var out []appmodel.Backend
	for _, b := range rule.get("backendRefs").list() {
		to, ok := im.backend(b.get("name").text(), b.get("port"))
		if !ok || b.get("filters") != nil || b.get("kind") != nil && !b.get("kind").is("Service") || b.get("namespace") != nil && b.get("namespace").text() != o.namespace {
			return nil, false
		}
		if w := b.get("weight"); w != nil && !w.is("1") {
			n := int(w.count())
			to.Weight = &n
		}
		if slices.ContainsFunc(out, func(x appmodel.Backend) bool { return x.Component == to.Component && x.Port == to.Port }) {
			return nil, false
		}
		out = append(out, to)
	}
	return out, len(out) > 0
}

// beyond names a leaf of a route's rules that nobody here reads, so that the
// route is not taken for less than it says.
func beyond(rules *place) string {
	read := []string{"type", "value", "name", "method", "service", "hostname", "replaceFullPath", "replacePrefixMatch", "request", "backendRequest",
		"port", "weight", "kind", "group", "namespace"}
	found := ""
	rules.leaves(func(l *place) {
		if !slices.Contains(read, l.key) && l.fate == nil && found == "" {
			found = "it says " + cut(l.key) + ", which no route of an application has"
		}
	})
	return found
}

// gatewayHTTP makes a route of an HTTPRoute or GRPCRoute; it says why not, if
// it cannot.
func (im *importer) gatewayHTTP(o *object) string {
	class, why := parent(o)
	if why == "" {
		why = beyond(o.at("spec", "rules"))
	}
	if why != "" {
		return why
	}
	var out []appmodel.HTTPRule
	for _, rule := range o.at("spec", "rules").list() {
		to, ok := im.backends(o, rule)
		if !ok {
			return "it leads to what is no port of a component's Service"
		}
		for _, f := range rule.fields {
			if !slices.Contains([]string{"matches", "filters", "backendRefs", "timeouts"}, f.key) {
				return "a rule of it says " + f.key + ", which no route of an application has"
			}
		}
		base := appmodel.HTTPRule{To: to}
		if why := filters(rule, &base); why != "" {
			return why
		}
		if why := timeouts(rule, &base); why != "" {
			return why
		}
		matches := rule.get("matches").list()
		if len(matches) == 0 {
			matches = []*place{nil}
		}
		for _, m := range matches {
			r := base
			r.To = slices.Clone(to)
			if why := match(o, m, &r); why != "" {
				return why
			}
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return "it has no rules"
	}
	r, at := im.route(o, "HTTPRoute")
	r.Class = class
	r.HTTP = &appmodel.HTTPRoute{Rules: named(out)}
	for _, h := range o.at("spec", "hostnames").list() {
		r.HTTP.Hosts = append(r.HTTP.Hosts, h.str(at+".http.hosts"))
	}
	o.attached(class, at)
	o.at("spec", "rules").take(at + ".http.rules")
	if o.kind == "GRPCRoute" {
		for _, f := range []string{"apiVersion", "kind"} {
			o.at(f).fate = &fate{fidelity.Degraded, at + ".http", "as an HTTPRoute whose paths are those of the methods"}
		}
	}
	im.app.Routes = append(im.app.Routes, r)
	return ""
}

// named gives rules names where their paths are the same.
func named(rules []appmodel.HTTPRule) []appmodel.HTTPRule {
	taken := map[string]bool{}
	for i := range rules {
		path := rules[i].Path
		if path == "" {
			path = "/"
		}
		if taken[path] {
			n := names{}
			for t := range taken {
				n[t] = true
			}
			rules[i].Name = n.take("rule-" + path)
			taken[rules[i].Name] = true
		}
		taken[path] = true
	}
	return rules
}

// match reads one match of a rule.
func match(o *object, m *place, r *appmodel.HTTPRule) string {
	for _, f := range m.entries() {
		if !slices.Contains([]string{"path", "headers", "method"}, f.key) {
			return "a rule of it matches by " + f.key
		}
	}
	for _, h := range m.get("headers").list() {
		if t := h.get("type"); t != nil && !t.is("Exact") {
			return "a rule of it matches headers by an expression"
		}
		r.Headers = append(r.Headers, appmodel.Header{Name: h.get("name").text(), Value: h.get("value").text()})
	}
	if o.kind == "GRPCRoute" {
		method := m.get("method")
		if t := method.get("type"); t != nil && !t.is("Exact") {
			return "a rule of it matches methods by an expression"
		}
		service, name := method.get("service").text(), method.get("method").text()
		switch {
		case service != "" && name != "":
			r.Path, r.Match = "/"+service+"/"+name, "exact"
		case service != "":
			r.Path = "/" + service
		case name != "":
			return "a rule of it matches a method of any service"
		}
		return ""
	}
	r.Method = m.get("method").text()
	r.Path = m.get("path", "value").text()
	switch kind := m.get("path", "type"); kind.text() {
	case "", "PathPrefix":
	case "Exact":
		r.Match = "exact"
	case "RegularExpression":
		r.Match = "regex"
	default:
		return "a rule of it matches paths by " + cut(kind.text())
	}
	return ""
}

// filters reads what a rule changes.
func filters(rule *place, r *appmodel.HTTPRule) string {
	for _, f := range rule.get("filters").list() {
		u := f.get("urlRewrite")
		if !f.get("type").is("URLRewrite") || u == nil || r.Rewrite != nil {
			return "a rule of it has a filter " + f.get("type").text()
		}
		if kind, path := u.get("path", "type"), u.get("path"); path != nil && !(kind.is("ReplaceFullPath") && path.get("replaceFullPath") != nil && len(path.fields) == 2 ||
			kind.is("ReplacePrefixMatch") && path.get("replacePrefixMatch") != nil && len(path.fields) == 2) {
			return "a rule of it rewrites paths by " + cut(kind.text())
		}
		r.Rewrite = &appmodel.Rewrite{Host: u.get("hostname").text(), Path: u.get("path", "replaceFullPath").text(), Prefix: u.get("path", "replacePrefixMatch").text()}
	}
	return ""
}

func timeouts(rule *place, r *appmodel.HTTPRule) string {
	t := rule.get("timeouts")
	if t == nil {
		return ""
	}
	r.Timeouts = &appmodel.RouteTimeouts{}
	for _, f := range t.fields {
		d, err := time.ParseDuration(f.text())
		switch {
		case err != nil || d < 0:
			return "a timeout of it is no duration"
		case f.key == "request":
			r.Timeouts.Request = appmodel.Duration(d)
		case f.key == "backendRequest":
			r.Timeouts.Backend = appmodel.Duration(d)
		default:
			return "a rule of it has a timeout " + f.key
		}
	}
	return ""
}

// gatewayStream makes a route of a TCPRoute, UDPRoute or TLSRoute; it says why
// not, if it cannot.
func (im *importer) gatewayStream(o *object) string {
	class, why := parent(o)
	if why == "" {
		why = beyond(o.at("spec", "rules"))
	}
	if why != "" {
		return why
	}
	rules := o.at("spec", "rules").list()
	if len(rules) != 1 {
		return "it has several rules"
	}
	to, ok := im.backends(o, rules[0])
	if !ok {
		return "it leads to what is no port of a component's Service"
	}
	r, at := im.route(o, o.kind)
	r.Class = class
	listener := o.at("spec", "parentRefs").items[0].get("port")
	port := int(listener.count())
	if port == 0 {
		port = int(rules[0].get("backendRefs").items[0].get("port").count())
		if o.kind == "TLSRoute" {
			port = 443
		}
		im.note("%s takes port %d, as the route does not say that of its listener", at, port)
	} else {
		listener.take(at + ".port")
	}
	switch o.kind {
	case "TCPRoute":
		r.TCP = &appmodel.StreamRoute{Port: port, To: to, Expose: "gateway"}
	case "UDPRoute":
		r.UDP = &appmodel.StreamRoute{Port: port, To: to, Expose: "gateway"}
	default:
		r.TLS = &appmodel.TLSRoute{Port: port, To: to}
		for _, h := range o.at("spec", "hostnames").list() {
			r.TLS.Hosts = append(r.TLS.Hosts, h.str(at+".tls.hosts"))
		}
	}
	o.attached(class, at)
	o.at("spec", "rules").take(at)
	im.app.Routes = append(im.app.Routes, r)
	return ""
}
