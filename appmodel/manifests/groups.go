package manifests

import (
	"encoding/base64"
	"unicode/utf8"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// group is a ConfigMap or Secret as a group of the application.
type group struct {
	name  string
	items map[string]bool
	open  bool     // exists elsewhere, so it may have any item
	texts []string // values of a ConfigMap, which may name Services
}

// has reports whether a group has an item; of a nil group none.
func (g *group) has(item string) bool { return g != nil && (g.open || g.items[item]) }

// groups makes groups of ConfigMaps and Secrets.
func (im *importer) groups() {
	for _, o := range im.reader.objects {
		switch {
		case o.aside():
		case o.is("", "ConfigMap") && o.forced == "":
			im.config(o)
		case o.is("", "Secret"):
			im.secret(o)
		}
	}
}

// config makes a group of a ConfigMap.
func (im *importer) config(o *object) {
	g := &group{name: im.groupNames.take(o.name), items: map[string]bool{}}
	im.configs[o.name] = g
	at := "configs[" + g.name + "]"
	im.owns(at, o)
	o.mapped = true
	c := appmodel.Config{Name: g.name, ObjectName: o.name}
	o.identity(at + ".objectName")
	for _, f := range o.at("data").entries() {
		g.items[f.key] = true
		g.texts = append(g.texts, f.text())
		c.Items = append(c.Items, appmodel.Item{Name: f.key, Value: f.str(at + ".items[" + f.key + "].value")})
	}
	o.at("data").take(at + ".items")
	im.app.Configs = append(im.app.Configs, c)
	im.patchLater(o, appmodel.PatchTarget{Kind: "ConfigMap", Name: o.name}, nil)
}

// secretTypes are the types that the model has.
func secretTypes() map[string]appmodel.SecretType {
	return map[string]appmodel.SecretType{"": appmodel.SecretOpaque, "Opaque": appmodel.SecretOpaque, "kubernetes.io/dockerconfigjson": appmodel.SecretRegistry,
		"kubernetes.io/tls": appmodel.SecretTLS, "kubernetes.io/basic-auth": appmodel.SecretBasicAuth, "kubernetes.io/ssh-auth": appmodel.SecretSSH}
}

// secret makes a group of a Secret. One that the model cannot hold is used
// where it is, and has to be there.
func (im *importer) secret(o *object) {
	g := &group{name: im.groupNames.take(o.name), items: map[string]bool{}}
	im.secrets[o.name] = g
	at := "secrets[" + g.name + "]"
	im.owns(at, o)
	o.mapped = true
	s := appmodel.Secret{Name: g.name, ObjectName: o.name}
	why, typ := o.forced, secretTypes()[o.at("type").text()]
	if typ == "" {
		why = "the model has no such type of secrets"
	} else if typ != appmodel.SecretOpaque {
		s.Type = typ
	}
	values := map[string]string{}
	for _, f := range o.at("data").entries() {
		data, err := base64.StdEncoding.DecodeString(f.text())
		if err != nil || !utf8.Valid(data) {
			why = "a value is no text, which an application's document cannot hold"
		}
		values[f.key] = string(data)
	}
	for _, f := range o.at("stringData").entries() {
		values[f.key] = f.text()
	}
	if why != "" {
		g.open = true
		o.identity(at + ".existing")
		o.root.settle(fidelity.Unsupported, at, why+"; the Secret is used where it exists, so create it in each namespace")
		im.note("secret %s has to exist in each namespace: %s", o.name, why)
		im.app.Secrets = append(im.app.Secrets, appmodel.Secret{Name: g.name, Type: s.Type, Existing: o.name})
		return
	}
	o.identity(at + ".objectName")
	o.at("type").take(at + ".type")
	for _, field := range []string{"data", "stringData"} {
		for _, f := range o.at(field).entries() {
			if field == "data" && o.at("stringData", f.key) != nil {
				f.settle(fidelity.Implied, "", "stringData says it otherwise")
				continue
			}
			f.take(at + ".items[" + f.key + "].value")
			g.items[f.key] = true
			s.Items = append(s.Items, appmodel.SecretItem{Name: f.key, Value: appmodel.NewSensitive(values[f.key])})
		}
		o.at(field).take(at + ".items")
	}
	im.app.Secrets = append(im.app.Secrets, s)
	im.patchLater(o, appmodel.PatchTarget{Kind: "Secret", Name: o.name}, nil)
}

// identity accounts for what names an object.
func (o *object) identity(to string) {
	o.at("apiVersion").take(to)
	o.at("kind").take(to)
	o.at("metadata", "name").take(to)
}

// useSecret is the group of a Secret, made if no object of the input is it.
func (im *importer) useSecret(name string, typ appmodel.SecretType) *group {
	if name == "" {
		return nil
	}
	if g := im.secrets[name]; g != nil {
		return g
	}
	g := &group{name: im.groupNames.take(name), open: true}
	im.secrets[name] = g
	s := appmodel.Secret{Name: g.name, Existing: name}
	if typ != appmodel.SecretOpaque {
		s.Type = typ
	}
	im.app.Secrets = append(im.app.Secrets, s)
	im.note("secret %s is not among the manifests, and has to exist in each namespace", name)
	return g
}

// secretOf finds a group of the application.
func (im *importer) secretOf(name string) *appmodel.Secret {
	for i := range im.app.Secrets {
		if im.app.Secrets[i].Name == name {
			return &im.app.Secrets[i]
		}
	}
	return nil
}
