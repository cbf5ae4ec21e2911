package manifests

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/appspan-dev/appspan/appmodel"
)

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

// servedAs is the name of a port of a rendered Service.
func servedAs(p appmodel.Port) string {
	if p.Name != "" {
		return p.Name
	}
	return strings.ToLower(string(orTCP(p.Protocol))) + "-" + strconv.Itoa(p.Number())
}
