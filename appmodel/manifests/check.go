package manifests

import (
	"regexp"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	sjson "sigs.k8s.io/json"

	"github.com/appspan-dev/appspan/appmodel/fidelity"
)

// typed is an empty object of a kind whose fields are known here, or nil.
func typed(o *object) any {
	switch o.apiVersion + " " + o.kind {
	case "apps/v1 Deployment":
		return &appsv1.Deployment{}
	case "apps/v1 StatefulSet":
		return &appsv1.StatefulSet{}
	case "apps/v1 DaemonSet":
		return &appsv1.DaemonSet{}
	case "apps/v1 ReplicaSet":
		return &appsv1.ReplicaSet{}
	case "batch/v1 Job":
		return &batchv1.Job{}
	case "batch/v1 CronJob":
		return &batchv1.CronJob{}
	case "v1 Pod":
		return &corev1.Pod{}
	case "v1 Service":
		return &corev1.Service{}
	case "v1 ConfigMap":
		return &corev1.ConfigMap{}
	case "v1 Secret":
		return &corev1.Secret{}
	case "v1 ServiceAccount":
		return &corev1.ServiceAccount{}
	case "v1 PersistentVolumeClaim":
		return &corev1.PersistentVolumeClaim{}
	case "autoscaling/v2 HorizontalPodAutoscaler":
		return &autoscalingv2.HorizontalPodAutoscaler{}
	case "autoscaling/v1 HorizontalPodAutoscaler":
		return &autoscalingv1.HorizontalPodAutoscaler{}
	case "policy/v1 PodDisruptionBudget":
		return &policyv1.PodDisruptionBudget{}
	case "networking.k8s.io/v1 Ingress":
		return &netv1.Ingress{}
	case "networking.k8s.io/v1 NetworkPolicy":
		return &netv1.NetworkPolicy{}
	case "rbac.authorization.k8s.io/v1 Role":
		return &rbacv1.Role{}
	case "rbac.authorization.k8s.io/v1 RoleBinding":
		return &rbacv1.RoleBinding{}
	}
	return nil
}

// old are versions that Kubernetes serves no more, and what took their place.
func old(o *object) string {
	switch group, version, _ := strings.Cut(o.apiVersion, "/"); {
	case group == "extensions" && o.kind == "Ingress", group == "networking.k8s.io" && o.kind == "Ingress" && version != "v1":
		return "networking.k8s.io/v1"
	case group == "extensions", group == "apps" && version != "v1":
		return "apps/v1"
	case group == "batch" && version != "v1":
		return "batch/v1"
	case group == "policy" && version != "v1":
		return "policy/v1"
	case group == "autoscaling" && strings.HasPrefix(version, "v2beta"):
		return "autoscaling/v2"
	}
	return ""
}

var structField = regexp.MustCompile(`Go struct field [^. ]+\.(\S+) of type`)

var unknownField = regexp.MustCompile(`^unknown field "(.*)"$`)

// check finds what no server would take, in all objects.
func (im *importer) check() {
	for _, o := range im.reader.objects {
		if o.aside() {
			continue
		}
		if version := old(o); version != "" {
			im.fault(o, o.at("apiVersion"), o.display+".apiVersion", "Kubernetes serves no "+o.kind+" of "+cut(o.apiVersion)+" any more", "convert it to "+version)
			continue
		}
		t := typed(o)
		if t == nil {
			continue
		}
		strict, err := sjson.UnmarshalStrict(o.root.json(), t)
		if err != nil {
			im.wrongTypes(o, err)
			continue
		}
		for _, s := range strict {
			if m := unknownField.FindStringSubmatch(s.Error()); m != nil {
				if p := o.root.find(m[1]); p != o.root {
					o.unknown = append(o.unknown, p)
				}
			}
		}
		im.complete(o)
	}
}

// wrongTypes finds the places that a kind's decoder does not take: those
// without which it takes the object, or fails at another.
func (im *importer) wrongTypes(o *object, err error) {
	const most = 8 << 20 // bytes to decode for all objects, which bounds the attempts
	message := func(err error) string {
		text := strings.TrimPrefix(err.Error(), "json: ")
		if i := strings.Index(text, " of type "); i > 0 {
			text = text[:strings.Index(text, " into Go ")] + " where " + text[i+len(" of type "):] + " belongs"
		}
		return cut(text)
	}
	for range 20 {
		found := false
		o.root.inward(o.display, func(p *place, at string) bool {
			if p == o.root || p.null() {
				return true
			}
			before := *p
			*p = place{name: p.name, key: p.key, line: p.line, column: p.column}
			data := o.root.json()
			if im.work += len(data); im.work > most {
				*p = before
				return false
			}
			_, again := sjson.UnmarshalStrict(data, typed(o))
			if again == nil || again.Error() != err.Error() {
				im.fault(o, p, at, message(err), "correct it")
				found, err = true, again
				return false // it stays null, so that the next one is found
			}
			*p = before
			return true
		})
		if err == nil {
			return
		}
		if !found {
			break
		}
	}
	var p *place
	if m := structField.FindStringSubmatch(err.Error()); m != nil {
		p = o.root.find(m[1])
	}
	im.fault(o, p, o.display, message(err), "correct it")
}

// complete finds what a workload lacks.
func (im *importer) complete(o *object) {
	base := o.podPath()
	if base == nil {
		return
	}
	pod := o.at(append(base, "spec")...)
	if len(pod.get("containers").list()) == 0 {
		im.fault(o, pod, o.display, "has no container", "give one under containers")
	}
	for _, field := range []string{"containers", "initContainers"} {
		for _, k := range pod.get(field).list() {
			for _, need := range []string{"name", "image"} {
				if k.get(need).text() == "" {
					im.fault(o, k, o.display+"."+strings.Join(append(base, "spec"), ".")+"."+field+k.name, "container "+k.get("name").text()+" has no "+need, "give it one")
				}
			}
		}
	}
	for _, f := range o.at("spec", "selector", "matchLabels").entries() {
		if at := append(base, "metadata", "labels"); o.is("apps", o.kind) && !o.at(at...).get(f.key).is(f.text()) {
			im.fault(o, f, o.display+".spec.selector.matchLabels"+f.name, "the pods do not have this label", "add it to "+strings.Join(at, "."))
		}
	}
	if o.is("apps", o.kind) && len(o.at("spec", "selector").entries()) == 0 {
		im.fault(o, o.at("spec"), o.display+".spec", "has no selector", "write selector: {matchLabels: …}, with labels of its pods")
	}
}

// unknowns accounts for fields that Kubernetes does not know.
func (o *object) unknowns() {
	for _, p := range o.unknown {
		p.settle(fidelity.Unsupported, "", "Kubernetes knows no such field, and drops it")
	}
}

// inward goes through all places, those below first, as long as it is told to.
func (p *place) inward(at string, f func(*place, string) bool) bool {
	for _, c := range slices.Concat(p.fields, p.items) {
		if !c.inward(at+c.name, f) {
			return false
		}
	}
	return f(p, at)
}
