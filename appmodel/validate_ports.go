package appmodel

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

func (v *checker) portNumber(n int, at Path) {
	if n < 1 || n > 65535 {
		v.errorf(at, "write one from 1 to 65535", "%d is not a port", n)
	}
}

func portKey(p Port) string {
	if p.Protocol == TCP || p.Protocol == "" {
		return strconv.Itoa(p.Port)
	}
	return fmt.Sprintf("%d/%s", p.Port, p.Protocol)
}

func (v *checker) ports(c *Component, at Path) {
	type service struct {
		port     int
		protocol Protocol
	}
	services, names := map[service]Port{}, map[string]Port{}
	for _, p := range c.Ports {
		here := at.field("ports").entry(portKey(p))
		if p.Port != 0 {
			v.portNumber(p.Port, here.field("port"))
		}
		if p.ServicePort != p.Port {
			v.portNumber(p.ServicePort, here.field("servicePort"))
		}
		if p.Name != "" {
			if _, numeric := PortRef(p.Name).Number(); numeric || len(validation.IsDNS1123Label(p.Name)) > 0 {
				v.errorf(here.field("name"), "use lower-case letters, digits and hyphens, with a letter", "%q is not the name of a port", cut(p.Name))
			}
			if other, taken := names[p.Name]; taken {
				v.errorf(here.field("name"), "give one another name", "%q is also the name of ports[%s]", p.Name, portKey(other))
			}
			names[p.Name] = p
		}
		if p.AppProtocol != "" && len(validation.IsQualifiedName(p.AppProtocol)) > 0 {
			v.errorf(here.field("appProtocol"), "write for example http, https, grpc or mysql", "%q is not a protocol", cut(p.AppProtocol))
		}
		if p.Access == AccessNone {
			continue
		}
		s := service{p.ServicePort, p.Protocol}
		if other, taken := services[s]; taken && portKey(other) != portKey(p) {
			v.errorf(at.field("ports").entry(portKey(other)), "give one another servicePort, or access: none",
				"servicePort %d/%s is also that of ports[%s]", s.port, s.protocol, portKey(p))
		}
		services[s] = p
	}
	for _, m := range c.Monitors {
		here := at.field("monitors").entry(monitorKey(m))
		v.portRef(c, m.Port, here.field("port"))
		if !strings.HasPrefix(m.Path, "/") {
			v.errorf(here.field("path"), "begin with /", "%q is not the path of a URL", cut(m.Path))
		}
	}
}

func monitorKey(m Monitor) string {
	if m.Path == "/metrics" {
		return string(m.Port)
	}
	return string(m.Port) + "/" + m.Path
}

// findPort is the port of a component that a reference names.
func findPort(c *Component, ref PortRef) *Port {
	number, numeric := ref.Number()
	for i := range c.Ports {
		p := &c.Ports[i]
		if numeric && p.Port == number || !numeric && p.Name == string(ref) {
			return p
		}
	}
	return nil
}

func portNames(c *Component) []string {
	var names []string
	for _, p := range c.Ports {
		if p.Name != "" {
			names = append(names, p.Name)
		} else {
			names = append(names, portKey(p))
		}
	}
	return names
}

// portRef checks a reference to a port of c.
func (v *checker) portRef(c *Component, ref PortRef, at Path) {
	if ref == "" || findPort(c, ref) != nil {
		return
	}
	next := didYouMean(string(ref), portNames(c))
	if next == "" {
		next = "add it to the ports of " + c.ID
	}
	v.errorf(at, next, "%s has no port %q", c.ID, cut(string(ref)))
}

// onePort checks a reference that may be left out where there is one port.
func (v *checker) onePort(c *Component, ref PortRef, at Path) {
	if ref != "" {
		v.portRef(c, ref, at.field("port"))
		return
	}
	switch len(c.Ports) {
	case 0:
		v.errorf(at, "add a port to "+c.ID, "%s has no port", c.ID)
	case 1:
	default:
		if open := openPorts(c); len(open) != 1 {
			v.errorf(at, "add port: "+portNames(c)[0], "%s has several ports", c.ID)
		}
	}
}

