package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
)

// maxTemplateDepth bounds templates that lead to templates.
const maxTemplateDepth = 50

// value is an expanded template.
type value []piece

// piece is a part of a [value].
type piece struct {
	text string // for a secret its value, if it is known
	// written by the template's author, so that $(NAME) keeps its meaning.
	literal bool
	secret  *secretKey // nil: not secret
}

// secretKey is where a secret value stands in the namespace.
type secretKey struct {
	object, key string
	label       string // names it in helper variables
	unknown     bool   // the Secret is not ours: its value is not at hand
	copy        bool   // no group writes it: whoever refers to it does
	owner       *appmodel.Component
}

// unboundError is a reference to the other end of an optional need that has
// none.
type unboundError struct{ component, need string }

func (e *unboundError) Error() string {
	return fmt.Sprintf("components[%s].needs[%s]: the need is optional and leads nowhere", e.component, e.need)
}

func (e *unboundError) Unwrap() error { return appspan.ErrInvalid }

// plain is a value that is no secret and whose dollars stand for themselves.
func plain(s string) value { return value{{text: s}} }

// sensitive reports whether a part of the value is secret.
func (v value) sensitive() bool {
	for _, p := range v {
		if p.secret != nil {
			return true
		}
	}
	return false
}

// single is the one secret that the value is, or nil.
func (v value) single() *secretKey {
	if len(v) == 1 {
		return v[0].secret
	}
	return nil
}

// reveal is the text with its secrets.
func (v value) reveal() (string, error) {
	var s strings.Builder
	for _, p := range v {
		if p.secret != nil && p.secret.unknown {
			return "", fmt.Errorf("%w: the value of item %q of the Secret %q is not known here, as it exists already; refer to it alone, or in env", appspan.ErrInvalid, p.secret.key, p.secret.object)
		}
		s.WriteString(p.text)
	}
	return s.String(), nil
}

// expand resolves a template to its text; it reports whether that is secret.
// c is the component whose needs and self it may name, or nil.
func (b *builder) expand(c *appmodel.Component, text string) (string, bool, error) {
	v, err := b.resolve(c, text)
	if err != nil {
		return "", false, err
	}
	s, err := v.reveal()
	return s, v.sensitive(), err
}

// resolve expands a template; secrets stay references.
func (b *builder) resolve(c *appmodel.Component, text string) (value, error) {
	if b.depth++; b.depth > maxTemplateDepth {
		b.depth--
		return nil, fmt.Errorf("%w: templates lead to each other more than %d deep; look for a circle", appspan.ErrInvalid, maxTemplateDepth)
	}
	defer func() { b.depth-- }()
	t, err := appmodel.ParseTemplate(text)
	if err != nil {
		return nil, err
	}
	var out value
	for _, s := range t {
		if s.Ref == nil {
			out = append(out, piece{text: s.Literal, literal: true})
			continue
		}
		v, err := b.reference(c, *s.Ref)
		if err != nil {
			return nil, fmt.Errorf("${%s}: %w", s.Ref, err)
		}
		for _, p := range v {
			p.literal = false
			out = append(out, p)
		}
	}
	return out, nil
}

// reference resolves one reference.
func (b *builder) reference(c *appmodel.Component, r appmodel.TemplateRef) (value, error) {
	switch r.Scope {
	case "param":
		return b.parameter(r.Path[0])
	case "config":
		return b.configValue(r.Path[0], r.Path[1])
	case "secret":
		return b.secretValue(r.Path[0], r.Path[1])
	case "need", "self":
		if c == nil {
			return nil, fmt.Errorf("%w: there is no component here; use it in a component's env, files or provides", appspan.ErrInvalid)
		}
		if r.Scope == "need" {
			return b.needValue(c, r.Path[0], r.Path[1])
		}
		return b.self(c, r.Path)
	case "route":
		return b.routeHost(r.Path[0])
	case "app":
		return plain(b.app.Metadata.Name), nil
	case "cluster":
		return b.clusterValue(r.Path)
	}
	return nil, fmt.Errorf("%w: there is no scope %q", appspan.ErrInvalid, r.Scope)
}

