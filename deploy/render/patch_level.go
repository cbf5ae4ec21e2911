package render

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json" // field names are exact, as in an API server
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// level checks that a patch leaves a pod template as confined as it was: what
// the template says of it stays, and what the patch adds, a container too, is
// within the component's level as Pod Security's own checks read it. What a
// template did beyond the level before the patch is no fault of the patch.
// Manifests of the author's own have no level.
func (b *builder) level(o *Object, before, after map[string]any) error {
	c := b.comps[o.Component]
	if c == nil || c.Security == nil || c.Security.Level == appmodel.LevelPrivileged || podTemplate(after) == nil {
		return nil
	}
	was, now := confinement(before), confinement(after)
	if at := cmp.Or(loosened(was, now), rights(was, now)); at != "" {
		return invalid("%s: a patch cannot touch %s, by which its pods are confined; leave it out, and write what you want under %s, or level: privileged", o.Ref, at, componentPath(c, home(at)))
	}
	if b.checks == nil {
		checks, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
		if err != nil {
			return err
		}
		b.checks = checks
	}
	old, err := offences(b.checks, c.Security.Level, before)
	if err != nil {
		return err
	}
	found, err := offences(b.checks, c.Security.Level, after)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(f offence) bool { return slices.Contains(old, f) })
	if len(found) == 0 {
		return nil
	}
	needs, what := appmodel.LevelBaseline, make([]string, len(found))
	for i, f := range found {
		what[i] = f.what
		if f.needs == appmodel.LevelPrivileged {
			needs = f.needs
		}
	}
	slices.Sort(what)
	return invalid("%s: the component is %s, and the patch brings %s; confine it, leave it out, or write level: %s under %s",
		o.Ref, c.Security.Level, strings.Join(slices.Compact(what), ", "), needs, componentPath(c, "security"))
}

// podTemplate is the pod template of a workload, or nil.
func podTemplate(tree map[string]any) map[string]any {
	spec := child(tree, "spec")
	if tree["kind"] == "CronJob" {
		spec = child(child(spec, "jobTemplate"), "spec")
	}
	return child(spec, "template")
}

// child is the map in a field, nil if there is none.
func child(tree map[string]any, field string) map[string]any {
	inner, _ := tree[field].(map[string]any)
	return inner
}

// entries are the maps of a list.
func entries(tree map[string]any, field string) []map[string]any {
	list, _ := tree[field].([]any)
	out := make([]map[string]any, len(list))
	for i, entry := range list {
		out[i], _ = entry.(map[string]any)
	}
	return out
}

// containerLists are where a pod has containers.
func containerLists() []string {
	return []string{"containers", "initContainers", "ephemeralContainers"}
}

// confinement is what of a pod template confines its pods, by where it stands.
func confinement(tree map[string]any) map[string]any {
	template := podTemplate(tree)
	pod, out := child(template, "spec"), map[string]any{}
	for _, field := range []string{"securityContext", "serviceAccountName", "serviceAccount", "automountServiceAccountToken", "runtimeClassName", "hostUsers", "os"} {
		if v, ok := pod[field]; ok {
			out[field] = v
		}
	}
	for k, v := range child(child(template, "metadata"), "annotations") {
		if strings.HasPrefix(k, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) {
			out["annotations."+k] = v
		}
	}
	for _, list := range containerLists() {
		for _, k := range entries(pod, list) {
			out[fmt.Sprintf("%s[%v].securityContext", list, k["name"])] = child(k, "securityContext")
		}
	}
	for _, v := range entries(pod, "volumes") {
		for _, source := range entries(child(v, "projected"), "sources") {
			for _, field := range []string{"serviceAccountToken", "podCertificate"} {
				if source[field] != nil {
					out[fmt.Sprintf("volumes[%v].projected.%s", v["name"], field)] = true
				}
			}
		}
	}
	return out
}

// home is the field of a component that a part of its confinement comes from.
func home(at string) string {
	switch {
	case strings.HasPrefix(at, "annotations."):
		return "annotations"
	case strings.HasPrefix(at, "serviceAccount"), strings.HasSuffix(at, "erviceAccountToken"):
		return "serviceAccount"
	}
	return "security"
}

// loosened names what a template said of its confinement and does not say any
// more. A container or volume that is gone has nothing to confine.
func loosened(was, now map[string]any) string {
	for _, at := range slices.Sorted(maps.Keys(was)) {
		v, there := now[at]
		if path, ok := lost(was[at], v); !ok && (there || !strings.Contains(at, "].")) {
			return at + path
		}
	}
	return ""
}

