package manifests

import (
	"strconv"

	"github.com/appspan-dev/appspan/appmodel"
)

// probes reads the checks of a container.
func (p *part) probes(k *place, at string) appmodel.Probes {
	return appmodel.Probes{Readiness: p.probe(k.get("readinessProbe"), at+".probes.readiness"),
		Liveness: p.probe(k.get("livenessProbe"), at+".probes.liveness"), Startup: p.probe(k.get("startupProbe"), at+".probes.startup")}
}

func (p *part) probe(x *place, to string) *appmodel.Probe {
	if x == nil || p.obj.skip["probes"] != "" {
		return nil
	}
	out := &appmodel.Probe{}
	switch {
	case x.get("httpGet") != nil:
		out.HTTP = p.httpGet(x.get("httpGet"), to+".http")
	case x.get("tcpSocket") != nil:
		out.TCP = &appmodel.TCPCheck{Port: p.portRef(x.get("tcpSocket", "port"), to+".tcp.port")}
	case x.get("grpc") != nil:
		out.GRPC = &appmodel.GRPCCheck{Port: p.portRef(x.get("grpc", "port"), to+".grpc.port"), Service: x.get("grpc", "service").str(to + ".grpc.service")}
	case x.get("exec") != nil:
		out.Exec = &appmodel.Exec{Command: x.get("exec", "command").strings(to + ".exec.command")}
	default:
		return nil
	}
	for _, d := range []struct {
		field, to string
		usual     int64
		set       *appmodel.Duration
	}{{"initialDelaySeconds", "initialDelay", 0, &out.InitialDelay}, {"periodSeconds", "period", 10, &out.Period}, {"timeoutSeconds", "timeout", 1, &out.Timeout},
		{"terminationGracePeriodSeconds", "terminationGrace", 0, &out.TerminationGrace}} {
		if n := x.get(d.field); n.count() > 0 && n.count() != d.usual {
			*d.set = seconds(n.num(to + "." + d.to))
		}
	}
	for _, d := range []struct {
		field string
		usual int64
		set   *int
	}{{"successThreshold", 1, &out.SuccessThreshold}, {"failureThreshold", 3, &out.FailureThreshold}} {
		if n := x.get(d.field); n.count() > 0 && n.count() != d.usual {
			*d.set = int(n.num(to + "." + d.field))
		}
	}
	return out
}

func (p *part) httpGet(x *place, to string) *appmodel.HTTPCheck {
	h := &appmodel.HTTPCheck{Path: x.get("path").str(to + ".path"), Port: p.portRef(x.get("port"), to+".port"), Host: x.get("host").str(to + ".host")}
	if scheme := x.get("scheme"); scheme != nil && !scheme.is("HTTP") {
		h.Scheme = scheme.str(to + ".scheme")
	}
	if h.Path == "/" {
		h.Path = ""
	}
	seen := map[string]bool{}
	for _, x := range x.get("httpHeaders").list() {
		name := x.get("name").text()
		if seen[name] { // the list is written as one
			x.leaves(func(l *place) { l.form = true })
			x.take(to + ".headers")
			continue
		}
		seen[name] = true
		h.Headers = append(h.Headers, appmodel.Header{Name: name, Value: x.get("value").text()})
		x.take(to + ".headers[" + name + "]")
	}
	return h
}

// portRef reads a port by number. A name is written back as it stood.
func (p *part) portRef(x *place, to string) appmodel.PortRef {
	if x == nil {
		return ""
	}
	if _, err := strconv.Atoi(x.text()); err == nil {
		return appmodel.PortRef(x.str(to))
	}
	n, ok := p.portNamed(x.text())
	if !ok {
		return ""
	}
	x.shaped(to, "by the number of the port")
	return appmodel.PortNumber(n)
}

// portNamed is the number of a container's port.
func (p *part) portNamed(name string) (int, bool) {
	for _, list := range []string{"containers", "initContainers"} {
		for _, k := range p.pod.get(list).list() {
			for _, port := range k.get("ports").list() {
				if port.get("name").is(name) {
					return int(port.get("containerPort").count()), true
				}
			}
		}
	}
	return 0, false
}

func (p *part) handler(x *place, to string) *appmodel.Handler {
	switch {
	case x.get("exec") != nil:
		return &appmodel.Handler{Exec: &appmodel.Exec{Command: x.get("exec", "command").strings(to + ".exec.command")}}
	case x.get("httpGet") != nil:
		return &appmodel.Handler{HTTP: p.httpGet(x.get("httpGet"), to+".http")}
	case x.get("sleep", "seconds").count() > 0:
		return &appmodel.Handler{Sleep: seconds(x.get("sleep", "seconds").num(to + ".sleep"))}
	}
	return nil
}
