package team

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	psaapi "k8s.io/pod-security-admission/api"
	kjson "sigs.k8s.io/json"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// workload checks kinds that run pods, and those without Go types.
func (g *guard) workload(o driver.Object) {
	const template = "spec.template"
	switch o.GroupKind() {
	case "Pod":
		checkTyped(g, o, func(v corev1.Pod) { g.pod("", v.ObjectMeta, v.Spec) })
	case "Deployment.apps":
		checkTyped(g, o, func(v appsv1.Deployment) { g.template(template, v.Spec.Template) })
	case "StatefulSet.apps":
		checkTyped(g, o, func(v appsv1.StatefulSet) {
			g.template(template, v.Spec.Template)
			for i := range v.Spec.VolumeClaimTemplates {
				c := &v.Spec.VolumeClaimTemplates[i]
				g.claimTemplate(fmt.Sprintf("spec.volumeClaimTemplates[%d]", i), c.ObjectMeta, c.Spec)
			}
		})
	case "DaemonSet.apps":
		checkTyped(g, o, func(v appsv1.DaemonSet) {
			g.unlessPermitted(PermitDaemons, "", "it runs on every node")
			g.template(template, v.Spec.Template)
		})
	case "Job.batch":
		checkTyped(g, o, func(v batchv1.Job) { g.template(template, v.Spec.Template) })
	case "CronJob.batch":
		checkTyped(g, o, func(v batchv1.CronJob) {
			g.template("spec.jobTemplate.spec.template", v.Spec.JobTemplate.Spec.Template)
		})
	case "HorizontalPodAutoscaler.autoscaling":
		checkTyped(g, o, func(v autoscalingv2.HorizontalPodAutoscaler) {
			g.scaled(o.Namespace, v.Spec.ScaleTargetRef.Kind, v.Spec.ScaleTargetRef.Name)
		})
	case "PodDisruptionBudget.policy":
		checkTyped(g, o, func(policyv1.PodDisruptionBudget) {})
	case "Service.serving.knative.dev":
		g.function(o)
	default:
		g.tree(o)
	}
}

// bounded reports whether the team has a quota here.
func (g *guard) bounded() bool { return len(g.team.Quota)+len(g.allocation.Quota) > 0 }

// function checks the pods of a Knative Service, whose spec has fields of its
// own beside those of a pod.
func (g *guard) function(o driver.Object) {
	var v struct {
		Spec struct {
			Template struct {
				Metadata metav1.ObjectMeta `json:"metadata"`
				Spec     corev1.PodSpec    `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}
	if !g.strict(o, nil) {
		return
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(o.JSON, &v); err != nil {
		g.refuse("", "its JSON does not decode: "+err.Error(), "correct the field")
		return
	}
	if n, err := functionScale(v.Spec.Template.Metadata.Annotations); (n == 0 || err != nil) && g.bounded() {
		g.refuse("spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]", "without a bound nothing can be reserved for it", "say to how many pods it may scale")
	}
	g.pod("spec.template", v.Spec.Template.Metadata, v.Spec.Template.Spec)
}

func (g *guard) template(path string, t corev1.PodTemplateSpec) { g.pod(path, t.ObjectMeta, t.Spec) }

// pod checks what is to run.
func (g *guard) pod(path string, meta metav1.ObjectMeta, s corev1.PodSpec) {
	at := func(field string) string { return strings.TrimPrefix(path+".spec."+field, ".") }
	level := psaapi.LevelVersion{Level: psaapi.Level(g.allocation.level()), Version: psaapi.LatestVersion()}
	for _, r := range g.pods.EvaluatePod(level, &meta, &s) {
		if !r.Allowed {
			reason := r.ForbiddenReason
			if r.ForbiddenDetail != "" {
				reason += " (" + r.ForbiddenDetail + ")"
			}
			g.refuse(strings.TrimSuffix(at(""), "."), fmt.Sprintf("the Pod Security level %s forbids: %s", level.Level, reason), "remove it, or have a looser level allocated")
		}
	}
	for _, name := range []string{s.ServiceAccountName, s.DeprecatedServiceAccount} {
		if name != "" && name != "default" && !g.accounts[[2]string{g.object.Namespace, name}] {
			g.refuse(at("serviceAccountName"), fmt.Sprintf("service account %q is not the application's own and may have rights that the team has not", name), "let the application define its account, or use the default one")
		}
	}
	if s.NodeName != "" {
		g.refuse(at("nodeName"), "it goes past the scheduler", "use a node selector")
	}
	switch {
	case strings.HasPrefix(s.PriorityClassName, "system-") || s.Priority != nil:
		g.refuse(at("priorityClassName"), "the priority is that of the cluster's own pods, or set past the classes", "use another priority class")
	case s.PriorityClassName != "":
		g.unlessPermitted(PermitPriorities, at("priorityClassName"), "pods of a higher priority drive out those of others")
	}
	if s.RuntimeClassName != nil {
		g.unlessPermitted(PermitRuntimes, at("runtimeClassName"), "another runtime may hold pods less well, and bring them to other nodes")
	}
	if len(s.ResourceClaims) > 0 {
		g.refuse(at("resourceClaims"), "devices that are claimed count against no quota", "ask for them as extended resources")
	}
	g.podMeta(path, meta)
	g.volumes(at, s)
	g.placement(at, s)
	g.neighbours(at, s)
}
