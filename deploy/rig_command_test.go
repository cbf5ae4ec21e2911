package deploy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

// market is eleven services that need each other; front is scaled by load.
const market = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: market}
components:
  - {id: front, kind: service, image: "front:1", ports: [{port: 80}], security: {runAsUser: 1}, resources: {requests: {cpu: 10m}},
     scale: {auto: {min: 2, max: 6, metrics: [{cpu: {utilization: 70}}]}},
     needs: [{component: cart}, {component: catalog}, {component: currency}, {component: shipping}, {component: checkout}, {component: adverts}]}
  - {id: cart, kind: service, image: "cart:1", ports: [{port: 80}], security: {runAsUser: 1}, needs: [{component: store}]}
  - {id: catalog, kind: service, image: "catalog:1", ports: [{port: 80}], security: {runAsUser: 1}, scale: {replicas: 2}}
  - {id: currency, kind: service, image: "currency:1", ports: [{port: 80}], security: {runAsUser: 1}}
  - {id: payment, kind: service, image: "payment:1", ports: [{port: 80}], security: {runAsUser: 1}}
  - {id: shipping, kind: service, image: "shipping:1", ports: [{port: 80}], security: {runAsUser: 1}}
  - {id: mail, kind: service, image: "mail:1", ports: [{port: 80}], security: {runAsUser: 1}}
  - {id: checkout, kind: service, image: "checkout:1", ports: [{port: 80}], security: {runAsUser: 1},
     needs: [{component: cart}, {component: catalog}, {component: currency}, {component: payment}, {component: shipping}, {component: mail}]}
  - {id: advice, kind: service, image: "advice:1", ports: [{port: 80}], security: {runAsUser: 1}, needs: [{component: catalog}]}
  - {id: adverts, kind: service, image: "adverts:1", ports: [{port: 80}], security: {runAsUser: 1}}
  - {id: store, kind: stateful, image: "store:1", ports: [{port: 6379}], security: {runAsUser: 1},
     volumes: [{name: data, kind: persistent, size: 1Gi, data: database}], mounts: [{path: /data, volume: data}]}
