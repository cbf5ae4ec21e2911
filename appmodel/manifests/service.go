package manifests

import (
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// service is a Service that leads to one component.
type service struct {
	obj   *object
	part  *part
	ports []servicePort
	role  role
	// outer is the component of what runs elsewhere, to which it is a name.
	outer string
}

// role is what a Service is for a component.
type role byte

const (
	asRaw role = iota
	asMain
	asHeadless
	asAlias
	asRoute
)

// servicePort is a port of a Service, with the container's port behind it.
type servicePort struct {
	at             *place
	number, target int
	protocol       appmodel.Protocol
}

func (s *service) headless() bool { return s.obj.at("spec", "clusterIP").is("None") }

// outside reports whether the Service lets something in from outside.
func (s *service) outside() bool {
	t := s.obj.at("spec", "type")
	return t.is("LoadBalancer") || t.is("NodePort")
}

// index finds what others refer to by name.
func (im *importer) index() {
	for _, o := range im.reader.objects {
		switch {
		case o.aside() || o.forced != "":
		case o.is("", "PersistentVolumeClaim"):
			im.claims[o.name] = o
		case o.is("", "ServiceAccount"):
			im.accounts[o.name] = o
		}
	}
}

// connect gives each component its Services and ports.
func (im *importer) connect() {
	for _, o := range im.reader.objects {
		if o.aside() || !o.is("", "Service") {
			continue
		}
		s := &service{obj: o}
		im.services[o.name] = s
		if o.at("spec", "type").is("ExternalName") || o.forced != "" {
			continue
		}
		parts := im.selected(o.at("spec", "selector").texts())
		if len(parts) != 1 {
			o.forced = "it selects the pods of no component"
			if len(parts) > 1 {
				o.forced = "it selects the pods of several components"
			}
			continue
		}
		s.part = parts[0]
		if why := s.resolve(); why != "" {
			o.forced = why
			continue
		}
		if len(s.ports) == 0 && !s.part.obj.at("spec", "serviceName").is(o.name) {
			o.forced = "it has no ports, without which no component has a Service"
			continue
		}
		s.part.services = append(s.part.services, s)
	}
	for _, p := range im.parts {
		im.choose(p)
		p.ports()
	}
}

// resolve finds the container ports behind a Service's.
func (s *service) resolve() string {
	for _, at := range s.obj.at("spec", "ports").list() {
		port := servicePort{at: at, number: int(at.get("port").count()), protocol: appmodel.TCP}
		if protocol := at.get("protocol").text(); protocol != "" {
			port.protocol = appmodel.Protocol(protocol)
		}
		port.target = port.number
		if target := at.get("targetPort"); !target.null() {
			n, err := strconv.Atoi(target.text())
			if err != nil {
				var ok bool
				if n, ok = s.part.portNamed(target.text()); !ok {
					return "no container has a port " + strconv.Quote(cut(target.text()))
				}
			}
			port.target = n
		}
		s.ports = append(s.ports, port)
	}
	return ""
}

// choose gives each Service of a component its role.
func (im *importer) choose(p *part) {
	governing := p.obj.at("spec", "serviceName")
	headlessOnes := func(s *service) bool { return s.headless() }
	var inside []*service
	for _, s := range p.services {
		if s.outside() && len(s.ports) == 1 && s.ports[0].protocol != appmodel.SCTP {
			s.role = asRoute
			continue
		}
		inside = append(inside, s)
	}
	var governor *service
	if p.comp.Kind == appmodel.KindStateful {
		for _, s := range p.services {
			if governing.is(s.obj.name) && s.role != asRoute {
				governor = s
			}
		}
		inside = slices.DeleteFunc(inside, func(s *service) bool { return s == governor })
	}
	best := func(fits func(*service) bool) {
		for _, s := range inside {
			if p.main == nil && fits(s) {
				p.main = s
			}
		}
	}
	best(func(s *service) bool { return s.obj.name == p.obj.name && !s.headless() && !s.outside() })
	best(func(s *service) bool { return !s.headless() && !s.outside() })
	best(func(s *service) bool { return !s.headless() })
	if governor == nil {
		best(headlessOnes)
	}
	names := p.kubernetes.Names
	if governor != nil {
		governor.role = asHeadless
		if p.main == nil {
			p.main = governor
		}
		names.Headless = governor.obj.name
		governing.take(p.at + ".kubernetes.names.headless")
	} else if p.comp.Kind == appmodel.KindStateful {
		im.ungoverned(p, governing)
	}
	if p.main != nil {
		names.Service = p.main.obj.name
		if p.main.role == asRaw {
			p.main.role = asMain
		}
	}
	for _, s := range inside {
		if s.role != asRaw {
			continue
		}
		if p.main != nil && s.sameAs(p.main) && !s.headless() && !s.outside() && len(validation.IsDNS1035Label(s.obj.name)) == 0 {
			s.role = asAlias
			p.comp.Aliases = append(p.comp.Aliases, s.obj.name)
			continue
		}
		s.obj.forced = "the component has another Service, " + names.Service + ", with other ports"
	}
	for _, s := range p.services {
		s.obj.mapped = s.role != asRaw
	}
}

// ungoverned is a StatefulSet whose Service is not among the manifests, or is
// one that does not lead to it.
func (im *importer) ungoverned(p *part, governing *place) {
	switch {
	case governing.null() || governing.is(""):
		p.patch.remove = append(p.patch.remove, "spec.serviceName")
		im.note("%s gets a headless Service, as every stateful component has one", p.at)
	case len(validation.IsDNS1035Label(governing.text())) > 0 || im.services[governing.text()] != nil || slices.ContainsFunc(im.reader.objects, func(o *object) bool { return o.is("", "Service") && governing.is(o.name) }):
		p.patch.extra = map[string]any{"serviceName": governing.text()}
		governing.settle(fidelity.Raw, p.at, "the Service leads elsewhere too")
		im.note("%s gets a headless Service, as every stateful component has one", p.at)
	default:
		p.kubernetes.Names.Headless = governing.str(p.at + ".kubernetes.names.headless")
		im.note("%s gets the headless Service %s, which is not among the manifests", p.at, p.kubernetes.Names.Headless)
	}
}

// sameAs reports whether two Services have the same ports.
func (s *service) sameAs(o *service) bool {
	return slices.EqualFunc(s.ports, o.ports, func(a, b servicePort) bool {
		return a.number == b.number && a.target == b.target && a.protocol == b.protocol
	})
}
