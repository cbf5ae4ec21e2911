package render

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
)

// environment collects the variables of one container. Kubernetes reads
// $(NAME) of variables that stand before, so helpers come first, then what
// needs inject, then the container's own.
type environment struct {
	pod           *podWriter
	path          string // below the component
	helpers, list []corev1.EnvVar
	helperOf      map[secretKey]string
	taken         map[string]bool
}

// env renders the environment of a container; needs inject into the main one.
func (p *podWriter) env(src *appmodel.Container, path string, main bool) ([]corev1.EnvFromSource, []corev1.EnvVar) {
	e := &environment{pod: p, path: path, helperOf: map[secretKey]string{}, taken: map[string]bool{}}
	for _, v := range src.Env {
		e.taken[v.Name] = true
	}
	if main {
		for _, n := range p.c.Needs {
			e.inject(n)
		}
	}
	for _, v := range src.Env {
		e.own(v)
	}
	return p.envFrom(src, path), append(e.helpers, e.list...)
}

// envFrom injects whole groups.
func (p *podWriter) envFrom(src *appmodel.Container, path string) []corev1.EnvFromSource {
	var out []corev1.EnvFromSource
	for _, f := range src.EnvFrom {
		at := componentPath(p.c, path+"envFrom")
		s := corev1.EnvFromSource{Prefix: f.Prefix}
		if f.Config != "" {
			g := p.b.config(f.Config, at)
			s.ConfigMapRef = &corev1.ConfigMapEnvSource{LocalObjectReference: p.useConfig(g)}
		} else {
			g := p.b.secret(f.Secret, at)
			s.SecretRef = &corev1.SecretEnvSource{LocalObjectReference: p.useSecret(g)}
		}
		out = append(out, s)
	}
	return out
}

// inject adds what a need with a prefix provides, but for names that the
// container sets itself.
func (e *environment) inject(n appmodel.Need) {
	if n.Prefix == nil {
		return
	}
	b, c := e.pod.b, e.pod.c
	for _, key := range b.injectedKeys(c, n) {
		name := *n.Prefix + envName(key)
		if e.taken[name] {
			continue
		}
		v, err := b.provided(c, n, key)
		if e.failed(err, "needs["+n.Name+"].prefix") {
			continue
		}
		e.taken[name] = true
		e.add(name, v)
	}
}

// injectedKeys are the names that a need provides, sorted behind host and
// port.
func (b *builder) injectedKeys(c *appmodel.Component, n appmodel.Need) []string {
	keys := []string{"host", "port"}
	var more []string
	if p := b.comps[n.Component]; p != nil && n.Open == nil && n.Application == "" {
		if findPort(p, n.Port) == nil {
			keys = keys[:1]
		}
		for _, i := range p.Provides {
			more = append(more, i.Name)
		}
	}
	endpoint := b.in.Bindings[NeedRef{c.ID, n.Name}]
	for key := range endpoint.Values {
		more = append(more, key)
	}
	for key := range endpoint.Secrets {
		more = append(more, key)
	}
	slices.Sort(more)
	for _, key := range slices.Compact(more) {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// envName is a provided name as the end of a variable's: upper case, with
// underscores for what variables can't have.
func envName(key string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(key))
}

// own adds a variable of the container itself.
func (e *environment) own(v appmodel.Env) {
	path := e.path + "env[" + v.Name + "]"
	switch {
	case v.Template != "":
		x, err := e.pod.b.resolve(e.pod.c, v.Template)
		if !e.failed(err, path) {
			e.add(v.Name, x)
		}
	case v.ValueFrom != nil:
		e.list = append(e.list, corev1.EnvVar{Name: v.Name, ValueFrom: e.pod.valueFrom(v.ValueFrom, path)})
	default:
		e.list = append(e.list, corev1.EnvVar{Name: v.Name, Value: v.Value})
	}
}

// failed notes an error, and that a variable is left out because of an
// optional need.
func (e *environment) failed(err error, path string) bool {
	if err == nil {
		return false
	}
	if !e.pod.b.leftOut(err, e.pod.c, path) {
		e.pod.b.failed(fmt.Errorf("%s: %w", componentPath(e.pod.c, path), err))
	}
	return true
}

// add adds a variable. A secret is a reference; one that is only a part of the
// value is read through a helper variable.
func (e *environment) add(name string, v value) {
	if key := v.single(); key != nil {
		e.list = append(e.list, e.pod.secretVariable(name, *key, v[0].text))
		return
	}
	var text strings.Builder
	for _, p := range v {
		switch {
		case p.secret != nil:
			text.WriteString("$(" + e.helper(*p.secret, p.text) + ")")
		case p.literal:
			text.WriteString(p.text)
		default: // a dollar of a value stands for itself
			text.WriteString(strings.ReplaceAll(p.text, "$", "$$"))
		}
	}
	e.list = append(e.list, corev1.EnvVar{Name: name, Value: text.String()})
}

// helper is the name of the variable that holds a secret, made if there is
// none.
func (e *environment) helper(key secretKey, text string) string {
	if name, ok := e.helperOf[key]; ok {
		return name
	}
	base := "APPSPAN_" + envName(key.label)
	name := base
	for i := 2; e.taken[name]; i++ {
		name = base + "_" + strconv.Itoa(i)
	}
	e.taken[name], e.helperOf[key] = true, name
	e.helpers = append(e.helpers, e.pod.secretVariable(name, key, text))
	return name
}

// secretVariable is a variable that refers to a secret.
func (p *podWriter) secretVariable(name string, key secretKey, text string) corev1.EnvVar {
	p.useKey(key, text)
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: key.object}, Key: key.key}}}
}

// valueFrom takes a value from the pod, the container's resources or a group.
func (p *podWriter) valueFrom(v *appmodel.ValueFrom, path string) *corev1.EnvVarSource {
	var optional *bool
	if v.Optional {
		optional = &v.Optional
	}
	at := componentPath(p.c, path)
	switch {
	case v.Field != "":
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: v.Field}}
	case v.Resource != "":
		return &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: v.Resource}}
	case v.Config != nil:
		g := p.b.config(v.Config.Name, at)
		p.useConfigItem(g, v.Config.Item)
		return &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: p.b.configName(g)}, Key: v.Config.Item, Optional: optional}}
	case v.Secret != nil:
		g := p.b.secret(v.Secret.Name, at)
		p.useSecretItem(g, v.Secret.Item)
		return &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: p.b.secretName(g)}, Key: v.Secret.Item, Optional: optional}}
	}
	p.b.failed(fmt.Errorf("%s: %w: valueFrom is empty; give field, resource, config or secret", at, appspan.ErrInvalid))
	return nil
}
