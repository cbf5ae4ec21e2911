package deploy_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

// TestRigAStatefulSetThatCannotChangeInPlaceKeepsItsPodsAndData: it is
// replaced, and what it owned goes on.
func TestRigAStatefulSetThatCannotChangeInPlaceKeepsItsPodsAndData(t *testing.T) {
	t.Parallel()
	r := newRig(t, "replace", rigOptions{})
	to := r.on("rig-1")
	r.deployed(shop(t), to)
	before := r.left("rig-1")
	larger := shop(t, "size: 1Gi", "size: 2Gi")
	p, err := r.Plan(t.Context(), larger, to, nil)
	require.NoError(t, err)
	require.NoError(t, p.Err())
	var replaced []string
	for _, c := range p.Clusters[0].Changes {
		if c.Action == deploy.ActionReplace {
			replaced = append(replaced, c.Object.Kind+"/"+c.Object.Name)
		}
	}
	require.Equal(t, []string{"StatefulSet/shop-db"}, replaced)
	result, err := r.Apply(t.Context(), p, &patient)
	require.NoError(t, err)
	require.Equal(t, status.Ready, result.Clusters[0].Status.Value)
	after := r.left("rig-1")
	require.NotEqual(t, before["StatefulSet/shop-db"], after["StatefulSet/shop-db"])
	for _, ref := range []string{"Pod/shop-db-0", "PersistentVolumeClaim/data-shop-db-0"} {
		require.NotEmpty(t, before[ref])
		require.Equal(t, before[ref], after[ref], ref)
	}
	require.Equal(t, []string{"2Gi"}, r.kubectl("rig-1", "get", "pvc", "data-shop-db-0", "-o", "jsonpath={.spec.resources.requests.storage}"))
	p, err = r.Plan(t.Context(), larger, to, nil)
	require.NoError(t, err)
	require.True(t, p.Empty(), "%+v", p.Clusters)
	r.removed("shop", to, true)
	require.False(t, r.exists("rig-1", namespaceRef(r.namespace)))
}

// TestRigWhatIsYieldedIsLeftToOthers: replicas that somebody else sets are no
// drift, and stay through an update.
func TestRigWhatIsYieldedIsLeftToOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t, "yield", rigOptions{})
	to := r.on("rig-1")
	yield := deploy.DeployOptions{Apply: patient, Plan: deploy.PlanOptions{
		Yield: []deploy.Yield{{Kind: "Deployment", Name: "shop-web", Path: []string{"spec", "replicas"}}}}}
	_, err := r.Deploy(t.Context(), shop(t), to, &yield)
	require.NoError(t, err)
	r.kubectl("rig-1", "scale", "deployment/shop-web", "--replicas=5")
	p, err := r.Plan(t.Context(), shop(t), to, &yield.Plan)
	require.NoError(t, err)
	require.True(t, p.Empty(), "%+v", p.Clusters[0].Changes)
	_, err = r.Deploy(t.Context(), shop(t, "web:1", "web:2"), to, &yield)
	require.NoError(t, err)
	require.Equal(t, []string{"5 registry.example.com/web:2"},
		r.kubectl("rig-1", "get", "deployment/shop-web", "-o", "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}"))
	result, err := r.Rollback(t.Context(), "shop", to, nil, &patient)
	require.NoError(t, err)
	require.Equal(t, status.Ready, result.Clusters[0].Status.Value)
	require.Equal(t, []string{"5 registry.example.com/web:1"},
		r.kubectl("rig-1", "get", "deployment/shop-web", "-o", "jsonpath={.spec.replicas} {.spec.template.spec.containers[0].image}"))
}