// parameter is an answer: a string as it is, anything else as JSON. A secret
// one goes to the application's own Secret where a pod refers to it.
func (b *builder) parameter(name string) (value, error) {
	raw, ok := b.in.Params[name]
	if !ok {
		return nil, fmt.Errorf("%w: parameter %q has no answer; give one, or a default", appspan.ErrInvalid, name)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		s = string(raw)
	}
	for _, p := range b.app.Parameters {
		if p.Name == name && p.Secret {
			return value{{text: s, secret: &secretKey{object: b.name("params"), key: name, label: "PARAM_" + name, copy: true}}}, nil
		}
	}
	return plain(s), nil
}

// self is what a component knows of itself.
func (b *builder) self(c *appmodel.Component, path []string) (value, error) {
	if len(path) == 1 {
		return b.offer(c, "", path[0])
	}
	if p := findPort(c, appmodel.PortRef(path[1])); p != nil {
		return plain(strconv.Itoa(p.Port)), nil
	}
	return nil, fmt.Errorf("%w: %s has no port %q; add it to its ports", appspan.ErrInvalid, c.ID, path[1])
}

// routeHost is the first host of a route.
func (b *builder) routeHost(id string) (value, error) {
	for i := range b.app.Routes {
		r := &b.app.Routes[i]
		if r.ID != id {
			continue
		}
		var hosts []string
		switch {
		case r.HTTP != nil:
			hosts = r.HTTP.Hosts
		case r.TLS != nil:
			hosts = r.TLS.Hosts
		}
		if len(hosts) == 0 {
			if domain := b.in.Cluster.Labels[labelDomain]; domain != "" && (r.HTTP != nil || r.TLS != nil) {
				return plain(b.name(id) + "." + domain), nil
			}
			return nil, fmt.Errorf("%w: routes[%s] names no host; add one to its hosts, or give the cluster a label %s", appspan.ErrInvalid, id, labelDomain)
		}
		return b.resolve(nil, hosts[0])
	}
	return nil, fmt.Errorf("%w: there is no route %q; add it", appspan.ErrInvalid, id)
}

// clusterValue is the name or a label of the cluster.
func (b *builder) clusterValue(path []string) (value, error) {
	if path[0] == "name" {
		return plain(b.in.Cluster.Name), nil
	}
	if v, ok := b.in.Cluster.Labels[path[len(path)-1]]; ok {
		return plain(v), nil
	}
	return nil, fmt.Errorf("%w: cluster %q has no label %q; label it, or place the application elsewhere", appspan.ErrInvalid, b.in.Cluster.Name, path[len(path)-1])
}

// needValue is what the other end of a component's need provides.
func (b *builder) needValue(c *appmodel.Component, name, key string) (value, error) {
	for _, n := range c.Needs {
		if n.Name == name {
			return b.provided(c, n, key)
		}
	}
	return nil, fmt.Errorf("%w: %s has no need %q; add it", appspan.ErrInvalid, c.ID, name)
}

func (b *builder) provided(c *appmodel.Component, n appmodel.Need, key string) (value, error) {
	if n.Open == nil && n.Application == "" {
		if p := b.comps[n.Component]; p != nil {
			return b.offer(p, n.Port, key)
		}
	} else if e, ok := b.in.Bindings[NeedRef{c.ID, n.Name}]; ok {
		return b.bound(c, n, e, key)
	}
	if n.Optional {
		return nil, &unboundError{c.ID, n.Name}
	}
	next := "bind it where the application is installed, or make it optional"
	if n.Open == nil && n.Application == "" {
		next = fmt.Sprintf("enable component %q, or make the need optional", n.Component)
	}
	return nil, fmt.Errorf("%w: components[%s].needs[%s] leads nowhere; %s", appspan.ErrInvalid, c.ID, n.Name, next)
}

