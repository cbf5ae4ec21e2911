package manifests

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// containers reads all containers of a component.
func (im *importer) containers(p *part) {
	im.pulling(p)
	for _, k := range p.pod.get("initContainers").list() {
		name := k.get("name").text()
		if k.get("restartPolicy").is("Always") {
			at := p.at + ".sidecars[" + name + "]"
			k.get("restartPolicy").take(at)
			p.comp.Sidecars = append(p.comp.Sidecars, appmodel.NamedContainer{Name: k.get("name").str(at + ".name"), Container: im.container(p, k, at)})
			continue
		}
		at := p.at + ".initContainers[" + name + "]"
		p.comp.InitContainers = append(p.comp.InitContainers, appmodel.NamedContainer{Name: k.get("name").str(at + ".name"), Container: im.container(p, k, at)})
	}
	plain := false
	for _, k := range p.pod.get("containers").list() {
		name := k.get("name").text()
		if name == p.container {
			k.get("name").take(p.at + ".kubernetes.names.container")
			p.comp.Container = im.container(p, k, p.at)
			continue
		}
		at := p.at + ".sidecars[" + name + "]"
		p.comp.Sidecars = append(p.comp.Sidecars, appmodel.NamedContainer{Name: k.get("name").str(at + ".name"), Container: im.container(p, k, at), Native: &plain})
	}
}

// container reads what all containers share.
func (im *importer) container(p *part, k *place, at string) appmodel.Container {
	read := func(name string) *place { // what the model refused before is left to a patch
		if p.obj.skip[name] != "" {
			return nil
		}
		return k.get(name)
	}
	c := appmodel.Container{
		Image:   k.get("image").str(at + ".image"),
		Command: read("command").strings(at + ".command"), Args: read("args").strings(at + ".args"),
		Stdin: k.get("stdin").yes(at + ".stdin"), TTY: k.get("tty").yes(at + ".tty"),
		WorkingDir: read("workingDir").str(at + ".workingDir"), EnvFrom: im.envFrom(p, read("envFrom"), at),
	}
	for _, text := range append(k.get("command").texted(), k.get("args").texted()...) {
		im.needsOf(p, "", text)
	}
	c.Env = im.env(p, k, at)
	c.Mounts = p.mounts(k.get("volumeMounts"), at)
	p.containerPorts(k, at)
	if probes := p.probes(k, at); probes != (appmodel.Probes{}) {
		c.Probes = &probes
	}
	resources, lifecycle := read("resources"), read("lifecycle")
	r := appmodel.Resources{Requests: quantities(resources.get("requests"), at+".resources.requests"),
		Limits: quantities(resources.get("limits"), at+".resources.limits")}
	if len(r.Requests)+len(r.Limits) > 0 {
		c.Resources = &r
	}
	l := appmodel.Lifecycle{PostStart: p.handler(lifecycle.get("postStart"), at+".lifecycle.postStart"),
		PreStop: p.handler(lifecycle.get("preStop"), at+".lifecycle.preStop")}
	if l != (appmodel.Lifecycle{}) {
		c.Lifecycle = &l
	}
	return c
}

func quantities(p *place, to string) map[string]appmodel.Quantity {
	var out map[string]appmodel.Quantity
	for _, f := range p.entries() {
		if out == nil {
			out = map[string]appmodel.Quantity{}
		}
		out[f.key] = appmodel.Quantity(f.str(to + "[" + f.key + "]"))
	}
	return out
}

// pulling reads when images are pulled, which is one word for all containers.
func (im *importer) pulling(p *part) {
	all := append(p.pod.get("containers").list(), p.pod.get("initContainers").list()...)
	policy, same, written := "", true, false
	for _, k := range all {
		usual := "IfNotPresent"
		if image := k.get("image").text(); !strings.Contains(image, "@") && (strings.HasSuffix(image, ":latest") || !strings.Contains(image[strings.LastIndexByte(image, '/')+1:], ":")) {
			usual = "Always"
		}
		asked := k.get("imagePullPolicy")
		effective := usual
		if !asked.null() && !asked.is("") {
			effective = asked.text()
		}
		if effective == usual {
			asked.settle(fidelity.Implied, "", "the default of Kubernetes")
		} else {
			written = true
		}
		same = same && (policy == "" || policy == effective)
		policy = effective
	}
	if written && same {
		p.imagePull().Policy = policy
		for _, k := range all {
			k.get("imagePullPolicy").take(p.at + ".imagePull.policy")
		}
	}
	for _, s := range p.pod.get("imagePullSecrets").list() {
		g := im.useSecret(s.get("name").text(), appmodel.SecretRegistry)
		if g == nil || im.secretOf(g.name).Type != appmodel.SecretRegistry {
			continue
		}
		if last := p.imagePull().Secrets; len(last) > 0 && im.secretOf(last[len(last)-1]).Existing+im.secretOf(last[len(last)-1]).ObjectName > s.get("name").text() {
			s.settle(fidelity.Degraded, p.at+".imagePull.secrets["+g.name+"]", "they are tried in the order of their names")
		}
		s.take(p.at + ".imagePull.secrets[" + g.name + "]")
		p.imagePull().Secrets = append(p.imagePull().Secrets, g.name)
	}
}