`

// replicas is what a workload is asked to have.
func (r *rig) replicas(name string, ref driver.Ref) int {
	r.t.Helper()
	obj, err := r.cluster(name).Get(r.t.Context(), ref)
	require.NoError(r.t, err)
	var o struct {
		Spec struct {
			Replicas int `json:"replicas"`
		} `json:"spec"`
	}
	require.NoError(r.t, json.Unmarshal(obj.JSON, &o))
	return o.Spec.Replicas
}

// pods are the pods that are not going, by UID.
func (r *rig) pods(name string) map[string]string {
	r.t.Helper()
	out := map[string]string{}
	for obj, err := range r.cluster(name).List(r.t.Context(), cluster.Query{APIVersion: "v1", Kind: "Pod", Namespace: r.namespace, Projection: cluster.Metadata}) {
		require.NoError(r.t, err)
		if !obj.Deleting {
			out[obj.UID] = obj.Name
		}
	}
	return out
}

// rendered is all that we own of every object of the applications, byte by byte.
func (r *rig) rendered(name string) map[string]string {
	r.t.Helper()
	info, err := r.cluster(name).Info(r.t.Context())
	require.NoError(r.t, err)
	out := map[string]string{}
	for _, k := range info.Kinds {
		if !k.Namespaced || !slices.Contains(k.Verbs, "list") || strings.HasPrefix(k.Kind, "Endpoint") {
			continue
		}
		for obj, err := range r.cluster(name).List(r.t.Context(), cluster.Query{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: r.namespace, Labels: "applyset.kubernetes.io/part-of"}) {
			if errors.Is(err, appspan.ErrUnsupported) {
				break // a kind that another test has taken away meanwhile
			}
			require.NoError(r.t, err)
			var tree map[string]any
			require.NoError(r.t, json.Unmarshal(obj.JSON, &tree))
			data, err := json.Marshal(ownedBy(r.t, tree, "appspan-rig-"+obj.Labels[appmodel.LabelApplication]))
			require.NoError(r.t, err)
			out[obj.Ref.String()] = string(data)
		}
	}
	require.NotEmpty(r.t, out)
	return out
}

// TestRigEveryCommandOnElevenServices gives each command twice on two control
// planes, and looks at the order of what is written.
func TestRigEveryCommandOnElevenServices(t *testing.T) {
	t.Parallel()
	r := newRig(t, "market", rigOptions{})
	app := decode(t, market)
	require.Len(t, app.Components, 11)
	r.deployed(app, r.both())
	clusters := []string{"rig-1", "rig-2"}
	ref := func(component string) driver.Ref {
		kind := "Deployment"
		if component == "store" {
			kind = "StatefulSet"
		}
		return driver.Ref{APIVersion: "apps/v1", Kind: kind, Namespace: r.namespace, Name: "market-" + component}
	}
	replicas := func(cluster string) map[string]int {
		out := map[string]int{}
		for _, c := range app.Components {
			out[c.ID] = r.replicas(cluster, ref(c.ID))
		}
		return out
	}
	// scaled by load, to a number of its own on each cluster
	for i, name := range clusters {
		r.kubectl(name, "scale", "deployment/market-front", fmt.Sprint("--replicas=", 3+i))
	}
	before := map[string]map[string]int{}
	for i, name := range clusters {
		before[name] = replicas(name)
		require.Equal(t, 3+i, before[name]["front"])
	}

	give := func(c deploy.Command) map[string][]string {
		t.Helper()
		var mu sync.Mutex
		written := map[string][]string{}
		o := patient
		o.OnEvent = func(e appspan.Event) {
			if e.Kind == appspan.EventProgress && e.Phase == deploy.PhaseApply && e.Component != "" && (strings.HasPrefix(e.Object, "Deployment ") || strings.HasPrefix(e.Object, "StatefulSet ")) {
				mu.Lock()
				written[e.Cluster] = append(written[e.Cluster], e.Component)
				mu.Unlock()
			}
		}
		result, err := r.Run(t.Context(), "market", r.both(), c, &o)
		require.NoError(t, err, c.Kind)
		for _, one := range result.Clusters {
			want := len(c.Components) + len(c.Images)
			if want == 0 {
				want = len(app.Components)
			}
			require.Len(t, one.Components, want, "an answer for each component")
		}
		again, err := r.Run(t.Context(), "market", r.both(), c, &patient)
		require.NoError(t, err, c.Kind)
		for _, one := range again.Clusters {
			require.Equal(t, deploy.OutcomeUnchanged, one.Outcome, "%s twice on %s", c.Kind, one.Cluster)
		}
		return written
	}
	inOrder := func(written []string, providersFirst bool) {
		t.Helper()
		for _, c := range app.Components {
			for _, need := range c.Needs {
				consumer, provider := slices.Index(written, c.ID), slices.Index(written, need.Component)
				if consumer >= 0 && provider >= 0 { // progress may be told of together
					require.Equal(t, providersFirst, provider < consumer, "%s needs %s: %v", c.ID, need.Component, written)
				}
			}
		}
		require.GreaterOrEqual(t, len(written), 3, "one of each level at least: %v", written)
	}

	stopped := give(deploy.Command{Kind: deploy.KindStop})
	for _, name := range clusters {
		inOrder(stopped[name], false)
		for id, n := range replicas(name) {
			require.Zero(t, n, id)
		}
	}
	started := give(deploy.Command{Kind: deploy.KindStart})
	for _, name := range clusters {
		inOrder(started[name], true)
		require.Equal(t, before[name], replicas(name), "with what the autoscaler had given")
	}
	s, err := r.Status(t.Context(), "market", r.both())
	require.NoError(t, err)
	require.Equal(t, status.Ready, s.Worst)

	restart := deploy.Command{Kind: deploy.KindRestart, At: time.Now()}
	pods := r.pods("rig-1")
	inOrder(give(restart)["rig-1"], true)
	for uid := range r.pods("rig-1") {
		require.NotContains(t, pods, uid, "every pod was replaced")
	}

	four := 4
	give(deploy.Command{Kind: deploy.KindScale, Components: []string{"catalog"}, Replicas: &four})
	require.Equal(t, 4, r.replicas("rig-2", ref("catalog")))
	give(deploy.Command{Kind: deploy.KindScale, Components: []string{"catalog"}})
	require.Equal(t, 2, r.replicas("rig-2", ref("catalog")))

	give(deploy.Command{Kind: deploy.KindPause, Components: []string{"mail"}})
	pods = r.pods("rig-1")
	_, err = r.Run(t.Context(), "market", r.both(), deploy.Command{Kind: deploy.KindImage, Images: map[string]string{"mail": "mail:2"}}, &deploy.ApplyOptions{Wait: deploy.WaitWritten})
	require.NoError(t, err)
	require.Equal(t, pods, r.pods("rig-1"), "what is paused is not rolled out")
	give(deploy.Command{Kind: deploy.KindResume, Components: []string{"mail"}})
	require.NotEqual(t, pods, r.pods("rig-1"))
	give(deploy.Command{Kind: deploy.KindImage, Images: map[string]string{"mail": "mail:3", "cart": "cart:3"}})

	r.kubectl("rig-2", "scale", "deployment/market-mail", "--replicas=3")
	_, err = r.Run(t.Context(), "market", r.both(), deploy.Command{Kind: deploy.KindRedeploy}, &patient)
	require.NoError(t, err)
	require.Equal(t, 1, r.replicas("rig-2", ref("mail")))

	_, err = r.Rollback(t.Context(), "market", r.on("rig-2"), &deploy.RollbackOptions{Revision: 1}, &patient)
	require.ErrorIs(t, err, appspan.ErrNotFound, "ten releases are kept")
	releases, err := r.Releases(t.Context(), "market", r.both())
	require.NoError(t, err)
	oldest := releases["rig-1"][len(releases["rig-1"])-1].Revision
	_, err = r.Rollback(t.Context(), "market", r.on("rig-1"), &deploy.RollbackOptions{Revision: oldest}, &patient)
	require.NoError(t, err)
	r.removed("market", r.both(), true)
	require.Empty(t, r.still("rig-1"))
}

// TestRigACopyIsPromotedAndRolledBack takes an application of every kind from
// development on one control plane to production on another one.
func TestRigACopyIsPromotedAndRolledBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, "copy", rigOptions{})
	live := newRig(t, "live", rigOptions{})
	dev := deploy.Source{Application: "everything", Target: deploy.Target{Clusters: []string{"rig-1"}, Namespace: r.namespace, Team: "blue"}}
	production := deploy.Target{Clusters: []string{"rig-2"}, Namespace: live.namespace, Team: "green"}
	app := everything(t)
	r.deployed(app, dev.Target)
	p, err := r.PlanCopy(t.Context(), dev, production, &deploy.CopyOptions{Hosts: map[string]string{"everything.example.com": "live.example.com"}, Replicas: map[string]int{"cache": 3}})
	require.NoError(t, err)
	_, err = r.Apply(t.Context(), p, &patient)
	require.NoError(t, err)
	released := func(cluster string, to deploy.Target, revision int) *appmodel.Application {
		app, err := r.ReleasedApplication(t.Context(), "everything", to, cluster, revision)
		require.NoError(t, err)
		return app
	}
	changes := appmodel.Changes(released("rig-1", dev.Target, 1), released("rig-2", production, 1))
	t.Log("the copy differs by:", paths(changes))
	require.ElementsMatch(t, []string{"components[cache].scale.replicas", "routes[site].http.hosts[everything.example.com]", "routes[site].http.hosts[live.example.com]"}, paths(changes))

	// two in production
	edit := func(app *appmodel.Application, id string, do func(*appmodel.Component)) {
		i := slices.IndexFunc(app.Components, func(c appmodel.Component) bool { return c.ID == id })
		do(&app.Components[i])
	}
	base, err := r.PlanEdit(t.Context(), "everything", production, func(app *appmodel.Application) error {
		edit(app, "web", func(c *appmodel.Component) { c.Annotations["note.example/of"] = "production" })
		edit(app, "single", func(c *appmodel.Component) { c.Image = "registry.example.com/single:1.1" })
		return nil
	}, nil)
	require.NoError(t, err)
	_, err = r.Apply(t.Context(), base, &patient)
	require.NoError(t, err)
	rendered := live.rendered("rig-2")

	// three in development, of which one meets production's
	changed := everything(t)
	edit(changed, "single", func(c *appmodel.Component) { c.Image = "registry.example.com/single:2" })
	edit(changed, "web", func(c *appmodel.Component) { c.Image = "registry.example.com/web:2" })
	edit(changed, "db", func(c *appmodel.Component) {
		c.Env = append(c.Env, appmodel.Env{Name: "MODE", Value: "fast"})
	})
	r.deployed(changed, dev.Target)
	promotion, err := r.PlanPromotion(t.Context(), "everything", production, nil)
	require.ErrorIs(t, err, appspan.ErrConflict)
	require.Len(t, promotion.Conflicts, 1)
	t.Logf("the conflict: %s base %s ours %s theirs %s", promotion.Conflicts[0].Path, promotion.Conflicts[0].Base, promotion.Conflicts[0].Ours, promotion.Conflicts[0].Theirs)
	require.Equal(t, "components[single].image", promotion.Conflicts[0].Path)
	promotion, err = r.PlanPromotion(t.Context(), "everything", production, &deploy.PromotionOptions{
		Decisions: map[string]appmodel.Decision{"components[single].image": appmodel.TakeTheirs}})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"components[web].image", "components[db].env[MODE]", "components[single].image"}, paths(promotion.Changes))
	require.Equal(t, []string{"components[web].annotations[note.example/of]"}, paths(promotion.Kept))
	_, err = r.Apply(t.Context(), promotion.Plan, &patient)
	require.NoError(t, err)
	require.NotEqual(t, rendered, live.rendered("rig-2"))

	_, err = r.Rollback(t.Context(), "everything", production, nil, &patient)
	require.NoError(t, err)
	require.Equal(t, rendered, live.rendered("rig-2"), "a rollback is exact")
}
