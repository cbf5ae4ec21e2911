package team

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

var (
	_ Clusters = (*cluster.Set)(nil)
	_ Clusters = (*cluster.Fleet)(nil)
	_ Running  = (*Teams)(nil)
)

// What the check lets pass the team's user may write, and the other way round.
func TestTheCheckAndTheRightsAgree(t *testing.T) {
	t.Parallel()
	kinds := map[string]string{ // by resource
		"configmaps": "v1 ConfigMap", "secrets": "v1 Secret", "services": "v1 Service", "persistentvolumeclaims": "v1 PersistentVolumeClaim",
		"serviceaccounts": "v1 ServiceAccount", "pods": "v1 Pod", "deployments.apps": "apps/v1 Deployment", "statefulsets.apps": "apps/v1 StatefulSet",
		"daemonsets.apps": "apps/v1 DaemonSet", "jobs.batch": "batch/v1 Job", "cronjobs.batch": "batch/v1 CronJob",
		"horizontalpodautoscalers.autoscaling": "autoscaling/v2 HorizontalPodAutoscaler", "poddisruptionbudgets.policy": "policy/v1 PodDisruptionBudget",
		"ingresses.networking.k8s.io": "networking.k8s.io/v1 Ingress", "networkpolicies.networking.k8s.io": "networking.k8s.io/v1 NetworkPolicy",
		"endpointslices.discovery.k8s.io": "discovery.k8s.io/v1 EndpointSlice", "services.serving.knative.dev": "serving.knative.dev/v1 Service",
		"scaledobjects.keda.sh": "keda.sh/v1alpha1 ScaledObject", "triggerauthentications.keda.sh": "keda.sh/v1alpha1 TriggerAuthentication",
		"servicemonitors.monitoring.coreos.com": "monitoring.coreos.com/v1 ServiceMonitor", "podmonitors.monitoring.coreos.com": "monitoring.coreos.com/v1 PodMonitor",
		"prometheusrules.monitoring.coreos.com": "monitoring.coreos.com/v1 PrometheusRule", "httproutes.gateway.networking.k8s.io": "gateway.networking.k8s.io/v1 HTTPRoute",
		"grpcroutes.gateway.networking.k8s.io": "gateway.networking.k8s.io/v1 GRPCRoute", "tlsroutes.gateway.networking.k8s.io": "gateway.networking.k8s.io/v1alpha3 TLSRoute",
		"tcproutes.gateway.networking.k8s.io": "gateway.networking.k8s.io/v1alpha2 TCPRoute", "udproutes.gateway.networking.k8s.io": "gateway.networking.k8s.io/v1alpha2 UDPRoute",
	}
	for _, rule := range TeamRules() {
		for _, resource := range rule.Resources {
			if !slices.Contains(rule.Verbs, "create") || strings.Contains(resource, "/") {
				continue
			}
			if rule.APIGroups[0] != "" {
				resource += "." + rule.APIGroups[0]
			}
			apiVersion, kind, known := strings.Cut(kinds[resource], " ")
			require.True(t, known, resource)
			require.True(t, writable(driver.Ref{APIVersion: apiVersion, Kind: kind}), resource)
			delete(kinds, resource)
		}
	}
	require.Empty(t, kinds, "the check lets pass what the team's user may not write")
}

// Neither the team's user nor any role may do what leads out of the team.
func TestNoRightLeadsOutOfTheTeam(t *testing.T) {
	t.Parallel()
	rules := TeamRules()
	for _, p := range Permissions() {
		rules = append(rules, p.Rules...)
	}
	verbs := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	never := []string{"*", "nodes", "nodes/proxy", "pods/proxy", "services/proxy", "pods/ephemeralcontainers", "pods/binding", "bindings", "serviceaccounts/token",
		"roles", "rolebindings", "clusterroles", "clusterrolebindings", "users", "groups", "certificatesigningrequests", "tokenreviews", "subjectaccessreviews",
		"persistentvolumes", "storageclasses", "priorityclasses", "runtimeclasses", "endpoints/restricted", "services/status", "pods/status", "ingresses/status", "namespaces/finalize"}
	for _, r := range rules {
		require.NotContains(t, r.APIGroups, "*")
		require.Empty(t, r.NonResourceURLs)
		for _, verb := range r.Verbs { // no escalate, bind, impersonate, deletecollection
			require.Contains(t, verbs, verb)
		}
		for _, resource := range r.Resources {
			require.NotContains(t, never, resource)
			switch resource {
			case "namespaces", "resourcequotas", "limitranges", "endpoints":
				require.NotContains(t, r.Verbs, "update", resource)
				require.NotContains(t, r.Verbs, "patch", resource)
				require.NotContains(t, r.Verbs, "create", resource)
			}
		}
	}
	observer, _ := Team{}.Role(RoleObserver)
	for _, r := range observer.rules() {
		for _, resource := range r.Resources { // a GET of these is an exec
			require.NotContains(t, []string{"pods/exec", "pods/attach", "pods/portforward", "secrets"}, resource)
		}
		require.Subset(t, []string{"get", "list", "watch"}, r.Verbs)
	}
	for _, p := range Permissions() { // what a kubeconfig creates counts against no quota
		for _, r := range p.Rules {
			if slices.Contains(r.Verbs, "create") {
				for _, resource := range r.Resources {
					require.Contains(t, []string{"pods/eviction", "pods/exec", "pods/attach", "pods/portforward"}, resource)
				}
			}
		}
	}
}
