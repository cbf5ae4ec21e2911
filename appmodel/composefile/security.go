package composefile

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
)

// privileged raises the security level to what a field asks for.
func (im *importer) privileged(s *service, what string) {
	s.rights().Level = appmodel.LevelPrivileged
	im.note(fmt.Sprintf("components[%s] has security level privileged: %s", s.id, what))
}

// rights are the component's rights, baseline at first.
func (s *service) rights() *appmodel.Security {
	if s.comp.Security == nil {
		s.comp.Security = &appmodel.Security{Level: appmodel.LevelBaseline}
	}
	return s.comp.Security
}

// security takes over as whom and with which rights the service runs.
func (im *importer) security(s *service) {
	sec := s.rights()
	if s.cfg.User != "" {
		im.user(s, sec)
	}
	if s.cfg.Privileged {
		sec.Privileged = true
		im.privileged(s, "privileged: true")
	}
	im.notes.mapped(s.path("security.privileged"), s.key("privileged"))
	sec.ReadOnlyRootFilesystem = s.cfg.ReadOnly
	im.notes.mapped(s.path("security.readOnlyRootFilesystem"), s.key("read_only"))
	for _, c := range s.cfg.CapAdd {
		name := strings.TrimPrefix(strings.ToUpper(c), "CAP_")
		if !slices.Contains(sec.Capabilities, name) {
			sec.Capabilities = append(sec.Capabilities, name)
		}
		if !baselineCapability(name) {
			im.privileged(s, "capability "+name)
		}
		im.notes.mapped(s.path("security.capabilities"), s.key("cap_add", c))
	}
	for _, g := range s.cfg.GroupAdd {
		k := s.key("group_add", g)
		if gid, ok := atoi64(g); ok {
			sec.SupplementalGroups = append(sec.SupplementalGroups, gid)
			im.notes.mapped(s.path("security.supplementalGroups"), k)
		} else {
			im.notes.unsupported("Kubernetes wants a number", k)
		}
	}
	for name, v := range s.cfg.Sysctls {
		if sec.Sysctls == nil {
			sec.Sysctls = map[string]string{}
		}
		sec.Sysctls[name] = v
		if !safeSysctl(name) {
			im.privileged(s, "sysctl "+name)
		}
		im.notes.mapped(s.path("security.sysctls["+name+"]"), s.key("sysctls", name))
	}
	for _, o := range s.cfg.SecurityOpt {
		if o == "seccomp:unconfined" || o == "seccomp=unconfined" {
			sec.Seccomp = "Unconfined"
			im.privileged(s, o)
			im.notes.mapped(s.path("security.seccomp"), s.key("security_opt", o))
		}
	}
	im.namespaces(s, sec)
	im.hosts(s)
}

func (im *importer) user(s *service, sec *appmodel.Security) {
	k := s.key("user")
	user, group, _ := strings.Cut(s.cfg.User, ":")
	if user == "root" {
		user = "0"
	}
	uid, ok := atoi64(user)
	if !ok {
		im.notes.unsupported("Kubernetes wants a number: left to the image", k)
		return
	}
	sec.RunAsUser = &uid
	im.notes.mapped(s.path("security.runAsUser"), k)
	if gid, ok := atoi64(group); ok {
		sec.RunAsGroup = &gid
	} else if group != "" {
		im.notes.degraded("", "Kubernetes wants a number for the group: left to the image", k)
	}
}

// namespaces takes over what is shared with the machine.
func (im *importer) namespaces(s *service, sec *appmodel.Security) {
	host := func(value, field, to string, set *bool) {
		k := s.key(field)
		switch {
		case value == "host":
			*set = true
			im.privileged(s, field+": host")
			im.notes.mapped(s.path("security."+to), k)
		case value == "" || value == "bridge" || value == "default" || value == "private" || value == "shareable":
			im.notes.implied("each pod has its own", k)
		default:
			im.notes.unsupported("pods share nothing with one another", k)
		}
	}
	host(s.cfg.NetworkMode, "network_mode", "hostNetwork", &sec.HostNetwork)
	host(s.cfg.Pid, "pid", "hostPID", &sec.HostPID)
	host(s.cfg.Ipc, "ipc", "hostIPC", &sec.HostIPC)
}

// hosts writes extra_hosts as a patch: the model has no field for them.
func (im *importer) hosts(s *service) {
	kind := map[appmodel.ComponentKind]string{
		appmodel.KindService: "Deployment", appmodel.KindStateful: "StatefulSet", appmodel.KindDaemon: "DaemonSet", appmodel.KindJob: "Job",
	}[s.comp.Kind]
	byIP := map[string][]string{}
	for name, ips := range s.cfg.ExtraHosts {
		k := s.key("extra_hosts", name)
		for _, ip := range ips {
			if net.ParseIP(ip) == nil {
				im.notes.unsupported("there is no such machine beside a pod", k)
				continue
			}
			byIP[ip] = append(byIP[ip], name)
			im.notes.degraded("patches["+s.id+"-hosts]", "a patch of the pods: the model has no field for it", k)
		}
	}
	if len(byIP) == 0 {
		return
	}
	im.app.Patches = append(im.app.Patches, hostAliases(s.id, kind, byIP))
}

// baselineCapability reports whether Pod Security "baseline" lets a container
// add a capability.
func baselineCapability(name string) bool {
	return slices.Contains([]string{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
		"SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}, name)
}

// safeSysctl reports whether Pod Security "baseline" allows a sysctl.
func safeSysctl(name string) bool {
	return slices.Contains([]string{"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
		"net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
		"net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"}, name)
}
