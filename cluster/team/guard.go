package team

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	psapolicy "k8s.io/pod-security-admission/policy"
	kjson "sigs.k8s.io/json"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// Refusal is one thing that a team's application may not contain.
type Refusal struct {
	Object driver.Ref `json:"object"`
	// Path is where in the object, or empty for the object itself.
	Path   string `json:"path,omitempty"`
	Reason string `json:"reason"`
	Next   string `json:"next"`
}

// String is the refusal as an error shows it.
func (r Refusal) String() string {
	at := r.Object.String()
	if r.Path != "" {
		at += " " + r.Path
	}
	return at + ": " + r.Reason + "; " + r.Next
}

// Check lists what a team's application may not contain on a cluster, sorted
// by object; nothing means that it may all be applied. It is pure, knows only
// what it is given, and takes what it does not know for forbidden: objects
// must be of the kinds that [TeamRules] lets the team write, in its own
// namespaces, free of fields that this version does not know, and may neither
// leave the Pod Security level nor reach for what is somebody else's. A
// cluster on which the team has nothing has no namespace of its, so that
// everything is refused.
func Check(t Team, clusterName string, objects []driver.Object) []Refusal {
	return check(t, clusterName, objects, nil)
}

// check is Check that knows which host names are other teams'.
func check(t Team, clusterName string, objects []driver.Object, taken []string) []Refusal {
	g := &guard{team: t, taken: taken, allocation: t.Clusters[clusterName], namespaces: t.Namespaces(clusterName), accounts: map[[2]string]bool{}, workloads: map[target]bool{}}
	g.pods, _ = psapolicy.NewEvaluator(psapolicy.DefaultChecks(), nil) // its own list is valid
	for _, o := range objects {
		switch o.Kind {
		case "ServiceAccount":
			g.accounts[[2]string{o.Namespace, o.Name}] = true
		case "Deployment", "StatefulSet":
			g.workloads[target{o.Namespace, o.Kind, o.Name}] = true
		}
	}
	for _, o := range objects {
		g.object = o.Ref
		g.check(o)
	}
	slices.SortStableFunc(g.refusals, func(a, b Refusal) int {
		return cmp.Or(strings.Compare(a.Object.String(), b.Object.String()), strings.Compare(a.Path, b.Path))
	})
	return g.refusals
}

// guard is one check.
type guard struct {
	team       Team
	allocation Allocation
	namespaces []string
	accounts   map[[2]string]bool // that the application itself brings
	workloads  map[target]bool    // that it runs and that can be scaled
	taken      []string           // host names of other teams
	pods       psapolicy.Evaluator
	object     driver.Ref
	refusals   []Refusal
}

func (g *guard) refuse(path, reason, next string) {
	g.refusals = append(g.refusals, Refusal{Object: g.object, Path: path, Reason: reason, Next: next})
}

func (g *guard) owns(namespace string) bool { return slices.Contains(g.namespaces, namespace) }

// check checks one object.
func (g *guard) check(o driver.Object) {
	parsed, err := driver.ParseObject(o.JSON)
	if err != nil || parsed.Ref != o.Ref {
		g.refuse("", "its JSON is not the object that it is said to be", "parse it with driver.ParseObject")
		return
	}
	if !writable(o.Ref) {
		g.refuse("", fmt.Sprintf("applications of a team may not contain objects of kind %s", o.GroupKind()),
			"leave it out, or let an operator of the cluster apply it")
		return
	}
	if !g.owns(o.Namespace) {
		g.refuse("metadata.namespace", fmt.Sprintf("%q is no namespace of team %s on this cluster", o.Namespace, g.team.ID),
			"use one that is allocated to the team: "+strings.Join(g.namespaces, ", "))
	}
	if strings.HasPrefix(o.Name, reserved) {
		g.refuse("metadata.name", "names that begin with "+reserved+" are those of what holds the team", "choose another name")
	}
	g.meta(o)
	switch o.GroupKind() {
	case "Service":
		checkTyped(g, o, g.service)
	case "Secret":
		checkTyped(g, o, g.secret)
	case "PersistentVolumeClaim":
		checkTyped(g, o, g.claim)
	case "EndpointSlice.discovery.k8s.io":
		checkTyped(g, o, func(discoveryv1.EndpointSlice) {
			g.unlessPermitted(PermitEndpoints, "", "it sends connections to addresses of its own choosing")
		})
	case "NetworkPolicy.networking.k8s.io":
		checkTyped(g, o, g.policy)
	case "Ingress.networking.k8s.io":
		checkTyped(g, o, g.ingress)
	case "ServiceAccount", "ConfigMap":
		g.strict(o, nil)
	default:
		g.workload(o)
	}
}

