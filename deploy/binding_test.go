package deploy_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/render"
)

const clientText = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
components:
  - id: web
    kind: service
    image: registry.example.com/web:1
    needs: [{name: db, open: {type: mysql, keys: [password]}, prefix: DB_}]
    env: [{name: REGION, template: "${cluster.labels.region}"}]
    scale: {replicas: 1}
`

func toHost(host string) map[render.NeedRef]render.Endpoint {
	return map[render.NeedRef]render.Endpoint{{Component: "web", Need: "db"}: {
		Host: host, Port: 3306, Secrets: map[string]appmodel.Sensitive{"password": appmodel.NewSensitive("not-for-everybody")}}}
}

// environment is the plain environment of the web's container.
func (w *world) environment() map[string]any {
	spec := w.get("a", webRef)["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	out := map[string]any{}
	for _, e := range spec["containers"].([]any)[0].(map[string]any)["env"].([]any) {
		v := e.(map[string]any)
		out[v["name"].(string)] = v["value"]
	}
	return out
}

// labelled gives the world's clusters a label.
func (w *world) labelled(region string) {
	w.t.Helper()
	var members []*cluster.Cluster
	for name, f := range w.fakes {
		members = append(members, cluster.New(name, f, &cluster.Options{Labels: map[string]string{"region": region}}))
	}
	set, err := cluster.NewSet(members...)
	require.NoError(w.t, err)
	w.set = set
	w.Deployer = w.deployer("test")
}

func TestABindingIsStoredWithThePlanAndComesBackWithARollback(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.labelled("north")
		app := decode(t, clientText)
		_, err := w.Plan(t.Context(), app, on("a"), nil)
		require.ErrorIs(t, err, appspan.ErrInvalid)
		require.ErrorContains(t, err, "PlanOptions.Bindings")
		wrong := toHost("one.example.com")
		wrong[render.NeedRef{Component: "web", Need: "cache"}] = render.Endpoint{}
		_, err = w.Plan(t.Context(), app, on("a"), &deploy.PlanOptions{Bindings: wrong})
		require.ErrorIs(t, err, appspan.ErrInvalid)

		p, err := w.Plan(t.Context(), app, on("a"), &deploy.PlanOptions{Bindings: toHost("one.example.com")})
		require.NoError(t, err)
		data, err := json.Marshal(p)
		require.NoError(t, err)
		require.NotContains(t, string(data), "not-for-everybody")
		stored := &deploy.Plan{}
		require.NoError(t, json.Unmarshal(data, stored))
		_, err = w.Apply(t.Context(), stored, nil)
		require.NoError(t, err)
		require.Equal(t, "one.example.com", w.environment()["DB_HOST"])
		require.Equal(t, "north", w.environment()["REGION"])

		_, err = w.Deploy(t.Context(), app, on("a"), &deploy.DeployOptions{Plan: deploy.PlanOptions{Bindings: toHost("two.example.com")}})
		require.NoError(t, err)
		require.Equal(t, "two.example.com", w.environment()["DB_HOST"])
		_, err = w.Rollback(t.Context(), "shop", on("a"), nil, nil)
		require.NoError(t, err)
		require.Equal(t, "one.example.com", w.environment()["DB_HOST"])
	})
}

func TestAPlanIsStaleWhenTheClusterIsLabelledOtherwise(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.labelled("north")
		p, err := w.Plan(t.Context(), decode(t, clientText), on("a"), &deploy.PlanOptions{Bindings: toHost("one.example.com")})
		require.NoError(t, err)
		w.labelled("south")
		_, err = w.Apply(t.Context(), p, nil)
		require.ErrorIs(t, err, appspan.ErrPrecondition)
		require.Zero(t, w.writes())
	})
}

const eachRelease = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
configs:
  - {name: site, items: [{name: GREETING, value: hello}]}
components:
  - {id: web, kind: service, image: "registry.example.com/web:1", envFrom: [{config: site}]}
  - {id: migrate, kind: job, image: "registry.example.com/web:1", job: {runs: eachRelease}}
  - {id: once, kind: job, image: "registry.example.com/web:1", job: {runs: onChange}}
`

// jobs are the names of the jobs, by component.
func (w *world) jobs() map[string]string {
	w.t.Helper()
	c, err := w.set.Cluster(w.t.Context(), "a")
	require.NoError(w.t, err)
	out := map[string]string{}
	for obj, err := range c.List(w.t.Context(), cluster.Query{APIVersion: "batch/v1", Kind: "Job", Namespace: "shop"}) {
		require.NoError(w.t, err)
		require.NotContains(w.t, out, obj.Labels[appmodel.LabelComponent], "one job of each component")
		out[obj.Labels[appmodel.LabelComponent]] = obj.Name
	}
	return out
}

func TestAJobOfEachReleaseRunsAtAReleaseAndNotWithoutOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		app := decode(t, eachRelease)
		w.deployed(app, on("a"))
		first := w.jobs()
		p, err := w.Plan(t.Context(), app, on("a"), nil)
		require.NoError(t, err)
		require.True(t, p.Empty())
		require.Empty(t, p.Clusters[0].Notes)
		w.resetCalls()
		w.deployed(app, on("a"))
		require.Zero(t, w.writes())

		app.Configs[0].Items[0].Value = "good day"
		p, err = w.Plan(t.Context(), app, on("a"), nil)
		require.NoError(t, err)
		data, err := json.Marshal(p)
		require.NoError(t, err)
		stored := &deploy.Plan{}
		require.NoError(t, json.Unmarshal(data, stored))
		_, err = w.Apply(t.Context(), stored, nil)
		require.NoError(t, err)
		second := w.jobs()
		require.NotEqual(t, first["migrate"], second["migrate"])
		require.Equal(t, first["once"], second["once"])
		p, err = w.Plan(t.Context(), app, on("a"), nil)
		require.NoError(t, err)
		require.True(t, p.Empty())

		w.edit("a", driver.Ref{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "shop-web"}, "kubectl-edit", func(v map[string]any) {
			v["spec"].(map[string]any)["replicas"] = float64(3)
		})
		_, err = w.Apply(t.Context(), p, nil) // was empty: nothing of it is stale
		require.NoError(t, err)
		require.Equal(t, second, w.jobs())
		_, err = w.Rollback(t.Context(), "shop", on("a"), nil, nil)
		require.NoError(t, err)
		require.NotEqual(t, second["migrate"], w.jobs()["migrate"])
	})
}

func TestAPlanThatWasInterruptedRunsTheJobOfItsRelease(t *testing.T) {
	t.Parallel()
	for point := range 14 {
		synctest.Test(t, func(t *testing.T) {
			w := two(t)
			app := decode(t, eachRelease)
			w.deployed(app, on("a"))
			app.Configs[0].Items[0].Value = "good day"
			d := &dying{Cluster: w.fakes["a"]}
			d.left.Store(int64(point))
			set, err := cluster.NewSet(cluster.New("a", d, nil))
			require.NoError(t, err)
			mortal, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: appspan.AllowAll{}})
			require.NoError(t, err)
			p, err := w.Plan(t.Context(), app, on("a"), nil)
			require.NoError(t, err)
			_, _ = mortal.Apply(t.Context(), p, nil)
			_, err = w.Apply(t.Context(), p, nil)
			require.NoError(t, err)
			require.Len(t, w.jobs(), 2)
			again, err := w.Plan(t.Context(), app, on("a"), nil)
			require.NoError(t, err)
			require.True(t, again.Empty(), "after %d writes", point)
		})
	}
}
