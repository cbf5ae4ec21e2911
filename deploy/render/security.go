package render

import (
	"cmp"
	"maps"
	"reflect"
	"slices"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
)

// restricts reports whether Appspan writes what Pod Security "restricted"
// demands.
func (p *podWriter) restricts() bool {
	return p.c.Security.Level == appmodel.LevelRestricted && !bare(p.c)
}

// podSecurity says what holds for all containers of the pod.
func (p *podWriter) podSecurity(spec *corev1.PodSpec) {
	s := p.c.Security
	sc := &corev1.PodSecurityContext{FSGroup: s.FSGroup, SupplementalGroups: slices.Sorted(slices.Values(s.SupplementalGroups))}
	for _, name := range slices.Sorted(maps.Keys(s.Sysctls)) {
		sc.Sysctls = append(sc.Sysctls, corev1.Sysctl{Name: name, Value: s.Sysctls[name]})
	}
	if p.restricts() {
		yes := true
		sc.RunAsNonRoot = &yes
		sc.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
	if forPod(p.c) {
		sc.RunAsUser, sc.RunAsGroup, sc.SeccompProfile = s.RunAsUser, s.RunAsGroup, cmp.Or(seccomp(s.Seccomp), sc.SeccompProfile)
	}
	if !reflect.ValueOf(*sc).IsZero() {
		spec.SecurityContext = sc
	}
	spec.HostNetwork, spec.HostPID, spec.HostIPC = s.HostNetwork, s.HostPID, s.HostIPC
	if s.HostNetwork { // or names of the cluster would not resolve
		spec.DNSPolicy = corev1.DNSClusterFirstWithHostNet
	}
}

// forPod reports whether the user, the group and the seccomp profile of the
// component's security are said for the pod.
func forPod(c *appmodel.Component) bool {
	return c.Kubernetes != nil && c.Kubernetes.Security == "pod"
}

// containerSecurity says as whom and with which rights a container runs; nil
// if nothing is to be said.
func (p *podWriter) containerSecurity(s *appmodel.Security) *corev1.SecurityContext {
	if s == nil {
		s = &appmodel.Security{}
	}
	sc := &corev1.SecurityContext{RunAsUser: s.RunAsUser, RunAsGroup: s.RunAsGroup,
		ReadOnlyRootFilesystem: asked(s.ReadOnlyRootFilesystem), Privileged: asked(s.Privileged),
		AllowPrivilegeEscalation: asked(s.AllowEscalation), SeccompProfile: seccomp(s.Seccomp)}
	if s == p.c.Security && forPod(p.c) {
		sc.RunAsUser, sc.RunAsGroup, sc.SeccompProfile = nil, nil, nil
	}
	if len(s.Capabilities) > 0 {
		sc.Capabilities = &corev1.Capabilities{}
		for _, name := range slices.Sorted(slices.Values(s.Capabilities)) {
			sc.Capabilities.Add = append(sc.Capabilities.Add, corev1.Capability(name))
		}
	}
	if p.restricts() {
		sc.AllowPrivilegeEscalation = new(bool)
		if sc.Capabilities == nil {
			sc.Capabilities = &corev1.Capabilities{}
		}
		sc.Capabilities.Drop = []corev1.Capability{"ALL"}
	}
	if *sc == (corev1.SecurityContext{}) {
		return nil
	}
	return sc
}

// unreadable notes files that the kubelet gives to root alone, in a container
// that is known to run as somebody else. With a group of the pod's volumes,
// the kubelet lets that group read whatever the mode says.
func (p *podWriter) unreadable(mode *int32, s *appmodel.Security, path string) {
	const group, others = 0o040, 0o004
	if s == nil {
		s = &appmodel.Security{}
	}
	root := s.RunAsUser != nil && *s.RunAsUser == 0 || s.RunAsUser == nil && !p.restricts() // or the image may say so
	inRootsGroup := s.RunAsGroup == nil || *s.RunAsGroup == 0                               // as most images' users are
	if mode == nil || root || p.c.Security.FSGroup != nil || *mode&others != 0 || *mode&group != 0 && inRootsGroup {
		return
	}
	p.b.note(Warning, p.c, path, "the file is root's, and in mode %#o nobody else can read it, but the container does not run as root; set security.fsGroup, or leave the mode out", *mode)
}

// asked is a pointer to true, or nil.
func asked(v bool) *bool {
	if !v {
		return nil
	}
	return &v
}

// seccomp is a profile by the name of its type, or by the path of a file on
// the node.
func seccomp(name string) *corev1.SeccompProfile {
	switch name {
	case "":
		return nil
	case string(corev1.SeccompProfileTypeRuntimeDefault), string(corev1.SeccompProfileTypeUnconfined):
		return &corev1.SeccompProfile{Type: corev1.SeccompProfileType(name)}
	}
	return &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeLocalhost, LocalhostProfile: &name}
}

// identity says as which service account the pods run and whether they get its
// token, and renders the account if the document names it.
func (p *podWriter) identity(spec *corev1.PodSpec) {
	a := p.c.ServiceAccount
	if a == nil {
		a = &appmodel.ServiceAccount{}
	}
	name := a.Name
	if name == "" && len(a.Annotations) > 0 {
		name = p.b.name(p.c.ID)
	}
	if pinned := pinnedNames(p.c).ServiceAccount; pinned != "" {
		spec.ServiceAccountName = pinned
	} else if name != "" {
		spec.ServiceAccountName = name
		p.account(name, a)
	}
	switch {
	case a.Token:
		spec.AutomountServiceAccountToken = &a.Token
	case p.restricts():
		spec.AutomountServiceAccountToken = new(bool)
	}
}

// account renders a service account once for all components that share it.
func (p *podWriter) account(name string, a *appmodel.ServiceAccount) {
	if other, ok := p.b.accounts[name]; ok {
		if !maps.Equal(other.Annotations, a.Annotations) {
			p.b.fail("%s: another component gives service account %q other annotations; make them equal, or rename one", componentPath(p.c, "serviceAccount.annotations"), name)
		}
		return
	}
	p.b.accounts[name] = a
	o := Object{Component: p.c.ID, Phase: PhaseIdentity}
	owner := p.c
	if p.b.accountUsers(name) > 1 {
		o.Component, owner = "", nil
	}
	meta := p.b.meta(name, owner)
	meta.Annotations = maps.Clone(a.Annotations)
	p.b.add(&corev1.ServiceAccount{TypeMeta: tm("v1", "ServiceAccount"), ObjectMeta: meta}, o)
}

// accountUsers counts the components that name a service account.
func (b *builder) accountUsers(name string) int {
	n := 0
	for _, c := range b.comps {
		if c.ServiceAccount != nil && c.ServiceAccount.Name == name {
			n++
		}
	}
	return n
}
