package manifests

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
)

// reference is a place in a text that names a Service.
type reference struct {
	start, end int // of the name and port
	to         *service
	port       int  // zero: none is written
	exact      bool // the name alone, as a need writes it
}

// address finds what may be a host in a URL, behind an @, or with a port.
var address = regexp.MustCompile(`(?:[\s,;=("'|]?([a-z][a-z0-9+.]*)://(?:[^\s/@"']*@)?|(^|[\s,;=("'@|]))([A-Za-z0-9][-A-Za-z0-9_.]*)(?::(\d{1,5}))?`)

// find finds the Services that a text names. A name alone counts where the
// whole text is one and lone says that it may be.
func (im *importer) find(p *part, text string, lone bool) []reference {
	var out []reference
	for at := 0; at < len(text) && len(out) < 200; {
		m := address.FindStringSubmatchIndex(text[at:])
		if m == nil {
			break
		}
		start, end := at+m[6], at+m[7]
		host := text[start:end]
		inURL, hasPort := m[2] >= 0, m[8] >= 0
		if hasPort {
			end = at + m[9]
		}
		next := byte(0)
		if end < len(text) {
			next = text[end]
		}
		behindAt := m[4] >= 0 && m[4] < m[5] && text[at+m[4]] == '@'
		s, exact := im.host(host)
		bounded := next == 0 || strings.IndexByte("/,;?)\"'` \t\r\n}&|", next) >= 0
		qualified := !exact && strings.Contains(host, ".svc")
		if s != nil && s.part != p && bounded && (inURL || hasPort || behindAt || qualified || lone && start == 0 && end == len(text)) {
			r := reference{start: start, end: end, to: s, exact: exact}
			if hasPort {
				r.port, _ = strconv.Atoi(text[at+m[8] : at+m[9]])
			}
			out = append(out, r)
		}
		at = max(end, at+1)
	}
	return out
}

// host finds the Service that a DNS name leads to: service, service.ns,
// service.ns.svc, service.ns.svc.cluster.local, or the same with the name of a
// replica in front. It reports whether it is the bare name.
func (im *importer) host(name string) (*service, bool) {
	parts := strings.Split(strings.TrimSuffix(name, "."), ".")
	if s := im.services[name]; s != nil && len(parts) == 1 {
		return s, true
	}
	for skip := 0; skip < 2 && skip < len(parts)-1; skip++ {
		s := im.services[parts[skip]]
		if s == nil {
			continue
		}
		rest := parts[skip+1:]
		inCluster := len(rest) == 0 || rest[0] == s.obj.namespace && s.obj.namespace != ""
		if len(rest) >= 2 && rest[1] == "svc" {
			inCluster = rest[0] == s.obj.namespace || s.obj.namespace == "" && !strings.HasPrefix(rest[0], "kube-")
		}
		if skip == 1 && len(rest) == 0 {
			inCluster = s.part != nil && strings.HasPrefix(parts[0], s.part.obj.name+"-")
		}
		if len(rest) > 2 && !(rest[1] == "svc" && strings.HasPrefix(strings.Join(rest[2:], "."), "cluster.")) {
			inCluster = false
		}
		if inCluster && (len(rest) < 2 || rest[1] == "svc") {
			return s, false
		}
	}
	return nil, false
}

// needsOf notes that a component's text names others, and changes nothing.
func (im *importer) needsOf(p *part, name, text string) {
	for _, r := range im.find(p, text, hostName(name)) {
		im.need(p, r)
	}
}

// reads notes that a component reads a ConfigMap, whose values may name others.
func (im *importer) reads(p *part, g *group) {
	for _, text := range g.texts {
		im.needsOf(p, "", text)
	}
}

// need is the component's need of what a reference leads to; nil if that is no
// component.
func (im *importer) need(p *part, r reference) *appmodel.Need {
	to := r.to.part
	if to == nil && r.to.outer != "" && !slices.ContainsFunc(p.comp.Needs, func(n appmodel.Need) bool { return n.Component == r.to.outer }) {
		p.comp.Needs = append(p.comp.Needs, appmodel.Need{Component: r.to.outer})
	}
	if to == nil {
		return nil
	}
	var open []appmodel.Port
	for _, port := range to.comp.Ports {
		if port.Access != appmodel.AccessNone {
			open = append(open, port)
		}
	}
	n := appmodel.Need{Component: to.comp.ID}
	if len(open) > 1 {
		n.Port = appmodel.PortNumber(open[0].Port)
		for _, port := range open {
			if port.Number() == r.port {
				n.Port = appmodel.PortNumber(port.Port)
			}
		}
	}
	for i := range p.comp.Needs {
		if x := &p.comp.Needs[i]; x.Component == n.Component && (x.Port == n.Port || r.port == 0) {
			return x
		}
	}
	if slices.ContainsFunc(p.comp.Needs, func(x appmodel.Need) bool { return x.Component == n.Component || x.Name == n.Component }) {
		n.Name = label(to.comp.ID + "-" + string(n.Port))
	}
	p.comp.Needs = append(p.comp.Needs, n)
	return &p.comp.Needs[len(p.comp.Needs)-1]
}

// template is a variable's value, as a template where it names others in the
// words that rendering gives back.
func (im *importer) template(p *part, name, value string) (literal, template string) {
	var b strings.Builder
	last, found := 0, false
	for _, r := range im.find(p, value, hostName(name)) {
		n := im.need(p, r)
		if n == nil || !r.exact || r.to.part.main != r.to {
			if n != nil && strings.Contains(value[r.start:r.end], "."+r.to.obj.namespace) && r.to.obj.namespace != "" {
				im.note("%s.env[%s] names the namespace %s, and leads there from any other", p.at, name, r.to.obj.namespace)
			}
			continue
		}
		key, needName := "host", n.Name
		if needName == "" {
			needName = n.Component
		}
		if r.port != 0 {
			key = "address"
			if !serves(r.to.part, n.Port, r.port) {
				continue
			}
		}
		b.WriteString(dollars(value[last:r.start]) + "${need." + needName + "." + key + "}")
		last, found = r.end, true
	}
	if !found {
		return value, ""
	}
	b.WriteString(dollars(value[last:]))
	return "", b.String()
}

// serves reports whether the port that a need means has a number for others.
func serves(p *part, ref appmodel.PortRef, number int) bool {
	for _, port := range p.comp.Ports {
		if port.Access != appmodel.AccessNone && (ref == "" || ref == appmodel.PortNumber(port.Port)) {
			return port.Number() == number
		}
	}
	return false
}

// dollars writes a text as the literal part of a template.
func dollars(s string) string { return strings.ReplaceAll(s, "$", "$$") }

// hostName reports whether a variable is called like an address.
func hostName(name string) bool {
	for _, part := range strings.FieldsFunc(strings.ToUpper(name), func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		if slices.Contains([]string{"HOST", "HOSTS", "HOSTNAME", "SERVER", "SERVERS", "ADDR", "ADDRESS", "ENDPOINT", "ENDPOINTS", "URL", "URI",
			"UPSTREAM", "BROKER", "BROKERS", "PGHOST", "NODES"}, part) {
			return true
		}
	}
	return false
}
