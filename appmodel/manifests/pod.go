package manifests

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// volumesOf reads the volumes of a component.
func (im *importer) volumesOf(p *part) {
	for _, v := range p.pod.get("volumes").list() {
		name := v.get("name").text()
		to := p.at + ".volumes[" + name + "]"
		if !isLabel(name) || p.obj.skip["volumes/"+name] != "" {
			continue
		}
		out := appmodel.Volume{Name: name}
		switch {
		case v.get("emptyDir") != nil:
			dir := v.get("emptyDir")
			out.Kind = appmodel.VolumeEphemeral
			if dir.get("medium").is("Memory") {
				out.Kind = appmodel.VolumeMemory
			} else if dir.get("medium") != nil && !dir.get("medium").is("") {
				continue
			}
			dir.get("medium").take(to + ".kind")
			out.Size = appmodel.Quantity(dir.get("sizeLimit").str(to + ".size"))
			dir.take(to + ".kind")
		case v.get("hostPath", "path") != nil:
			out.Kind, out.HostPath = appmodel.VolumeHost, v.get("hostPath", "path").text()
			if !strings.HasPrefix(out.HostPath, "/") || path.Clean(out.HostPath) != out.HostPath {
				continue
			}
			v.get("hostPath", "path").take(to + ".hostPath")
		case v.get("configMap", "name") != nil:
			g := im.configs[v.get("configMap", "name").text()]
			if g == nil {
				continue
			}
			im.reads(p, g)
			out.Kind, out.Config, out.Mode = appmodel.VolumeConfig, g.name, mode(v.get("configMap", "defaultMode"), to)
			v.get("configMap", "name").take(to + ".config")
		case v.get("secret", "secretName") != nil:
			out.Kind, out.Secret, out.Mode = appmodel.VolumeSecret, im.useSecret(v.get("secret", "secretName").text(), appmodel.SecretOpaque).name, mode(v.get("secret", "defaultMode"), to)
			v.get("secret", "secretName").take(to + ".secret")
		case v.get("persistentVolumeClaim", "claimName") != nil:
			claim := v.get("persistentVolumeClaim", "claimName")
			if !im.claim(p, &out, claim.text(), to) {
				p.mountable[name] = true
				v.get("name").take("volumes[" + name + "]")
				claim.take("volumes[" + name + "].claim")
				continue
			}
			claim.take(to + ".claim")
		default:
			continue
		}
		v.get("name").take(to + ".name")
		p.mountable[name] = true
		p.comp.Volumes = append(p.comp.Volumes, out)
	}
	for _, c := range p.obj.at("spec", "volumeClaimTemplates").list() {
		name := c.get("metadata", "name").text()
		to, spec := p.at+".volumes["+name+"]", c.get("spec")
		v := appmodel.Volume{Name: c.get("metadata", "name").str(to + ".name"), Kind: appmodel.VolumePersistent,
			Size: appmodel.Quantity(spec.get("resources", "requests", "storage").str(to + ".size")), StorageClass: spec.get("storageClassName").str(to + ".storageClass"),
			AccessMode: spec.get("accessModes").strings(to + ".accessMode")[0]}
		c.get("apiVersion").take(to)
		c.get("kind").take(to)
		p.mountable[name] = true
		p.comp.Volumes = append(p.comp.Volumes, v)
	}
}

func mode(p *place, to string) string {
	if p == nil || p.count() == 0o644 || p.count() < 0 || p.count() > 0o777 {
		return ""
	}
	return fmt.Sprintf("%04o", p.num(to+".mode"))
}

