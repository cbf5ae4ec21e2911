package manifests

import (
	"maps"
	"slices"
	"strconv"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// patches accounts for the Services of a component, and for what of them and
// of the workload no field says.
func (im *importer) patches(p *part) {
	var ports []appmodel.Port
	for _, port := range p.comp.Ports {
		if port.Access != appmodel.AccessNone || im.routed(p, port) {
			ports = append(ports, port)
		}
	}
	if p.main == nil && len(ports) > 0 {
		im.note("%s gets a Service %s besides those of its routes", p.at, appmodel.ObjectName(im.app.Metadata.Name, p.comp.ID))
	}
	for _, s := range p.services {
		switch s.role {
		case asMain:
			s.reconcile(im, ports, p.at+".kubernetes.names.service")
		case asHeadless:
			s.reconcile(im, ports, p.at+".kubernetes.names.headless")
		case asAlias:
			s.reconcile(im, ports, p.at+".aliases["+s.obj.name+"]")
		}
	}
	for _, x := range p.extras {
		if p.patch.extra == nil {
			p.patch.extra = map[string]any{}
		}
		t := map[string]any{"template": map[string]any{"spec": x}}
		if p.obj.kind == "CronJob" {
			t = map[string]any{"jobTemplate": map[string]any{"spec": t}}
		}
		overlay(p.patch.extra, t)
	}
}

// overlay adds fields to a tree.
func overlay(base, over map[string]any) {
	for k, v := range over {
		below, isMap := v.(map[string]any)
		if there, ok := base[k].(map[string]any); ok && isMap {
			overlay(there, below)
			continue
		}
		base[k] = v
	}
}

// reconcile accounts for a Service that is rendered with ports.
func (s *service) reconcile(im *importer, ports []appmodel.Port, to string) {
	o, p := s.obj, s.part
	im.owns(to, o)
	o.identity(to)
	o.provides(p.comp.Labels, p.at+".labels")
	s.selects()
	patch := im.patchLater(o, appmodel.PatchTarget{Kind: "Service", Component: p.comp.ID, Name: o.name}, nil)
	if s.role == asHeadless {
		if ip := o.at("spec", "clusterIP"); ip.is("None") {
			ip.take(to)
		} else {
			patch.remove = append(patch.remove, "spec.clusterIP")
		}
		if early := o.at("spec", "publishNotReadyAddresses"); early.truth() {
			early.take(to)
		} else {
			patch.remove = append(patch.remove, "spec.publishNotReadyAddresses")
		}
	}
	matched := map[int]bool{}
	var remove []string
	for _, x := range s.ports {
		i := slices.IndexFunc(ports, func(port appmodel.Port) bool {
			return port.Number() == x.number && port.Port == x.target && orTCP(port.Protocol) == x.protocol
		})
		if i < 0 {
			continue
		}
		matched[i] = true
		at := p.at + ".ports[" + portKey(ports[i]) + "]"
		if portKey(ports[i]) == strconv.Itoa(x.number) {
			x.at.get("port").take(at + ".port")
		} else {
			x.at.get("port").take(at + ".servicePort")
		}
		x.at.get("protocol").take(at + ".protocol")
		if target := x.at.get("targetPort"); target.is(strconv.Itoa(x.target)) && target.shape == scalar {
			if _, isText := target.value.(string); isText {
				target.shaped(at+".port", "as a text")
			} else {
				target.take(at + ".port")
			}
		} else if target != nil {
			target.shaped(at+".port", "by the number of the port")
		}
		if x.at.get("appProtocol").is(ports[i].AppProtocol) {
			x.at.get("appProtocol").take(at + ".appProtocol")
		}
		switch name := x.at.get("name"); {
		case name.null() || name.is(""):
			remove = append(remove, "spec.ports["+servedAs(ports[i])+"].name")
		case name.is(ports[i].Name):
			name.take(at + ".name")
		}
	}
	for i, port := range ports {
		if !matched[i] {
			remove = append(remove, "spec.ports["+servedAs(port)+"]")
		}
	}
	list := o.at("spec", "ports")
	patched := len(remove) > 0
	list.leaves(func(l *place) { patched = patched || l.form || l.fate == nil })
	if len(ports) > 0 && (len(matched) == 0 || patched && ambiguous(list, "port")) {
		remove = []string{"spec.ports"}
		list.leaves(func(l *place) { l.form = l.value != nil })
	}
	patch.remove = append(patch.remove, remove...)
}

// selects accounts for the selector of a Service, in whose place that of the
// workload stands.
func (s *service) selects() {
	selector := s.obj.at("spec", "selector")
	if maps.Equal(selector.texts(), s.part.selector) {
		selector.take(s.part.at + ".kubernetes.selector")
		return
	}
	selector.settle(fidelity.Degraded, s.part.at+".kubernetes.selector", "the same pods are selected by the labels of their workload")
}
