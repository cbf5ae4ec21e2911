package deploy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/deploy"
)

// bazaar has something of everything that people change by hand; busy is scaled
// by load.
const bazaar = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: bazaar}
secrets:
  - {name: mail, items: [{name: password, value: correct-horse}]}
configs:
  - {name: site, items: [{name: GREETING, value: hello}]}
  - {name: look, items: [{name: COLOUR, value: blue}, {name: SIZE, value: big}]}
components:
  - id: web
    kind: service
    image: registry.example.com/web:1
    args: [serve]
    labels: {tier: front}
    annotations: {note.example/of: web}
    envFrom: [{config: site}, {config: look}]
    env: [{name: MODE, value: fast}, {name: SMTP, template: "${secret.mail.password}"}, {name: TIMEOUT, value: "30"}]
    ports: [{name: http, port: 8080, servicePort: 80, appProtocol: http}]
    probes: {readiness: {http: {path: /healthz, port: http}, period: 5s}}
    resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {memory: 64Mi}}
    scale: {replicas: 2}
    update: {strategy: rolling, maxSurge: 25%, maxUnavailable: 0}
    security: {runAsUser: 101}
  - {id: busy, kind: service, image: "registry.example.com/busy:1", ports: [{port: 80}], security: {runAsUser: 101}, resources: {requests: {cpu: 10m}},
     scale: {auto: {min: 2, max: 6, metrics: [{cpu: {utilization: 70}}]}}}
  - {id: idle, kind: service, image: "registry.example.com/idle:1", ports: [{port: 80}], security: {runAsUser: 101}}
  - {id: back, kind: service, image: "registry.example.com/back:1", ports: [{port: 80}], security: {runAsUser: 101}, scale: {replicas: 2}}
  - {id: nightly, kind: cron, image: "registry.example.com/report:1", cron: {schedule: "30 2 * * *"}, security: {runAsUser: 101}}
routes:
  - {id: site, http: {hosts: [bazaar.example.com], rules: [{path: /, to: [{component: web, port: http}]}]}}
