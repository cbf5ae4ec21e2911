package render

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/appmodel"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
	if at := loosened(was, now); at != "" {
		return invalid("%s: a patch cannot change %s, which confines its pods; leave it out, and write what you want under %s", o.Ref, at, componentPath(c, "security"))
	}
	if at := rights(was, now, c); at != "" {
		return invalid("%s: a patch cannot set %s, which gives its pods rights; leave it out, and write what you want under %s", o.Ref, at, componentPath(c, "serviceAccount"))
	}
	checks, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	old, err := offences(checks, c.Security.Level, before)
	if err != nil {
		return err
	}
	found, err := offences(checks, c.Security.Level, after)
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
	return invalid("%s: the component is %s, and the patch brings %s; leave it out, or write level: %s under %s",
		o.Ref, c.Security.Level, strings.Join(slices.Compact(what), ", "), needs, componentPath(c, "security"))
}

// podTemplate is the pod template of a workload, or nil.
func podTemplate(tree map[string]any) map[string]any {
	spec, _ := tree["spec"].(map[string]any)
	if job, ok := spec["jobTemplate"].(map[string]any); ok {
		spec, _ = job["spec"].(map[string]any)
	}
	template, _ := spec["template"].(map[string]any)
	return template
}

// containerLists are where a pod has containers.
func containerLists() []string { return []string{"containers", "initContainers", "ephemeralContainers"} }

// confinement is what of a pod template confines its pods, by where it stands.
func confinement(tree map[string]any) map[string]any {
	template := podTemplate(tree)
	pod, _ := template["spec"].(map[string]any)
	out := map[string]any{}
	for _, field := range []string{"securityContext", "serviceAccountName", "serviceAccount", "automountServiceAccountToken", "runtimeClassName", "hostUsers", "os"} {
		if v, ok := pod[field]; ok {
			out[field] = v
		}
	}
	meta, _ := template["metadata"].(map[string]any)
	annotations, _ := meta["annotations"].(map[string]any)
	for k, v := range annotations {
		if strings.HasPrefix(k, corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix) {
			out["annotations["+k+"]"] = v
		}
	}
	for _, list := range containerLists() {
		containers, _ := pod[list].([]any)
		for _, entry := range containers {
			container, _ := entry.(map[string]any)
			security, _ := container["securityContext"].(map[string]any)
			out[fmt.Sprintf("%s[%v].securityContext", list, container["name"])] = security
		}
	}
	volumes, _ := pod["volumes"].([]any)
	for _, entry := range volumes {
		volume, _ := entry.(map[string]any)
		projected, _ := volume["projected"].(map[string]any)
		sources, _ := projected["sources"].([]any)
		for _, s := range sources {
			source, _ := s.(map[string]any)
			for _, field := range []string{"serviceAccountToken", "podCertificate"} {
				if source[field] != nil {
					out[fmt.Sprintf("volumes[%v].projected.%s", volume["name"], field)] = source[field]
				}
			}
		}
	}
	return out
}

// loosened names what a template said of its confinement and does not say any
// more. A container or volume that is gone confines nothing.
func loosened(was, now map[string]any) string {
	var out []string
	for at, v := range was {
		w, there := now[at]
		if list, _, entry := strings.Cut(at, "["); !there && entry && list != "annotations" {
			continue
		}
		if lost := lost(v, w, there); lost != "-" {
			out = append(out, at+lost)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return slices.Min(out)
}

// lost is the path below which a value is not as it was, "-" if it is; fields
// may be added.
func lost(was, now any, there bool) string {
	w, isMap := was.(map[string]any)
	n, stays := now.(map[string]any)
	if !isMap || !stays {
		if there && reflect.DeepEqual(was, now) {
			return "-"
		}
		return ""
	}
	for k, v := range w {
		x, there := n[k]
		if at := lost(v, x, there); at != "-" {
			return "." + k + at
		}
	}
	return "-"
}

// rights names what gives a template's pods an identity that they did not
// have: another service account, its token, by a volume too, or a certificate.
// A pod that has the token anyway may have it for other audiences.
func rights(was, now map[string]any, c *appmodel.Component) string {
	token := now["automountServiceAccountToken"] != false
	var out []string
	for at := range now {
		if _, had := was[at]; had {
			continue
		}
		switch {
		case at == "serviceAccountName", at == "serviceAccount", strings.HasSuffix(at, ".podCertificate"),
			at == "automountServiceAccountToken" && now[at] != false,
			at == "runtimeClassName", // which may be one that isolates less
			strings.HasSuffix(at, ".serviceAccountToken") && !token:
			out = append(out, at)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return slices.Min(out)
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
		return nil, invalid("the patched pod template is not valid: %v; correct the types of its fields", err)
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

