package composefile

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/compose-spec/compose-go/v2/types"
)

// secretRef names an item of a secret group.
type secretRef struct{ group, item string }

func (r secretRef) template() string { return "${secret." + r.group + "." + r.item + "}" }

// topSecrets makes a group of each secret that is used.
func (im *importer) topSecrets() {
	for _, name := range im.used(func(c types.ServiceConfig) (out []string) {
		for _, ref := range c.Secrets {
			out = append(out, ref.Source)
		}
		return out
	}) {
		c := im.project.Secrets[name]
		k := keyOf("secrets", name)
		ref := secretRef{im.names.secrets.take(name), "value"}
		im.secretOf[name] = ref
		to := "secrets[" + ref.group + "]"
		group := appmodel.Secret{Name: ref.group}
		it := appmodel.SecretItem{Name: ref.item}
		generate := func(why string, k key) {
			it.Generate = &appmodel.Generate{}
			im.generated[k] = true
			im.notes.degraded(to, why+": generated", k)
		}
		switch {
		case bool(c.External):
			group.Existing = label(orName(c.Name, name))
			it = appmodel.SecretItem{}
			im.notes.how(to+".existing", fmt.Sprintf("a Secret %s with the key %q has to be there", group.Existing, ref.item), k)
		case c.Environment != "":
			if v, there := im.opts.Environment[c.Environment]; there {
				it.Value = appmodel.NewSensitive(v)
				im.notes.mapped(to, k.child("environment"))
			} else {
				im.variables[c.Environment] = ref
				generate("nobody gave "+c.Environment, k.child("environment"))
			}
		case c.File != "":
			im.secretFile(c.File, k.child("file"), to, &it, generate)
		case c.Content != "":
			it.Value = appmodel.NewSensitive(c.Content)
			im.notes.mapped(to, k.child("content"))
		default:
			generate("there is no source", k)
		}
		im.notes.implied("objects are named by application and group", k.child("name"))
		if it.Name != "" {
			group.Items = []appmodel.SecretItem{it}
		}
		im.app.Secrets = append(im.app.Secrets, group)
	}
}

