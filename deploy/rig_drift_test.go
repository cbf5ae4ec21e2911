package deploy_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
)

// written waits for nothing, so that the calls of readiness are not counted.
var written = &deploy.ApplyOptions{Wait: deploy.WaitWritten}

// TestRigCallsAreBoundedOnTheWire: K for a plan, K + C + 6 for an apply, where
// K counts the kinds that are read, and C what changes.
func TestRigCallsAreBoundedOnTheWire(t *testing.T) {
	t.Parallel()
	newRig(t, "skip", rigOptions{}) // or skip
	applications := composed(t)
	applications["shop"] = shop(t)
	for name, app := range applications {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, name, rigOptions{})
			to := r.on("rig-1")
			_, err := r.cluster("rig-1").Info(t.Context())
			require.NoError(t, err)
			kinds := map[string]bool{"Namespace": true, "Secret": true, "PersistentVolumeClaim": true}
			step := func(what string, changes bool) {
				r.wires["rig-1"].take()
				p, err := r.Plan(t.Context(), app, to, nil)
				require.NoError(t, err)
				planned := r.wires["rig-1"].take()
				for _, c := range p.Clusters[0].Changes {
					kinds[c.Object.Kind] = true
				}
				require.Len(t, planned, len(kinds), "%v", planned)
				require.Equal(t, changes, !p.Empty())
				_, err = r.Apply(t.Context(), p, written)
				require.NoError(t, err)
				applied := r.wires["rig-1"].take()
				n, readiness := len(p.Clusters[0].Changes), 0
				for i, call := range applied { // what a component waits for is read after the first write
					if i > len(kinds) && strings.HasPrefix(call, http.MethodGet) {
						readiness++
					}
				}
				t.Logf("%s: K = %d, C = %d: plan %d calls, apply %d calls, %d of them writes; readiness %d", what, len(kinds), n, len(planned),
					len(applied)-readiness, len(writes(applied)), readiness)
				require.LessOrEqual(t, len(applied)-readiness, len(kinds)+n+6, "%v", applied)
				require.True(t, what == "first" || readiness == 0, "components wait for others only when they are created")
				if !changes {
					require.Empty(t, writes(applied))
					require.Len(t, applied, len(kinds))
				}
			}
			step("first", true)
			step("unchanged", false)
			app.Components[0].Image += "1"
			step("one changed", true)
			step("unchanged again", false)
		})
	}
}

// TestRigAnUnchangedApplyLeavesEveryRevision: no object has another resource
// version after it, those of the record and the releases included.
func TestRigAnUnchangedApplyLeavesEveryRevision(t *testing.T) {
	t.Parallel()
	r := newRig(t, "unchanged", rigOptions{})
	r.deployed(shop(t), r.both())
	before := map[string]map[string]string{"rig-1": r.quiet("rig-1"), "rig-2": r.quiet("rig-2")}
	for _, w := range r.wires {
		w.take()
	}
	p, err := r.Plan(t.Context(), shop(t), r.both(), nil)
	require.NoError(t, err)
	require.True(t, p.Empty())
	_, err = r.Apply(t.Context(), p, &patient)
	require.NoError(t, err)
	for name, w := range r.wires {
		calls := w.take()
		require.NotEmpty(t, calls)
		require.Empty(t, writes(calls))
		require.Equal(t, before[name], r.still(name))
		t.Logf("%s: %d objects as they were, %d calls, none of them a write", name, len(before[name]), len(calls))
	}
}

