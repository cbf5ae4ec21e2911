package render

import (
	"strconv"
	"time"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// probe renders a check. What equals the defaults of Kubernetes is not sent.
func (b *builder) probe(c *appmodel.Component, p *appmodel.Probe) *corev1.Probe {
	if p == nil {
		return nil
	}
	out := &corev1.Probe{
		InitialDelaySeconds: seconds(p.InitialDelay),
		PeriodSeconds:       unless(seconds(p.Period), 10),
		TimeoutSeconds:      unless(seconds(p.Timeout), 1),
		SuccessThreshold:    unless(int32(p.SuccessThreshold), 1),
		FailureThreshold:    unless(int32(p.FailureThreshold), 3),
	}
	if p.TerminationGrace != 0 {
		g := int64(seconds(p.TerminationGrace))
		out.TerminationGracePeriodSeconds = &g
	}
	switch {
	case p.Exec != nil:
		out.Exec = &corev1.ExecAction{Command: p.Exec.Command}
	case p.HTTP != nil:
		out.HTTPGet = b.httpGet(c, p.HTTP)
	case p.TCP != nil:
		out.TCPSocket = &corev1.TCPSocketAction{Port: b.port(c, p.TCP.Port)}
	case p.GRPC != nil:
		out.GRPC = &corev1.GRPCAction{Port: b.port(c, p.GRPC.Port).IntVal}
		if p.GRPC.Service != "" {
			out.GRPC.Service = &p.GRPC.Service
		}
	}
	return out
}

// unless is v, or zero if that is the default.
func unless(v, normal int32) int32 {
	if v == normal {
		return 0
	}
	return v
}

func (b *builder) httpGet(c *appmodel.Component, h *appmodel.HTTPCheck) *corev1.HTTPGetAction {
	out := &corev1.HTTPGetAction{Path: h.Path, Port: b.port(c, h.Port), Host: h.Host}
	if h.Scheme != "HTTP" {
		out.Scheme = corev1.URIScheme(h.Scheme)
	}
	for _, x := range h.Headers {
		out.HTTPHeaders = append(out.HTTPHeaders, corev1.HTTPHeader{Name: x.Name, Value: x.Value})
	}
	return out
}

// port is the number of a port of the component's process; a number that it
// does not declare is taken as it is.
func (b *builder) port(c *appmodel.Component, r appmodel.PortRef) intstr.IntOrString {
	if p := findPort(c, r); p != nil {
		return intstr.FromInt32(int32(p.Port))
	}
	n, ok := r.Number()
	if !ok {
		b.fail("%s: there is no port %q; add it to ports", componentPath(c, "ports"), r)
	}
	return intstr.FromInt32(int32(n))
}

// lifecycle renders the hooks of a container's start and end.
func (p *podWriter) lifecycle(l *appmodel.Lifecycle, at string) *corev1.Lifecycle {
	if l == nil || l.PostStart == nil && l.PreStop == nil {
		return nil
	}
	return &corev1.Lifecycle{PostStart: p.handler(l.PostStart, at+"lifecycle.postStart"), PreStop: p.handler(l.PreStop, at+"lifecycle.preStop")}
}

func (p *podWriter) handler(h *appmodel.Handler, at string) *corev1.LifecycleHandler {
	switch {
	case h == nil:
		return nil
	case h.Exec != nil:
		return &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: h.Exec.Command}}
	case h.HTTP != nil:
		return &corev1.LifecycleHandler{HTTPGet: p.b.httpGet(p.c, h.HTTP)}
	case time.Duration(h.Sleep) > p.gracePeriod(): // which an API server refuses, and a kubelet cuts short
		p.b.fail("%s: sleeps %s, longer than pods may take to end; raise lifecycle.gracePeriod of the component, which is %s", componentPath(p.c, at), h.Sleep, appmodel.Duration(p.gracePeriod()))
		return nil
	case p.b.atLeast(30):
		return &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: int64(seconds(h.Sleep))}}
	}
	p.b.note(Information, p.c, at, "runs the image's own sleep, as Kubernetes %s cannot sleep by itself (from 1.30)", p.b.in.Info.Version)
	return &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sleep", strconv.Itoa(int(seconds(h.Sleep)))}}}
}
