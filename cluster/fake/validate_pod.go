package fake

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// validatePodSpec checks the parts of a pod that people get wrong. extra are
// the names of volumes that claim templates add.
func validatePodSpec(at *field.Path, s *corev1.PodSpec, extra sets.Set[string]) field.ErrorList {
	var errs field.ErrorList
	volumes := sets.New[string]()
	for i, v := range s.Volumes {
		p := at.Child("volumes").Index(i)
		errs = append(errs, label(p.Child("name"), v.Name)...)
		if volumes.Has(v.Name) {
			errs = append(errs, field.Duplicate(p.Child("name"), v.Name))
		}
		volumes.Insert(v.Name)
		errs = append(errs, validateVolume(p, v)...)
	}
	if len(s.Containers) == 0 {
		errs = append(errs, field.Required(at.Child("containers"), ""))
	}
	names := sets.New[string]()
	for group, containers := range map[string][]corev1.Container{"initContainers": s.InitContainers, "containers": s.Containers} {
		for i := range containers {
			c, p := &containers[i], at.Child(group).Index(i)
			if names.Has(c.Name) {
				errs = append(errs, field.Duplicate(p.Child("name"), c.Name))
			}
			names.Insert(c.Name)
			errs = append(errs, validateContainer(p, c, group == "initContainers")...)
		}
	}
	switch s.RestartPolicy {
	case corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever:
	default:
		errs = append(errs, field.NotSupported(at.Child("restartPolicy"), s.RestartPolicy, []corev1.RestartPolicy{"Always", "OnFailure", "Never"}))
	}
	if *s.TerminationGracePeriodSeconds < 0 {
		errs = append(errs, field.Invalid(at.Child("terminationGracePeriodSeconds"), *s.TerminationGracePeriodSeconds, "must be greater than or equal to 0"))
	}
	return append(errs, validateMounts(at, s, volumes.Union(extra))...)
}

// validateMounts checks that mounts name volumes.
func validateMounts(at *field.Path, s *corev1.PodSpec, volumes sets.Set[string]) field.ErrorList {
	var errs field.ErrorList
	check := func(group string, containers []corev1.Container) {
		for i, c := range containers {
			paths := sets.New[string]()
			for j, m := range c.VolumeMounts {
				p := at.Child(group).Index(i).Child("volumeMounts").Index(j)
				switch {
				case m.Name == "":
					errs = append(errs, field.Required(p.Child("name"), ""))
				case !volumes.Has(m.Name):
					errs = append(errs, field.NotFound(p.Child("name"), m.Name))
				}
				if m.MountPath == "" {
					errs = append(errs, field.Required(p.Child("mountPath"), ""))
				}
				if paths.Has(m.MountPath) {
					errs = append(errs, field.Invalid(p.Child("mountPath"), m.MountPath, "must be unique"))
				}
				paths.Insert(m.MountPath)
			}
		}
	}
	check("initContainers", s.InitContainers)
	check("containers", s.Containers)
	return errs
}

func validateVolume(at *field.Path, v corev1.Volume) field.ErrorList {
	var errs field.ErrorList
	s := v.VolumeSource
	sources := 0
	for _, set := range []bool{
		s.HostPath != nil, s.EmptyDir != nil, s.Secret != nil, s.ConfigMap != nil, s.PersistentVolumeClaim != nil,
		s.Projected != nil, s.DownwardAPI != nil, s.NFS != nil, s.CSI != nil, s.Ephemeral != nil,
	} {
		if set {
			sources++
		}
	}
	if sources > 1 {
		errs = append(errs, field.Forbidden(at, "may not specify more than 1 volume type"))
	}
	switch {
	case s.Secret != nil && s.Secret.SecretName == "":
		errs = append(errs, field.Required(at.Child("secret", "secretName"), ""))
	case s.ConfigMap != nil && s.ConfigMap.Name == "":
		errs = append(errs, field.Required(at.Child("configMap", "name"), ""))
	case s.PersistentVolumeClaim != nil && s.PersistentVolumeClaim.ClaimName == "":
		errs = append(errs, field.Required(at.Child("persistentVolumeClaim", "claimName"), ""))
	case s.HostPath != nil && s.HostPath.Path == "":
		errs = append(errs, field.Required(at.Child("hostPath", "path"), ""))
	}
	return errs
}

