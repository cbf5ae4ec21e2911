package render

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
)

// expand resolves a template; refs to secrets are reported.
func (b *builder) expand(c *appmodel.Component, text string) (string, bool, error) {
	t, err := appmodel.ParseTemplate(text)
	if err != nil {
		return "", false, err
	}
	secret := false
	s, err := t.Expand(func(r appmodel.TemplateRef) (string, error) {
		v, sec, err := b.ref(c, r)
		secret = secret || sec
		return v, err
	})
	return s, secret, err
}

func (b *builder) ref(c *appmodel.Component, r appmodel.TemplateRef) (string, bool, error) {
	switch r.Scope {
	case "param":
		var s string
		raw := b.in.Params[r.Path[0]]
		if json.Unmarshal(raw, &s) != nil {
			s = string(raw)
		}
		for _, p := range b.app.Parameters {
			if p.Name == r.Path[0] {
				return s, p.Secret, nil
			}
		}
		return s, false, nil
	case "config":
		for _, g := range b.app.Configs {
			if g.Name == r.Path[0] {
				for _, i := range g.Items {
					if i.Name == r.Path[1] {
						if i.Template != "" {
							return b.expand(c, i.Template)
						}
						return i.Value, false, nil
					}
				}
			}
		}
	case "secret":
		for _, g := range b.app.Secrets {
			if g.Name == r.Path[0] {
				for _, i := range g.Items {
					if i.Name == r.Path[1] {
						v, err := b.secretItem(g.Name, i)
						return v, true, err
					}
				}
			}
		}
	case "need":
		if c == nil {
			break
		}
		for _, n := range c.Needs {
			if n.Name == r.Path[0] {
				return b.provided(c, n, r.Path[1])
			}
		}
	case "self":
		if c == nil {
			break
		}
		if r.Path[0] == "port" {
			for _, p := range c.Ports {
				if p.Name == r.Path[1] || strconv.Itoa(p.Port) == r.Path[1] {
					return strconv.Itoa(p.Port), false, nil
				}
			}
		}
		return b.offer(c, "", r.Path[0])
	case "route":
		for _, x := range b.app.Routes {
			if x.ID == r.Path[0] && x.HTTP != nil && len(x.HTTP.Hosts) > 0 {
				return b.expand(nil, x.HTTP.Hosts[0])
			}
		}
	case "app":
		return b.app.Metadata.Name, false, nil
	case "cluster":
		if r.Path[0] == "name" {
			return b.in.Cluster.Name, false, nil
		}
		return b.in.Cluster.Labels[r.Path[1]], false, nil
	}
	return "", false, fmt.Errorf("%w: nothing of that name", appspan.ErrInvalid)
}

func (b *builder) provided(c *appmodel.Component, n appmodel.Need, key string) (string, bool, error) {
	if n.Open != nil || n.Application != "" {
		e, ok := b.in.Bindings[NeedRef{c.ID, n.Name}]
		if !ok {
			return "", false, fmt.Errorf("%w: need %q is not bound", appspan.ErrInvalid, n.Name)
		}
		switch key {
		case "host":
			return e.Host, false, nil
		case "port":
			return strconv.Itoa(e.Port), false, nil
		case "address":
			return e.Host + ":" + strconv.Itoa(e.Port), false, nil
		}
		if v, ok := e.Secrets[key]; ok {
			return v.Reveal(), true, nil
		}
		return e.Values[key], false, nil
	}
	p := b.comps[n.Component]
	if p == nil {
		return "", false, fmt.Errorf("%w: component %q is disabled", appspan.ErrInvalid, n.Component)
	}
	return b.offer(p, n.Port, key)
}

// offer is what a component provides.
func (b *builder) offer(p *appmodel.Component, port appmodel.PortRef, key string) (string, bool, error) {
	for _, i := range p.Provides {
		if i.Name == key {
			if i.Template != "" {
				return b.expand(p, i.Template)
			}
			return i.Value, false, nil
		}
	}
	host := b.serviceName(p)
	if p.Kind == appmodel.KindExternal && p.External != nil && len(p.External.Hosts) > 0 {
		host = p.External.Hosts[0]
	}
	number := ""
	for _, x := range p.Ports {
		if port == "" || string(port) == x.Name || string(port) == strconv.Itoa(x.Port) {
			number = strconv.Itoa(x.Number())
			break
		}
	}
	switch key {
	case "host":
		return host, false, nil
	case "port":
		return number, false, nil
	case "address":
		return host + ":" + number, false, nil
	case "hosts":
		return host, false, nil
	}
	return "", false, fmt.Errorf("%w: %s provides no %q", appspan.ErrInvalid, p.ID, key)
}

func (b *builder) serviceName(c *appmodel.Component) string {
	if c.Kubernetes != nil && c.Kubernetes.Names != nil && c.Kubernetes.Names.Service != "" {
		return c.Kubernetes.Names.Service
	}
	return b.name(c.ID)
}

func (b *builder) secretItem(group string, i appmodel.SecretItem) (string, error) {
	switch {
	case i.Generate != nil:
		v, ok := b.in.Generated[group][i.Name]
		if !ok {
			return "", fmt.Errorf("%w: no value for generated item %s.%s", appspan.ErrInvalid, group, i.Name)
		}
		return v.Reveal(), nil
	case i.Template != "":
		v, _, err := b.expand(nil, i.Template)
		return v, err
	}
	return i.Value.Reveal(), nil
}

func escape(s string) string { return strings.ReplaceAll(s, "$(", "$$(") }

// GeneratedItem is a secret item that is made once.
type GeneratedItem struct {
	Group, Item string
	Spec        appmodel.Generate
}

// Generated lists the generated secret items.
func Generated(a *appmodel.Application) []GeneratedItem {
	var out []GeneratedItem
	for _, s := range a.Secrets {
		for _, i := range s.Items {
			if i.Generate != nil {
				out = append(out, GeneratedItem{s.Name, i.Name, *i.Generate})
			}
		}
	}
	return out
}
