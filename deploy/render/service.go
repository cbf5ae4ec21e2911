package render

import (
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// services renders what others in the cluster connect to.
func (b *builder) services(c *appmodel.Component) {
	var ports []corev1.ServicePort
	for _, p := range c.Ports {
		if p.Access == appmodel.AccessNone {
			continue
		}
		sp := corev1.ServicePort{Name: p.Name, Port: int32(p.Number()), TargetPort: intstr.FromInt32(int32(p.Port)), Protocol: corev1.Protocol(p.Protocol)}
		if sp.Name == "" {
			sp.Name = strings.ToLower(string(p.Protocol)) + "-" + strconv.Itoa(p.Number())
		}
		if p.AppProtocol != "" && p.AppProtocol != "mysql" {
			a := p.AppProtocol
			sp.AppProtocol = &a
		}
		ports = append(ports, sp)
	}
	svc := func(name string, headless bool) {
		s := &corev1.Service{TypeMeta: tm("v1", "Service"), ObjectMeta: b.meta(name, c), Spec: corev1.ServiceSpec{Selector: b.selector(c.ID), Ports: ports}}
		if headless {
			s.Spec.ClusterIP = "None"
		}
		b.add(s, Object{Component: c.ID, Phase: PhaseNetwork})
	}
	if len(ports) > 0 {
		svc(b.serviceName(c), false)
		b.out.Services = append(b.out.Services, b.serviceName(c))
		for _, a := range c.Aliases {
			svc(a, false)
		}
	}
	if c.Kind == appmodel.KindStateful {
		svc(b.name(c.ID)+"-headless", true)
	}
}
