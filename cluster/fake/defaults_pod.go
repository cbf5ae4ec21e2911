package fake

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

func defaultPod(o *corev1.Pod) {
	defaultPodSpec(&o.Spec)
	unsetPtr(&o.Spec.EnableServiceLinks, true)
	for _, containers := range [][]corev1.Container{o.Spec.InitContainers, o.Spec.Containers} {
		for i := range containers {
			r := &containers[i].Resources
			for name, limit := range r.Limits {
				if _, ok := r.Requests[name]; ok {
					continue
				}
				if r.Requests == nil {
					r.Requests = corev1.ResourceList{}
				}
				r.Requests[name] = limit.DeepCopy()
			}
			for j := range containers[i].Ports {
				if o.Spec.HostNetwork {
					unset(&containers[i].Ports[j].HostPort, containers[i].Ports[j].ContainerPort)
				}
			}
		}
	}
}

// defaultPodSpec fills in what templates and pods have in common.
func defaultPodSpec(s *corev1.PodSpec) {
	unset(&s.ServiceAccountName, s.DeprecatedServiceAccount)
	if s.DeprecatedServiceAccount != s.ServiceAccountName {
		s.DeprecatedServiceAccount = s.ServiceAccountName
	}
	unset(&s.RestartPolicy, corev1.RestartPolicyAlways)
	unset(&s.DNSPolicy, corev1.DNSClusterFirst)
	unset(&s.SchedulerName, corev1.DefaultSchedulerName)
	unsetPtr(&s.SecurityContext, corev1.PodSecurityContext{})
	unsetPtr(&s.TerminationGracePeriodSeconds, int64(corev1.DefaultTerminationGracePeriodSeconds))
	for i := range s.InitContainers {
		defaultContainer(&s.InitContainers[i])
	}
	for i := range s.Containers {
		defaultContainer(&s.Containers[i])
	}
	for i := range s.Volumes {
		defaultVolume(&s.Volumes[i])
	}
}

func defaultContainer(c *corev1.Container) {
	if c.ImagePullPolicy == "" {
		c.ImagePullPolicy = corev1.PullIfNotPresent
		if latest(c.Image) {
			c.ImagePullPolicy = corev1.PullAlways
		}
	}
	unset(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	unset(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	for i := range c.Ports {
		unset(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil && from.FieldRef != nil {
			unset(&from.FieldRef.APIVersion, "v1")
		}
	}
	for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
		if p == nil {
			continue
		}
		unset(&p.TimeoutSeconds, 1)
		unset(&p.PeriodSeconds, 10)
		unset(&p.SuccessThreshold, 1)
		unset(&p.FailureThreshold, 3)
		defaultHTTPGet(p.HTTPGet)
		if p.GRPC != nil {
			unsetPtr(&p.GRPC.Service, "")
		}
	}
	if c.Lifecycle != nil {
		for _, h := range []*corev1.LifecycleHandler{c.Lifecycle.PostStart, c.Lifecycle.PreStop} {
			if h != nil {
				defaultHTTPGet(h.HTTPGet)
			}
		}
	}
}

func defaultHTTPGet(a *corev1.HTTPGetAction) {
	if a != nil {
		unset(&a.Path, "/")
		unset(&a.Scheme, corev1.URISchemeHTTP)
	}
}

// latest reports whether an image has the tag latest, or none and no digest.
func latest(image string) bool {
	if strings.Contains(image, "@") {
		return false
	}
	tail := image[strings.LastIndex(image, "/")+1:]
	_, tag, tagged := strings.Cut(tail, ":")
	return !tagged || tag == "latest"
}

func defaultVolume(v *corev1.Volume) {
	const mode = int32(0o644)
	s := &v.VolumeSource
	switch {
	case *s == (corev1.VolumeSource{}):
		s.EmptyDir = &corev1.EmptyDirVolumeSource{}
	case s.Secret != nil:
		unsetPtr(&s.Secret.DefaultMode, mode)
	case s.ConfigMap != nil:
		unsetPtr(&s.ConfigMap.DefaultMode, mode)
	case s.HostPath != nil:
		unsetPtr(&s.HostPath.Type, corev1.HostPathUnset)
	case s.DownwardAPI != nil:
		unsetPtr(&s.DownwardAPI.DefaultMode, mode)
		defaultDownward(s.DownwardAPI.Items)
	case s.Projected != nil:
		unsetPtr(&s.Projected.DefaultMode, mode)
		for _, source := range s.Projected.Sources {
			if source.ServiceAccountToken != nil {
				unsetPtr(&source.ServiceAccountToken.ExpirationSeconds, int64(3600))
			}
			if source.DownwardAPI != nil {
				defaultDownward(source.DownwardAPI.Items)
			}
		}
	case s.Ephemeral != nil && s.Ephemeral.VolumeClaimTemplate != nil:
		unsetPtr(&s.Ephemeral.VolumeClaimTemplate.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	}
}

func defaultDownward(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		if items[i].FieldRef != nil {
			unset(&items[i].FieldRef.APIVersion, "v1")
		}
	}
}
