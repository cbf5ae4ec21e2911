package tunnel_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/agent"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestRigDefaultRules does what the SDK does, with no more than DefaultRules,
// and some of what it must not.
func TestRigDefaultRules(t *testing.T) {
	h := newHub(t, nil)
	token := h.invite(t, "edge-1")
	r := newRig(t, tunnel.ManifestOptions{Token: token, Namespace: "tunnel-rules"})
	run(t, token, agent.SecretKey(r.target, "tunnel-rules", "appspan-agent-key"), r.target, &agent.Options{})
	d := h.open(t, "edge-1")
	c := cluster.New("edge-1", d, nil)
	t.Cleanup(func() { _ = c.Close() })
	ns := fmt.Sprintf("tunnel-rules-%d", time.Now().UnixNano())
	apply := func(c driver.Cluster, text string) error {
		_, err := c.Apply(t.Context(), parse(t, text), driver.ApplyOptions{Manager: "appspan"})
		return err
	}
	require.NoError(t, apply(d, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"`+ns+`"}}`))
	t.Cleanup(func() {
		_ = r.c.Delete(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: ns}, driver.DeleteOptions{})
	})
	in := func(apiVersion, kind, more string) string {
		return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"x","namespace":%q},%s}`, apiVersion, kind, ns, more)
	}
	for name, text := range map[string]string{
		"a Deployment":     in("apps/v1", "Deployment", `"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"x"}]}}}`),
		"a Secret":         in("v1", "Secret", `"stringData":{"a":"b"}`),
		"an account":       in("v1", "ServiceAccount", `"automountServiceAccountToken":false`),
		"a quota":          in("v1", "ResourceQuota", `"spec":{"hard":{"requests.cpu":"10"}}`),
		"limits":           in("v1", "LimitRange", `"spec":{"limits":[{"type":"Container","default":{"cpu":"1"}}]}`),
		"a network policy": in("networking.k8s.io/v1", "NetworkPolicy", `"spec":{"podSelector":{}}`),
		"a role": in("rbac.authorization.k8s.io/v1", "Role", `"rules":[{"apiGroups":["apps"],"resources":["deployments"],"verbs":["get","list","watch"]},`+
			`{"apiGroups":[""],"resources":["pods/exec"],"verbs":["create"]}]`),
		"its binding to a team": in("rbac.authorization.k8s.io/v1", "RoleBinding", `"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"x"},`+
			`"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"appspan:team:retail"}]`),
	} {
		require.Eventually(t, func() bool { // the role of the binding may be later
			err := apply(d, text)
			if err != nil && !errors.Is(err, appspan.ErrDenied) {
				t.Error(name, err)
			}
			return err == nil
		}, long, tick, name)
	}
	_, err := c.Info(t.Context())
	require.NoError(t, err)
	inspection, err := c.Inspect(t.Context())
	require.NoError(t, err)
	require.Empty(t, inspection.Unreadable)
	require.NotEmpty(t, inspection.Nodes)
	_, err = d.CreateSub(t.Context(), driver.Ref{APIVersion: "v1", Kind: "ServiceAccount", Namespace: ns, Name: "x"}, "token",
		[]byte(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":600}}`))
	require.NoError(t, err)
	team, err := d.As(driver.Identity{User: "appspan:team:retail"})
	require.NoError(t, err)
	deployment := driver.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: ns, Name: "x"}
	require.Eventually(t, func() bool { _, err := team.Get(t.Context(), deployment); return err == nil }, long, tick)

	master, err := d.As(driver.Identity{User: "appspan:team:retail", Groups: []string{"system:masters"}})
	require.NoError(t, err)
	for name, attempt := range map[string]func() error{
		"becomes a master": func() error { _, err := master.Get(t.Context(), deployment); return err },
		"changes a cluster role": func() error {
			return apply(d, `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"tunnel-rules-x"}}`)
		},
		"gives what it does not have": func() error {
			return apply(d, in("rbac.authorization.k8s.io/v1", "Role", `"rules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]`))
		},
		"reads for a team what the team may not": func() error {
			_, err := team.Get(t.Context(), driver.Ref{APIVersion: "v1", Kind: "Secret", Namespace: ns, Name: "x"})
			return err
		},
	} {
		require.ErrorIs(t, attempt(), appspan.ErrDenied, "nobody %s", name)
	}
}

// TestRigAgentMayRun checks the agent's pod against the Pod Security of its own
// namespace, which holds a Deployment up only when it makes its pods.
func TestRigAgentMayRun(t *testing.T) {
	opts := tunnel.ManifestOptions{Token: token(t), Namespace: "tunnel-pod"}
	r := newRig(t, opts)
	opts.Image = "registry.example.org/appspan/agent:v1"
	text, err := tunnel.Manifest(opts)
	require.NoError(t, err)
	for _, obj := range decode(t, text) {
		deployment, ok := obj.(*appsv1.Deployment)
		if !ok {
			continue
		}
		pod := corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, Spec: deployment.Spec.Template.Spec}
		pod.Name, pod.Namespace = "agent", opts.Namespace
		data, err := json.Marshal(pod)
		require.NoError(t, err)
		_, err = r.c.Apply(t.Context(), parse(t, string(data)), driver.ApplyOptions{Manager: "test", IfAbsent: true, DryRun: true})
		require.NoError(t, err)
		pod.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
		data, err = json.Marshal(pod)
		require.NoError(t, err)
		_, err = r.c.Apply(t.Context(), parse(t, string(data)), driver.ApplyOptions{Manager: "test", IfAbsent: true, DryRun: true})
		require.ErrorIs(t, err, appspan.ErrDenied, "the namespace is held to it")
		return
	}
	t.Error("the manifest has no Deployment")
}
