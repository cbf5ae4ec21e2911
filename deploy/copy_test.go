package deploy_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/render"
)

var (
	development = deploy.Source{Application: "shop", Target: on("a")}
	production  = deploy.Target{Clusters: []string{"b"}, Namespace: "live"}
	liveWeb     = driver.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "live", Name: "shop-web"}
)

// copied copies the shop to production.
func (w *world) copied(o *deploy.CopyOptions) {
	w.t.Helper()
	p, err := w.PlanCopy(w.t.Context(), development, production, o)
	require.NoError(w.t, err)
	_, err = w.Apply(w.t.Context(), p, nil)
	require.NoError(w.t, err)
}

func (w *world) released(cluster string, to deploy.Target, revision int) *appmodel.Application {
	w.t.Helper()
	app, err := w.ReleasedApplication(w.t.Context(), "shop", to, cluster, revision)
	require.NoError(w.t, err)
	return app
}

func paths(changes []appmodel.Change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, c.Path)
	}
	return out
}

func TestACopyDiffersByWhatWasSaidAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		w.copied(&deploy.CopyOptions{Hosts: map[string]string{"shop.example.com": "live.example.com"}, Replicas: map[string]int{"web": 5},
			StorageClasses: map[string]string{"": "standard"}, Images: map[string]string{"registry.example.com/web:1": "mirror.example.com/web:1"}})
		changes := appmodel.Changes(w.released("a", on("a"), 1), w.released("b", production, 1))
		require.ElementsMatch(t, []string{"components[web].scale.replicas", "components[db].volumes[data].storageClass", "routes[shop].http.hosts[shop.example.com]", "routes[shop].http.hosts[live.example.com]"}, paths(changes))
		text, err := json.Marshal(w.get("b", liveWeb))
		require.NoError(t, err)
		require.Contains(t, string(text), "mirror.example.com/web:1")
		lineage, err := w.Lineage(t.Context(), "shop", production)
		require.NoError(t, err)
		require.Equal(t, "shop", lineage["b"].From.Application)
		require.Equal(t, 1, lineage["b"].From.Revision)
		w.deployed(w.released("b", production, 1), deploy.Target{Clusters: []string{"b"}, Namespace: "live"})
		lineage, err = w.Lineage(t.Context(), "shop", production)
		require.NoError(t, err)
		require.NotEmpty(t, lineage["b"], "a deployment keeps where it comes from")
	})
}

func TestACopyThatCannotBeIsRefusedWithTheNextStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		for message, test := range map[string]struct {
			from deploy.Source
			to   deploy.Target
			opts deploy.CopyOptions
		}{
			"no data mover":                {development, production, deploy.CopyOptions{Data: true}},
			"the copy would be the source": {development, on("a"), deploy.CopyOptions{}},
			"same host names":              {development, deploy.Target{Clusters: []string{"a"}, Namespace: "other"}, deploy.CopyOptions{}},
			"names what the application does not have: nowhere.example.com": {development, production, deploy.CopyOptions{Hosts: map[string]string{"nowhere.example.com": "x"}}},
			"there is no release 7": {deploy.Source{Application: "shop", Target: on("a"), Revision: 7}, production, deploy.CopyOptions{}},
			"never been deployed":   {deploy.Source{Application: "shop", Target: on("b")}, production, deploy.CopyOptions{}},
		} {
			_, err := w.PlanCopy(t.Context(), test.from, test.to, &test.opts)
			require.ErrorContains(t, err, message)
		}
		_, err := w.PlanCopy(t.Context(), development, deploy.Target{Clusters: []string{"a"}, Namespace: "other"},
			&deploy.CopyOptions{Hosts: map[string]string{"shop.example.com": "other.example.com"}})
		require.NoError(t, err)
	})
}

const billing = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: billing}
secrets: [{name: s, items: [{name: key, generate: {length: 20}}]}]
components:
  - {id: ledger, kind: service, image: "ledger:1", security: {runAsUser: 1000}, ports: [{name: http, port: 8080, servicePort: 80}],
     provides: [{name: key, template: "${secret.s.key}"}, {name: path, value: /v1}]}