func orName(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (im *importer) secretFile(file string, k key, to string, it *appmodel.SecretItem, generate func(string, key)) {
	if escapes(file, ".") {
		im.fault(k, fmt.Sprintf("%q leads out of the directory of the compose file", cut(file)), "put the file beside the compose file")
		return
	}
	data, err := im.readFile(path.Clean(file), maxFile)
	switch {
	case err == nil:
		it.Value = appmodel.NewSensitive(string(data))
		im.notes.mapped(to, k)
	case missing(err):
		generate(err.Error(), k)
	default:
		im.fault(k, fmt.Sprintf("%q %s", cut(file), err), "keep secrets small")
	}
}

// topConfigs makes a group of each config that is used.
func (im *importer) topConfigs() {
	for _, name := range im.used(func(c types.ServiceConfig) (out []string) {
		for _, ref := range c.Configs {
			out = append(out, ref.Source)
		}
		return out
	}) {
		c := im.project.Configs[name]
		k := keyOf("configs", name)
		group := appmodel.Config{Name: im.names.configs.take(name)}
		im.configOf[name] = group.Name
		to := "configs[" + group.Name + "]"
		it := appmodel.Item{Name: "content", Value: c.Content}
		switch {
		case c.File != "":
			if escapes(c.File, ".") {
				im.fault(k.child("file"), fmt.Sprintf("%q leads out of the directory of the compose file", cut(c.File)), "put the file beside the compose file")
				continue
			}
			data, err := im.readFile(path.Clean(c.File), maxFile)
			switch {
			case err == nil:
				it.Value = string(data)
				im.notes.mapped(to, k.child("file"))
			case missing(err):
				im.notes.degraded(to, err.Error()+": empty", k.child("file"))
			default:
				im.fault(k.child("file"), fmt.Sprintf("%q %s", cut(c.File), err), "take it into the image")
			}
		case bool(c.External):
			im.notes.degraded(to, "an empty one: one of a Docker host can't be taken over", k)
		case c.Environment != "" && c.Content == "":
			im.notes.degraded(to, "nobody gave "+c.Environment+": empty", k)
		default:
			im.notes.mapped(to, k)
		}
		im.notes.implied("objects are named by application and group", k.child("name"))
		group.Items = []appmodel.Item{it}
		im.app.Configs = append(im.app.Configs, group)
	}
}

// used are the names that services refer to, sorted.
func (im *importer) used(names func(types.ServiceConfig) []string) []string {
	set := map[string]bool{}
	for _, s := range im.services {
		for _, name := range names(s.cfg) {
			set[name] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// secretFiles mounts secrets under /run/secrets.
func (im *importer) secretFiles(s *service) {
	for _, c := range s.cfg.Secrets {
		k := s.key("secrets", c.Source)
		ref, there := im.secretOf[c.Source]
		if !there {
			continue
		}
		target := orName(c.Target, c.Source)
		if !strings.HasPrefix(target, "/") {
			target = "/run/secrets/" + target
		}
		im.file(s, types.FileReferenceConfig(c), k, target, appmodel.File{Secret: &appmodel.ItemRef{Name: ref.group, Item: ref.item}})
	}
}

// configFiles mounts configs, by default at the root.
func (im *importer) configFiles(s *service) {
	for _, c := range s.cfg.Configs {
		k := s.key("configs", c.Source)
		group, there := im.configOf[c.Source]
		if !there {
			continue
		}
		target := orName(c.Target, c.Source)
		if !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
		im.file(s, types.FileReferenceConfig(c), k, target, appmodel.File{Config: &appmodel.ItemRef{Name: group, Item: "content"}})
		for _, cfg := range im.app.Configs {
			if cfg.Name == group {
				s.see(c.Source, []byte(cfg.Items[0].Value), k)
			}
		}
	}
}

func (im *importer) file(s *service, c types.FileReferenceConfig, k key, target string, f appmodel.File) {
	f.Path = path.Clean(target)
	if strings.Contains(target, "..") {
		im.fault(k, fmt.Sprintf("target %q", cut(target)), "write a path without ..")
		return
	}
	if c.Mode != nil {
		f.Mode = fmt.Sprintf("%04o", int64(*c.Mode)&0o777)
		im.notes.mapped(s.path("files["+f.Path+"].mode"), k.child("mode"))
	}
	if f.Secret != nil && s.fileAt(f.Path) || f.Config != nil && s.fileAt(f.Path) {
		im.fault(k, fmt.Sprintf("two files at %s", f.Path), "give one of them another target")
		return
	}
	s.comp.Files = append(s.comp.Files, f)
	im.notes.mapped(s.path("files["+f.Path+"]"), k)
	im.notes.unsupported("files belong to root; mode says who may read them", k.child("uid"))
	im.notes.unsupported("files belong to root; mode says who may read them", k.child("gid"))
}

func (s *service) fileAt(target string) bool {
	return slices.ContainsFunc(s.comp.Files, func(f appmodel.File) bool { return f.Path == target })
}

// groupOf is the secret group of a service's own passwords.
func (im *importer) addSecret(s *service, variable string, v *string) secretRef {
	i := slices.IndexFunc(im.app.Secrets, func(g appmodel.Secret) bool { return g.Name == s.secrets })
	if s.secrets == "" || i < 0 {
		s.secrets = im.names.secrets.take(s.id)
		im.app.Secrets = append(im.app.Secrets, appmodel.Secret{Name: s.secrets})
		i = len(im.app.Secrets) - 1
		s.items = namer{}
	}
	it := appmodel.SecretItem{Name: s.items.take(variable)}
	if v != nil {
		it.Value = appmodel.NewSensitive(*v)
	} else {
		it.Generate = &appmodel.Generate{}
	}
	im.app.Secrets[i].Items = append(im.app.Secrets[i].Items, it)
	return secretRef{s.secrets, it.Name}
}

// secretName reports whether a variable is called like a secret.
func secretName(name string) bool {
	parts := strings.FieldsFunc(strings.ToUpper(name), func(r rune) bool { return r == '_' || r == '-' || r == '.' })
	if len(parts) == 0 {
		return false
	}
	last := parts[len(parts)-1]
	for _, suffix := range []string{"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "APIKEY", "CREDENTIALS"} {
		if strings.HasSuffix(last, suffix) {
			return true
		}
	}
	switch last {
	case "PASS", "PWD":
		return len(parts) > 1
	case "KEY":
		return len(parts) > 1 && parts[len(parts)-2] != "PUBLIC" && parts[len(parts)-2] != "PRIMARY"
	case "BASE":
		return strings.Contains(strings.ToUpper(name), "SECRET_KEY")
	}
	return false
}

// secretValue reports whether a value of such a variable can be a secret.
func secretValue(v string) bool {
	switch strings.ToLower(v) {
	case "", "true", "false", "yes", "no", "on", "off", "0", "1", "none":
		return false
	}
	return !strings.HasPrefix(v, "/run/secrets/")
}
