package fake

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const podSecurityLabel = "pod-security.kubernetes.io/"

// checkPodSecurity is Pod Security admission with the main checks of the
// standards baseline and restricted, as the labels of the namespace ask for.
func (c *Cluster) checkPodSecurity(q request, o *corev1.Pod) error {
	r := c.store.get(c.kinds.find("v1", "Namespace"), key{"", o.Namespace})
	if r == nil {
		return nil
	}
	if level := r.obj.GetLabels()[podSecurityLabel+"warn"]; level != "" {
		if found := violations(level, &o.Spec); len(found) > 0 {
			q.warning(fmt.Sprintf("would violate PodSecurity %q: %s", level+":latest", strings.Join(found, ", ")))
		}
	}
	level := r.obj.GetLabels()[podSecurityLabel+"enforce"]
	if found := violations(level, &o.Spec); len(found) > 0 {
		return apierrors.NewForbidden(q.kind.groupResource(), o.Name, fmt.Errorf("violates PodSecurity %q: %s", level+":latest", strings.Join(found, ", ")))
	}
	return nil
}

// violations lists, in the words of the standard, what a level forbids.
func violations(level string, s *corev1.PodSpec) []string {
	if level != "baseline" && level != "restricted" {
		return nil
	}
	var found []string
	var spaces []string
	for name, on := range map[string]bool{"hostNetwork=true": s.HostNetwork, "hostPID=true": s.HostPID, "hostIPC=true": s.HostIPC} {
		if on {
			spaces = append(spaces, name)
		}
	}
	if slices.Sort(spaces); len(spaces) > 0 {
		found = append(found, "host namespaces ("+strings.Join(spaces, ", ")+")")
	}
	for _, v := range s.Volumes {
		if v.HostPath != nil {
			found = append(found, fmt.Sprintf("hostPath volumes (volume %q)", v.Name))
		}
	}
	pod := s.SecurityContext
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	for _, c := range append(append([]corev1.Container(nil), s.InitContainers...), s.Containers...) {
		sc := c.SecurityContext
		if sc == nil {
			sc = &corev1.SecurityContext{}
		}
		if deref(sc.Privileged) {
			found = append(found, fmt.Sprintf("privileged (container %q must not set securityContext.privileged=true)", c.Name))
		}
		for _, p := range c.Ports {
			if p.HostPort != 0 {
				found = append(found, fmt.Sprintf("hostPort (container %q uses hostPort %d)", c.Name, p.HostPort))
			}
		}
		var added []string
		dropped := false
		if sc.Capabilities != nil {
			for _, name := range sc.Capabilities.Add {
				if level == "restricted" && name != "NET_BIND_SERVICE" || level == "baseline" && !baselineCapability(name) {
					added = append(added, fmt.Sprintf("%q", name))
				}
			}
			dropped = slices.Contains(sc.Capabilities.Drop, "ALL")
		}
		if level == "baseline" {
			if len(added) > 0 {
				found = append(found, fmt.Sprintf("non-default capabilities (container %q must not include %s in securityContext.capabilities.add)", c.Name, strings.Join(added, ", ")))
			}
			continue
		}
		if sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation {
			found = append(found, fmt.Sprintf("allowPrivilegeEscalation != false (container %q must set securityContext.allowPrivilegeEscalation=false)", c.Name))
		}
		if !dropped || len(added) > 0 {
			found = append(found, fmt.Sprintf(`unrestricted capabilities (container %q must set securityContext.capabilities.drop=["ALL"])`, c.Name))
		}
		if nonRoot := sc.RunAsNonRoot; !deref(nonRoot) && (nonRoot != nil || !deref(pod.RunAsNonRoot)) {
			found = append(found, fmt.Sprintf("runAsNonRoot != true (pod or container %q must set securityContext.runAsNonRoot=true)", c.Name))
		}
		if user := sc.RunAsUser; user != nil && *user == 0 || user == nil && pod.RunAsUser != nil && *pod.RunAsUser == 0 {
			found = append(found, fmt.Sprintf("runAsUser=0 (container %q must not set runAsUser=0)", c.Name))
		}
		seccomp := sc.SeccompProfile
		if seccomp == nil {
			seccomp = pod.SeccompProfile
		}
		if seccomp == nil || seccomp.Type != corev1.SeccompProfileTypeRuntimeDefault && seccomp.Type != corev1.SeccompProfileTypeLocalhost {
			found = append(found, fmt.Sprintf(`seccompProfile (pod or container %q must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")`, c.Name))
		}
	}
	return found
}

// baselineCapability reports whether baseline lets a container add it.
func baselineCapability(name corev1.Capability) bool {
	return slices.Contains([]corev1.Capability{
		"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
	}, name)
}