// writable reports whether objects of a kind may be in a team's application.
func writable(r driver.Ref) bool {
	switch r.APIVersion + " " + r.Kind {
	case "v1 ConfigMap", "v1 Secret", "v1 Service", "v1 PersistentVolumeClaim", "v1 ServiceAccount", "v1 Pod",
		"apps/v1 Deployment", "apps/v1 StatefulSet", "apps/v1 DaemonSet", "batch/v1 Job", "batch/v1 CronJob",
		"autoscaling/v2 HorizontalPodAutoscaler", "policy/v1 PodDisruptionBudget",
		"networking.k8s.io/v1 Ingress", "networking.k8s.io/v1 NetworkPolicy", "discovery.k8s.io/v1 EndpointSlice",
		"serving.knative.dev/v1 Service", "keda.sh/v1alpha1 ScaledObject", "keda.sh/v1alpha1 TriggerAuthentication",
		"monitoring.coreos.com/v1 ServiceMonitor", "monitoring.coreos.com/v1 PodMonitor", "monitoring.coreos.com/v1 PrometheusRule":
		return true
	}
	return r.Group() == "gateway.networking.k8s.io" &&
		slices.Contains([]string{"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"}, r.Kind)
}

// strict decodes as the API server does, by the exact names of fields, and
// refuses what stands twice or is not known. A nil v checks the whole as a
// tree.
func (g *guard) strict(o driver.Object, v any) bool {
	if v == nil {
		v = &map[string]any{}
	}
	strict, err := kjson.UnmarshalStrict(o.JSON, v)
	for _, err := range strict {
		g.refuse("", "its JSON can be read in more than one way: "+err.Error(), "remove the field")
	}
	if err != nil {
		g.refuse("", "its JSON does not decode: "+err.Error(), "correct the field")
	}
	return err == nil && len(strict) == 0
}

func checkTyped[T any](g *guard, o driver.Object, check func(T)) {
	var v T
	if g.strict(o, &v) {
		check(v)
	}
}

func (g *guard) unlessPermitted(p Permit, path, reason string) {
	if !g.allocation.permits(p) {
		g.refuse(path, reason, fmt.Sprintf("leave it out, or have the permit %q allocated", p))
	}
}

func (g *guard) service(s corev1.Service) {
	switch s.Spec.Type {
	case corev1.ServiceTypeLoadBalancer:
		g.unlessPermitted(PermitLoadBalancers, "spec.type", "a load balancer costs money and an address")
	case corev1.ServiceTypeNodePort:
		g.unlessPermitted(PermitNodePorts, "spec.type", "a node port is open on every node")
	case corev1.ServiceTypeExternalName:
		name := strings.ToLower(strings.TrimSuffix(s.Spec.ExternalName, "."))
		if internalName(name) && !g.owns(namespaceOf(name)) {
			g.unlessPermitted(PermitEndpoints, "spec.externalName", fmt.Sprintf("%q leads to what is inside the cluster or its cloud", name))
		}
	}
	if len(s.Spec.ExternalIPs) > 0 {
		g.refuse("spec.externalIPs", "whoever may choose external addresses can take over others' connections (CVE-2020-8554)", "use a route, or a load balancer")
	}
}

// internalName reports whether a DNS name is one of a cluster or a machine
// rather than one of the Internet.
func internalName(name string) bool {
	if !strings.Contains(name, ".") {
		return true
	}
	last := name[strings.LastIndex(name, ".")+1:]
	if strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") { // an address: no domain is a number
		return true
	}
	for _, suffix := range []string{".svc", ".local", ".internal", ".localhost", ".localdomain"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return strings.Contains(name, ".svc.")
}

// namespaceOf is the namespace of a Service by the DNS name that a cluster gives
// it, or empty.
func namespaceOf(name string) string {
	labels := strings.Split(strings.TrimSuffix(name, ".cluster.local"), ".")
	if len(labels) == 3 && labels[2] == "svc" {
		return labels[1]
	}
	return ""
}

func (g *guard) secret(s corev1.Secret) {
	if s.Type == corev1.SecretTypeServiceAccountToken {
		g.refuse("type", "it would be filled with a token of a service account that does not expire", "let pods mount the token of their own account")
	}
	if s.Type == "bootstrap.kubernetes.io/token" {
		g.refuse("type", "it is for joining nodes to the cluster", "use another type")
	}
}

