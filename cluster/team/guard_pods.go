package team

import (
	"fmt"
	"maps"
	"slices"
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
				g.claimSpec(fmt.Sprintf("spec.volumeClaimTemplates[%d].spec", i), v.Spec.VolumeClaimTemplates[i].Spec)
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
		checkTyped(g, o, func(autoscalingv2.HorizontalPodAutoscaler) {})
	case "PodDisruptionBudget.policy":
		checkTyped(g, o, func(policyv1.PodDisruptionBudget) {})
	case "Service.serving.knative.dev":
		g.function(o)
	default:
		g.tree(o)
	}
}

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
	g.pod("spec.template", v.Spec.Template.Metadata, v.Spec.Template.Spec)
}

// tree checks kinds without Go types: no field may name a namespace of others,
// except that of a Gateway to attach to, nor a file of who reads the object.
func (g *guard) tree(o driver.Object) {
	var v map[string]any
	if !g.strict(o, &v) {
		return
	}
	spec, _ := v["spec"].(map[string]any)
	g.walk("spec", spec)
	if strings.HasSuffix(o.Kind, "Route") {
		g.route(o.Kind, spec)
	}
	if o.Kind == "ServiceMonitor" || o.Kind == "PodMonitor" {
		if s, ok := spec["namespaceSelector"].(map[string]any); ok {
			names, _ := s["matchNames"].([]any)
			foreign := slices.ContainsFunc(names, func(n any) bool { text, _ := n.(string); return !g.owns(text) })
			if s["any"] == true || foreign {
				g.refuse("spec.namespaceSelector", "it reads metrics of other namespaces", "select namespaces of the team only")
			}
		}
	}
}

// route checks what a route of the Gateway API answers for, and that it attaches
// to Gateways, which say themselves who may, and not to Services of others.
func (g *guard) route(kind string, spec map[string]any) {
	parents, _ := spec["parentRefs"].([]any)
	for i := range parents {
		parent, _ := parents[i].(map[string]any)
		namespace, named := parent["namespace"].(string)
		if k, ok := parent["kind"].(string); ok && k != "Gateway" && named && !g.owns(namespace) {
			g.refuse(fmt.Sprintf("spec.parentRefs[%d]", i), fmt.Sprintf("%s of namespace %q is not the team's", k, namespace), "attach to a Gateway")
		}
	}
	if kind == "TCPRoute" || kind == "UDPRoute" { // they have no host names
		return
	}
	hosts, _ := spec["hostnames"].([]any)
	for i := range hosts {
		host, _ := hosts[i].(string)
		g.host(fmt.Sprintf("spec.hostnames[%d]", i), host)
	}
	if len(hosts) == 0 {
		g.host("spec.hostnames", "")
	}
}

func (g *guard) walk(path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			at := path + "." + key
			text, isText := v[key].(string)
			switch {
			case key == "parentRefs": // a Gateway says itself which namespaces may attach
			case key == "namespace" && isText && !g.owns(text):
				g.refuse(at, fmt.Sprintf("%q is no namespace of the team", text), "name things in the same namespace")
			case slices.Contains([]string{"bearerTokenFile", "caFile", "certFile", "keyFile", "credentialsFile"}, key):
				g.refuse(at, "it is a file of the program that reads this object", "use a Secret of the same namespace")
			case key == "kind" && isText && strings.HasPrefix(text, "Cluster"):
				g.refuse(at, fmt.Sprintf("%s is not the team's", text), "use one of the same namespace")
			default:
				g.walk(at, v[key])
			}
		}
	case []any:
		for i := range v {
			g.walk(fmt.Sprintf("%s[%d]", path, i), v[i])
		}
	}
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
	if strings.HasPrefix(s.PriorityClassName, "system-") || s.Priority != nil {
		g.refuse(at("priorityClassName"), "the priority is that of the cluster's own pods, or set past the classes", "use another priority class")
	}
	if len(s.ResourceClaims) > 0 {
		g.refuse(at("resourceClaims"), "devices that are claimed count against no quota", "ask for them as extended resources")
	}
	g.placement(at, s)
}

// placement keeps pods on the team's nodes.
func (g *guard) placement(at func(string) string, s corev1.PodSpec) {
	for _, key := range slices.Sorted(maps.Keys(g.allocation.NodePool)) {
		if want := g.allocation.NodePool[key]; s.NodeSelector[key] != want {
			g.refuse(at("nodeSelector"), fmt.Sprintf("pods of the team run on nodes with %s=%s only", key, want), "select them")
		}
	}
	foreign := func(key, value string) bool { return key == LabelTeam && value != g.team.ID }
	for key, value := range s.NodeSelector {
		if foreign(key, value) {
			g.refuse(at("nodeSelector"), fmt.Sprintf("nodes with %s=%s are not the team's", key, value), "select other nodes")
		}
	}
	if a := s.Affinity; a != nil && a.NodeAffinity != nil {
		var terms []corev1.NodeSelectorTerm
		if r := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
			terms = r.NodeSelectorTerms
		}
		for _, p := range a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			terms = append(terms[:len(terms):len(terms)], p.Preference)
		}
		for _, t := range terms {
			for _, e := range append(t.MatchExpressions[:len(t.MatchExpressions):len(t.MatchExpressions)], t.MatchFields...) {
				if e.Key == LabelTeam && !(e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1 && e.Values[0] == g.team.ID) {
					g.refuse(at("affinity"), "it selects nodes by the team that they belong to", "select other nodes")
				}
			}
		}
	}
	for i, t := range s.Tolerations {
		switch {
		case t.Key == "",
			strings.HasPrefix(t.Key, "node-role.kubernetes.io/"),
			t.Key == LabelTeam && (t.Operator == corev1.TolerationOpExists || t.Value != g.team.ID):
			g.refuse(at(fmt.Sprintf("tolerations[%d]", i)), "it lets pods on nodes that are kept for the control plane or for others", "tolerate single taints by name")
		}
	}
}