`

// manual is one way to change something by hand.
type manual struct {
	what   string
	env    []string
	args   []string // of kubectl
	item   string   // Kind/name and path
	kind   deploy.DriftKind
	author string // empty where somebody only took something away: that leaves no trace
	// look is what kubectl is asked for afterwards, and want what it says: what
	// is healed is as released, what is yielded or left as it was changed.
	look, want string
}

func manuals() []manual {
	changed, deleted, added := deploy.DriftChanged, deploy.DriftDeleted, deploy.DriftAdded
	const web, pod = "deployment/bazaar-web", ".spec.template.spec"
	container := pod + `.containers[name="web"]`
	patch := func(object, kind, text string) []string {
		return []string{"patch", object, "--type=" + kind, "-p", text}
	}
	containers := func(text string) []string {
		return patch(web, "strategic", `{"spec":{"template":{"spec":{"containers":[{"name":"web",`+text+`}]}}}}`)
	}
	path := func(p string) string { return web + " {" + p + "}" }
	first := pod + ".containers[0]"
	return []manual{
		{"scale", nil, []string{"scale", "deployment/bazaar-back", "--replicas=5"}, "Deployment/bazaar-back.spec.replicas", changed, "kubectl", "deployment/bazaar-back {.spec.replicas}", "2"},
		{"set the image", nil, []string{"set", "image", web, "web=registry.example.com/evil:1"}, "Deployment/bazaar-web" + container + ".image", changed, "kubectl-set", path(first + ".image"), "registry.example.com/web:1"},
		{"set a variable", nil, []string{"set", "env", web, "MODE=slow"}, "Deployment/bazaar-web" + container + `.env[name="MODE"].value`, changed, "kubectl-set", path(first + `.env[?(@.name=="MODE")].value`), "fast"},
		{"set resources", nil, []string{"set", "resources", web, "--requests=cpu=20m"}, "Deployment/bazaar-web" + container + ".resources.requests.cpu", changed, "kubectl-set", path(first + ".resources.requests.cpu"), "10m"},
		{"edit a label", nil, []string{"label", "--overwrite", web, "app.kubernetes.io/managed-by=me"}, `Deployment/bazaar-web.metadata.labels["app.kubernetes.io/managed-by"]`, changed, "kubectl-label", path(`.metadata.labels.app\.kubernetes\.io/managed-by`), "appspan"},
		{"edit an annotation", nil, patch(web, "merge", `{"spec":{"template":{"metadata":{"annotations":{"note.example/of":"me"}}}}}`), `Deployment/bazaar-web.spec.template.metadata.annotations["note.example/of"]`, changed, "kubectl-patch", path(`.spec.template.metadata.annotations.note\.example/of`), "web"},
		{"change a probe", nil, containers(`"readinessProbe":{"periodSeconds":50}`), "Deployment/bazaar-web" + container + ".readinessProbe.periodSeconds", changed, "kubectl-patch", path(first + ".readinessProbe.periodSeconds"), "5"},
		{"change the arguments", nil, containers(`"args":["sleep"]`), "Deployment/bazaar-web" + container + ".args", changed, "kubectl-patch", path(first + ".args[0]"), "serve"},
		{"change the strategy", nil, patch(web, "merge", `{"spec":{"strategy":{"rollingUpdate":{"maxSurge":3}}}}`), "Deployment/bazaar-web.spec.strategy.rollingUpdate.maxSurge", changed, "kubectl-patch", path(".spec.strategy.rollingUpdate.maxSurge"), "25%"},
		{"add a sidecar", nil, patch("deployment/bazaar-back", "strategic", `{"spec":{"template":{"spec":{"containers":[{"name":"debug","image":"busybox:1"}]}}}}`), `Deployment/bazaar-back` + pod + `.containers[name="debug"]`, added, "kubectl-patch", `deployment/bazaar-back {.spec.template.spec.containers[?(@.name=="debug")].image}`, "busybox:1"},
		{"pause the rollout", nil, []string{"rollout", "pause", web}, "Deployment/bazaar-web.spec.paused", added, "kubectl-rollout", path(".spec.paused"), ""},
		{"delete a deployment", nil, []string{"delete", "deployment/bazaar-idle"}, "Deployment/bazaar-idle", deleted, "", "deployment/bazaar-idle {.metadata.name}", "bazaar-idle"},
		{"delete a service", nil, []string{"delete", "service/bazaar-back"}, "Service/bazaar-back", deleted, "", "service/bazaar-back {.metadata.name}", "bazaar-back"},
		{"change a service's port", nil, patch("service/bazaar-web", "strategic", `{"spec":{"ports":[{"port":80,"targetPort":9090}]}}`), `Service/bazaar-web.spec.ports[port=80,protocol="TCP"].targetPort`, changed, "kubectl-patch", "service/bazaar-web {.spec.ports[0].targetPort}", "8080"},
		{"edit a config", []string{"KUBE_EDITOR=sed -i s/hello/hullo/"}, []string{"edit", "configmap/bazaar-site"}, "ConfigMap/bazaar-site.data.GREETING", changed, "kubectl-edit", "configmap/bazaar-site {.data.GREETING}", "hullo"},
		{"delete a key of a config", nil, patch("configmap/bazaar-look", "json", `[{"op":"remove","path":"/data/COLOUR"}]`), "ConfigMap/bazaar-look.data.COLOUR", changed, "", "configmap/bazaar-look {.data.COLOUR}", "blue"},
		{"add a key to a config", nil, patch("configmap/bazaar-site", "merge", `{"data":{"EXTRA":"more"}}`), "ConfigMap/bazaar-site.data.EXTRA", added, "kubectl-patch", "configmap/bazaar-site {.data.EXTRA}", "more"},
		{"edit a secret", nil, patch("secret/bazaar-mail", "merge", `{"stringData":{"password":"battery-staple"}}`), "Secret/bazaar-mail.data.password", changed, "kubectl-patch", "secret/bazaar-mail {.data.password}", "Y29ycmVjdC1ob3JzZQ=="},
		{"change an ingress's host", nil, patch("ingress/bazaar-site", "json", `[{"op":"replace","path":"/spec/rules/0/host","value":"evil.example.com"}]`), "Ingress/bazaar-site.spec.rules", changed, "kubectl-patch", "ingress/bazaar-site {.spec.rules[0].host}", "bazaar.example.com"},
		{"change a budget", nil, patch("pdb/bazaar-web", "merge", `{"spec":{"maxUnavailable":"100%"}}`), "PodDisruptionBudget/bazaar-web.spec.maxUnavailable", changed, "kubectl-patch", "pdb/bazaar-web {.spec.maxUnavailable}", "1"},
		{"delete a budget", nil, []string{"delete", "pdb/bazaar-back"}, "PodDisruptionBudget/bazaar-back", deleted, "", "pdb/bazaar-back {.metadata.name}", "bazaar-back"},
		{"open a network policy", nil, patch("networkpolicy/bazaar-idle", "merge", `{"spec":{"ingress":[{}]}}`), "NetworkPolicy/bazaar-idle.spec.ingress", changed, "kubectl-patch", "networkpolicy/bazaar-idle {.spec.ingress[*].ports[*].port}", "80"},
		{"delete an autoscaler", nil, []string{"delete", "hpa/bazaar-busy"}, "HorizontalPodAutoscaler/bazaar-busy", deleted, "", "hpa/bazaar-busy {.spec.maxReplicas}", "6"},
		{"change a schedule", nil, patch("cronjob/bazaar-nightly", "merge", `{"spec":{"schedule":"* * * * *"}}`), "CronJob/bazaar-nightly.spec.schedule", changed, "kubectl-patch", "cronjob/bazaar-nightly {.spec.schedule}", "30 2 * * *"},
		{"suspend a cron job", nil, patch("cronjob/bazaar-nightly", "merge", `{"spec":{"suspend":true}}`), "CronJob/bazaar-nightly.spec.suspend", added, "kubectl-patch", "cronjob/bazaar-nightly {.spec.suspend}", "false"},
		{"restart the rollout", nil, []string{"rollout", "restart", "deployment/bazaar-back"}, `Deployment/bazaar-back.spec.template.metadata`, added, "kubectl-rollout", "deployment/bazaar-back {.metadata.name}", "bazaar-back"},
	}
}

// TestRigTwentyKindsOfDrift: every way in which people change things by hand is
// reported with its author, and then healed or yielded as a policy says; what
// the other control plane has is left alone.
func TestRigTwentyKindsOfDrift(t *testing.T) {
	t.Parallel()
	r := newRig(t, "kinds", rigOptions{})
	r.deployed(decode(t, bazaar), r.both())
	other := r.quiet("rig-2")
	all := manuals()
	require.GreaterOrEqual(t, len(all), 20)
	for _, m := range all {
		r.kubectlAs("rig-1", m.env, m.args...)
	}
	scaled := []string{"patch", "deployment/bazaar-busy", "--subresource=scale", "--field-manager=horizontal-pod-autoscaler", "--type=merge", "-p", `{"spec":{"replicas":4}}`}
	r.kubectl("rig-1", scaled...)
	policy := deploy.DriftPolicy{Default: deploy.DriftHeal, Rules: []deploy.DriftRule{
		{Kind: "ConfigMap", Path: ".data.GREETING", Action: deploy.DriftYield},
		{Kind: "Deployment", Name: "bazaar-back", Path: ".spec.template", Action: deploy.DriftReport},
	}}
	for _, w := range r.wires {
		w.take()
	}
	d, err := r.Drift(t.Context(), "bazaar", r.both(), &deploy.DriftOptions{Policy: policy})
	require.NoError(t, err)
	for _, w := range r.wires {
		require.Empty(t, writes(w.take()), "a look writes nothing")
	}
	t.Log(d)
	require.NotContains(t, d.String(), "YmF0dGVyeS1zdGFwbGU=")
	require.Empty(t, d.Cluster("rig-2").Items)
	items := map[string]deploy.DriftItem{}
	for _, i := range d.Cluster("rig-1").Items {
		items[i.Object.Kind+"/"+i.Object.Name+i.Path] = i
	}
	for _, m := range all {
		i, ok := items[m.item]
		if !ok { // of what was added, the highest path is told
			for key := range items {
				if strings.HasPrefix(key, m.item) {
					i, ok = items[key], true
				}
			}
		}
		require.True(t, ok, "%s: %s is not in\n%s", m.what, m.item, d)
		require.Equal(t, m.kind, i.Kind, m.what)
		require.Equal(t, m.author, i.Author, m.what)
		require.Equal(t, m.author == "" || m.what == "scale", i.Since.IsZero(), "%s: the server keeps no time of a scale", m.what)
	}
	require.Len(t, items, len(all), "nothing else is told: %s", d)

	h, err := r.PlanHeal(t.Context(), "bazaar", r.both(), policy, nil)
	require.NoError(t, err)
	data, err := json.Marshal(h.Plan)
	require.NoError(t, err)
	require.NotContains(t, string(data), "battery")
	result, err := r.Heal(t.Context(), "bazaar", r.both(), policy, &patient)
	require.NoError(t, err)
	require.Equal(t, deploy.OutcomeDone, result.Cluster("rig-1").Outcome)
	require.Equal(t, deploy.OutcomeUnchanged, result.Cluster("rig-2").Outcome)
	for _, m := range all {
		object, path, _ := strings.Cut(m.look, " ")
		out := r.kubectl("rig-1", "get", object, "-o", "jsonpath="+path)
		got := out[0]
		if m.what == "pause the rollout" && got == "false" {
			got = ""
		}
		require.Equal(t, m.want, got, "%s: %s", m.what, m.look)
	}
	require.Equal(t, other, r.still("rig-2"))
	require.Equal(t, "4", r.kubectl("rig-1", "get", "deployment/bazaar-busy", "-o", "jsonpath={.spec.replicas}")[0])

	d, err = r.Drift(t.Context(), "bazaar", r.both(), &deploy.DriftOptions{Policy: policy})
	require.NoError(t, err)
	t.Log("afterwards:", d)
	for _, i := range d.Cluster("rig-1").Items {
		require.True(t, i.Action != deploy.DriftHeal || i.Left != "", "%s is not healed", i)
	}
	for _, w := range r.wires {
		w.take()
	}
	_, err = r.Heal(t.Context(), "bazaar", r.both(), policy, &patient)
	require.NoError(t, err)
	for _, w := range r.wires {
		require.Empty(t, writes(w.take()), "there is nothing left to heal")
	}
	r.removed("bazaar", r.both(), true)
}

// TestRigReplicasThatAnAutoscalerOwnsAreNeverWritten: whatever is healed
// beside them, the number and its owner stay, while it scales all the time.
func TestRigReplicasThatAnAutoscalerOwnsAreNeverWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t, "busy", rigOptions{})
	to := r.on("rig-1")
	r.deployed(decode(t, bazaar), to)
	policy := deploy.DriftPolicy{Default: deploy.DriftHeal, Rules: []deploy.DriftRule{{Path: ".spec.replicas", Action: deploy.DriftHeal}}, Fights: deploy.FightLimit{Heals: 100}}
	for n := 3; n <= 6; n++ {
		r.kubectl("rig-1", "patch", "deployment/bazaar-busy", "--subresource=scale", "--field-manager=horizontal-pod-autoscaler", "--type=merge", "-p", fmt.Sprintf(`{"spec":{"replicas":%d}}`, n))
		d, err := r.Drift(t.Context(), "bazaar", to, &deploy.DriftOptions{Policy: policy})
		require.NoError(t, err)
		require.Empty(t, d.Clusters[0].Items, "%s", d)
		r.wires["rig-1"].take()
		_, err = r.Heal(t.Context(), "bazaar", to, policy, written)
		require.NoError(t, err)
		require.Empty(t, writes(r.wires["rig-1"].take()))

		r.kubectl("rig-1", "set", "image", "deployment/bazaar-busy", "busy=registry.example.com/evil:1")
		_, err = r.Heal(t.Context(), "bazaar", to, policy, written)
		require.NoError(t, err)
		patched := 0
		for _, call := range writes(r.wires["rig-1"].take()) {
			require.NotContains(t, call, "/scale")
			if strings.HasPrefix(call, http.MethodPatch) && strings.HasSuffix(call, "/deployments/bazaar-busy") {
				patched++
			}
		}
		require.Positive(t, patched, "more than once where a controller was faster")
		busy := webIn(r.namespace)
		busy.Name = "bazaar-busy"
		obj, err := r.cluster("rig-1").Get(t.Context(), busy)
		require.NoError(t, err)
		var tree map[string]any
		require.NoError(t, json.Unmarshal(obj.JSON, &tree))
		require.EqualValues(t, n, tree["spec"].(map[string]any)["replicas"])
		require.Equal(t, "horizontal-pod-autoscaler", ownerOfReplicas(t, tree))
		require.Contains(t, string(obj.JSON), "registry.example.com/busy:1")
	}
	r.removed("bazaar", to, true)
}