// bound is what a need gets from outside of the application. Secret values are
// copied beside the component.
func (b *builder) bound(c *appmodel.Component, n appmodel.Need, e Endpoint, key string) (value, error) {
	if s, ok := e.Secrets[key]; ok {
		return value{{text: s.Reveal(), secret: &secretKey{object: b.name(c.ID) + "-needs", key: n.Name + "." + key,
			label: "NEED_" + n.Name + "_" + key, copy: true, owner: c}}}, nil
	}
	if s, ok := e.Values[key]; ok {
		return plain(s), nil
	}
	switch key {
	case "host", "hosts":
		return plain(e.Host), nil
	case "port":
		return plain(strconv.Itoa(e.Port)), nil
	case "address":
		return plain(e.Host + ":" + strconv.Itoa(e.Port)), nil
	}
	return nil, fmt.Errorf("%w: the other end of components[%s].needs[%s] provides no %q; add it to its provides", appspan.ErrInvalid, c.ID, n.Name, key)
}

// offer is what a component provides: its own names, and where it is.
func (b *builder) offer(p *appmodel.Component, port appmodel.PortRef, key string) (value, error) {
	for _, i := range p.Provides {
		if i.Name == key {
			return b.itemValue(p, i)
		}
	}
	switch key {
	case "host":
		return plain(b.host(p)), nil
	case "hosts":
		return plain(b.replicaHosts(p)), nil
	case "port", "address":
		x := findPort(p, port)
		if x == nil {
			return nil, fmt.Errorf("%w: %s has no port %q; add it to its ports", appspan.ErrInvalid, p.ID, port)
		}
		number := strconv.Itoa(b.servicePort(p, x))
		if externalName(p) { // no Service is between
			number = strconv.Itoa(x.Port)
		}
		if key == "port" {
			return plain(number), nil
		}
		return plain(b.host(p) + ":" + number), nil
	}
	return nil, fmt.Errorf("%w: %s provides no %q; add it to its provides", appspan.ErrInvalid, p.ID, key)
}

// itemValue is the value of a config item or a provided name.
func (b *builder) itemValue(c *appmodel.Component, i appmodel.Item) (value, error) {
	if i.Template != "" {
		return b.resolve(c, i.Template)
	}
	return plain(i.Value), nil
}

// host is where a component is reached: its Service, or the host name of
// something external, so that certificates and Host headers hold.
func (b *builder) host(p *appmodel.Component) string {
	if p.External != nil && len(p.External.Hosts) == 1 {
		if _, err := netip.ParseAddr(p.External.Hosts[0]); err != nil {
			return p.External.Hosts[0]
		}
	}
	return b.serviceName(p)
}

// replicaHosts are the names of the replicas of a stateful component, separated by
// commas; of another component its host.
func (b *builder) replicaHosts(p *appmodel.Component) string {
	if p.Kind != appmodel.KindStateful {
		return b.host(p)
	}
	names := make([]string, firstReplicas(p))
	for i := range names {
		names[i] = b.workloadName(p) + "-" + strconv.Itoa(i) + "." + b.headlessName(p)
	}
	return strings.Join(names, ",")
}

// findPort is the port that a reference means; the empty one means the first
// that others may connect to.
func findPort(c *appmodel.Component, ref appmodel.PortRef) *appmodel.Port {
	for i := range c.Ports {
		p := &c.Ports[i]
		if ref == "" && p.Access != appmodel.AccessNone || ref != "" && (string(ref) == p.Name || string(ref) == strconv.Itoa(p.Port)) {
			return p
		}
	}
	return nil
}

// leftOut reports whether an error comes from an optional need that leads
// nowhere; then a note says what is left out because of it.
func (b *builder) leftOut(err error, c *appmodel.Component, path string) bool {
	var unbound *unboundError
	if !errors.As(err, &unbound) {
		return false
	}
	b.note(Information, c, path, "is left out, as the optional need %q of %s leads nowhere", unbound.need, unbound.component)
	return true
}