func validateContainer(at *field.Path, c *corev1.Container, init bool) field.ErrorList {
	errs := label(at.Child("name"), c.Name)
	if c.Image == "" {
		errs = append(errs, field.Required(at.Child("image"), ""))
	} else if strings.TrimSpace(c.Image) != c.Image {
		errs = append(errs, field.Invalid(at.Child("image"), c.Image, "must not have leading or trailing whitespace"))
	}
	names := sets.New[string]()
	for i, p := range c.Ports {
		port := at.Child("ports").Index(i)
		if p.Name != "" {
			for _, msg := range validation.IsValidPortName(p.Name) {
				errs = append(errs, field.Invalid(port.Child("name"), p.Name, msg))
			}
			if names.Has(p.Name) {
				errs = append(errs, field.Duplicate(port.Child("name"), p.Name))
			}
			names.Insert(p.Name)
		}
		errs = append(errs, portNumber(port.Child("containerPort"), p.ContainerPort)...)
		errs = append(errs, protocol(port.Child("protocol"), p.Protocol)...)
	}
	for i, e := range c.Env {
		name := at.Child("env").Index(i).Child("name")
		if e.Name == "" {
			errs = append(errs, field.Required(name, ""))
		} else {
			for _, msg := range validation.IsRelaxedEnvVarName(e.Name) {
				errs = append(errs, field.Invalid(name, e.Name, msg))
			}
		}
		if e.Value != "" && e.ValueFrom != nil {
			errs = append(errs, field.Invalid(at.Child("env").Index(i).Child("valueFrom"), "", "may not be specified when `value` is not empty"))
		}
	}
	for name, limit := range c.Resources.Limits {
		if limit.Sign() < 0 {
			errs = append(errs, field.Invalid(at.Child("resources", "limits").Key(string(name)), limit.String(), "must be greater than or equal to 0"))
		}
		if request, ok := c.Resources.Requests[name]; ok && request.Cmp(limit) > 0 {
			errs = append(errs, field.Invalid(at.Child("resources", "requests"), request.String(), fmt.Sprintf("must be less than or equal to %s limit of %s", name, limit.String())))
		}
	}
	for name, request := range c.Resources.Requests {
		if request.Sign() < 0 {
			errs = append(errs, field.Invalid(at.Child("resources", "requests").Key(string(name)), request.String(), "must be greater than or equal to 0"))
		}
	}
	for name, p := range map[string]*corev1.Probe{"livenessProbe": c.LivenessProbe, "readinessProbe": c.ReadinessProbe, "startupProbe": c.StartupProbe} {
		if p != nil {
			errs = append(errs, validateProbe(at.Child(name), name, p, init && c.RestartPolicy == nil)...)
		}
	}
	return errs
}

func validateProbe(at *field.Path, name string, p *corev1.Probe, forbidden bool) field.ErrorList {
	var errs field.ErrorList
	if forbidden {
		return field.ErrorList{field.Forbidden(at, "may not be set for init containers without restartPolicy=Always")}
	}
	handlers := 0
	for _, set := range []bool{p.Exec != nil, p.HTTPGet != nil, p.TCPSocket != nil, p.GRPC != nil} {
		if set {
			handlers++
		}
	}
	switch {
	case handlers == 0:
		errs = append(errs, field.Required(at, "must specify a handler type"))
	case handlers > 1:
		errs = append(errs, field.Forbidden(at, "may not specify more than 1 handler type"))
	}
	if name != "readinessProbe" && p.SuccessThreshold != 1 {
		errs = append(errs, field.Invalid(at.Child("successThreshold"), p.SuccessThreshold, "must be 1"))
	}
	for part, n := range map[string]int32{"initialDelaySeconds": p.InitialDelaySeconds, "timeoutSeconds": p.TimeoutSeconds, "periodSeconds": p.PeriodSeconds, "failureThreshold": p.FailureThreshold} {
		if n < 0 {
			errs = append(errs, field.Invalid(at.Child(part), n, "must be greater than or equal to 0"))
		}
	}
	return errs
}

func label(at *field.Path, s string) field.ErrorList {
	if s == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	for _, msg := range validation.IsDNS1123Label(s) {
		errs = append(errs, field.Invalid(at, s, msg))
	}
	return errs
}

func portNumber(at *field.Path, n int32) field.ErrorList {
	if n == 0 {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	for _, msg := range validation.IsValidPortNum(int(n)) {
		errs = append(errs, field.Invalid(at, n, msg))
	}
	return errs
}

func protocol(at *field.Path, p corev1.Protocol) field.ErrorList {
	switch p {
	case corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP:
		return nil
	}
	return field.ErrorList{field.NotSupported(at, p, []corev1.Protocol{"SCTP", "TCP", "UDP"})}
}
