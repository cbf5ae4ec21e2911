package team

import rbacv1 "k8s.io/api/rbac/v1"

const rbacVersion = "rbac.authorization.k8s.io/v1"

// TeamRules are what the impersonated team may do in each of its namespaces:
// write what applications consist of, and see what becomes of it. They give no
// right to roles, quotas, limits, tokens of accounts or endpoints of the core
// group, and none outside the namespaces. Kinds that a cluster does not have
// cost nothing.
func TeamRules() []rbacv1.PolicyRule {
	read := []string{"get", "list", "watch"}
	write := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	rule := func(verbs []string, group string, resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{Verbs: verbs, APIGroups: []string{group}, Resources: resources}
	}
	scaled := []string{"get", "update", "patch"}
	return []rbacv1.PolicyRule{
		rule([]string{"get"}, "", "namespaces"),
		rule(write, "", "configmaps", "secrets", "services", "persistentvolumeclaims", "serviceaccounts", "pods"),
		rule([]string{"get"}, "", "pods/log"),
		rule([]string{"get", "create"}, "", "pods/exec", "pods/portforward"),
		rule([]string{"create"}, "", "pods/eviction"),
		rule(read, "", "endpoints", "events", "resourcequotas", "limitranges"),
		rule(write, "apps", "deployments", "statefulsets", "daemonsets"),
		rule(scaled, "apps", "deployments/scale", "statefulsets/scale"),
		rule(read, "apps", "replicasets", "controllerrevisions"),
		rule(write, "batch", "jobs", "cronjobs"),
		rule(write, "autoscaling", "horizontalpodautoscalers"),
		rule(write, "policy", "poddisruptionbudgets"),
		rule(write, "networking.k8s.io", "ingresses", "networkpolicies"),
		rule(write, "discovery.k8s.io", "endpointslices"),
		rule(read, "events.k8s.io", "events"),
		rule(write, "gateway.networking.k8s.io", "httproutes", "grpcroutes", "tlsroutes", "tcproutes", "udproutes"),
		rule(write, "serving.knative.dev", "services"),
		rule(read, "serving.knative.dev", "revisions", "routes", "configurations"),
		rule(write, "keda.sh", "scaledobjects", "triggerauthentications"),
		rule(write, "monitoring.coreos.com", "servicemonitors", "podmonitors", "prometheusrules"),
	}
}
