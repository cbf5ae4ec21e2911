package team_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage/seal"
)

// quotaRig deploys applications of one CPU for a team over all control planes.
type quotaRig struct {
	*rig
	deployer *deploy.Deployer
	team     team.Team
}

func newQuotaRig(t *testing.T, countSurge bool) *quotaRig {
	t.Helper()
	r := newRig(t)
	tm := team.Team{ID: "blue-" + r.suffix, Quota: cluster.Amounts{"cpu": "10"}, Clusters: map[string]team.Allocation{}}
	for _, c := range r.clusters { // as tight as it can be
		tm.Clusters[c.Name()] = team.Allocation{Namespaces: []team.Namespace{{Name: tm.ID}}, Quota: cluster.Amounts{"cpu": "10"}, CountSurge: countSurge}
	}
	tm = r.make(t, tm)
	key, err := seal.GenerateKey(rand.Reader)
	require.NoError(t, err)
	keys, err := seal.NewKeyring(key)
	require.NoError(t, err)
	d, err := deploy.New(acting{r.set, tm.ID}, &deploy.Options{Installation: r.Installation(), Keys: keys, Authorizer: appspan.AllowAll{}, Gate: team.NewGate(r.records)})
	require.NoError(t, err)
	return &quotaRig{rig: r, deployer: d, team: tm}
}

func (r *quotaRig) where(i int) *cluster.Cluster { return r.clusters[i%len(r.clusters)] }

func (r *quotaRig) to(i int) deploy.Target {
	return deploy.Target{Clusters: []string{r.where(i).Name()}, Namespace: r.team.ID, Team: r.team.ID}
}

// deploy deploys the i-th application, and waits until it is ready.
func (r *quotaRig) deploy(t *testing.T, i int, image string) error {
	app, _, err := appmodel.Decode(fmt.Appendf(nil, `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: app-%d}
components:
  - {id: web, kind: service, image: %q, security: {runAsUser: 1000}, resources: {requests: {cpu: "1", memory: 64Mi}}}
`, i, image), nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	result, err := r.deployer.Deploy(ctx, app, r.to(i), nil)
	if err == nil && result.Clusters[0].Error != "" {
		err = errors.New(result.Clusters[0].Error)
	}
	return err
}

// fifty are deployed at the same time; those that got in are returned.
func (r *quotaRig) fifty(t *testing.T) (in []int) {
	t.Helper()
	errs := make([]error, 50)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = r.deploy(t, i, "registry.example.com/web:1") })
	}
	wg.Wait()
	for i, err := range errs {
		if err == nil {
			in = append(in, i)
			continue
		}
		require.ErrorIs(t, err, appspan.ErrExhausted)
		var quota *team.QuotaError
		require.ErrorAs(t, err, &quota)
		require.Equal(t, r.team.ID, quota.Team)
		require.Equal(t, "cpu", quota.Resource)
		require.Equal(t, "10", quota.Quota)
		require.ErrorContains(t, err, "the quota of cpu")
	}
	t.Logf("of 50 at the same time over %d control planes %d got in; one of the others: %v", len(r.clusters), len(in), errs[firstNot(in)])
	return in
}

func firstNot(in []int) int {
	for i := range in {
		if in[i] != i {
			return i
		}
	}
	return len(in)
}

// runs requires that of the i-th application one pod runs, of an image.
func (r *quotaRig) runs(t *testing.T, i int, image string) {
	t.Helper()
	c, n := r.where(i), 0
	for obj, err := range c.List(t.Context(), cluster.Query{APIVersion: "apps/v1", Kind: "Deployment", Namespace: r.team.ID,
		Labels: fmt.Sprintf("appspan.dev/application=app-%d", i)}) {
		require.NoError(t, err)
		var d appsv1.Deployment
		require.NoError(t, json.Unmarshal(obj.JSON, &d))
		require.Equal(t, appsv1.RollingUpdateDeploymentStrategyType, d.Spec.Strategy.Type)
		require.Equal(t, image, d.Spec.Template.Spec.Containers[0].Image)
		require.Equal(t, d.Generation, d.Status.ObservedGeneration)
		require.EqualValues(t, 1, d.Status.UpdatedReplicas)
		require.EqualValues(t, 1, d.Status.AvailableReplicas)
		n++
	}
	require.Equal(t, 1, n)
	for obj, err := range c.List(t.Context(), cluster.Query{APIVersion: "v1", Kind: "Pod", Namespace: r.team.ID,
		Labels: fmt.Sprintf("appspan.dev/application=app-%d", i)}) {
		require.NoError(t, err)
		var p corev1.Pod
		require.NoError(t, json.Unmarshal(obj.JSON, &p))
		if p.DeletionTimestamp == nil {
			require.Equal(t, image, p.Spec.Containers[0].Image)
			require.Equal(t, corev1.PodRunning, p.Status.Phase)
			require.NotEmpty(t, p.Spec.NodeName)
		}
	}
}

// What the quota over all clusters lets in is deployed, updated at the limit by
// the real controllers, and removed.
func TestRigAQuotaOverAllClusters(t *testing.T) {
	for _, c := range []struct {
		name       string
		countSurge bool
		fit        int
	}{
		{"of fifty that ask for one CPU ten get in, and are updated at the limit", false, 10},
		{"where the surge of updates counts five get in, and are updated at the limit", true, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newQuotaRig(t, c.countSurge)
			in := r.fifty(t)
			require.Len(t, in, c.fit)
			for _, i := range in {
				r.runs(t, i, "registry.example.com/web:1")
			}
			require.ErrorIs(t, r.deploy(t, 50, "registry.example.com/web:1"), appspan.ErrExhausted)

			var wg sync.WaitGroup
			updated := make([]error, len(in))
			for n, i := range in { // all at the same time, at the limit
				wg.Go(func() { updated[n] = r.deploy(t, i, "registry.example.com/web:2") })
			}
			wg.Wait()
			for n, i := range in {
				require.NoError(t, updated[n])
				r.runs(t, i, "registry.example.com/web:2")
			}
			usage, err := r.Usage(t.Context(), r.team.ID)
			require.NoError(t, err)
			require.Equal(t, "10", usage.Reserved["cpu"])
			require.Equal(t, "0", usage.Free["cpu"])
			t.Logf("%d rolling updates ended at the limit; reserved %v, requested %v", len(in), usage.Reserved, usage.Requested)

			for _, i := range in {
				_, err := r.deployer.Remove(t.Context(), fmt.Sprintf("app-%d", i), r.to(i), nil, nil)
				require.NoError(t, err)
			}
			held, err := r.Ledger().Reservations(t.Context(), r.team.ID)
			require.NoError(t, err)
			require.Empty(t, held)
			usage, err = r.Usage(t.Context(), r.team.ID)
			require.NoError(t, err)
			require.Equal(t, "10", usage.Free["cpu"])
			require.Len(t, r.fifty(t), c.fit, "all is free again")
		})
	}
}
