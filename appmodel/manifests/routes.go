package manifests

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// routes makes routes of what lets something in.
func (im *importer) routes() {
	for _, p := range im.parts {
		for _, s := range p.services {
			if s.role == asRoute {
				im.exposed(s)
			}
		}
	}
	for _, o := range im.reader.objects {
		switch {
		case o.aside() || o.forced != "":
		case o.is("networking.k8s.io", "Ingress"):
			o.forced = im.ingress(o)
		case o.is("gateway.networking.k8s.io", "HTTPRoute"), o.is("gateway.networking.k8s.io", "GRPCRoute"):
			o.forced = im.gatewayHTTP(o)
		case o.is("gateway.networking.k8s.io", "TCPRoute"), o.is("gateway.networking.k8s.io", "UDPRoute"), o.is("gateway.networking.k8s.io", "TLSRoute"):
			o.forced = im.gatewayStream(o)
		}
	}
}

// routed reports whether a route leads to a port.
func (im *importer) routed(p *part, port appmodel.Port) bool {
	leads := func(to []appmodel.Backend) bool {
		return slices.ContainsFunc(to, func(b appmodel.Backend) bool {
			n, _ := b.Port.Number()
			return b.Component == p.comp.ID && n == port.Port
		})
	}
	for _, r := range im.app.Routes {
		switch {
		case r.HTTP != nil && slices.ContainsFunc(r.HTTP.Rules, func(rule appmodel.HTTPRule) bool { return leads(rule.To) }),
			r.TCP != nil && leads(r.TCP.To), r.UDP != nil && leads(r.UDP.To), r.TLS != nil && leads(r.TLS.To):
			return true
		}
	}
	return false
}

// route begins a route of an object: its name, labels and annotations.
func (im *importer) route(o *object, target string) (appmodel.Route, string) {
	r := appmodel.Route{ID: im.routeIDs.take(o.name), ObjectName: o.name}
	at := "routes[" + r.ID + "]"
	im.owns(at, o)
	o.mapped = true
	o.identity(at + ".objectName")
	for _, f := range o.at("metadata", "labels").entries() {
		if f.fate == nil && !strings.HasPrefix(f.key, "app.kubernetes.io/managed-by") && !strings.HasPrefix(f.key, "appspan.dev/") {
			if r.Labels == nil {
				r.Labels = map[string]string{}
			}
			r.Labels[f.key] = f.str(at + ".labels[" + f.key + "]")
		}
	}
	for _, f := range o.at("metadata", "annotations").entries() {
		if f.fate == nil && !strings.HasPrefix(f.key, "meta.helm.sh/") && !strings.HasPrefix(f.key, "helm.sh/") && !strings.HasPrefix(f.key, "appspan.dev/") {
			if r.Annotations == nil {
				r.Annotations = map[string]string{}
			}
			r.Annotations[f.key] = f.str(at + ".annotations[" + f.key + "]")
		}
	}
	im.patchLater(o, appmodel.PatchTarget{Kind: target, Route: r.ID}, nil)
	return r, at
}

// last is the patch that was begun last.
func (im *importer) last() *patch { return im.pending[len(im.pending)-1] }

// exposed makes a route of a Service of type LoadBalancer or NodePort.
func (im *importer) exposed(s *service) {
	o, x := s.obj, s.ports[0]
	r, at := im.route(o, "Service")
	kind := ".tcp"
	stream := &appmodel.StreamRoute{Port: x.number, To: []appmodel.Backend{{Component: s.part.comp.ID, Port: appmodel.PortNumber(x.target)}}}
	if r.TCP = stream; x.protocol == appmodel.UDP {
		r.TCP, r.UDP, kind = nil, stream, ".udp"
	}
	if stream.Expose = "loadBalancer"; o.at("spec", "type").is("NodePort") {
		stream.Expose = "nodePort"
	}
	o.at("spec", "type").take(at + kind + ".expose")
	x.at.get("port").take(at + kind + ".port")
	x.at.get("protocol").take(at + kind)
	s.selects()
	if target := x.at.get("targetPort"); target != nil {
		if _, number := target.value.(int64); number {
			target.take(at + kind + ".to")
		} else {
			target.shaped(at+kind+".to", "by the number of the port")
		}
	}
	if name := x.at.get("name"); name.null() || name.is("") {
		im.last().remove = []string{"spec.ports[route].name"}
	}
	im.app.Routes = append(im.app.Routes, r)
}

// backend finds the component port behind a Service's port.
func (im *importer) backend(name string, port *place) (appmodel.Backend, bool) {
	s := im.services[name]
	if s == nil || s.part == nil || s.part.main != s {
		return appmodel.Backend{}, false
	}
	for _, x := range s.ports {
		if port.is(x.at.get("name").text()) && port.text() != "" || int(port.count()) == x.number {
			for _, c := range s.part.comp.Ports {
				if c.Port == x.target && c.Number() == x.number {
					return appmodel.Backend{Component: s.part.comp.ID, Port: appmodel.PortNumber(x.target)}, true
				}
			}
		}
	}
	return appmodel.Backend{}, false
}

