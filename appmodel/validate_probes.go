package appmodel

import "strings"

func (v *checker) probes(c *Component, box *Container, at Path) {
	if box.Probes == nil {
		return
	}
	for _, p := range []struct {
		name  string
		probe *Probe
	}{{"readiness", box.Probes.Readiness}, {"liveness", box.Probes.Liveness}, {"startup", box.Probes.Startup}} {
		if p.probe == nil {
			continue
		}
		here := at.field("probes").field(p.name)
		v.probe(c, p.probe, here)
		if p.name != "readiness" && p.probe.SuccessThreshold > 1 {
			v.errorf(here.field("successThreshold"), "remove it", "a %s probe succeeds at the first success", p.name)
		}
		if p.name == "readiness" && p.probe.TerminationGrace != 0 {
			v.errorf(here.field("terminationGrace"), "remove it", "a readiness probe ends nothing")
		}
	}
}

func (v *checker) probe(c *Component, p *Probe, at Path) {
	switch {
	case p.HTTP != nil:
		v.httpCheck(c, p.HTTP, at.field("http"))
	case p.TCP != nil:
		v.checkPort(c, p.TCP.Port, at.field("tcp").field("port"))
	case p.GRPC != nil:
		v.checkPort(c, p.GRPC.Port, at.field("grpc").field("port"))
	}
	for name, d := range map[string]Duration{
		"initialDelay": p.InitialDelay, "period": p.Period, "timeout": p.Timeout, "terminationGrace": p.TerminationGrace,
	} {
		v.seconds(d, at.field(name))
	}
	for name, n := range map[string]int{"successThreshold": p.SuccessThreshold, "failureThreshold": p.FailureThreshold} {
		if n < 1 {
			v.errorf(at.field(name), "write one or more", "%d is not possible", n)
		}
	}
}

func (v *checker) httpCheck(c *Component, h *HTTPCheck, at Path) {
	if !strings.HasPrefix(h.Path, "/") {
		v.errorf(at.field("path"), "begin with /", "%q is not the path of a URL", cut(h.Path))
	}
	v.checkPort(c, h.Port, at.field("port"))
}

// checkPort checks the port of a probe: a name, or any number, because the
// kubelet may connect to ports that nobody else may.
func (v *checker) checkPort(c *Component, ref PortRef, at Path) {
	if n, numeric := ref.Number(); numeric {
		v.portNumber(n, at)
		return
	}
	v.portRef(c, ref, at)
}