`

const needy = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
components:
  - id: web
    kind: service
    image: web:1
    security: {runAsUser: 1000}
    needs: [{name: ledger, component: ledger, application: billing, prefix: LEDGER_}]
`

func TestACopyAsksWhereNeedsLeadThatLeaveTheApplication(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		need := render.NeedRef{Component: "web", Need: "ledger"}
		_, err := w.Deploy(t.Context(), decode(t, needy), on("a"), &deploy.DeployOptions{Plan: deploy.PlanOptions{
			Bindings: map[render.NeedRef]render.Endpoint{need: {Host: "ledger.old", Port: 81, Values: map[string]string{"key": "k", "path": "/"}}}}})
		require.NoError(t, err)
		needs, err := w.Dependencies(t.Context(), development)
		require.NoError(t, err)
		require.Equal(t, []deploy.OutsideNeed{{NeedRef: need, Application: "billing", Bound: "ledger.old"}}, needs)
		_, err = w.PlanCopy(t.Context(), development, production, nil)
		require.ErrorIs(t, err, appspan.ErrInvalid)
		require.ErrorContains(t, err, "components[web].needs[ledger] leads to application billing; say in CopyOptions.Dependencies")

		decide := func(d deploy.Dependency) error {
			p, err := w.PlanCopy(t.Context(), development, production, &deploy.CopyOptions{Dependencies: map[render.NeedRef]deploy.Dependency{need: d}})
			if err != nil {
				return err
			}
			_, err = w.Apply(t.Context(), p, nil)
			require.NoError(t, err)
			return nil
		}
		env := func() string {
			data, err := json.Marshal(w.get("b", liveWeb)["spec"])
			require.NoError(t, err)
			return string(data)
		}
		require.NoError(t, decide(deploy.Dependency{Action: deploy.DependencyBind}))
		require.Contains(t, env(), `"ledger.old"`)
		require.NoError(t, decide(deploy.Dependency{Action: deploy.DependencyStub}))
		require.Contains(t, env(), `ledger.stub.invalid`)
		require.NoError(t, decide(deploy.Dependency{Action: deploy.DependencyDrop}))
		require.NotContains(t, env(), "LEDGER_")
		copies := deploy.Dependency{Action: deploy.DependencyCopy, Copied: deploy.Source{Target: deploy.Target{Clusters: []string{"b"}, Namespace: "money"}}}
		require.ErrorContains(t, decide(copies), "billing is to be copied first")
		_, err = w.Deploy(t.Context(), decode(t, billing), copies.Copied.Target, nil)
		require.NoError(t, err)
		require.NoError(t, decide(copies))
		require.Contains(t, env(), `"billing-ledger.money"`)
		require.Contains(t, env(), `"/v1"`)
		require.Contains(t, env(), `"ledger.key"`, "what is secret is referred to")
		require.ErrorContains(t, decide(deploy.Dependency{Action: "guess"}), `cannot be "guess"`)
	})
}

