package manifests

import (
	"maps"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// part is a workload on its way to a component.
type part struct {
	obj        *object
	comp       appmodel.Component
	at         string // components[id]
	pod        *place // spec of the pods
	labels     map[string]string
	selector   map[string]string
	patch      *patch
	container  string // the main one
	services   []*service
	main       *service // that others reach it by
	mountable  map[string]bool
	kubernetes *appmodel.Kubernetes
	extras     []map[string]any // further fields of the pods
}

// podPath is where a workload has its pod template; nil if the object is none.
func (o *object) podPath() []string {
	switch {
	case o.is("apps", "Deployment"), o.is("apps", "StatefulSet"), o.is("apps", "DaemonSet"), o.is("apps", "ReplicaSet"), o.is("batch", "Job"):
		return []string{"spec", "template"}
	case o.is("batch", "CronJob"):
		return []string{"spec", "jobTemplate", "spec", "template"}
	case o.is("", "Pod"):
		return []string{}
	}
	return nil
}

// workload reports whether the object runs pods.
func (o *object) workload() bool { return o.made == "" && o.podPath() != nil }

// hook says when Helm runs the object, if it is a hook.
func (o *object) hook() string { return o.at("metadata", "annotations", "helm.sh/hook").text() }

// identify finds the workloads, and gives each a component's id.
func (im *importer) identify() {
	var previous []appmodel.Component
	if im.opts.Previous != nil {
		previous = im.opts.Previous.Components
	}
	kept := map[*object]string{}
	for _, o := range im.reader.objects {
		for _, c := range previous {
			if o.workload() && c.Kubernetes != nil && c.Kubernetes.Names != nil && c.Kubernetes.Names.Workload == o.name && !im.ids[c.ID] {
				kept[o], im.ids[c.ID] = c.ID, true
				break
			}
		}
	}
	for _, o := range im.reader.objects {
		if !o.workload() || o.forced != "" {
			continue
		}
		if why := im.unfit(o); why != "" {
			o.forced = why
			continue
		}
		id := kept[o]
		if id == "" {
			id = im.ids.take(o.name)
		}
		im.parts = append(im.parts, im.part(o, id))
	}
}

// unfit says why a workload cannot be a component, if it cannot.
func (im *importer) unfit(o *object) string {
	pod := o.at(append(o.podPath(), "spec")...)
	if len(o.at("spec", "selector", "matchExpressions").list()) > 0 {
		return "its selector has expressions, and a component's has labels alone"
	}
	if o.at("spec", "manualSelector").truth() || o.is("batch", "Job") && o.at("spec", "selector") != nil && !o.live() {
		return "its selector is its own"
	}
	sidecar := false
	for _, k := range pod.get("initContainers").list() {
		if k.get("restartPolicy").is("Always") {
			sidecar = true
		} else if sidecar {
			return "an init container runs beside a sidecar that started before it"
		}
	}
	seen := map[string]bool{}
	for _, k := range append(pod.get("containers").list(), pod.get("initContainers").list()...) {
		if seen[k.get("name").text()] {
			return "two containers have one name"
		}
		seen[k.get("name").text()] = true
	}
	if len(pod.get("ephemeralContainers").list()) > 0 {
		return "ephemeral containers belong to pods that run"
	}
	for _, v := range pod.get("volumes").list() {
		for _, s := range v.get("projected", "sources").list() {
			if s.get("podCertificate") != nil || s.get("serviceAccountToken") != nil && pod.get("automountServiceAccountToken").is("false") {
				return "a volume projects an identity that no patch may add"
			}
		}
	}
	for _, c := range o.at("spec", "volumeClaimTemplates").list() {
		spec := c.get("spec")
		fits := len(spec.get("accessModes").list()) == 1 && spec.get("accessModes").items[0].text() != "" &&
			(c.get("apiVersion") == nil || c.get("apiVersion").is("v1")) && (c.get("kind") == nil || c.get("kind").is("PersistentVolumeClaim")) && spec.get("resources", "requests", "storage") != nil && isLabel(c.get("metadata", "name").text()) &&
			(spec.get("volumeMode") == nil || spec.get("volumeMode").is("Filesystem")) && (spec.get("storageClassName") == nil || !spec.get("storageClassName").is(""))
		for _, f := range spec.entries() {
			fits = fits && slices.Contains([]string{"accessModes", "resources", "storageClassName", "volumeMode"}, f.key)
		}
		if !fits {
			return "a claim template says what no volume can, and it never changes"
		}
	}
	return ""
}

// part begins a component.
func (im *importer) part(o *object, id string) *part {
	base := o.podPath()
	p := &part{obj: o, at: "components[" + id + "]", pod: o.at(append(base, "spec")...), mountable: map[string]bool{}}
	im.owns(p.at, o)
	o.mapped = true
	p.comp = appmodel.Component{ID: id, Kind: kindOf(o)}
	p.kubernetes = &appmodel.Kubernetes{Defaults: "none", Names: &appmodel.KubernetesNames{Workload: o.name}}
	p.comp.Kubernetes = p.kubernetes
	o.at("apiVersion").take(p.at + ".kind")
	o.at("kind").take(p.at + ".kind")
	o.at("metadata", "name").take(p.at + ".kubernetes.names.workload")

	meta := o.at(append(base, "metadata")...)
	p.labels = meta.get("labels").texts()
	maps.DeleteFunc(p.labels, func(k, _ string) bool { return o.live() && ofJobs(k) })
	p.selector = o.at("spec", "selector", "matchLabels").texts()
	if o.is("", "Pod") || o.is("batch", "Job") || o.is("batch", "CronJob") {
		p.selector = maps.Clone(p.labels)
	}
	p.comp.Labels, p.comp.Annotations = maps.Clone(p.labels), map[string]string{}
	maps.DeleteFunc(p.comp.Labels, func(k, _ string) bool { return strings.HasPrefix(k, "app.kubernetes.io/managed-by") && o.is("", "Pod") })
	meta.get("labels").take(p.at + ".labels")
	o.at("spec", "selector", "matchLabels").take(p.at + ".kubernetes.selector")
	if len(p.selector) > 0 {
		p.kubernetes.Selector = p.selector
	} else if !o.is("batch", "Job") { // a job finds its pods without any
		im.note("%s gets labels for its pods, as they have none", p.at)
	}
	for _, f := range meta.get("annotations").entries() {
		if f.fate != nil || o.skip["annotations"] != "" || o.is("", "Pod") && (strings.HasPrefix(f.key, "helm.sh/") || strings.HasPrefix(f.key, "meta.helm.sh/")) {
			continue
		}
		p.comp.Annotations[f.key] = f.str(p.at + ".annotations[" + f.key + "]")
	}
	if len(p.comp.Annotations) == 0 {
		p.comp.Annotations = nil
	}
	if len(base) > 0 { // names of templates are nobody's
		for _, f := range meta.entries() {
			if f.key != "labels" && f.key != "annotations" {
				f.settle(fidelity.Implied, "", "pods are named by their workload")
			}
		}
	}
	o.provides(p.comp.Labels, p.at+".labels")
	p.chooseMain()
	p.patch = im.patchLater(o, appmodel.PatchTarget{Kind: rendered(o), Component: id}, nil)
	return p
}

// kindOf is the component kind of a workload.
func kindOf(o *object) appmodel.ComponentKind {
	switch o.kind {
	case "StatefulSet":
		return appmodel.KindStateful
	case "DaemonSet":
		return appmodel.KindDaemon
	case "Job":
		return appmodel.KindJob
	case "CronJob":
		return appmodel.KindCron
	case "Pod":
		if policy := o.at("spec", "restartPolicy"); policy.is("Never") || policy.is("OnFailure") {
			return appmodel.KindJob
		}
	}
	return appmodel.KindService
}

// rendered is the kind of object that a workload is rendered as.
func rendered(o *object) string {
	switch {
	case o.kind == "ReplicaSet", o.kind == "Pod" && kindOf(o) == appmodel.KindService:
		return "Deployment"
	case o.kind == "Pod":
		return "Job"
	}
	return o.kind
}

// chooseMain chooses the container that is the component's own.
func (p *part) chooseMain() {
	containers := p.pod.get("containers").list()
	if len(containers) == 0 {
		return
	}
	p.container = containers[0].get("name").text()
	for _, asked := range []string{p.obj.name, p.comp.ID, p.comp.Annotations["kubectl.kubernetes.io/default-container"]} {
		for _, k := range containers {
			if asked != "" && k.get("name").is(asked) {
				p.container = asked
			}
		}
	}
	p.kubernetes.Names.Container = p.container
}

// fill writes a component's fields.
func (im *importer) fill(p *part) {
	o, c := p.obj, &p.comp
	spec := o.at("spec")
	im.volumesOf(p)
	im.containers(p)
	im.security(p)
	im.account(p)
	p.scheduling()
	p.lifetime()
	switch o.kind {
	case "Deployment", "StatefulSet", "ReplicaSet":
		if r := spec.get("replicas"); r != nil {
			n := int(r.count())
			r.take(p.at + ".scale.replicas")
			if n != 1 {
				c.Scale = &appmodel.Scale{Replicas: &n}
			}
		}
		p.update(spec)
	case "DaemonSet":
		p.update(spec)
	case "Job":
		im.job(p, spec)
	case "CronJob":
		im.cron(p, spec)
	}
	switch {
	case o.kind == "ReplicaSet":
		p.instead("a ReplicaSet becomes a Deployment, which replaces its pods when they change")
	case o.kind == "Pod" && c.Kind == appmodel.KindService:
		p.instead("a Pod becomes a Deployment of one, which starts it again elsewhere")
	case o.kind == "Pod":
		c.Job = &appmodel.Job{}
		im.runs(p)
		p.instead("a Pod that ends becomes a Job")
	}
}

// instead reports that a workload becomes one of another kind. Its pods move
// into a template.
func (p *part) instead(why string) {
	for _, f := range []string{"apiVersion", "kind"} {
		l := p.obj.at(f)
		l.fate = &fate{fidelity.Degraded, p.at + ".kind", why}
	}
}

// partOf is the component of a workload, by kind and name.
func (im *importer) partOf(kind, name string) *part {
	for _, p := range im.parts {
		if p.obj.name == name && p.obj.kind == kind {
			return p
		}
	}
	return nil
}

// selected are the components whose pods have labels.
func (im *importer) selected(labels map[string]string) []*part {
	var out []*part
	for _, p := range im.parts {
		all := len(labels) > 0
		for k, v := range labels {
			all = all && p.labels[k] == v
		}
		if all {
			out = append(out, p)
		}
	}
	return out
}
