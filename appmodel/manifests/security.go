package manifests

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// security reads as whom and with which rights containers run.
func (im *importer) security(p *part) {
	s := &appmodel.Security{}
	at := p.at + ".security"
	p.comp.Security = s
	pod := p.pod.get("securityContext")
	s.Level = p.level(im.checks)
	confined := func(x *place, value string) {
		switch {
		case x == nil || !x.is(value):
		case s.Level == appmodel.LevelRestricted:
			x.shaped(at+".level", "by the level")
		}
	}
	id := func(x *place, to string) *int64 {
		if x == nil || x.count() > 1<<31-1 || x.count() < 0 {
			return nil
		}
		n := x.num(to)
		return &n
	}
	s.FSGroup = id(pod.get("fsGroup"), at+".fsGroup")
	for _, g := range ordered(pod.get("supplementalGroups"), func(g *place) string { return fmt.Sprintf("%020d", g.count()) }) {
		if n := id(g, at+".supplementalGroups"); n != nil {
			s.SupplementalGroups = append(s.SupplementalGroups, *n)
		}
	}
	for _, c := range ordered(pod.get("sysctls"), func(c *place) string { return c.get("name").text() }) {
		if s.Sysctls == nil {
			s.Sysctls = map[string]string{}
		}
		s.Sysctls[c.get("name").text()] = c.get("value").text()
		c.take(at + ".sysctls[" + c.get("name").text() + "]")
	}
	confined(pod.get("runAsNonRoot"), "true")
	for _, f := range []struct {
		field string
		set   *bool
	}{{"hostNetwork", &s.HostNetwork}, {"hostPID", &s.HostPID}, {"hostIPC", &s.HostIPC}} {
		*f.set = p.pod.get(f.field).yes(at + "." + f.field)
	}
	if s.HostNetwork {
		if dns := p.pod.get("dnsPolicy"); dns.is("ClusterFirstWithHostNet") {
			dns.take(at + ".hostNetwork")
		} else if dns == nil || dns.is("ClusterFirst") {
			p.podExtra(map[string]any{"dnsPolicy": "ClusterFirst"})
		}
	}
	forPod := pod.get("runAsUser") != nil || pod.get("runAsGroup") != nil || pod.get("seccompProfile") != nil
	if forPod {
		p.kubernetes.Security = "pod"
		s.RunAsUser, s.RunAsGroup = id(pod.get("runAsUser"), at+".runAsUser"), id(pod.get("runAsGroup"), at+".runAsGroup")
		s.Seccomp = profile(pod.get("seccompProfile"), at+".seccomp")
	}
	each := func(k *place, to string, s *appmodel.Security, typed bool) {
		c := k.get("securityContext")
		if typed {
			s.RunAsUser, s.RunAsGroup = id(c.get("runAsUser"), to+".runAsUser"), id(c.get("runAsGroup"), to+".runAsGroup")
			s.Seccomp = profile(c.get("seccompProfile"), to+".seccomp")
		}
		for _, f := range []struct {
			field string
			set   *bool
		}{{"readOnlyRootFilesystem", &s.ReadOnlyRootFilesystem}, {"privileged", &s.Privileged}, {"allowPrivilegeEscalation", &s.AllowEscalation}} {
			x := c.get(f.field)
			switch {
			case x.truth():
				*f.set = x.truth()
				x.take(to + "." + f.field)
			case x.is("false") && f.field != "allowPrivilegeEscalation":
				x.settle(fidelity.Implied, "", "no container has it that does not ask")
				x.form = true
			}
		}
		confined(c.get("allowPrivilegeEscalation"), "false")
		confined(c.get("runAsNonRoot"), "true")
		for _, x := range ordered(c.get("capabilities", "add"), (*place).text) {
			s.Capabilities = append(s.Capabilities, x.str(to+".capabilities["+x.text()+"]"))
		}
		if drop := c.get("capabilities", "drop"); len(drop.list()) == 1 {
			confined(drop.items[0], "ALL")
		}
	}
	for _, k := range p.pod.get("containers").list() {
		if k.get("name").is(p.container) {
			each(k, at, s, !forPod)
		}
	}
	boxes := func(field string, list []appmodel.NamedContainer) {
		for i := range list {
			for _, k := range append(p.pod.get("containers").list(), p.pod.get("initContainers").list()...) {
				if k.get("name").is(list[i].Name) && !k.get("name").is(p.container) {
					own := &appmodel.Security{}
					each(k, p.at+"."+field+"["+list[i].Name+"].security", own, true)
					if data, _ := json.Marshal(own); string(data) != "{}" {
						list[i].Security = own
					}
				}
			}
		}
	}
	boxes("initContainers", p.comp.InitContainers)
	boxes("sidecars", p.comp.Sidecars)
}

// ordered are the entries of a list that rendering sorts; none if they stand
// otherwise, so that a patch writes them and pods are the same to the letter.
func ordered(list *place, key func(*place) string) []*place {
	if slices.IsSortedFunc(list.list(), func(a, b *place) int { return strings.Compare(key(a), key(b)) }) {
		return list.list()
	}
	return nil
}

// profile reads a seccomp profile.
func profile(x *place, to string) string {
	switch kind := x.get("type").text(); kind {
	case "RuntimeDefault", "Unconfined":
		x.take(to)
		return kind
	case "Localhost":
		x.take(to)
		return x.get("localhostProfile").text()
	}
	return ""
}

// level is the strictest level of the Pod Security Standards that the pods
// keep. A missing seccomp profile is no reason against restricted: nothing is
// asked for that it forbids.
func (p *part) level(checks policy.Evaluator) appmodel.SecurityLevel {
	data, _ := json.Marshal(map[string]any{"metadata": p.obj.at(append(p.obj.podPath(), "metadata")...).plain(), "spec": p.pod.plain()})
	var t corev1.PodTemplateSpec
	if json.Unmarshal(data, &t) != nil {
		return appmodel.LevelPrivileged
	}
	passes := func(level api.Level) bool {
		for _, r := range checks.EvaluatePod(api.LevelVersion{Level: level, Version: api.LatestVersion()}, &t.ObjectMeta, &t.Spec) {
			if !r.Allowed && (level == api.LevelBaseline || r.ForbiddenReason != "seccompProfile") {
				return false
			}
		}
		return true
	}
	switch {
	case !passes(api.LevelBaseline):
		return appmodel.LevelPrivileged
	case passes(api.LevelRestricted):
		return appmodel.LevelRestricted
	}
	return appmodel.LevelBaseline
}
