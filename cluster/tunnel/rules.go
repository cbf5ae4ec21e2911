package tunnel

// Rule is one rule of a ClusterRole (rbac.authorization.k8s.io/v1 PolicyRule).
type Rule struct {
	APIGroups       []string `json:"apiGroups,omitempty"`
	Resources       []string `json:"resources,omitempty"`
	ResourceNames   []string `json:"resourceNames,omitempty"`
	NonResourceURLs []string `json:"nonResourceURLs,omitempty"`
	Verbs           []string `json:"verbs"`
}

// DefaultRules are the least that the SDK needs to do all it can: to look at
// the cluster, to run applications in any namespace, and to give namespaces to
// teams. A program that does less passes less to [Manifest].
//
// They are far from harmless. Who may make pods and read Secrets in every
// namespace can become whoever runs there. There is neither bind nor escalate:
// teams can be given nothing that is not in these rules.
func DefaultRules() []Rule {
	read := func() []string { return []string{"get", "list", "watch"} }
	write := func() []string {
		return []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	}
	return []Rule{
		// What the cluster is and has.
		{NonResourceURLs: []string{"/version", "/api", "/api/*", "/apis", "/apis/*", "/openapi/*", "/healthz", "/livez", "/readyz"}, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Resources: []string{"persistentvolumes", "events", "replicationcontrollers"}, Verbs: read()},
		{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: read()},
		{APIGroups: []string{"storage.k8s.io"}, Resources: []string{"storageclasses", "csidrivers", "csinodes"}, Verbs: read()},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingressclasses"}, Verbs: read()},
		{APIGroups: []string{"gateway.networking.k8s.io"}, Resources: []string{"gatewayclasses", "gateways"}, Verbs: read()},
		{APIGroups: []string{"scheduling.k8s.io"}, Resources: []string{"priorityclasses"}, Verbs: read()},
		{APIGroups: []string{"apiextensions.k8s.io"}, Resources: []string{"customresourcedefinitions"}, Verbs: read()},
		{APIGroups: []string{"apps"}, Resources: []string{"controllerrevisions"}, Verbs: read()},
		{APIGroups: []string{"metrics.k8s.io"}, Resources: []string{"nodes", "pods"}, Verbs: read()},
		// Nodes: cordon, labels; and drain, by evictions.
		{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{APIGroups: []string{""}, Resources: []string{"pods/eviction"}, Verbs: []string{"create"}},
		// Applications.
		{APIGroups: []string{""}, Resources: []string{"namespaces", "pods", "services", "endpoints", "configmaps", "secrets", "serviceaccounts", "persistentvolumeclaims"}, Verbs: write()},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments", "statefulsets", "daemonsets", "replicasets"}, Verbs: write()},
		{APIGroups: []string{"apps"}, Resources: []string{"deployments/scale", "statefulsets/scale", "replicasets/scale"}, Verbs: []string{"get", "update", "patch"}},
		{APIGroups: []string{"batch"}, Resources: []string{"jobs", "cronjobs"}, Verbs: write()},
		{APIGroups: []string{"autoscaling"}, Resources: []string{"horizontalpodautoscalers"}, Verbs: write()},
		{APIGroups: []string{"policy"}, Resources: []string{"poddisruptionbudgets"}, Verbs: write()},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: write()},
		{APIGroups: []string{"networking.k8s.io"}, Resources: []string{"ingresses", "networkpolicies"}, Verbs: write()},
		{APIGroups: []string{"gateway.networking.k8s.io"}, Resources: []string{"httproutes", "grpcroutes", "tcproutes", "tlsroutes", "udproutes"}, Verbs: write()},
		{APIGroups: []string{"serving.knative.dev"}, Resources: []string{"services"}, Verbs: write()},
		{APIGroups: []string{"keda.sh"}, Resources: []string{"scaledobjects", "triggerauthentications"}, Verbs: write()},
		{APIGroups: []string{"monitoring.coreos.com"}, Resources: []string{"servicemonitors", "prometheusrules"}, Verbs: write()},
		{APIGroups: []string{"snapshot.storage.k8s.io"}, Resources: []string{"volumesnapshots"}, Verbs: write()},
		// Their logs, commands and ports. Exec is asked for with GET over a
		// WebSocket, which is authorised as create from Kubernetes 1.35.
		{APIGroups: []string{""}, Resources: []string{"pods/log"}, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Resources: []string{"pods/exec", "pods/portforward"}, Verbs: []string{"get", "create"}},
		// Teams.
		{APIGroups: []string{""}, Resources: []string{"resourcequotas", "limitranges"}, Verbs: write()},
		{APIGroups: []string{"rbac.authorization.k8s.io"}, Resources: []string{"roles", "rolebindings"}, Verbs: write()},
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts/token"}, Verbs: []string{"create"}},
		{APIGroups: []string{""}, Resources: []string{"users", "groups"}, Verbs: []string{"impersonate"}},
		{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}},
	}
}
