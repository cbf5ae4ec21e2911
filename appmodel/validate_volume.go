package appmodel

import (
	"path"
	"strconv"
	"strings"
)

// volume checks a volume of a component, or of the application if c is nil.
func (v *checker) volume(vol *Volume, at Path, c *Component) {
	v.name(vol.Name, at.field("name"))
	if c != nil && v.volumes[vol.Name] != nil && vol.Name != "" {
		v.errorf(at, "rename one of them", "the application has a volume of that name too")
	}
	v.volumeFields(vol, at)
	if vol.Size != "" {
		v.quantity(vol.Size, at.field("size"))
	}
	v.objectName(vol.StorageClass, at.field("storageClass"))
	v.objectName(vol.Claim, at.field("claim"))
	v.mode(vol.Mode, at.field("mode"))
	switch vol.Kind {
	case VolumePersistent:
		if vol.Size == "" && vol.Claim == "" {
			v.errorf(at.field("size"), "write for example 10Gi", "is missing, and a persistent volume needs it")
		}
		if vol.Scope == "replica" && (c == nil || c.Kind != KindStateful) {
			v.errorf(at.field("scope"), "write component, or make it a stateful component", "only a stateful component has a volume for each replica")
		}
	case VolumeHost:
		v.absolute(vol.HostPath, at.field("hostPath"))
		if c != nil && c.Security != nil && c.Security.Level != LevelPrivileged {
			v.errorf(at, "it is "+string(c.Security.Level), "a host path needs security.level: privileged")
		}
	case VolumeConfig:
		v.groupRef(vol.Config, "", false, at)
	case VolumeSecret:
		v.groupRef(vol.Secret, "", true, at)
	}
}

// volumeFields checks that each field belongs to the volume's kind.
func (v *checker) volumeFields(vol *Volume, at Path) {
	if vol.Kind == "" {
		return
	}
	for _, f := range []struct {
		field string
		set   bool
		kinds string
		must  bool
	}{
		{"hostPath", vol.HostPath != "", "host", true},
		{"config", vol.Config != "", "config", true},
		{"secret", vol.Secret != "", "secret", true},
		{"size", vol.Size != "", "persistent ephemeral memory", false},
		{"accessMode", vol.AccessMode != "", "persistent", false},
		{"storageClass", vol.StorageClass != "", "persistent", false},
		{"claim", vol.Claim != "", "persistent", false},
		{"scope", vol.Scope != "", "persistent", false},
		{"backup", vol.Backup != nil, "persistent", false},
		{"onRemove", vol.OnRemove != "", "persistent", false},
		{"mode", vol.Mode != "", "config secret", false},
	} {
		fits := strings.Contains(f.kinds, string(vol.Kind))
		switch {
		case f.set && !fits:
			v.errorf(at.field(f.field), "remove it, or change the kind", "a volume of kind %s has no %s", vol.Kind, f.field)
		case !f.set && fits && f.must:
			v.errorf(at.field(f.field), "give one", "is missing, and a volume of kind %s needs it", vol.Kind)
		}
	}
}

// groupRef checks a reference to a config or secret group, and to an item of
// it if one is named.
func (v *checker) groupRef(name, item string, secret bool, at Path) {
	if name == "" {
		return
	}
	kind, names := "config", keysOf(v.configs)
	var items []string
	found, open := false, false
	if secret {
		kind, names = "secret", keysOf(v.secrets)
		if s := v.secrets[name]; s != nil {
			found, open = true, s.Existing != ""
			for _, i := range s.Items {
				items = append(items, i.Name)
			}
		}
	} else if c := v.configs[name]; c != nil {
		found = true
		for _, i := range c.Items {
			items = append(items, i.Name)
		}
	}
	if !found {
		next := didYouMean(name, names)
		if next == "" {
			next = "add it under " + kind + "s"
		}
		v.errorf(at, next, "no %s %q", kind, cut(name))
		return
	}
	if item == "" || open {
		return
	}
	for _, i := range items {
		if i == item {
			return
		}
	}
	next := didYouMean(item, items)
	if next == "" {
		next = "add it to the group"
	}
	v.errorf(at, next, "%s %s has no item %q", kind, name, cut(item))
}