func (p *part) imagePull() *appmodel.ImagePull {
	if p.comp.ImagePull == nil {
		p.comp.ImagePull = &appmodel.ImagePull{}
	}
	return p.comp.ImagePull
}

// envFrom reads whole groups as environment: all of them or, as the list is
// written as one, none.
func (im *importer) envFrom(p *part, list *place, at string) []appmodel.EnvFrom {
	var out []appmodel.EnvFrom
	seen := map[appmodel.EnvFrom]bool{}
	for _, e := range list.list() {
		f := appmodel.EnvFrom{Prefix: e.get("prefix").text()}
		if name := e.get("configMapRef", "name").text(); name != "" && im.configs[name] != nil {
			f.Config = im.configs[name].name
			im.reads(p, im.configs[name])
		} else if name := e.get("secretRef", "name").text(); name != "" {
			f.Secret = im.useSecret(name, appmodel.SecretOpaque).name
		} else {
			return nil
		}
		if seen[f] {
			return nil
		}
		seen[f] = true
		out = append(out, f)
	}
	for i, e := range list.list() {
		to := at + ".envFrom[" + strings.TrimRight(out[i].Config+"/"+out[i].Secret+"/"+out[i].Prefix, "/") + "]"
		e.get("prefix").take(to)
		e.get("configMapRef", "name").take(to)
		e.get("secretRef", "name").take(to)
	}
	return out
}

// env reads variables; what a variable may not say here a patch says.
func (im *importer) env(p *part, k *place, at string) []appmodel.Env {
	var out []appmodel.Env
	list := k.get("env").list()
	last := map[string]int{}
	for i, e := range list {
		last[e.get("name").text()] = i
	}
	for i, e := range list {
		name := e.get("name").text()
		to := at + ".env[" + name + "]"
		if last[name] != i {
			e.settle(fidelity.Degraded, to, "the variable stands there again, and the later one holds")
			continue
		}
		if len(validation.IsEnvVarName(name)) > 0 || p.obj.skip["env/"+name] != "" {
			e.settle(fidelity.Degraded, to, "a patch writes the variable, before the others")
			e.leaves(func(l *place) { l.form = true })
			continue
		}
		v := appmodel.Env{Name: name}
		from := e.get("valueFrom")
		switch {
		case from == nil:
			v.Value = e.get("value").text()
			v.Value, v.Template = im.template(p, name, v.Value)
			e.take(to)
		case from.get("fieldRef", "fieldPath") != nil:
			v.ValueFrom = &appmodel.ValueFrom{Field: from.get("fieldRef", "fieldPath").str(to + ".valueFrom.field")}
		case from.get("resourceFieldRef", "resource") != nil:
			v.ValueFrom = &appmodel.ValueFrom{Resource: from.get("resourceFieldRef", "resource").str(to + ".valueFrom.resource")}
		case from.get("configMapKeyRef") != nil:
			ref := from.get("configMapKeyRef")
			g, item := im.configs[ref.get("name").text()], ref.get("key").text()
			if !g.has(item) {
				break // the name keeps its place among the variables, and a patch says the rest
			}
			im.reads(p, g)
			v.ValueFrom = &appmodel.ValueFrom{Config: &appmodel.ItemRef{Name: g.name, Item: item}, Optional: ref.get("optional").truth()}
			ref.take(to + ".valueFrom.config")
		case from.get("secretKeyRef", "name") != nil:
			ref := from.get("secretKeyRef")
			g, item := im.useSecret(ref.get("name").text(), appmodel.SecretOpaque), ref.get("key").text()
			if !g.has(item) {
				break
			}
			v.ValueFrom = &appmodel.ValueFrom{Secret: &appmodel.ItemRef{Name: g.name, Item: item}, Optional: ref.get("optional").truth()}
			ref.take(to + ".valueFrom.secret")
		}
		e.get("name").take(to)
		out = append(out, v)
	}
	return out
}
