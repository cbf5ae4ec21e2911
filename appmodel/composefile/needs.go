package composefile

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/compose-spec/compose-go/v2/types"
)

// need is a dependency that the file shows.
type need struct {
	name      string
	to        *service
	port      int // zero: whichever is the main one
	condition string
	optional  bool
}

func (n *need) ref(k string) string { return "${need." + n.name + "." + k + "}" }

// need is the need as the model writes it.
func (n *need) need(im *importer) appmodel.Need {
	out := appmodel.Need{Component: n.to.id, Condition: n.condition, Optional: n.optional}
	if n.name != n.to.id {
		out.Name = n.name
	}
	if len(n.to.comp.Ports) > 1 {
		p := n.to.comp.Ports[0]
		if n.to.known != nil {
			if main := n.to.port(n.to.known.ports[0].number, appmodel.TCP); main != nil {
				p = *main
			}
		}
		if at := n.to.port(n.port, appmodel.TCP); at != nil {
			p = *at
		}
		out.Port = appmodel.PortRef(p.Name)
	}
	return out
}

// needFor is the service's need of a port of another one; a need whose port
// nobody said yet takes it.
func (s *service) needFor(to *service, port int) *need {
	for _, n := range s.needs {
		if n.to == to && (n.port == port || n.port == 0 || port == 0) {
			if n.port == 0 {
				n.port = port
			}
			return n
		}
	}
	n := &need{name: to.id, to: to, port: port, optional: to.mayBeOff(s)}
	if slices.ContainsFunc(s.needs, func(o *need) bool { return o.name == n.name }) {
		n.name = label(fmt.Sprintf("%s-%d", to.id, port))
	}
	s.needs = append(s.needs, n)
	return n
}

// mayBeOff: a service with a profile is off where one without is on.
func (s *service) mayBeOff(consumer *service) bool {
	return len(s.cfg.Profiles) > 0 && len(consumer.cfg.Profiles) == 0
}

// dependsOn takes over what is declared.
func (im *importer) dependsOn(s *service) {
	for _, name := range im.inOrder(s.key("depends_on"), slices.Sorted(maps.Keys(s.cfg.DependsOn))) {
		d := s.cfg.DependsOn[name]
		to := im.byName[name]
		if to == nil || to == s {
			continue
		}
		n := s.needFor(to, 0)
		n.optional = n.optional || !d.Required
		switch d.Condition {
		case types.ServiceConditionHealthy:
			n.condition = "ready"
		case types.ServiceConditionCompletedSuccessfully:
			n.condition = "completed"
		default:
			n.condition = "started"
		}
		k := s.key("depends_on", name)
		im.notes.mapped(s.path("needs["+n.name+"]"), k)
		im.notes.unsupported("a new provider does not restart what needs it", k.child("restart"))
	}
	for _, l := range s.cfg.Links {
		name, alias, _ := strings.Cut(l, ":")
		if to := im.byName[name]; to != nil && to != s {
			s.needFor(to, 0)
			to.also = append(to.also, cmp.Or(alias, name))
			im.notes.mapped(s.path("needs["+to.id+"]"), s.key("links", l))
		}
	}
}

// inOrder sorts names by where they are written below a place.
func (im *importer) inOrder(k key, names []string) []string {
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(im.order(k.child(a)), im.order(k.child(b))) })
	return names
}

// reference is a place in a text that names a service.
type reference struct {
	start, end int // of the name and port
	to         *service
	port       int // zero: none is written
	scheme     string
}

// references finds services that others reach, so that they get a port: by
// depends_on no port is known, but variables, commands and companions name
// it.
func (im *importer) references() {
	for _, s := range im.services {
		for i := range s.env {
			for _, r := range im.find(s, s.env[i].value) {
				im.reached(r, "named by a variable of "+s.name)
			}
		}
		for _, arg := range append(slices.Clone([]string(s.cfg.Command)), s.cfg.Entrypoint...) {
			for _, r := range im.find(s, arg) {
				im.reached(r, "named by the command of "+s.name)
				s.needFor(r.to, r.portOf())
			}
		}
		for _, t := range s.texts {
			for _, r := range im.find(s, t.text) {
				im.reached(r, "named by "+t.name)
				s.needFor(r.to, r.portOf())
			}
		}
	}
}

// reached gives a service the port at which another one looks for it.
func (im *importer) reached(r reference, where string) {
	number, why := r.port, where
	if number == 0 {
		if len(r.to.comp.Ports) > 0 {
			return
		}
		if number = schemePort(r.scheme); number == 0 {
			return
		}
		why = "the default of " + r.scheme + "://, " + where
	}
	if number < 1 || number > 65535 || r.to.port(number, appmodel.TCP) != nil || len(r.to.comp.Ports) >= 50 {
		return
	}
	speaks := ""
	if r.scheme == "http" {
		speaks = "http"
	}
	r.to.addPort(number, appmodel.TCP, speaks)
	im.note(fmt.Sprintf("components[%s] listens on port %d: %s", r.to.id, number, why))
}

func (r reference) portOf() int {
	if r.to.port(r.port, appmodel.TCP) != nil {
		return r.port
	}
	return 0
}

