package render

import (
	"fmt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
)

// Provided is what a component of the application gives to those who need it
// from outside: its address on the cluster, and the names that it provides. An
// empty port is its first. An unknown component or port is
// appspan.ErrNotFound.
func Provided(in Input, component string, port appmodel.PortRef) (Endpoint, error) {
	b := newBuilder(in)
	p := b.comps[component]
	if p == nil {
		return Endpoint{}, fmt.Errorf("%w: application %s has no component %q", appspan.ErrNotFound, b.app.Metadata.Name, component)
	}
	x := findPort(p, port)
	if x == nil {
		return Endpoint{}, fmt.Errorf("%w: component %s of application %s has no port %q to connect to", appspan.ErrNotFound, component, b.app.Metadata.Name, port)
	}
	out := Endpoint{Host: b.host(p), Port: b.servicePort(p, x), Values: map[string]string{}, Secrets: map[string]appmodel.Sensitive{}}
	if externalName(p) {
		out.Port = x.Port
	} else {
		out.Host += "." + in.Namespace
	}
	for _, i := range p.Provides {
		v, err := b.itemValue(p, i)
		if err != nil {
			return Endpoint{}, fmt.Errorf("%s: %w", componentPath(p, "provides["+i.Name+"]"), err)
		}
		text, err := v.reveal()
		if err != nil {
			return Endpoint{}, fmt.Errorf("%s: %w", componentPath(p, "provides["+i.Name+"]"), err)
		}
		if v.sensitive() {
			out.Secrets[i.Name] = appmodel.NewSensitive(text)
		} else {
			out.Values[i.Name] = text
		}
	}
	return out, nil
}