// TestRigWhatKubectlMadeIsAdoptedOnlyIfAsked: then it is ours like the rest,
// and goes with the rest.
func TestRigWhatKubectlMadeIsAdoptedOnlyIfAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t, "adopt", rigOptions{})
	to := r.on("rig-1")
	r.namespaced("rig-1")
	r.kubectl("rig-1", "create", "configmap", "shop-site", "--from-literal=GREETING=mine", "--from-literal=OTHER=1")
	r.kubectl("rig-1", "create", "deployment", "shop-web", "--image=registry.example.com/old:1", "--replicas=3")
	p, err := r.Plan(t.Context(), shop(t), to, nil)
	require.NoError(t, err)
	require.ErrorIs(t, p.Err(), appspan.ErrConflict)
	require.Len(t, p.Clusters[0].Refusals, 2)
	p, err = r.Plan(t.Context(), shop(t), to, &deploy.PlanOptions{Adopt: true})
	require.NoError(t, err)
	require.NoError(t, p.Err())
	result, err := r.Apply(t.Context(), p, &patient)
	require.NoError(t, err)
	require.Equal(t, status.Ready, result.Clusters[0].Status.Value)
	require.Equal(t, []string{"hello 1"}, r.kubectl("rig-1", "get", "configmap/shop-site", "-o", "jsonpath={.data.GREETING} {.data.OTHER}"))
	p, err = r.Plan(t.Context(), shop(t), to, nil)
	require.NoError(t, err)
	require.True(t, p.Empty(), "%+v", p.Clusters)
	r.removed("shop", to, true)
	require.Empty(t, r.left("rig-1"))
}

// TestRigOfTwoAppliesAtOneTimeOneIsRefused, and the cluster has what the other
// one wanted.
func TestRigOfTwoAppliesAtOneTimeOneIsRefused(t *testing.T) {
	t.Parallel()
	a := newRig(t, "race", rigOptions{})
	b := newRig(t, "", rigOptions{Namespace: a.namespace})
	a.deployed(shop(t), a.on("rig-1"))
	for range 5 {
		current := a.kubectl("rig-1", "get", "deployment/shop-web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")[0]
		var plans [2]*deploy.Plan
		images := [2]string{current + "1", current + "2"}
		for i, r := range []*rig{a, b} {
			p, err := r.Plan(t.Context(), shop(t, "registry.example.com/web:1", images[i]), r.on("rig-1"), nil)
			require.NoError(t, err)
			plans[i] = p
		}
		var errs [2]error
		var wg sync.WaitGroup
		for i, r := range []*rig{a, b} {
			wg.Go(func() { _, errs[i] = r.Apply(t.Context(), plans[i], &patient) })
		}
		wg.Wait()
		winner := 0
		if errs[0] != nil {
			winner = 1
		}
		require.NoError(t, errs[winner])
		require.Error(t, errs[1-winner])
		require.False(t, appspan.Retryable(errs[1-winner]))
		t.Log(errs[1-winner])
		require.Equal(t, images[winner], a.kubectl("rig-1", "get", "deployment/shop-web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")[0])
		p, err := a.Plan(t.Context(), shop(t, "registry.example.com/web:1", images[winner]), a.on("rig-1"), nil)
		require.NoError(t, err)
		require.True(t, p.Empty())
	}
}

// TestRigWhatTheClusterRefusesIsNamed: a quota keeps pods from being made, and
// a name that is taken by a policy of the server is an error with the object.
func TestRigWhatTheClusterRefusesIsNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t, "quota", rigOptions{})
	to := r.on("rig-1")
	r.namespaced("rig-1")
	r.kubectl("rig-1", "create", "quota", "none", "--hard=pods=1")
	require.Eventually(t, func() bool {
		return r.kubectl("rig-1", "get", "quota/none", "-o", "jsonpath={.status.hard.pods}")[0] == "1"
	}, time.Minute, 100*time.Millisecond)
	result, err := r.Deploy(t.Context(), shop(t), to, &deploy.DeployOptions{Apply: deploy.ApplyOptions{FailAfter: 2 * time.Second, ReadyTimeout: 20 * time.Second}})
	require.ErrorIs(t, err, deploy.ErrNotReady)
	require.ErrorContains(t, err, "quota")
	t.Log(err)
	var reasons []status.Reason
	for _, c := range result.Clusters[0].Status.Components {
		for _, cause := range c.Causes {
			reasons = append(reasons, cause.Reason)
		}
	}
	require.Contains(t, reasons, status.QuotaExceeded)
	r.kubectl("rig-1", "delete", "quota", "none")
	r.deployed(shop(t), to)
}

