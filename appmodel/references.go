package appmodel

import "cmp"

// reference is a place that refers to something by name. It stands for the
// smallest thing that can be taken out: an entry, a probe, a hook.
type reference struct {
	at Path
	to []string // ids of what it may be, as targetsOf gives them
}

// referencesOf are the references of an application, in its order.
func referencesOf(a *Application) []reference {
	r := &referrer{}
	root := Path{}
	for _, c := range a.Configs {
		for _, i := range c.Items {
			r.template(i.Template, root.field("configs").entry(c.Name).field("items").entry(i.Name), nil)
		}
	}
	for _, s := range a.Secrets {
		for _, i := range s.Items {
			r.template(i.Template, root.field("secrets").entry(s.Name).field("items").entry(i.Name), nil)
		}
	}
	for _, v := range a.Volumes {
		r.volume(v, root.field("volumes").entry(v.Name))
	}
	for i := range a.Components {
		r.component(&a.Components[i], root.field("components").entry(a.Components[i].ID))
	}
	for i := range a.Routes {
		r.route(&a.Routes[i], root.field("routes").entry(a.Routes[i].ID))
	}
	for _, p := range a.Patches {
		at := root.field("patches").entry(p.ID)
		if p.Target.Component != "" {
			r.add(at, "component/"+p.Target.Component)
		}
		if p.Target.Route != "" {
			r.add(at, "route/"+p.Target.Route)
		}
		if p.Target.Volume != "" {
			r.add(at, "volume/"+p.Target.Component+"/"+p.Target.Volume, "volume//"+p.Target.Volume)
		}
	}
	return r.list
}

type referrer struct{ list []reference }

func (r *referrer) add(at Path, to ...string) { r.list = append(r.list, reference{at, to}) }

func (r *referrer) item(kind string, i *ItemRef, at Path) {
	if i != nil {
		r.add(at, kind+"/"+i.Name)
		r.add(at, kind+"/"+i.Name+"/"+i.Item, "existing/"+i.Name)
	}
}

func (r *referrer) group(kind, name string, at Path) {
	if name != "" {
		r.add(at, kind+"/"+name)
	}
}

func (r *referrer) port(component string, p PortRef, at Path) {
	if p != "" {
		r.add(at, "port/"+component+"/"+string(p))
	}
}

// template adds what a template refers to; c is the component that it stands
// in, nil if none.
func (r *referrer) template(text string, at Path, c *Component) {
	if text == "" {
		return
	}
	t, err := ParseTemplate(text)
	if err != nil {
		return // validation says so
	}
	for _, ref := range t.Refs() {
		p := ref.Path
		switch {
		case ref.Scope == "param" && len(p) > 0:
			r.add(at, "param/"+p[0])
		case (ref.Scope == "config" || ref.Scope == "secret") && len(p) > 1:
			r.add(at, ref.Scope+"/"+p[0])
			r.add(at, ref.Scope+"/"+p[0]+"/"+p[1], "existing/"+p[0])
		case ref.Scope == "route" && len(p) > 0:
			r.add(at, "route/"+p[0])
		case ref.Scope == "self" && len(p) > 1 && c != nil && p[0] == "port":
			r.port(c.ID, PortRef(p[1]), at)
		case ref.Scope == "need" && len(p) > 1 && c != nil:
			r.add(at, "need/"+c.ID+"/"+p[0])
			r.provided(c, p[0], p[1], at)
		}
	}
}

// provided adds the reference to what a need's provider provides.
func (r *referrer) provided(c *Component, need, name string, at Path) {
	switch name {
	case "host", "port", "address", "hosts":
		return
	}
	for _, n := range c.Needs {
		if needKey(n) == need && n.Component != "" && n.Application == "" {
			r.add(at, "provide/"+n.Component+"/"+name)
		}
	}
}

func (r *referrer) volume(v Volume, at Path) {
	r.group("config", v.Config, at)
	r.group("secret", v.Secret, at)
}

func (r *referrer) component(c *Component, at Path) {
	r.container(&c.Container, c, at)
	for i := range c.InitContainers {
		r.container(&c.InitContainers[i].Container, c, at.field("initContainers").entry(c.InitContainers[i].Name))
	}
	for i := range c.Sidecars {
		r.container(&c.Sidecars[i].Container, c, at.field("sidecars").entry(c.Sidecars[i].Name))
	}
	if c.ImagePull != nil {
		for _, s := range c.ImagePull.Secrets {
			r.add(at.field("imagePull").field("secrets").entry(s), "secret/"+s)
		}
	}
	for _, n := range c.Needs {
		if n.Component != "" && n.Application == "" {
			p := at.field("needs").entry(needKey(n))
			r.add(p, "component/"+n.Component)
			r.port(n.Component, n.Port, p)
		}
	}
	for _, p := range c.Provides {
		r.template(p.Template, at.field("provides").entry(p.Name), c)
	}
	for _, v := range c.Volumes {
		r.volume(v, at.field("volumes").entry(v.Name))
	}
	list := listForm(at.field("monitors"))
	for _, m := range c.Monitors {
		r.port(c.ID, m.Port, at.field("monitors").entry(list.join([]string{string(m.Port), m.Path})))
	}
	if c.Scale != nil && c.Scale.Auto != nil {
		for _, m := range c.Scale.Auto.Metrics {
			if m.Trigger != nil {
				name := m.Name
				if name == "" {
					name = metricType(m)
				}
				r.group("secret", m.Trigger.Secret, at.field("scale").field("auto").field("metrics").entry(name))
			}
		}
	}
	if h := c.Hooks; h != nil {
		r.hook(h.Quiesce, c, at.field("hooks").field("quiesce"))
		r.hook(h.Resume, c, at.field("hooks").field("resume"))
		r.hook(h.Dump, c, at.field("hooks").field("dump"))
		r.hook(h.Restore, c, at.field("hooks").field("restore"))
	}
	if c.Chart != nil && c.Chart.Interpolate {
		r.template(string(c.Chart.Values), at.field("chart"), c)
	}
	for _, o := range c.Objects {
		if o.Interpolate {
			r.template(string(o.Manifest), at.field("objects").entry(manifestKey(o.Manifest)), c)
		}
	}
}

