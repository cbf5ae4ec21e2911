package appmodel

import (
	"fmt"
	"slices"
	"strings"
)

// templates checks every template: its form, that what it refers to exists,
// that no secret gets where everybody can read it, and that nothing refers to
// itself in a circle.
func (v *checker) templates() {
	t := &templateChecker{checker: v, edges: map[string][]string{}, places: map[string]Path{}, secret: map[string]bool{}}
	root := Path{}
	for i := range v.app.Configs {
		g := &v.app.Configs[i]
		for _, item := range g.Items {
			at := root.field("configs").entry(g.Name).field("items").entry(item.Name).field("template")
			t.check(item.Template, at, nil, "config\x00"+g.Name+"\x00"+item.Name, "a config is for everybody to read; put the item under secrets")
		}
	}
	for i := range v.app.Secrets {
		g := &v.app.Secrets[i]
		for _, item := range g.Items {
			at := root.field("secrets").entry(g.Name).field("items").entry(item.Name).field("template")
			t.check(item.Template, at, nil, "secret\x00"+g.Name+"\x00"+item.Name, "")
		}
	}
	for i := range v.app.Components {
		t.component(&v.app.Components[i])
	}
	for i := range v.app.Routes {
		t.route(&v.app.Routes[i])
	}
	for _, cycle := range findCycles(t.order, t.edges) {
		names := make([]string, len(cycle))
		for i, node := range cycle {
			names[i] = strings.TrimSuffix(t.places[node].String(), ".template")
		}
		v.errorf(t.places[cycle[0]], "give one of them a value", "goes in a circle: %s, and back", strings.Join(names, " → "))
	}
	for _, late := range t.late {
		if where := t.leaks(late.node, map[string]bool{}); where != "" {
			v.errorf(late.at, late.forbidden, "refers to a secret (%s)", where)
		}
	}
}

type templateChecker struct {
	*checker
	order  []string
	edges  map[string][]string // what the template of a thing refers to
	places map[string]Path
	secret map[string]bool // what is secret by itself
	late   []lateCheck
}

// lateCheck is a template that may not lead to a secret.
type lateCheck struct {
	node      string
	at        Path
	forbidden string
}

func (t *templateChecker) component(c *Component) {
	at := Path{}.field("components").entry(c.ID)
	for _, p := range c.Provides {
		t.check(p.Template, at.field("provides").entry(p.Name).field("template"), c, "provide\x00"+c.ID+"\x00"+p.Name, "")
	}
	boxes := []Path{at}
	for i := range c.InitContainers {
		boxes = append(boxes, at.field("initContainers").entry(c.InitContainers[i].Name))
	}
	for i := range c.Sidecars {
		boxes = append(boxes, at.field("sidecars").entry(c.Sidecars[i].Name))
	}
	for i, box := range containersOf(c) {
		for _, e := range box.Env {
			t.check(e.Template, boxes[i].field("env").entry(e.Name).field("template"), c, "", "")
		}
		for _, f := range box.Files {
			t.check(f.Template, boxes[i].field("files").entry(f.Path).field("template"), c, "", "")
		}
	}
	if ch := c.Chart; ch != nil && ch.Interpolate {
		t.strings(ch.Values, at.field("chart").field("values"), c, "")
	}
	for _, o := range c.Objects {
		if o.Interpolate {
			key := manifestKey(o.Manifest)
			forbidden := "objects are for everybody to read who may read them; refer to the Secret by name"
			t.strings(o.Manifest, at.field("objects").entry(key).field("manifest"), c, forbidden)
		}
	}
}

func (t *templateChecker) route(r *Route) {
	at := Path{}.field("routes").entry(r.ID)
	const forbidden = "a host is for everybody to read"
	if r.HTTP != nil {
		for _, h := range r.HTTP.Hosts {
			t.check(h, at.field("http").field("hosts").entry(h), nil, "route\x00"+r.ID, forbidden)
		}
	}
	if r.TLS != nil {
		for _, h := range r.TLS.Hosts {
			t.check(h, at.field("tls").field("hosts").entry(h), nil, "route\x00"+r.ID, forbidden)
		}
	}
}

// strings checks all strings of foreign JSON as templates.
func (t *templateChecker) strings(raw JSON, at Path, c *Component, forbidden string) {
	visitStrings(raw, func(s string) { t.check(s, at, c, "", forbidden) })
}

// check checks one template, read in the context of c, or of none. The node
// names what the template gives a value to; forbidden says what to do if it
// may not be secret.
func (t *templateChecker) check(text string, at Path, c *Component, node, forbidden string) {
	if text == "" {
		return
	}
	tmpl, err := ParseTemplate(text)
	if err != nil {
		t.fail(at, err)
		return
	}
	if node == "" {
		node = "at\x00" + at.String()
	}
	if _, known := t.places[node]; !known {
		t.order = append(t.order, node)
		t.places[node] = at
	}
	for _, ref := range tmpl.Refs() {
		if problem, next := t.reference(ref, c, node); problem != "" {
			t.errorf(at, next, "${%s}: %s", cut(ref.String()), problem)
		}
	}
	if forbidden != "" {
		t.late = append(t.late, lateCheck{node, at, forbidden})
	}
}

