package deploy_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel/manifests"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/internal/fixtures"
)

// specs are the specifications and generations of all workloads and Services.
func (r *rig) specs(name string) map[string]string {
	r.t.Helper()
	out := map[string]string{}
	info, err := r.cluster(name).Info(r.t.Context())
	require.NoError(r.t, err)
	for _, k := range info.Kinds {
		if !k.Namespaced || !slices.Contains(k.Verbs, "list") || k.Kind == "Event" || k.Kind == "Secret" || strings.HasPrefix(k.Kind, "Endpoint") || k.Kind == "Lease" {
			continue
		}
		for obj, err := range r.cluster(name).List(r.t.Context(), cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: r.namespace}) {
			if errors.Is(err, appspan.ErrUnsupported) {
				break
			}
			require.NoError(r.t, err)
			var o map[string]any
			require.NoError(r.t, json.Unmarshal(obj.JSON, &o))
			spec, err := json.Marshal([]any{o["spec"], o["data"], o["rules"]})
			require.NoError(r.t, err)
			out[obj.Kind+"/"+obj.Name] = string(spec)
		}
	}
	return out
}

// onlyLabels checks that a plan takes over what is there and says whose it is.
func onlyLabels(t *testing.T, p *deploy.Plan) {
	t.Helper()
	require.NotEmpty(t, p.Clusters[0].Changes)
	for _, c := range p.Clusters[0].Changes {
		require.Equal(t, deploy.ActionAdopt, c.Action, c.Object)
		for _, f := range c.Fields {
			require.True(t, strings.HasPrefix(f.Path, ".metadata.labels") || strings.HasPrefix(f.Path, ".metadata.annotations"), "%s %s", c.Object, f.Path)
		}
	}
}

// TestRigWhatKubectlAppliedIsAdoptedWithoutARestart takes over the eleven
// services that somebody else wrote and applied.
func TestRigWhatKubectlAppliedIsAdoptedWithoutARestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(fixtures.Dir(t), "manifests", "online-boutique.yaml")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	r := newRig(t, "adopt", rigOptions{})
	r.namespaced("rig-1")
	r.kubectl("rig-1", "apply", "-f", file)
	r.kubectl("rig-1", "wait", "--for=condition=Available", "deployment", "--all", "--timeout=120s")
	pods, specs := r.pods("rig-1"), r.specs("rig-1")
	require.GreaterOrEqual(t, len(pods), 11)

	app, report, err := manifests.Import(t.Context(), data, &manifests.Options{Name: "boutique"})
	require.NoError(t, err)
	t.Log(report)
	found, err := r.Existing(t.Context(), r.on("rig-1"), nil)
	require.NoError(t, err)
	same, _, err := manifests.Import(t.Context(), found, &manifests.Options{Name: "boutique"})
	require.NoError(t, err)
	planned, err := r.Plan(t.Context(), same, r.on("rig-1"), &deploy.PlanOptions{Adopt: true})
	require.NoError(t, err)
	require.NoError(t, planned.Err(), "what is read from the namespace can be taken over as well as what was applied")
	onlyLabels(t, planned)
	refused, err := r.Plan(t.Context(), app, r.on("rig-1"), nil)
	require.NoError(t, err)
	require.ErrorIs(t, refused.Err(), appspan.ErrConflict, "what is somebody's is not taken without being asked")
	plan, err := r.Plan(t.Context(), app, r.on("rig-1"), &deploy.PlanOptions{Adopt: true})
	require.NoError(t, err)
	require.NoError(t, plan.Err())
	onlyLabels(t, plan)
	_, err = r.Apply(t.Context(), plan, &patient)
	require.NoError(t, err)
	again, err := r.Deploy(t.Context(), app, r.on("rig-1"), &deploy.DeployOptions{Apply: patient})
	require.NoError(t, err)
	require.Equal(t, deploy.OutcomeUnchanged, again.Clusters[0].Outcome)
	time.Sleep(2 * time.Second) // a rollout would begin
	require.Equal(t, pods, r.pods("rig-1"), "no pod was replaced")
	now := r.specs("rig-1")
	for ref, spec := range specs {
		if !strings.HasPrefix(ref, "Pod/") {
			require.Equal(t, spec, now[ref], ref)
		}
	}
	s, err := r.Status(t.Context(), "boutique", r.on("rig-1"))
	require.NoError(t, err)
	require.Equal(t, status.Ready, s.Worst, s.Tree(nil))
	t.Logf("%d objects adopted, %d pods as they were", len(plan.Clusters[0].Changes), len(pods))
}