func (r *referrer) hook(h *Hook, c *Component, at Path) {
	if h != nil {
		for _, v := range h.Volumes {
			r.add(at, "volume/"+c.ID+"/"+v, "volume//"+v)
		}
	}
}

func (r *referrer) container(box *Container, c *Component, at Path) {
	list := listForm(at.field("envFrom"))
	for _, e := range box.EnvFrom {
		p := at.field("envFrom").entry(list.join([]string{e.Config, e.Secret, e.Prefix}))
		r.group("config", e.Config, p)
		r.group("secret", e.Secret, p)
	}
	for _, e := range box.Env {
		p := at.field("env").entry(e.Name)
		r.template(e.Template, p, c)
		if e.ValueFrom != nil && !e.ValueFrom.Optional {
			r.item("config", e.ValueFrom.Config, p)
			r.item("secret", e.ValueFrom.Secret, p)
		}
	}
	for _, f := range box.Files {
		p := at.field("files").entry(f.Path)
		r.template(f.Template, p, c)
		r.item("config", f.Config, p)
		r.item("secret", f.Secret, p)
	}
	for _, m := range box.Mounts {
		r.add(at.field("mounts").entry(m.Path), "volume/"+c.ID+"/"+m.Volume, "volume//"+m.Volume)
	}
	if box.Probes != nil {
		r.probe(box.Probes.Readiness, c, at.field("probes").field("readiness"))
		r.probe(box.Probes.Liveness, c, at.field("probes").field("liveness"))
		r.probe(box.Probes.Startup, c, at.field("probes").field("startup"))
	}
	if l := box.Lifecycle; l != nil {
		r.handler(l.PostStart, c, at.field("lifecycle").field("postStart"))
		r.handler(l.PreStop, c, at.field("lifecycle").field("preStop"))
	}
}

// A probe and a handler may name a port by a number that is no port of the
// component's; names must be.
func (r *referrer) probe(p *Probe, c *Component, at Path) {
	if p == nil {
		return
	}
	if p.HTTP != nil {
		r.named(c, p.HTTP.Port, at)
	}
	if p.TCP != nil {
		r.named(c, p.TCP.Port, at)
	}
	if p.GRPC != nil {
		r.named(c, p.GRPC.Port, at)
	}
}

func (r *referrer) handler(h *Handler, c *Component, at Path) {
	if h != nil && h.HTTP != nil {
		r.named(c, h.HTTP.Port, at)
	}
}

func (r *referrer) named(c *Component, p PortRef, at Path) {
	if _, number := p.Number(); !number {
		r.port(c.ID, p, at)
	}
}

func (r *referrer) route(route *Route, at Path) {
	if h := route.HTTP; h != nil {
		r.hosts(h.Hosts, at.field("http").field("hosts"))
		if h.TLS != nil {
			r.group("secret", h.TLS.Secret, at.field("http").field("tls"))
		}
		for _, rule := range h.Rules {
			name := rule.Name
			if name == "" {
				name = cmp.Or(rule.Path, "/")
			}
			r.backends(rule.To, at.field("http").field("rules").entry(name))
		}
	}
	for name, s := range map[string]*StreamRoute{"tcp": route.TCP, "udp": route.UDP} { // one of them at most
		if s != nil {
			r.backends(s.To, at.field(name))
		}
	}
	if route.TLS != nil {
		r.hosts(route.TLS.Hosts, at.field("tls").field("hosts"))
		r.backends(route.TLS.To, at.field("tls"))
	}
}

func (r *referrer) hosts(hosts []string, at Path) {
	for _, h := range hosts {
		r.template(h, at.entry(h), nil)
	}
}

func (r *referrer) backends(to []Backend, at Path) {
	list := listForm(at.field("to"))
	for _, b := range to {
		p := at.field("to").entry(list.join([]string{b.Component, string(b.Port)}))
		r.add(p, "component/"+b.Component)
		r.port(b.Component, b.Port, p)
	}
}