// ingress makes routes of an Ingress, one for each set of hosts with the same
// rules; it says why not, if it cannot.
func (im *importer) ingress(o *object) string {
	spec := o.at("spec")
	if spec.get("defaultBackend") != nil {
		return "it has a default backend"
	}
	var entries []*entry
	for _, r := range spec.get("rules").list() {
		http := string(r.get("http").json())
		i := slices.IndexFunc(entries, func(e *entry) bool { return e.http == http })
		if i < 0 {
			e := &entry{http: http}
			var why string
			if e.rules, why = im.ingressRules(r); why != "" {
				return why
			}
			i, entries = len(entries), append(entries, e)
		}
		e := entries[i]
		e.places = append(e.places, r)
		if h := r.get("host").text(); h != "" {
			e.hosts = append(e.hosts, h)
		}
		if len(e.hosts) != 0 && len(e.hosts) != len(e.places) {
			return "some of its rules have a host, and others none"
		}
	}
	if len(entries) == 0 {
		return "it has no rules"
	}
	for _, t := range spec.get("tls").list() {
		hosts, covered := sorted(t.get("hosts")), 0
		for _, e := range entries {
			inside := len(hosts) == 0 && len(e.hosts) == 0
			for _, h := range e.hosts {
				inside = slices.Contains(hosts, h)
				if !inside {
					break
				}
			}
			if inside {
				if e.tls != nil {
					return "a host of it has two certificates"
				}
				e.tls, covered = t, covered+len(e.hosts)
			}
		}
		if covered != len(hosts) || t.get("secretName") == nil {
			return "its certificates are not one for all hosts with the same rules"
		}
		if g := im.useSecret(t.get("secretName").text(), appmodel.SecretTLS); im.secretOf(g.name).Type != appmodel.SecretTLS {
			return "its certificate is in a Secret that is none of type tls"
		}
	}
	for i, e := range entries {
		im.ingressRoute(o, e, i)
	}
	if len(entries) > 1 {
		im.note("Ingress %s becomes %d routes, one for each set of hosts with the same rules, and as many Ingresses", o.name, len(entries))
	}
	return ""
}

// entry is the hosts of an Ingress that have the same rules.
type entry struct {
	http   string // the rules as they stand
	hosts  []string
	places []*place
	rules  []appmodel.HTTPRule
	tls    *place
}

// ingressRules reads the paths of one rule.
func (im *importer) ingressRules(r *place) (out []appmodel.HTTPRule, why string) {
	for _, x := range r.get("http", "paths").list() {
		port := x.get("backend", "service", "port", "number")
		if port == nil {
			port = x.get("backend", "service", "port", "name")
		}
		to, ok := im.backend(x.get("backend", "service", "name").text(), port)
		if !ok {
			return nil, "it leads to what is no port of a component's Service"
		}
		rule := appmodel.HTTPRule{Path: x.get("path").text(), To: []appmodel.Backend{to}}
		switch kind := x.get("pathType"); {
		case kind.is("Exact"):
			rule.Match = "exact"
		case !kind.is("Prefix") && !kind.is("ImplementationSpecific"):
			return nil, "it matches paths by " + cut(kind.text())
		}
		if !strings.HasPrefix(rule.Path, "/") || strings.ContainsAny(rule.Path, "()[]*$?|") {
			return nil, "one of its paths is an expression for its controller"
		}
		out = append(out, rule)
	}
	if len(out) == 0 {
		return nil, "a rule of it has no paths"
	}
	return named(out), ""
}

// ingressRoute makes one route of an Ingress; those behind the first have names
// of their own.
func (im *importer) ingressRoute(o *object, e *entry, i int) {
	r, at := appmodel.Route{}, ""
	if i == 0 {
		r, at = im.route(o, "Ingress")
	} else {
		first := im.app.Routes[len(im.app.Routes)-i]
		r = appmodel.Route{ID: im.routeIDs.take(o.name), ObjectName: o.name + "-" + strconv.Itoa(i+1), Labels: first.Labels, Annotations: first.Annotations}
		at = "routes[" + r.ID + "]"
		im.owns(at, o)
	}
	r.HTTP = &appmodel.HTTPRoute{Hosts: e.hosts, Rules: e.rules}
	if e.tls != nil {
		r.HTTP.TLS = &appmodel.RouteTLS{Secret: im.secrets[e.tls.get("secretName").text()].name}
		e.tls.get("secretName").take(at + ".http.tls.secret")
		e.tls.get("hosts").take(at + ".http.hosts")
	}
	r.Class = o.at("spec", "ingressClassName").str(at + ".class")
	for _, rule := range e.places {
		rule.get("host").take(at + ".http.hosts")
		for j, x := range rule.get("http", "paths").list() {
			to := at + ".http.rules[" + cmp.Or(e.rules[j].Name, e.rules[j].Path) + "]"
			if x.get("pathType").is("ImplementationSpecific") {
				x.get("pathType").settle(fidelity.Degraded, to+".match", "as a prefix, which is how most controllers read it")
			}
			if name := x.get("backend", "service", "port", "name"); name != nil {
				name.settle(fidelity.Mapped, to+".to", "by the number of the port")
			}
			x.take(to)
		}
	}
	im.app.Routes = append(im.app.Routes, r)
}

func sorted(list *place) []string {
	var out []string
	for _, x := range list.list() {
		out = append(out, x.text())
	}
	slices.Sort(out)
	return out
}