// TestRigWhatKubectlChangesIsDriftWithItsManager: every way in which kubectl
// changes something shows, by field, with the name that the server gives it;
// the next apply takes it back.
func TestRigWhatKubectlChangesIsDriftWithItsManager(t *testing.T) {
	t.Parallel()
	r := newRig(t, "drift", rigOptions{})
	r.deployed(shop(t), r.both())
	r.kubectl("rig-1", "scale", "deployment/shop-web", "--replicas=5")
	r.kubectl("rig-1", "set", "image", "deployment/shop-web", "web=registry.example.com/evil:1")
	r.kubectl("rig-1", "label", "deployment/shop-web", "app.kubernetes.io/managed-by-")
	r.kubectl("rig-1", "patch", "service/shop-web", "-p", `{"spec":{"ports":[{"port":80,"targetPort":9090}]}}`)
	r.kubectlAs("rig-1", []string{"KUBE_EDITOR=sed -i s/hello/hullo/"}, "edit", "configmap/shop-site")
	r.kubectl("rig-1", "patch", "secret/shop-db", "-p", `{"stringData":{"password":"123456"}}`)
	p, err := r.Plan(t.Context(), shop(t), r.both(), nil)
	require.NoError(t, err)
	require.NoError(t, p.Err())
	require.Empty(t, p.Clusters[1].Changes)

	type drift struct{ path, old, new, manager string }
	got := map[string][]drift{}
	for _, c := range p.Clusters[0].Drift() {
		require.Equal(t, deploy.ActionUpdate, c.Action)
		for _, f := range c.Fields {
			got[c.Object.Kind] = append(got[c.Object.Kind], drift{f.Path, string(f.Old), string(f.New), f.Manager})
		}
	}
	t.Logf("%v", got)
	require.Equal(t, []drift{
		{`.metadata.labels["app.kubernetes.io/managed-by"]`, "", `"appspan"`, ""}, // who only removes leaves no trace,
		{".spec.replicas", "5", "2", "kubectl"},
		{`.spec.template.spec.containers[name="web"].image`, `"registry.example.com/evil:1"`, `"registry.example.com/web:1"`, "kubectl-set"},
	}, got["Deployment"])
	require.Equal(t, []drift{{".data.GREETING", `"hullo"`, `"hello"`, "kubectl-edit"}}, got["ConfigMap"])
	require.Equal(t, []drift{{".data.password", `"(redacted)"`, `"(redacted)"`, "kubectl-patch"}}, got["Secret"])
	require.Equal(t, []drift{{`.spec.ports[port=80,protocol="TCP"].targetPort`, "9090", "8080", "kubectl-patch"}}, got["Service"])
	for _, c := range p.Clusters[0].Changes {
		for _, f := range c.Fields {
			require.True(t, f.Drift, "%s %s is nobody's intent", c.Object, f.Path)
		}
	}

	_, err = r.Apply(t.Context(), p, &patient)
	require.NoError(t, err)
	p, err = r.Plan(t.Context(), shop(t), r.both(), nil)
	require.NoError(t, err)
	require.True(t, p.Empty(), "%v", p.Clusters)
	var web struct {
		Spec struct{ Replicas int }
	}
	obj, err := r.cluster("rig-1").Get(t.Context(), webIn(r.namespace))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(obj.JSON, &web))
	require.Equal(t, 2, web.Spec.Replicas)
}

// TestRigAPortThatCannotBeTakenBackIsARefusal: server-side apply takes nothing
// away that somebody else put there, and two ports of one name cannot be.
func TestRigAPortThatCannotBeTakenBackIsARefusal(t *testing.T) {
	t.Parallel()
	r := newRig(t, "port", rigOptions{})
	to := r.on("rig-1")
	r.deployed(shop(t), to)
	r.kubectl("rig-1", "patch", "service/shop-web", "--type=merge", "-p", `{"spec":{"ports":[{"name":"http","port":81,"targetPort":8080}]}}`)
	p, err := r.Plan(t.Context(), shop(t), to, nil)
	require.NoError(t, err)
	require.ErrorIs(t, p.Err(), appspan.ErrConflict)
	require.ErrorContains(t, p.Err(), `kubectl-patch put this port there under the name http`)
	t.Log(p.Err())
	before := r.quiet("rig-1")
	_, err = r.Apply(t.Context(), p, nil)
	require.ErrorIs(t, err, appspan.ErrConflict)
	require.Equal(t, before, r.still("rig-1"), "nothing was written")
	r.kubectl("rig-1", "patch", "service/shop-web", "--type=merge", "-p", `{"spec":{"ports":[{"name":"other","port":81,"targetPort":8080}]}}`)
	r.deployed(shop(t), to)
	ports := r.kubectl("rig-1", "get", "service/shop-web", "-o", "jsonpath={.spec.ports[*].port}")
	require.ElementsMatch(t, []string{"80", "81"}, strings.Fields(ports[0]), "a port of somebody else is left to them")
}