func (g *guard) claim(c corev1.PersistentVolumeClaim) {
	g.claimMeta("metadata", c.ObjectMeta)
	g.claimSpec("spec", c.Spec)
}

func (g *guard) claimMeta(path string, meta metav1.ObjectMeta) {
	if meta.Annotations["volume.beta.kubernetes.io/storage-provisioner"] != "" || meta.Annotations["pv.kubernetes.io/bind-completed"] != "" {
		g.refuse(path+".annotations", "it says that it is bound already", "remove those annotations")
	}
}

// claimTemplate checks a claim that a controller makes.
func (g *guard) claimTemplate(path string, meta metav1.ObjectMeta, spec corev1.PersistentVolumeClaimSpec) {
	g.finalizers(path+".metadata", meta.Finalizers)
	g.claimMeta(path+".metadata", meta)
	g.claimSpec(path+".spec", spec)
}

func (g *guard) claimSpec(path string, s corev1.PersistentVolumeClaimSpec) {
	const next = "name a storage class and let it provide the volume"
	if s.VolumeName != "" {
		g.refuse(path+".volumeName", "a volume that exists may hold the data of others", next)
	}
	if s.StorageClassName != nil && *s.StorageClassName == "" {
		g.unlessPermitted(PermitVolumes, path+".storageClassName", "without a class it takes a volume that exists, which may be for others")
	}
	if s.Selector != nil {
		g.refuse(path+".selector", "a volume that exists may hold the data of others", next)
	}
	if r := s.DataSourceRef; r != nil && r.Namespace != nil && !g.owns(*r.Namespace) {
		g.refuse(path+".dataSourceRef.namespace", fmt.Sprintf("%q is no namespace of the team", *r.Namespace), "use a source in the same namespace")
	}
}

func (g *guard) policy(p networkingv1.NetworkPolicy) {
	if len(p.Spec.Egress) > 0 {
		g.unlessPermitted(PermitEgress, "spec.egress", "policies add up: this one opens connections that the team's policy denies")
	}
}

// host refuses a host name of a route that is not the team's, and none, which is
// all of them. A team without host names may use those that are no other's.
func (g *guard) host(path, host string) {
	if slices.ContainsFunc(g.allocation.Hosts, func(allowed string) bool { return covers(allowed, host) }) {
		return
	}
	if len(g.allocation.Hosts) > 0 {
		if host == "" {
			host = "every host"
		}
		g.refuse(path, fmt.Sprintf("%s is not for the team to answer", host), "use one of "+strings.Join(g.allocation.Hosts, ", "))
		return
	}
	if slices.ContainsFunc(g.taken, func(other string) bool { return covers(other, host) || covers(host, other) }) {
		g.refuse(path, fmt.Sprintf("%s is another team's", host), "use another name, or have it allocated")
	}
}

// covers reports whether a host name, or one that begins with "*." and stands
// for all below it, is or stands for another.
func covers(name, host string) bool {
	below, wild := strings.CutPrefix(name, "*")
	return host == name || wild && strings.HasSuffix(host, below) && len(host) > len(below)
}

// ingress refuses annotations by which known controllers read Secrets of other
// namespaces or take in configuration (CVE-2021-25742).
func (g *guard) ingress(i networkingv1.Ingress) {
	if i.Spec.DefaultBackend != nil {
		g.host("spec.defaultBackend", "")
	}
	for n, rule := range i.Spec.Rules {
		g.host(fmt.Sprintf("spec.rules[%d].host", n), rule.Host)
	}
	for n, tls := range i.Spec.TLS {
		for _, host := range tls.Hosts {
			g.host(fmt.Sprintf("spec.tls[%d].hosts", n), host)
		}
	}
	for key, value := range i.Annotations {
		path := "metadata.annotations[" + key + "]"
		switch {
		case strings.HasSuffix(key, "-snippet"), strings.HasSuffix(key, "-snippets"), strings.Contains(key, "/config-"):
			g.refuse(path, "configuration in an annotation runs with the rights of the ingress controller", "use the controller's other annotations")
		case strings.HasSuffix(key, "/server-alias"):
			g.hosts(path, value)
		case strings.HasSuffix(key, "-secret"), strings.HasSuffix(key, "-configmap"), strings.HasSuffix(key, "-headers"):
			if namespace, _, ok := strings.Cut(value, "/"); ok && !g.owns(namespace) {
				g.refuse(path, fmt.Sprintf("it reads what is in namespace %q", namespace), "copy it into a namespace of the team")
			}
		}
	}
}
