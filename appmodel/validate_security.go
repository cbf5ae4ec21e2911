package appmodel

import (
	"slices"
	"strings"
)

// baselineCapabilities and safeSysctls are what the Pod Security Standards
// allow at the level baseline.
func baselineCapabilities() []string {
	return []string{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
		"NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
}

func safeSysctls() []string {
	return []string{"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
		"net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
		"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
		"net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
}

// security checks that nothing is asked for beyond the component's level.
func (v *checker) security(c *Component, at Path) {
	if c.Security == nil {
		return
	}
	level := c.Security.Level
	v.securityFields(c.Security, level, at.field("security"))
	for _, list := range []struct {
		field string
		boxes []NamedContainer
	}{{"initContainers", c.InitContainers}, {"sidecars", c.Sidecars}} {
		for i := range list.boxes {
			s := list.boxes[i].Security
			if s == nil {
				continue
			}
			here := at.field(list.field).entry(list.boxes[i].Name).field("security")
			v.podOnly(s, here)
			v.securityFields(s, level, here)
		}
	}
}

// podOnly refuses what belongs to the pod in a single container.
func (v *checker) podOnly(s *Security, at Path) {
	for _, f := range []struct {
		field string
		set   bool
	}{
		{"level", s.Level != ""}, {"fsGroup", s.FSGroup != nil}, {"supplementalGroups", len(s.SupplementalGroups) > 0},
		{"sysctls", len(s.Sysctls) > 0}, {"hostNetwork", s.HostNetwork}, {"hostPID", s.HostPID}, {"hostIPC", s.HostIPC},
	} {
		if f.set {
			v.errorf(at.field(f.field), "write it under the component's security", "belongs to the component")
		}
	}
}

func (v *checker) securityFields(s *Security, level SecurityLevel, at Path) {
	demand := func(field string, needs SecurityLevel, asked bool) {
		if !asked || level == LevelPrivileged || level == needs || level == "" {
			return
		}
		v.errorf(at.field(field), "it is "+string(level), "needs security.level: %s", needs)
	}
	demand("hostNetwork", LevelPrivileged, s.HostNetwork)
	demand("hostPID", LevelPrivileged, s.HostPID)
	demand("hostIPC", LevelPrivileged, s.HostIPC)
	demand("privileged", LevelPrivileged, s.Privileged)
	demand("seccomp", LevelPrivileged, strings.EqualFold(s.Seccomp, "Unconfined"))
	demand("allowPrivilegeEscalation", LevelBaseline, s.AllowEscalation)
	demand("runAsUser", LevelBaseline, s.RunAsUser != nil && *s.RunAsUser == 0)
	for _, name := range s.Capabilities {
		at := at.field("capabilities").entry(name)
		short := strings.TrimPrefix(name, "CAP_")
		switch {
		case short != name:
			v.errorf(at, "write "+short, "Kubernetes leaves the prefix out")
		case level == LevelRestricted && name != "NET_BIND_SERVICE" && slices.Contains(baselineCapabilities(), name):
			v.errorf(at, "it is restricted", "needs security.level: baseline")
		case level != LevelPrivileged && name != "NET_BIND_SERVICE" && !slices.Contains(baselineCapabilities(), name):
			v.errorf(at, "it is "+string(level), "needs security.level: privileged")
		}
	}
	for _, name := range sortedKeys(s.Sysctls) {
		if level != LevelPrivileged && !slices.Contains(safeSysctls(), name) {
			v.errorf(at.field("sysctls").entry(name), "it is "+string(level), "needs security.level: privileged")
		}
	}
	const most = 1<<31 - 1
	ids := map[string]*int64{"runAsUser": s.RunAsUser, "runAsGroup": s.RunAsGroup, "fsGroup": s.FSGroup}
	for field, id := range ids {
		if id != nil && (*id < 0 || *id > most) {
			v.errorf(at.field(field), "write one from 0 to 2147483647", "%d is not an id", *id)
		}
	}
	if s.Seccomp != "" && s.Seccomp != "RuntimeDefault" && s.Seccomp != "Unconfined" &&
		(strings.HasPrefix(s.Seccomp, "/") || strings.Contains("/"+s.Seccomp+"/", "/../")) {
		v.errorf(at.field("seccomp"), "write RuntimeDefault, Unconfined, or a path relative to the profiles of the node", "%q is not a profile", cut(s.Seccomp))
	}
}