func TestAPromotionBringsWhatChangedThereAndKeepsWhatChangedHere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		w.copied(&deploy.CopyOptions{Hosts: map[string]string{"shop.example.com": "live.example.com"}})
		nothing, err := w.PlanPromotion(t.Context(), "shop", production, nil)
		require.NoError(t, err)
		require.Empty(t, nothing.Changes)
		require.False(t, nothing.Plan.Clusters[0].Unfinished)
		require.Empty(t, nothing.Plan.Clusters[0].Changes)

		own := shop(t, "replicas: 2", "replicas: 6", "value: hello", "value: willkommen") // two of production's own
		hosts := override(t, "metadata: {name: live}\nset: {routes: [{id: shop, http: {hosts: [live.example.com]}}]}\nremove: [\"routes[shop].http.hosts[shop.example.com]\"]")
		_, err = w.Deploy(t.Context(), own, production, &deploy.DeployOptions{Plan: deploy.PlanOptions{Overrides: []*appmodel.Override{hosts}}})
		require.NoError(t, err)
		before, err := json.Marshal(w.get("b", liveWeb)["spec"])
		require.NoError(t, err)
		w.deployed(shop(t, "web:1", "web:2", "port: 3306", "port: 3307", "value: hello", "value: good day"), on("a")) // three of development's

		p, err := w.PlanPromotion(t.Context(), "shop", production, nil)
		require.ErrorIs(t, err, appspan.ErrConflict)
		require.Nil(t, p.Plan)
		require.Len(t, p.Conflicts, 1)
		require.Equal(t, "configs[site].items[GREETING].value", p.Conflicts[0].Path)
		require.JSONEq(t, `"hello"`, string(p.Conflicts[0].Base))
		require.JSONEq(t, `"willkommen"`, string(p.Conflicts[0].Ours))
		require.JSONEq(t, `"good day"`, string(p.Conflicts[0].Theirs))
		p, err = w.PlanPromotion(t.Context(), "shop", production, &deploy.PromotionOptions{
			Decisions: map[string]appmodel.Decision{"configs[site].items[GREETING].value": appmodel.TakeOurs}})
		require.NoError(t, err)
		require.Contains(t, paths(p.Changes), "components[web].image")
		require.ElementsMatch(t, []string{"configs[site].items[GREETING].value", "components[web].scale.replicas"}, paths(p.Kept))
		data, err := json.Marshal(p.Plan)
		require.NoError(t, err)
		stored := &deploy.Plan{} // it waited for an approval
		require.NoError(t, json.Unmarshal(data, stored))
		_, err = w.Apply(t.Context(), stored, nil)
		require.NoError(t, err)
		require.Equal(t, 6, w.number("b", liveWeb, "spec", "replicas"))
		now, err := json.Marshal(w.get("b", liveWeb))
		require.NoError(t, err)
		require.Contains(t, string(now), "web:2")
		lineage, err := w.Lineage(t.Context(), "shop", production)
		require.NoError(t, err)
		require.Equal(t, 2, lineage["b"].From.Revision)
		p, err = w.PlanPromotion(t.Context(), "shop", production, nil)
		require.NoError(t, err)
		require.Empty(t, p.Changes, "what was decided is not asked again")

		_, err = w.Rollback(t.Context(), "shop", production, nil, nil)
		require.NoError(t, err)
		after, err := json.Marshal(w.get("b", liveWeb)["spec"])
		require.NoError(t, err)
		require.Equal(t, string(before), string(after))
		p, err = w.PlanPromotion(t.Context(), "shop", production, &deploy.PromotionOptions{Defaults: true})
		require.NoError(t, err)
		require.Contains(t, paths(p.Changes), "components[web].image", "a rollback goes back before the promotion")
	})
}

func TestAnImageThatWasGivenHereIsAConflictAndNotAnOverride(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		w.copied(&deploy.CopyOptions{})
		_, err := w.Run(t.Context(), "shop", production, deploy.Command{Kind: deploy.KindImage, Images: map[string]string{"web": "registry.example.com/web:1.1"}}, nil)
		require.NoError(t, err)
		w.deployed(shop(t, "web:1", "web:2"), on("a"))
		p, err := w.PlanPromotion(t.Context(), "shop", production, nil)
		require.ErrorIs(t, err, appspan.ErrConflict)
		require.Equal(t, "components[web].image", p.Conflicts[0].Path)
	})
}

func TestWhoMayNotDeployTheSourceMayNotCopyIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		for _, team := range []string{"", "red"} {
			d, err := deploy.New(w.set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: readers{}})
			require.NoError(t, err)
			_, err = d.For(appspan.Subject{ID: "eve", Team: team}).PlanCopy(t.Context(), deploy.Source{Application: "shop", Target: deploy.Target{Clusters: []string{"a"}, Namespace: "shop", Team: "blue"}},
				deploy.Target{Clusters: []string{"b"}, Namespace: "live", Team: team}, nil)
			require.ErrorIs(t, err, appspan.ErrDenied)
		}
	})
}

// readers lets everybody read everything.
type readers struct{}

func (readers) Authorize(_ context.Context, _ appspan.Subject, a appspan.Access) error {
	if a.Verb == appspan.VerbRead {
		return nil
	}
	return appspan.ErrDenied
}
