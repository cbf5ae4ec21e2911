package render

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
)

// main is the component's own container.
func (p *podWriter) main() corev1.Container {
	k := p.container(&p.c.Container, cmp.Or(pinnedNames(p.c).Container, p.c.ID), "", true)
	for _, port := range p.c.Ports {
		k.Ports = append(k.Ports, corev1.ContainerPort{ContainerPort: int32(port.Port), Protocol: corev1.Protocol(port.Protocol)})
	}
	slices.SortFunc(k.Ports, func(x, y corev1.ContainerPort) int {
		return cmp.Or(cmp.Compare(x.ContainerPort, y.ContainerPort), cmp.Compare(x.Protocol, y.Protocol))
	})
	return k
}

// named is an init container or a sidecar; list is where it stands.
func (p *podWriter) named(n *appmodel.NamedContainer, list string) corev1.Container {
	return p.container(&n.Container, n.Name, list+"["+n.Name+"].", false)
}

// sidecars adds the sidecars: native ones are init containers that stay,
// behind the others, so that they run before and after the main container.
func (p *podWriter) sidecars(spec *corev1.PodSpec) {
	always := corev1.ContainerRestartPolicyAlways
	for i := range p.c.Sidecars {
		n := &p.c.Sidecars[i]
		k := p.named(n, "sidecars")
		native := n.Native == nil || *n.Native
		if native && p.b.atLeast(29) {
			k.RestartPolicy = &always
			spec.InitContainers = append(spec.InitContainers, k)
			continue
		}
		if native {
			p.b.note(Information, p.c, "sidecars["+n.Name+"]", "runs as a plain container, as Kubernetes %s has no native sidecars (they came with 1.29)", p.b.in.Info.Version)
		}
		if p.c.Kind == appmodel.KindJob || p.c.Kind == appmodel.KindCron {
			p.b.note(Warning, p.c, "sidecars["+n.Name+"]", "a plain sidecar that does not end keeps the job from completing; end it, or make it native on Kubernetes 1.29 or newer")
		}
		spec.Containers = append(spec.Containers, k)
	}
}

// container renders what all containers share; at is its path below the
// component, with a dot behind it.
func (p *podWriter) container(src *appmodel.Container, name, at string, main bool) corev1.Container {
	k := corev1.Container{Name: name, Image: p.image(src.Image), Command: src.Command, Args: src.Args, WorkingDir: src.WorkingDir,
		Stdin: src.Stdin, TTY: src.TTY, SecurityContext: p.containerSecurity(src.Security)}
	if p.c.ImagePull != nil {
		k.ImagePullPolicy = corev1.PullPolicy(p.c.ImagePull.Policy)
	}
	k.EnvFrom, k.Env = p.env(src, at, main)
	k.VolumeMounts = p.mounts(src, name, at)
	if r := src.Resources; r != nil {
		k.Resources = corev1.ResourceRequirements{Requests: p.resources(r.Requests, at+"resources.requests"), Limits: p.resources(r.Limits, at+"resources.limits")}
	}
	if src.Probes != nil {
		k.ReadinessProbe = p.b.probe(p.c, src.Probes.Readiness)
		k.LivenessProbe = p.b.probe(p.c, src.Probes.Liveness)
		k.StartupProbe = p.b.probe(p.c, src.Probes.Startup)
	}
	k.Lifecycle = p.lifecycle(src.Lifecycle, at)
	return k
}

// image is the reference that is pulled.
func (p *podWriter) image(ref string) string { return cmp.Or(p.b.in.Images[ref], ref) }

func (p *podWriter) resources(amounts map[string]appmodel.Quantity, at string) corev1.ResourceList {
	if len(amounts) == 0 {
		return nil
	}
	out := corev1.ResourceList{}
	for name, q := range amounts {
		out[corev1.ResourceName(name)] = p.b.quantity(q, p.c, fmt.Sprintf("%s[%s]", at, name))
	}
	return out
}
