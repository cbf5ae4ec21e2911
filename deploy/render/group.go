package render

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
)

// groups renders the config and secret groups; what exists is not written.
func (b *builder) groups() {
	for i := range b.app.Configs {
		g := &b.app.Configs[i]
		b.add(&corev1.ConfigMap{TypeMeta: tm("v1", "ConfigMap"), ObjectMeta: b.meta(b.configName(g), nil), Data: b.configData(g)}, Object{Phase: PhaseData})
	}
	for i := range b.app.Secrets {
		g := &b.app.Secrets[i]
		if g.Existing != "" {
			continue
		}
		b.add(&corev1.Secret{TypeMeta: tm("v1", "Secret"), ObjectMeta: b.meta(b.secretName(g), nil), Type: secretType(g.Type), Data: b.secretData(g)},
			Object{Phase: PhaseData, Sensitive: true})
	}
}

func (b *builder) configName(g *appmodel.Config) string { return cmp.Or(g.ObjectName, b.name(g.Name)) }

func (b *builder) secretName(g *appmodel.Secret) string {
	return cmp.Or(g.Existing, g.ObjectName, b.name(g.Name))
}

// config finds a config group; an unknown one is an error at the path.
func (b *builder) config(name, path string) *appmodel.Config {
	for i := range b.app.Configs {
		if g := &b.app.Configs[i]; g.Name == name {
			return g
		}
	}
	b.fail("%s: there is no config %q; add it to configs", path, name)
	return &appmodel.Config{Name: name}
}

// secret finds a secret group; an unknown one is an error at the path.
func (b *builder) secret(name, path string) *appmodel.Secret {
	for i := range b.app.Secrets {
		if g := &b.app.Secrets[i]; g.Name == name {
			return g
		}
	}
	b.fail("%s: there is no secret %q; add it to secrets", path, name)
	return &appmodel.Secret{Name: name}
}

// configValue is the value of a config item.
func (b *builder) configValue(group, item string) (value, error) {
	for _, g := range b.app.Configs {
		if g.Name != group {
			continue
		}
		for _, i := range g.Items {
			if i.Name == item {
				return b.itemValue(nil, i)
			}
		}
	}
	return nil, fmt.Errorf("%w: there is no item %q of a config %q; add it", appspan.ErrInvalid, item, group)
}

// secretValue refers to a secret item.
func (b *builder) secretValue(group, item string) (value, error) {
	for i := range b.app.Secrets {
		g := &b.app.Secrets[i]
		if g.Name != group {
			continue
		}
		key := &secretKey{object: b.secretName(g), key: item, label: group + "_" + item, unknown: g.Existing != ""}
		if key.unknown {
			return value{{secret: key}}, nil
		}
		for _, x := range g.Items {
			if x.Name == item {
				text, err := b.secretItem(group, x)
				return value{{text: text, secret: key}}, err
			}
		}
	}
	return nil, fmt.Errorf("%w: there is no item %q of a secret %q; add it", appspan.ErrInvalid, item, group)
}

// secretItem is the value itself.
func (b *builder) secretItem(group string, i appmodel.SecretItem) (string, error) {
	switch {
	case i.Generate != nil:
		v, ok := b.in.Generated[group][i.Name]
		if !ok {
			return "", fmt.Errorf("%w: secrets[%s].items[%s] has no generated value; give it in Input.Generated", appspan.ErrInvalid, group, i.Name)
		}
		return v.Reveal(), nil
	case i.Template != "":
		v, _, err := b.expand(nil, i.Template)
		return v, err
	}
	return i.Value.Reveal(), nil
}

// configData is what the ConfigMap of a group holds.
func (b *builder) configData(g *appmodel.Config) map[string]string {
	data := make(map[string]string, len(g.Items))
	for _, i := range g.Items {
		path := "configs[" + g.Name + "].items[" + i.Name + "]"
		v, err := b.itemValue(nil, i)
		if err == nil && v.sensitive() {
			err = fmt.Errorf("%w: it refers to a secret; put the item under secrets", appspan.ErrInvalid)
		}
		if err != nil {
			b.failed(fmt.Errorf("%s: %w", path, err))
			continue
		}
		data[i.Name], _ = v.reveal()
	}
	return data
}

// secretData is what the Secret of a group holds: its items, and the key that
// its type demands.
func (b *builder) secretData(g *appmodel.Secret) map[string][]byte {
	data := make(map[string][]byte, len(g.Items))
	for _, i := range g.Items {
		v, err := b.secretItem(g.Name, i)
		if err != nil {
			b.failed(fmt.Errorf("secrets[%s].items[%s]: %w", g.Name, i.Name, err))
		}
		data[i.Name] = []byte(v)
	}
	if g.Type == appmodel.SecretRegistry && data[corev1.DockerConfigJsonKey] == nil {
		if b.demand(g, data, "server", "username", "password") {
			data[corev1.DockerConfigJsonKey] = dockerConfig(string(data["server"]), string(data["username"]), string(data["password"]))
		}
		return data
	}
	b.demand(g, data, demandedKeys(g.Type)...)
	return data
}

// demand refuses a group that lacks items which its type demands.
func (b *builder) demand(g *appmodel.Secret, data map[string][]byte, keys ...string) bool {
	complete := true
	for _, key := range keys {
		if data[key] == nil {
			b.fail("secrets[%s].items: a secret of type %s needs an item %q; add it", g.Name, g.Type, key)
			complete = false
		}
	}
	return complete
}

func demandedKeys(t appmodel.SecretType) []string {
	switch t {
	case appmodel.SecretTLS:
		return []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey}
	case appmodel.SecretBasicAuth:
		return []string{corev1.BasicAuthUsernameKey, corev1.BasicAuthPasswordKey}
	case appmodel.SecretSSH:
		return []string{corev1.SSHAuthPrivateKey}
	}
	return nil
}

func secretType(t appmodel.SecretType) corev1.SecretType {
	switch t {
	case appmodel.SecretRegistry:
		return corev1.SecretTypeDockerConfigJson
	case appmodel.SecretTLS:
		return corev1.SecretTypeTLS
	case appmodel.SecretBasicAuth:
		return corev1.SecretTypeBasicAuth
	case appmodel.SecretSSH:
		return corev1.SecretTypeSSHAuth
	}
	return corev1.SecretTypeOpaque
}

// dockerConfig is the credentials of one registry as Docker writes them.
func dockerConfig(server, username, password string) []byte {
	type credentials struct {
		Username string `json:"username"`
		Password string `json:"password"`
		Auth     string `json:"auth"`
	}
	auth := base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
	data, _ := json.Marshal(map[string]map[string]credentials{"auths": {server: {username, password, auth}}}) // strings always encode
	return data
}

// GeneratedItem is a secret item that is made once.
type GeneratedItem struct {
	Group, Item string
	Spec        appmodel.Generate
}

// Generated lists the generated secret items in the order of the document;
// their values go into [Input.Generated].
func Generated(a *appmodel.Application) []GeneratedItem {
	var out []GeneratedItem
	for _, s := range a.Secrets {
		for _, i := range s.Items {
			if i.Generate != nil {
				out = append(out, GeneratedItem{s.Name, i.Name, *i.Generate})
			}
		}
	}
	return out
}