// openPorts are the ports to which others in the cluster may connect.
func openPorts(c *Component) []Port {
	var open []Port
	for _, p := range c.Ports {
		if p.Access != AccessNone {
			open = append(open, p)
		}
	}
	return open
}

var needName = regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)

func (v *checker) needs(c *Component, at Path) {
	injected := map[string]string{}
	for _, n := range c.Needs {
		here := at.field("needs").entry(n.Name)
		if n.Name != "" && !needName.MatchString(n.Name) {
			v.errorf(here.field("name"), "use lower-case letters, digits and hyphens, and begin with a letter", "%q is not a name", cut(n.Name))
		}
		if n.Team != "" && n.Application == "" {
			v.errorf(here.field("team"), `add "application:"`, "a team is named without its application")
		}
		if n.Prefix != nil && *n.Prefix != "" && len(validation.IsRelaxedEnvVarName(*n.Prefix)) > 0 {
			v.errorf(here.field("prefix"), "write for example DB_", "%q can't begin the name of a variable", cut(*n.Prefix))
		}
		provider := v.provider(c, n, here)
		if n.Prefix == nil {
			continue
		}
		for _, name := range injectedNames(n, provider) {
			if other, taken := injected[name]; taken {
				v.errorf(here, "give one of them another prefix", "injects %s, and so does needs[%s]", name, other)
				break
			}
			injected[name] = n.Name
		}
	}
}

// provider checks the other end of a need, and returns it if this application
// has it.
func (v *checker) provider(c *Component, n Need, at Path) *Component {
	if n.Open != nil {
		if n.Application != "" || n.Port != "" {
			v.errorf(at, "remove them", "an open need names no application and no port: its installation does")
		}
		return nil
	}
	if n.Component == "" || n.Application != "" {
		if n.Application != "" {
			v.name(n.Application, at.field("application"))
		}
		return nil
	}
	p := v.byID[n.Component]
	switch {
	case p == nil:
		next := didYouMean(n.Component, v.ids)
		if near := nearest(n.Component, v.ids); near == "" {
			next = ""
		}
		v.errorf(at, strings.TrimSpace(next+` For another application add "application:"`), "no component %q", cut(n.Component))
		return nil
	case p.ID == c.ID:
		v.errorf(at, "remove it; its own names are ${self.…}", "%s needs itself", c.ID)
		return nil
	case !p.IsEnabled() && !n.Optional && c.IsEnabled():
		v.errorf(at, "enable it, or write optional: true", "%s is not enabled", p.ID)
	}
	if n.Port != "" {
		v.portRef(p, n.Port, at.field("port"))
		if q := findPort(p, n.Port); q != nil && q.Access == AccessNone {
			v.errorf(at.field("port"), "give the port another access", "port %s of %s has access: none", n.Port, p.ID)
		}
	} else if n.Prefix != nil && len(openPorts(p)) > 1 {
		v.errorf(at, "add port: "+portNames(p)[0], "%s has several ports, and the need injects one", p.ID)
	}
	if n.Condition == "completed" && p.Kind != KindJob {
		v.errorf(at.field("condition"), "write ready or started", "a %s never completes", p.Kind)
	}
	return p
}

// injectedNames are the variables that a need with a prefix injects.
func injectedNames(n Need, provider *Component) []string {
	var keys []string
	switch {
	case n.Open != nil:
		keys = n.Open.Keys
	case provider == nil:
		keys = []string{"host", "port"}
	default:
		if len(provider.Ports) > 0 || provider.External != nil {
			keys = append(keys, "host", "port")
		}
		for _, p := range provider.Provides {
			if p.Name != "host" && p.Name != "port" {
				keys = append(keys, p.Name)
			}
		}
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = InjectedName(*n.Prefix, k)
	}
	return names
}

// InjectedName is the name of the variable by which a need with a prefix
// injects what is provided under a key: the key in upper case, with
// underscores for what a variable can't have.
func InjectedName(prefix, key string) string {
	return prefix + strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, strings.ToUpper(key))
}