// claim makes a volume of a claim: the component's own, or, if several mount it
// by one name, the application's, which it reports by false.
func (im *importer) claim(p *part, v *appmodel.Volume, name, to string) bool {
	v.Kind, v.Claim = appmodel.VolumePersistent, name
	if p.comp.Kind == appmodel.KindStateful {
		v.Scope = "component"
	}
	users, alike := im.usersOf(name)
	o := im.claims[name]
	shared := len(users) > 1 && alike
	if shared {
		if im.volumes[v.Name] {
			if i := slices.IndexFunc(im.app.Volumes, func(x appmodel.Volume) bool { return x.Name == v.Name }); im.app.Volumes[i].Claim == name {
				return false
			}
			shared = false
		} else {
			im.volumes[v.Name] = true
			to, v.Scope = "volumes["+v.Name+"]", ""
		}
	}
	if o != nil {
		if modes := o.at("spec", "accessModes").list(); len(modes) > 0 {
			v.AccessMode = modes[0].text()
		}
	}
	if o != nil && !o.mapped && o.at("spec", "resources", "requests", "storage") != nil && !o.at("spec", "storageClassName").is("") {
		o.mapped = true
		im.owns(to, o)
		o.identity(to + ".claim")
		spec := o.at("spec")
		v.Size = appmodel.Quantity(spec.get("resources", "requests", "storage").str(to + ".size"))
		v.StorageClass = spec.get("storageClassName").str(to + ".storageClass")
		if len(spec.get("accessModes").list()) == 1 {
			spec.get("accessModes").take(to + ".accessMode")
		}
		if !shared {
			o.provides(p.comp.Labels, p.at+".labels")
		}
		im.patchLater(o, appmodel.PatchTarget{Kind: "PersistentVolumeClaim", Name: name}, nil)
	}
	if shared {
		im.app.Volumes = append(im.app.Volumes, *v)
	}
	return !shared
}

// usersOf are the components whose pods have a claim, and whether all call it
// by one name that no other volume of theirs has.
func (im *importer) usersOf(claim string) (users []*part, alike bool) {
	called := map[string]bool{}
	for _, p := range im.parts {
		for _, v := range p.pod.get("volumes").list() {
			if v.get("persistentVolumeClaim", "claimName").is(claim) {
				users = append(users, p)
				called[v.get("name").text()] = true
			}
		}
	}
	for _, p := range im.parts {
		for _, v := range p.pod.get("volumes").list() {
			if called[v.get("name").text()] && !v.get("persistentVolumeClaim", "claimName").is(claim) {
				return users, false
			}
		}
		for _, c := range p.obj.at("spec", "volumeClaimTemplates").list() {
			if called[c.get("metadata", "name").text()] {
				return users, false
			}
		}
	}
	return users, len(called) == 1
}

// writesAlone reports whether a volume of the pods can be written by one node
// only, for which rendering would replace them all at once.
func (p *part) writesAlone() bool {
	return slices.ContainsFunc(p.pod.get("volumes").list(), func(v *place) bool { return v.get("persistentVolumeClaim") != nil })
}

