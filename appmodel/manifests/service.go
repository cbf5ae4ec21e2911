package manifests

import (
	"slices"
	"strconv"
	"strings"

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
		case o.wrapper || o.forced != "":
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
		if o.wrapper || !o.is("", "Service") {
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
	case im.services[governing.text()] != nil || slices.ContainsFunc(im.reader.objects, func(o *object) bool { return o.is("", "Service") && governing.is(o.name) }):
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

// ports are those of the component: the ones that others connect to by its
// Service, then those that its containers have besides.
func (p *part) ports() {
	taken := map[string]bool{}
	names := map[string]bool{}
	key := func(n int, protocol appmodel.Protocol) string { return strconv.Itoa(n) + "/" + string(protocol) }
	add := func(port appmodel.Port) {
		if names[port.Name] || !handle(port.Name) {
			port.Name = ""
		}
		names[port.Name] = port.Name != ""
		taken[key(port.Port, port.Protocol)] = true
		if port.Protocol == appmodel.TCP {
			port.Protocol = ""
		}
		p.comp.Ports = append(p.comp.Ports, port)
	}
	if p.main != nil {
		for _, s := range p.main.ports {
			if taken[key(s.target, s.protocol)] {
				continue // a patch of the Service has it
			}
			port := appmodel.Port{Name: s.at.get("name").text(), Port: s.target, Protocol: s.protocol, AppProtocol: s.at.get("appProtocol").text()}
			if s.number != s.target {
				port.ServicePort = s.number
			}
			add(port)
		}
	}
	for _, k := range p.pod.get("containers").list() {
		for _, x := range k.get("ports").list() {
			protocol := appmodel.Protocol(x.get("protocol").text())
			if protocol == "" {
				protocol = appmodel.TCP
			}
			if n := int(x.get("containerPort").count()); !taken[key(n, protocol)] {
				add(appmodel.Port{Name: x.get("name").text(), Port: n, Protocol: protocol, Access: appmodel.AccessNone})
			}
		}
	}
	for _, s := range p.services {
		for _, x := range s.ports {
			if s.role == asRoute && !taken[key(x.target, x.protocol)] {
				add(appmodel.Port{Port: x.target, Protocol: x.protocol, Access: appmodel.AccessNone})
			}
		}
	}
}

// handle reports whether the model takes a name of a port.
func handle(name string) bool {
	_, numeric := appmodel.PortRef(name).Number()
	return name != "" && !numeric && len(validation.IsDNS1123Label(name)) == 0
}

// containerPorts accounts for the ports of a container: all ports of the
// component are those of its main container once it is rendered.
func (p *part) containerPorts(k *place, at string) {
	list := k.get("ports")
	main := k.get("name").is(p.container)
	if !main {
		return // a patch writes those of sidecars
	}
	declared := map[string]bool{}
	for _, x := range list.list() {
		n, protocol := int(x.get("containerPort").count()), appmodel.Protocol(x.get("protocol").text())
		if protocol == "" {
			protocol = appmodel.TCP
		}
		declared[strconv.Itoa(n)+"/"+string(protocol)] = true
		for _, port := range p.comp.Ports {
			if port.Port != n || orTCP(port.Protocol) != protocol {
				continue
			}
			to := at + ".ports[" + portKey(port) + "]"
			x.get("containerPort").take(to + ".port")
			x.get("protocol").take(to + ".protocol")
			if name := x.get("name"); name.is(port.Name) && port.Name != "" {
				name.shaped(to+".name", "a patch writes it into the pods too")
			}
		}
	}
	path := "spec.template.spec.containers[" + p.container + "].ports"
	if p.obj.kind == "CronJob" {
		path = "spec.jobTemplate." + path
	}
	var beyond []string
	numbers := map[int]int{}
	for _, port := range p.comp.Ports {
		numbers[port.Port]++
		if !declared[strconv.Itoa(port.Port)+"/"+string(orTCP(port.Protocol))] {
			beyond = append(beyond, path+"["+strconv.Itoa(port.Port)+"]")
		}
	}
	twins := slices.ContainsFunc(p.comp.Ports, func(x appmodel.Port) bool { return numbers[x.Port] > 1 })
	switch {
	case len(p.comp.Ports) == 0:
	case len(beyond) == len(p.comp.Ports):
		p.patch.remove = append(p.patch.remove, path)
	case twins: // which merge keys do not tell apart
		p.patch.remove = append(p.patch.remove, path)
		list.leaves(func(l *place) { l.form = true })
	default:
		p.patch.remove = append(p.patch.remove, beyond...)
	}
}

func orTCP(p appmodel.Protocol) appmodel.Protocol {
	if p == "" {
		return appmodel.TCP
	}
	return p
}

func portKey(p appmodel.Port) string {
	if orTCP(p.Protocol) == appmodel.TCP {
		return strconv.Itoa(p.Port)
	}
	return strconv.Itoa(p.Port) + "/" + string(p.Protocol)
}

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

// servedAs is the name of a port of a rendered Service.
func servedAs(p appmodel.Port) string {
	if p.Name != "" {
		return p.Name
	}
	return strings.ToLower(string(orTCP(p.Protocol))) + "-" + strconv.Itoa(p.Number())
}

// selects accounts for the selector of a Service, in whose place that of the
// workload stands.
func (s *service) selects() {
	for _, f := range s.obj.at("spec", "selector").entries() {
		if s.part.selector[f.key] == f.text() {
			f.take(s.part.at + ".kubernetes.selector[" + f.key + "]")
			continue
		}
		f.settle(fidelity.Degraded, s.part.at+".kubernetes.selector", "the same pods are selected by the labels of their workload")
	}
}