// reference checks one reference, and notes where it leads.
func (t *templateChecker) reference(ref TemplateRef, c *Component, node string) (problem, next string) {
	edge := func(parts ...string) { t.edges[node] = append(t.edges[node], strings.Join(parts, "\x00")) }
	switch ref.Scope {
	case "param":
		p := t.params[ref.Path[0]]
		if p == nil {
			return t.missing("parameter", ref.Path[0], keysOf(t.params))
		}
		edge("param", p.Name)
		t.secret["param\x00"+p.Name] = p.Secret
	case "config":
		g := t.configs[ref.Path[0]]
		if g == nil {
			return t.missing("config", ref.Path[0], keysOf(t.configs))
		}
		if !slices.ContainsFunc(g.Items, func(i Item) bool { return i.Name == ref.Path[1] }) {
			return t.missing("item", ref.Path[1], itemNames(g.Items))
		}
		edge("config", g.Name, ref.Path[1])
	case "secret":
		g := t.secrets[ref.Path[0]]
		if g == nil {
			return t.missing("secret", ref.Path[0], keysOf(t.secrets))
		}
		var items []string
		for _, i := range g.Items {
			items = append(items, i.Name)
		}
		if g.Existing == "" && !slices.Contains(items, ref.Path[1]) {
			return t.missing("item", ref.Path[1], items)
		}
		edge("secret", g.Name, ref.Path[1])
		t.secret["secret\x00"+g.Name+"\x00"+ref.Path[1]] = true
	case "need":
		return t.need(ref, c, node)
	case "self":
		return t.self(ref, c, node)
	case "route":
		if t.routeID[ref.Path[0]] == nil {
			return t.missing("route", ref.Path[0], keysOf(t.routeID))
		}
		edge("route", ref.Path[0])
	}
	return "", ""
}

func (t *templateChecker) missing(kind, name string, names []string) (problem, next string) {
	next = didYouMean(name, names)
	if next == "" {
		next = "add it"
	}
	return fmt.Sprintf("no %s %q", kind, cut(name)), next
}

func itemNames(items []Item) []string {
	names := make([]string, len(items))
	for i, item := range items {
		names[i] = item.Name
	}
	return names
}

func (t *templateChecker) need(ref TemplateRef, c *Component, node string) (problem, next string) {
	if c == nil {
		return "only a component has needs", "use it in the component's env or files"
	}
	i := slices.IndexFunc(c.Needs, func(n Need) bool { return n.Name == ref.Path[0] })
	if i < 0 {
		var names []string
		for _, n := range c.Needs {
			names = append(names, n.Name)
		}
		next := didYouMean(ref.Path[0], names)
		if next == "" {
			next = fmt.Sprintf("add it to the needs of %s", c.ID)
		}
		return fmt.Sprintf("no need %q", cut(ref.Path[0])), next
	}
	n, key := c.Needs[i], ref.Path[1]
	if n.Open != nil {
		if len(n.Open.Keys) > 0 && !slices.Contains(n.Open.Keys, key) {
			return t.missing("key", key, n.Open.Keys)
		}
		return "", ""
	}
	p := t.byID[n.Component]
	if n.Application != "" || p == nil {
		return "", ""
	}
	if problem, next := t.provided(p, key, node); problem != "" {
		return problem, next
	}
	if (key == "port" || key == "address") && n.Port == "" && len(openPorts(p)) > 1 {
		return fmt.Sprintf("%s has several ports", p.ID), fmt.Sprintf("add port: %s to needs[%s]", portNames(p)[0], n.Name)
	}
	return "", ""
}

func (t *templateChecker) self(ref TemplateRef, c *Component, node string) (problem, next string) {
	if c == nil {
		return "there is no component here", "use it in the component's env or files"
	}
	if len(ref.Path) == 2 {
		if findPort(c, PortRef(ref.Path[1])) == nil {
			return t.missing("port", ref.Path[1], portNames(c))
		}
		return "", ""
	}
	return t.provided(c, ref.Path[0], node)
}

// provided checks that a component provides something.
func (t *templateChecker) provided(p *Component, key, node string) (problem, next string) {
	var keys []string
	if len(p.Ports) > 0 || p.Kind == KindExternal {
		keys = append(keys, "host", "port", "address")
		if p.Kind == KindStateful {
			keys = append(keys, "hosts")
		}
	}
	for _, item := range p.Provides {
		if item.Name == key {
			t.edges[node] = append(t.edges[node], "provide\x00"+p.ID+"\x00"+key)
			return "", ""
		}
		keys = append(keys, item.Name)
	}
	if slices.Contains(keys, key) {
		return "", ""
	}
	next = didYouMean(key, keys)
	if next == "" {
		next = "add it to its provides"
	}
	return fmt.Sprintf("%s provides no %q", p.ID, cut(key)), next
}

// leaks says to which secret a thing leads, or "".
func (t *templateChecker) leaks(node string, seen map[string]bool) string {
	if seen[node] {
		return ""
	}
	seen[node] = true
	if t.secret[node] {
		return strings.ReplaceAll(node, "\x00", ".")
	}
	for _, to := range t.edges[node] {
		if where := t.leaks(to, seen); where != "" {
			return where
		}
	}
	return ""
}
