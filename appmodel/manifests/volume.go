package manifests

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
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

// usersOf are the components whose pods have a claim, and whether all mount it
// and call it by one name that no other volume of theirs has.
func (im *importer) usersOf(claim string) (users []*part, alike bool) {
	called := map[string]bool{}
	for _, p := range im.parts {
		for _, v := range p.pod.get("volumes").list() {
			if v.get("persistentVolumeClaim", "claimName").is(claim) {
				users = append(users, p)
				called[v.get("name").text()] = true
				if !p.mounted(v.get("name").text()) {
					called[""] = true
				}
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

// fits reports whether the model takes a path as that of a mount.
func (p *part) fits(where string) bool {
	clean := path.Clean(where)
	return strings.HasPrefix(where, "/") && (clean == where || clean+"/" == where) && where != "/" && !strings.Contains(where, ":") && p.obj.skip["mounts/"+where] == ""
}

// mounted reports whether a container of the pods mounts a volume, so that
// rendering gives the pods one of the application's.
func (p *part) mounted(volume string) bool {
	for _, k := range slices.Concat(p.pod.get("containers").list(), p.pod.get("initContainers").list()) {
		for _, m := range k.get("volumeMounts").list() {
			if m.get("name").is(volume) && p.fits(m.get("mountPath").text()) {
				return true
			}
		}
	}
	return false
}

// mounts reads where volumes are seen.
func (p *part) mounts(mounts *place, at string) []appmodel.Mount {
	var out []appmodel.Mount
	for _, m := range mounts.list() {
		where := m.get("mountPath").text()
		to := at + `.mounts["` + where + `"]`
		if !p.mountable[m.get("name").text()] || !p.fits(where) {
			continue
		}
		out = append(out, appmodel.Mount{Path: m.get("mountPath").str(to), Volume: m.get("name").str(to + ".volume"),
			SubPath: m.get("subPath").str(to + ".subPath"), ReadOnly: m.get("readOnly").yes(to + ".readOnly")})
	}
	return out
}
