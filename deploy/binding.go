package deploy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy/render"
)

// boundNeed is a binding as an intent holds it: with its secrets, as an intent
// is only ever stored sealed.
type boundNeed struct {
	Component string            `json:"component"`
	Need      string            `json:"need"`
	Host      string            `json:"host,omitempty"`
	Port      int               `json:"port,omitempty"`
	Values    map[string]string `json:"values,omitempty"`
	Secrets   map[string]string `json:"secrets,omitempty"`
}

func (n boundNeed) ref() render.NeedRef {
	return render.NeedRef{Component: n.Component, Need: n.Need}
}

// bind checks that every need that leads out of an application is bound, and
// that every binding is of such a need.
func bind(app *appmodel.Application, bindings map[render.NeedRef]render.Endpoint) ([]boundNeed, error) {
	var out []boundNeed
	unused := maps.Clone(bindings)
	for i := range app.Components {
		c := &app.Components[i]
		for _, n := range c.Needs {
			if n.Open == nil && n.Application == "" {
				continue
			}
			ref := render.NeedRef{Component: c.ID, Need: cmp.Or(n.Name, n.Component)}
			e, ok := bindings[ref]
			if !ok && !n.Optional {
				return nil, fmt.Errorf("%w: components[%s].needs[%s] leads out of the application and is not bound; say where in PlanOptions.Bindings, or make it optional", appspan.ErrInvalid, ref.Component, ref.Need)
			}
			if !ok {
				continue
			}
			delete(unused, ref)
			out = append(out, storeBinding(ref, e))
		}
	}
	for ref := range unused {
		return nil, fmt.Errorf("%w: a binding is of components[%s].needs[%s], which is no need that leads out of the application; leave it out", appspan.ErrInvalid, ref.Component, ref.Need)
	}
	slices.SortFunc(out, func(a, b boundNeed) int {
		return cmp.Or(cmp.Compare(a.Component, b.Component), cmp.Compare(a.Need, b.Need))
	})
	return out, nil
}

// storeBinding is a binding with its secrets.
func storeBinding(ref render.NeedRef, e render.Endpoint) boundNeed {
	b := boundNeed{Component: ref.Component, Need: ref.Need, Host: e.Host, Port: e.Port, Values: maps.Clone(e.Values)}
	for name, value := range e.Secrets {
		if b.Secrets == nil {
			b.Secrets = map[string]string{}
		}
		b.Secrets[name] = value.Reveal()
	}
	return b
}

// endpoints are the bindings as render takes them.
func endpoints(bound []boundNeed) map[render.NeedRef]render.Endpoint {
	out := make(map[render.NeedRef]render.Endpoint, len(bound))
	for _, n := range bound {
		e := render.Endpoint{Host: n.Host, Port: n.Port, Values: n.Values}
		for name, value := range n.Secrets {
			if e.Secrets == nil {
				e.Secrets = map[string]appmodel.Sensitive{}
			}
			e.Secrets[name] = appmodel.NewSensitive(value)
		}
		out[n.ref()] = e
	}
	return out
}