// lost reports whether a value stands as it was, and if not, the path to what
// does not. Fields may be added.
func lost(was, now any) (string, bool) {
	w, isMap := was.(map[string]any)
	n, stays := now.(map[string]any)
	if !isMap || !stays {
		return "", reflect.DeepEqual(was, now)
	}
	for _, k := range slices.Sorted(maps.Keys(w)) {
		if path, ok := lost(w[k], n[k]); !ok {
			return "." + k + path, false
		}
	}
	return "", true
}

// rights names what gives a template's pods an identity that they did not
// have: a service account, its token, by a volume too, or a certificate. Pods
// that have the token anyway may have it for other audiences too.
func rights(was, now map[string]any) string {
	for _, at := range slices.Sorted(maps.Keys(now)) {
		if _, had := was[at]; had {
			continue
		}
		switch {
		case at == "serviceAccountName", at == "serviceAccount", strings.HasSuffix(at, ".podCertificate"),
			at == "automountServiceAccountToken" && now[at] != false,
			strings.HasSuffix(at, ".serviceAccountToken") && now["automountServiceAccountToken"] == false:
			return at
		}
	}
	return ""
}

// offence is one thing that Pod Security forbids at a level.
type offence struct {
	part  string // of the pod that does it
	what  string
	needs appmodel.SecurityLevel // the lowest that allows it
}

// offences are what a pod template does beyond a level. Each container and
// volume is judged on its own, so that one that was there before does not
// cover another. Exemptions of pods that say they are for Windows, or in a
// user namespace, do not hold: whether a node heeds them is not known here.
func offences(checks policy.Evaluator, level appmodel.SecurityLevel, tree map[string]any) ([]offence, error) {
	data, err := json.Marshal(podTemplate(tree))
	if err != nil {
		return nil, err
	}
	var t corev1.PodTemplateSpec
	if err := json.Unmarshal(data, &t); err != nil {
		return nil, invalid("the pod template is not valid: %v; correct the types of its fields", err)
	}
	pod := t.Spec
	pod.OS, pod.HostUsers = nil, nil
	pod.Volumes, pod.Containers, pod.InitContainers, pod.EphemeralContainers = nil, nil, nil, nil
	var out []offence
	judge := func(part string, meta metav1.ObjectMeta, spec corev1.PodSpec) {
		for _, l := range []struct{ level, needs appmodel.SecurityLevel }{
			{appmodel.LevelBaseline, appmodel.LevelPrivileged}, {appmodel.LevelRestricted, appmodel.LevelBaseline},
		} {
			if l.level == appmodel.LevelRestricted && level != l.level {
				continue
			}
			for _, r := range checks.EvaluatePod(api.LevelVersion{Level: api.Level(l.level), Version: api.LatestVersion()}, &meta, &spec) {
				if r.Allowed {
					continue
				}
				f := offence{part, strings.TrimSuffix(r.ForbiddenReason+" ("+r.ForbiddenDetail+")", " ()"), l.needs}
				again := slices.ContainsFunc(out, func(o offence) bool { return o.what == f.what && (o.part == part || o.part == "") })
				if !again { // by the level below, or by the pod
					out = append(out, f)
				}
			}
		}
	}
	judge("", t.ObjectMeta, pod)
	for _, k := range t.Spec.Containers {
		judge("containers/"+k.Name, metav1.ObjectMeta{}, corev1.PodSpec{SecurityContext: pod.SecurityContext, Containers: []corev1.Container{k}})
	}
	for _, k := range t.Spec.InitContainers {
		judge("initContainers/"+k.Name, metav1.ObjectMeta{}, corev1.PodSpec{SecurityContext: pod.SecurityContext, InitContainers: []corev1.Container{k}})
	}
	for _, k := range t.Spec.EphemeralContainers {
		judge("ephemeralContainers/"+k.Name, metav1.ObjectMeta{}, corev1.PodSpec{SecurityContext: pod.SecurityContext, EphemeralContainers: []corev1.EphemeralContainer{k}})
	}
	for _, v := range t.Spec.Volumes {
		whole, err := json.Marshal(v) // another path of the same host is another offence
		if err != nil {
			return nil, err
		}
		judge(string(whole), metav1.ObjectMeta{}, corev1.PodSpec{Volumes: []corev1.Volume{v}})
	}
	return out, nil
}