// TestRigAClaimGrowsAndDoesNotShrink: in place where its class can, and what
// would lose data is refused.
func TestRigAClaimGrowsAndDoesNotShrink(t *testing.T) {
	t.Parallel()
	r := newRig(t, "claim", rigOptions{})
	to := r.on("rig-1")
	sized := func(size string) *appmodel.Application {
		return decode(t, `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: files}
components:
  - id: web
    kind: service
    image: registry.example.com/web:1
    ports: [{name: http, port: 8080, appProtocol: http}]
    volumes: [{name: data, kind: persistent, size: `+size+`, data: files}]
    mounts: [{path: /data, volume: data}]
    security: {runAsUser: 1000}
`)
	}
	r.deployed(sized("1024Mi"), to)
	p, err := r.Plan(t.Context(), sized("1Gi"), to, nil)
	require.NoError(t, err)
	require.Empty(t, p.Clusters[0].Refusals)
	for _, c := range p.Clusters[0].Changes {
		require.Empty(t, c.Fields, "the same size in other words is no change: %+v", c)
	}
	claims := r.claims("rig-1")
	require.Len(t, claims, 1)
	r.deployed(sized("2Gi"), to)
	require.Equal(t, claims, r.claims("rig-1"))
	require.Equal(t, []string{"2Gi"}, r.kubectl("rig-1", "get", "pvc", "-o", "jsonpath={.items[0].spec.resources.requests.storage}"))
	p, err = r.Plan(t.Context(), sized("1Gi"), to, nil)
	require.NoError(t, err)
	require.ErrorIs(t, p.Err(), appspan.ErrConflict)
	require.ErrorContains(t, p.Err(), "cannot shrink from 2Gi to 1Gi")
	t.Log(p.Err())
	_, err = r.Apply(t.Context(), p, &patient)
	require.ErrorIs(t, err, appspan.ErrConflict)
	require.Equal(t, claims, r.claims("rig-1"))
}

// TestRigADeploymentComesToRecreate whoever owns the parameters of its rolling
// update, and its pods stay as long as their template does.
func TestRigADeploymentComesToRecreate(t *testing.T) {
	t.Parallel()
	text := func(update string) *appmodel.Application {
		return decode(t, `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
components:
  - {id: web, kind: service, image: "registry.example.com/web:1"`+update+`}
`)
	}
	for name, before := range map[string]string{
		"from defaults":          ", kubernetes: {defaults: none}",
		"from half of it":        ", update: {maxSurge: 1}",
		"from what we asked for": ", update: {maxSurge: 2, maxUnavailable: 1}",
		"from what somebody set": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "recreate", rigOptions{})
			to := r.on("rig-1")
			r.deployed(text(before), to)
			after := ", update: {strategy: recreate}"
			switch before {
			case "":
				r.kubectl("rig-1", "patch", "deployment", "shop-web", "-p", `{"spec":{"strategy":{"rollingUpdate":{"maxSurge":3}}}}`)
			case ", kubernetes: {defaults: none}":
				after += before
			}
			pods := r.kubectl("rig-1", "get", "pods", "-o", "name")
			result := r.deployed(text(after), to)
			require.Equal(t, status.Ready, result.Clusters[0].Status.Value)
			require.Equal(t, []string{`{"type":"Recreate"}`}, r.kubectl("rig-1", "get", "deployment", "shop-web", "-o", "jsonpath={.spec.strategy}"))
			require.Equal(t, pods, r.kubectl("rig-1", "get", "pods", "-o", "name"))
			p, err := r.Plan(t.Context(), text(after), to, nil)
			require.NoError(t, err)
			require.True(t, p.Empty(), "%+v", p.Clusters)
			r.removed("shop", to, true)
		})
	}
}