// absolute checks a path within a container or on a node.
func (v *checker) absolute(p string, at Path) bool {
	switch {
	case p == "":
		return false
	case len(p) > 1024:
		v.errorf(at, "shorten it", "the path is longer than 1,024 characters")
	case strings.Contains("/"+p+"/", "/../"):
		v.errorf(at, "write the path without ..", "%q leads out by ..", cut(p))
	case !strings.HasPrefix(p, "/"):
		v.errorf(at, "begin with /", "%q is not an absolute path", cut(p))
	case path.Clean(p) != p && path.Clean(p)+"/" != p:
		v.errorf(at, "write "+path.Clean(p), "%q is not the shortest spelling", cut(p))
	case strings.ContainsAny(p, ":\x00"):
		v.errorf(at, "use another path", "%q holds a character that no mount may have", cut(p))
	default:
		return true
	}
	return false
}

func (v *checker) mode(mode string, at Path) {
	if mode == "" {
		return
	}
	ok := len(mode) <= 4
	for _, r := range mode {
		ok = ok && r >= '0' && r <= '7'
	}
	if !ok || len(mode) == 4 && mode[0] != '0' {
		v.errorf(at, `write for example "0444"`, "%q is not the mode of a file", cut(mode))
	}
}

func (v *checker) quantity(q Quantity, at Path) {
	parsed, err := q.Parse()
	switch {
	case len(q) > 64:
		v.errorf(at, "write for example 20Gi", "is too long for a quantity")
	case err != nil:
		v.fail(at, err)
	case parsed.Sign() < 0:
		v.errorf(at, "write zero or more", "%s is negative", q)
	}
}

// mountable are the volumes that a component's containers may mount.
func (v *checker) mountable(c *Component) map[string]*Volume {
	all := map[string]*Volume{}
	for name, vol := range v.volumes {
		all[name] = vol
	}
	for i := range c.Volumes {
		all[c.Volumes[i].Name] = &c.Volumes[i]
	}
	return all
}

// sharing checks that a volume which one pod may write is not mounted by
// several.
func (v *checker) sharing(c *Component, mounted map[string]*Volume, at Path) {
	most, why := podsOf(c)
	if most <= 1 {
		return
	}
	for _, name := range keysOf(mounted) {
		vol := mounted[name]
		once := vol.AccessMode == "ReadWriteOnce" || vol.AccessMode == "ReadWriteOncePod"
		if vol.Kind != VolumePersistent || vol.Scope == "replica" || !once {
			continue
		}
		v.errorf(at.field(why), "set accessMode: ReadWriteMany, or "+map[string]string{
			"scale": "replicas: 1", "job": "parallelism: 1", "kind": "another kind"}[why],
			"%s would share volume %q (%s)", plural(most, c), name, vol.AccessMode)
	}
}

func plural(n int, c *Component) string {
	switch {
	case c.Kind == KindDaemon:
		return "the pods of all nodes"
	case c.Kind == KindJob || c.Kind == KindCron:
		return strconv.Itoa(n) + " pods"
	}
	return strconv.Itoa(n) + " replicas"
}

// podsOf is how many pods of a component may run at a time, and which field
// says so.
func podsOf(c *Component) (most int, why string) {
	switch {
	case c.Kind == KindDaemon:
		return 2, "kind"
	case c.Kind == KindJob || c.Kind == KindCron:
		if c.Job != nil {
			return c.Job.Parallelism, "job"
		}
		return 1, "job"
	case c.Scale == nil:
		return 1, "scale"
	}
	if c.Scale.Replicas != nil {
		most = *c.Scale.Replicas
	}
	if auto := c.Scale.Auto; auto != nil {
		most = max(most, auto.Max)
	}
	return most, "scale"
}