// find finds the services that a text names with a port, in a URL, or behind
// an @.
func (im *importer) find(s *service, text string) []reference {
	var out []reference
	pattern := regexp.MustCompile(`(?:[\s,;=("'|]?([a-z][a-z0-9+]*)://(?:[^\s/@"']*@)?|(^|[\s,;=("'@]))([A-Za-z0-9][A-Za-z0-9_.-]*)(?::(\d{1,5}))?`)
	for at := 0; at < len(text) && len(out) < 1000; {
		m := pattern.FindStringSubmatchIndex(text[at:])
		if m == nil {
			break
		}
		start, end := at+m[6], at+m[7]
		to := im.byName[text[start:end]]
		inURL, hasPort := m[2] >= 0, m[8] >= 0
		if hasPort {
			end = at + m[9]
		}
		next := byte(0)
		if end < len(text) {
			next = text[end]
		}
		behindAt := m[4] >= 0 && m[4] < m[5] && text[at+m[4]] == '@'
		if to != nil && to != s && (inURL || hasPort || behindAt) && (next == 0 || strings.IndexByte("/,;?)\"'` \t\r\n}&", next) >= 0) {
			r := reference{start: start, end: end, to: to}
			if inURL {
				r.scheme = text[at+m[2] : at+m[3]]
			}
			if hasPort {
				r.port, _ = strconv.Atoi(text[at+m[8] : at+m[9]])
			}
			out = append(out, r)
		}
		at = max(end, at+1)
	}
	return out
}

// templateOf is a value with the services that it names as references; empty
// if it names none.
func (im *importer) templateOf(s *service, v *variable) string {
	if v.value == "" || v.secret != "" {
		return ""
	}
	if to := im.byName[v.value]; to != nil && to != s && hostName(v.name) && len(to.comp.Ports) > 0 {
		return s.needFor(to, 0).ref("host")
	}
	var b strings.Builder
	last, found := 0, false
	for _, r := range im.find(s, v.value) {
		if len(r.to.comp.Ports) == 0 || r.port != 0 && r.to.port(r.port, appmodel.TCP) == nil {
			continue
		}
		n := s.needFor(r.to, r.port)
		b.WriteString(im.credentials(s, v, n, v.value[last:r.start]))
		if r.port != 0 {
			b.WriteString(n.ref("address"))
		} else {
			b.WriteString(n.ref("host"))
		}
		last, found = r.end, true
	}
	if !found {
		return ""
	}
	b.WriteString(dollars(v.value[last:]))
	return b.String()
}

// credentials makes references of user:password@ in front of a host.
func (im *importer) credentials(s *service, v *variable, n *need, text string) string {
	m := regexp.MustCompile(`^(.*://)([^:/@]*):([^@/]+)@$`).FindStringSubmatch(text)
	if m == nil {
		return dollars(text)
	}
	user, password := dollars(m[2]), ""
	if hasMark(m[3]) {
		password = im.withSecrets(s, dollars(m[3]), v.key)
	}
	for _, p := range n.to.comp.Provides {
		switch {
		case p.Name == "user" && p.Value == m[2]:
			user = n.ref("user")
		case p.Name == "password" && (p.Template == password || n.to.reveals(im, p.Template) == m[3]):
			password = n.ref("password")
		}
	}
	if password == "" {
		password = im.addSecret(s, v.name+"-password", &m[3]).template()
		im.notes.how("secrets["+s.secrets+"]", "its password is a secret", v.key)
	}
	return dollars(m[1]) + user + ":" + password + "@"
}

// dollars writes a text as the literal part of a template.
func dollars(v string) string { return strings.ReplaceAll(escapeRefs(v), "$", "$$") }

// hostName reports whether a variable is called like an address.
func hostName(name string) bool {
	for _, part := range strings.FieldsFunc(strings.ToUpper(name), func(r rune) bool { return r == '_' || r == '-' || r == '.' }) {
		for _, word := range []string{"HOST", "HOSTS", "HOSTNAME", "SERVER", "SERVERS", "ADDR", "ADDRESS", "ENDPOINT", "ENDPOINTS", "URL", "URI",
			"UPSTREAM", "BROKER", "BROKERS", "PGHOST", "NODES"} {
			if part == word {
				return true
			}
		}
	}
	return false
}

// dns keeps the names by which compose lets services reach each other.
func (im *importer) dns(s *service) {
	type alias struct {
		name string
		k    key
	}
	names := []alias{{s.name, s.key()}}
	if s.cfg.ContainerName != "" {
		names = append(names, alias{s.cfg.ContainerName, s.key("container_name")})
	}
	if s.cfg.Hostname != "" {
		names = append(names, alias{s.cfg.Hostname, s.key("hostname")})
	}
	for _, net := range slices.Sorted(maps.Keys(s.cfg.Networks)) {
		if c := s.cfg.Networks[net]; c != nil {
			for _, a := range c.Aliases {
				names = append(names, alias{a, s.key("networks", net, "aliases", a)})
			}
		}
	}
	for _, a := range s.also {
		names = append(names, alias{a, ""})
	}
	for _, a := range names {
		to := s.path("aliases[" + a.name + "]")
		declared := a.k != "" && a.name != s.name || a.k != s.key()
		switch {
		case slices.Contains(s.comp.Aliases, a.name):
			if declared {
				im.notes.mapped(to, a.k)
			}
		case len(s.comp.Ports) == 0:
			if declared {
				im.notes.implied("nothing connects to a component without ports", a.k)
			}
		case !isDNSLabel(a.name):
			if declared {
				im.notes.unsupported("no name that a Service may have", a.k)
			} else {
				im.note(fmt.Sprintf("no Service may be called %q: others reach the component by its own name", a.name))
			}
		case im.aliases[a.name]:
			if declared {
				im.notes.unsupported("another service has this name", a.k)
			}
		default:
			im.aliases[a.name] = true
			s.comp.Aliases = append(s.comp.Aliases, a.name)
			if declared {
				im.notes.mapped(to, a.k)
			}
		}
	}
}