// mounts reads where volumes are seen.
func (p *part) mounts(mounts *place, at string) []appmodel.Mount {
	var out []appmodel.Mount
	for _, m := range mounts.list() {
		where := m.get("mountPath").text()
		to := at + `.mounts["` + where + `"]`
		clean := strings.HasPrefix(where, "/") && (path.Clean(where) == where || path.Clean(where)+"/" == where) && where != "/"
		if !p.mountable[m.get("name").text()] || !clean || strings.ContainsAny(where, ":") || p.obj.skip["mounts/"+where] != "" {
			continue
		}
		out = append(out, appmodel.Mount{Path: m.get("mountPath").str(to), Volume: m.get("name").str(to + ".volume"),
			SubPath: m.get("subPath").str(to + ".subPath"), ReadOnly: m.get("readOnly").yes(to + ".readOnly")})
	}
	return out
}

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
	for _, g := range pod.get("supplementalGroups").list() {
		if n := id(g, at+".supplementalGroups"); n != nil {
			s.SupplementalGroups = append(s.SupplementalGroups, *n)
		}
	}
	for _, c := range pod.get("sysctls").list() {
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
		s.Capabilities = c.get("capabilities", "add").strings(to + ".capabilities")
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

// podExtra writes further fields of the pods by the component's patch.
func (p *part) podExtra(fields map[string]any) {
	p.extras = append(p.extras, fields)
}

// account reads as which service account the pods run.
func (im *importer) account(p *part) {
	name := p.pod.get("serviceAccountName")
	if name == nil {
		name = p.pod.get("serviceAccount")
	}
	token := p.pod.get("automountServiceAccountToken")
	a := appmodel.ServiceAccount{}
	to := p.at + ".serviceAccount"
	if token.truth() {
		a.Token = true
		token.take(to + ".token")
	}
	if name != nil && name.text() != "" && name.text() != "default" {
		if o := im.accounts[name.text()]; o != nil && o.forced == "" {
			a.Name = name.text()
			name.take(to + ".name")
			a.Annotations = im.serviceAccount(p, o, to)
		} else {
			p.kubernetes.Names.ServiceAccount = name.text()
			name.take(p.at + ".kubernetes.names.serviceAccount")
		}
		if other := p.pod.get("serviceAccount"); other.is(name.text()) {
			other.settle(fidelity.Implied, "", "the old name of serviceAccountName")
		}
	} else if name.is("default") {
		name.settle(fidelity.Implied, "", "the default of Kubernetes")
	}
	if a.Name != "" || a.Token {
		p.comp.ServiceAccount = &a
	}
}

// serviceAccount reads the account that a component names.
func (im *importer) serviceAccount(p *part, o *object, to string) map[string]string {
	im.owns(to, o)
	annotations := map[string]string{}
	for _, f := range o.at("metadata", "annotations").entries() {
		if strings.HasPrefix(f.key, "meta.helm.sh/") || strings.HasPrefix(f.key, "helm.sh/") || strings.HasPrefix(f.key, "kubectl.kubernetes.io/") {
			continue
		}
		annotations[f.key] = f.str(to + ".annotations[" + f.key + "]")
	}
	if !o.mapped {
		o.mapped = true
		o.identity(to + ".name")
		o.provides(p.comp.Labels, p.at+".labels")
		im.patchLater(o, appmodel.PatchTarget{Kind: "ServiceAccount", Name: o.name}, nil)
	}
	if len(annotations) == 0 {
		return nil
	}
	return annotations
}

// scheduling reads on which nodes pods may run.
func (p *part) scheduling() {
	if p.obj.skip["scheduling"] != "" {
		return
	}
	s, at := appmodel.Scheduling{}, p.at+".scheduling"
	if sel := p.pod.get("nodeSelector"); len(sel.entries()) > 0 {
		s.NodeSelector = sel.texts()
		for _, f := range sel.fields {
			f.take(at + ".nodeSelector[" + f.key + "]")
		}
	}
	for i, t := range p.pod.get("tolerations").list() {
		to := fmt.Sprintf("%s.tolerations[#%d]", at, i+1)
		x := appmodel.Toleration{Key: t.get("key").str(to + ".key"), Operator: t.get("operator").str(to + ".operator"), Value: t.get("value").str(to + ".value"), Effect: t.get("effect").str(to + ".effect")}
		if n := t.get("tolerationSeconds"); n.count() > 0 {
			x.Duration = seconds(n.num(to + ".duration"))
		}
		s.Tolerations = append(s.Tolerations, x)
	}
	for _, c := range p.pod.get("topologySpreadConstraints").list() {
		key := c.get("topologyKey").text()
		over := map[string]string{corev1.LabelTopologyZone: "zone", corev1.LabelHostname: "node"}[key]
		if over == "" {
			over = key
		}
		plain := maps.Equal(c.get("labelSelector", "matchLabels").texts(), p.selector) && len(c.get("labelSelector").entries()) == 1 && p.kubernetes.Selector != nil &&
			(c.get("whenUnsatisfiable").is("DoNotSchedule") || c.get("whenUnsatisfiable").is("ScheduleAnyway"))
		for _, f := range c.entries() {
			plain = plain && slices.Contains([]string{"topologyKey", "maxSkew", "whenUnsatisfiable", "labelSelector"}, f.key)
		}
		if !plain || slices.ContainsFunc(s.Spread, func(x appmodel.Spread) bool { return x.Over == over }) {
			continue
		}
		c.take(at + ".spread[" + over + "]")
		s.Spread = append(s.Spread, appmodel.Spread{Over: over, MaxSkew: int(c.get("maxSkew").count()), Required: c.get("whenUnsatisfiable").is("DoNotSchedule")})
	}
	s.PriorityClass = p.pod.get("priorityClassName").str(at + ".priorityClass")
	if s.NodeSelector != nil || len(s.Tolerations)+len(s.Spread) > 0 || s.PriorityClass != "" {
		p.comp.Scheduling = &s
	}
}
