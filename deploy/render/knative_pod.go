package render

import (
	"fmt"
	"slices"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
)

// queuePorts are those of the proxy that Knative puts into each pod: what
// requests come in by, and by what they are counted. No container may have them.
func queuePorts() []int { return []int{8012, 8013, 8022, 8112, 9090, 9091} }

// knativePod leaves out of a pod what Knative refuses unless its administrator
// allows it by a flag, and tells what was left out.
func (b *builder) knativePod(c *appmodel.Component, spec *corev1.PodSpec) {
	without := func(had bool, path, flag string) {
		if had {
			b.note(Warning, c, path, "Knative refuses this unless its config-features has kubernetes.%s; it is left out; enable the flag and add it by a patch", flag)
		}
	}
	never := func(had bool, path string) {
		if had {
			b.note(Warning, c, path, "Knative has no such thing for functions; it is left out; make it a service if it is needed")
		}
	}
	without(len(spec.NodeSelector) > 0, "scheduling.nodeSelector", "podspec-nodeselector")
	without(spec.Affinity != nil, "scheduling.architectures", "podspec-affinity")
	without(len(spec.Tolerations) > 0, "scheduling.tolerations", "podspec-tolerations")
	without(len(spec.TopologySpreadConstraints) > 0, "scheduling.spread", "podspec-topologyspreadconstraints")
	without(spec.PriorityClassName != "", "scheduling.priorityClass", "podspec-priorityclassname")
	without(spec.HostNetwork, "security.hostNetwork", "podspec-hostnetwork")
	without(spec.HostPID, "security.hostPID", "podspec-hostpid")
	without(spec.HostIPC, "security.hostIPC", "podspec-hostipc")
	never(spec.TerminationGracePeriodSeconds != nil, "lifecycle.gracePeriod")
	spec.NodeSelector, spec.Affinity, spec.Tolerations, spec.TopologySpreadConstraints, spec.PriorityClassName = nil, nil, nil, nil, ""
	spec.HostNetwork, spec.HostPID, spec.HostIPC, spec.DNSPolicy, spec.TerminationGracePeriodSeconds = false, false, false, "", nil
	if t := spec.AutomountServiceAccountToken; t != nil && *t {
		spec.AutomountServiceAccountToken = nil // which is what it may not say
	}
	plain := slices.Clone(spec.InitContainers)
	plain = slices.DeleteFunc(plain, func(k corev1.Container) bool { return k.RestartPolicy == nil })
	without(len(plain) < len(spec.InitContainers), "initContainers", "podspec-init-containers")
	for i := range plain {
		plain[i].RestartPolicy = nil
	}
	spec.InitContainers, spec.Containers = nil, append(spec.Containers, plain...)

	gone := map[string]bool{}
	spec.Volumes = slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool {
		without(v.PersistentVolumeClaim != nil, "volumes["+v.Name+"]", "podspec-persistent-volume-claim")
		without(v.HostPath != nil, "volumes["+v.Name+"]", "podspec-volumes-hostpath")
		gone[v.Name] = v.PersistentVolumeClaim != nil || v.HostPath != nil
		return gone[v.Name]
	})
	for i := range spec.Containers {
		k := &spec.Containers[i]
		k.VolumeMounts = slices.DeleteFunc(k.VolumeMounts, func(m corev1.VolumeMount) bool { return gone[m.Name] })
		k.Env = slices.DeleteFunc(k.Env, func(e corev1.EnvVar) bool {
			had := e.ValueFrom != nil && (e.ValueFrom.FieldRef != nil || e.ValueFrom.ResourceFieldRef != nil)
			without(had, "env["+e.Name+"]", "podspec-fieldref")
			return had
		})
		never(k.Lifecycle != nil, "lifecycle")
		never(k.Stdin || k.TTY, "stdin")
		k.Lifecycle, k.Stdin, k.TTY = nil, false, false
		if i > 0 && (k.ReadinessProbe != nil || k.LivenessProbe != nil || k.StartupProbe != nil) {
			b.note(Warning, c, "sidecars["+k.Name+"].probes", "Knative refuses this unless its config-features has multi-container-probing; it is left out")
			k.ReadinessProbe, k.LivenessProbe, k.StartupProbe = nil, nil, nil
		}
		if s := k.SecurityContext; s != nil {
			never(s.Privileged != nil, "security.privileged")
			s.Privileged = nil
			if s.Capabilities != nil {
				without(len(s.Capabilities.Add) > 0, "security.capabilities", "containerspec-addcapabilities")
				s.Capabilities.Add = nil
			}
		}
	}
	if s := spec.SecurityContext; s != nil { // what holds for all containers, each says itself
		without(s.FSGroup != nil || len(s.SupplementalGroups)+len(s.Sysctls) > 0, "security", "podspec-securitycontext")
		for i := range spec.Containers {
			k := &spec.Containers[i]
			if k.SecurityContext == nil {
				k.SecurityContext = &corev1.SecurityContext{}
			}
			k.SecurityContext.RunAsNonRoot = s.RunAsNonRoot
			if k.SecurityContext.SeccompProfile == nil {
				k.SecurityContext.SeccompProfile = s.SeccompProfile
			}
		}
		spec.SecurityContext = nil
	}
	b.knativePort(c, spec)
}

// functionPort is the one port that Knative sends requests to: that of a
// route, or the first.
func (b *builder) functionPort(c *appmodel.Component) *appmodel.Port {
	var first *appmodel.Port
	for i := range c.Ports {
		p := &c.Ports[i]
		switch {
		case p.Protocol == "UDP":
		case b.routed(c, p):
			return p
		case first == nil:
			first = p
		}
	}
	return first
}

// knativePort leaves one port, whose name says what is spoken.
func (b *builder) knativePort(c *appmodel.Component, spec *corev1.PodSpec) {
	for i := range spec.Containers {
		spec.Containers[i].Ports = nil
	}
	port := b.functionPort(c)
	for i := range c.Ports {
		if p := &c.Ports[i]; p != port {
			b.note(Warning, c, fmt.Sprintf("ports[%d]", p.Port), "Knative sends requests to one port of TCP only; this one is left out")
		}
	}
	if port == nil {
		return
	}
	if slices.Contains(queuePorts(), port.Port) {
		b.failed(fmt.Errorf("%s: %w: Knative needs port %d for itself; let the function listen on another, such as 8080", componentPath(c, "ports"), appspan.ErrUnsupported, port.Port))
	}
	name := "http1"
	if slices.Contains([]string{"h2c", "kubernetes.io/h2c", "grpc"}, port.AppProtocol) {
		name = "h2c"
	}
	spec.Containers[0].Ports = []corev1.ContainerPort{{Name: name, ContainerPort: int32(port.Port), Protocol: corev1.ProtocolTCP}}
}
