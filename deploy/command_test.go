package deploy_test

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

// run gives a command, which must succeed.
func (w *world) run(kind deploy.PlanKind, to deploy.Target, components ...string) *deploy.Result {
	w.t.Helper()
	r, err := w.Run(w.t.Context(), "shop", to, deploy.Command{Kind: kind, Components: components}, nil)
	require.NoError(w.t, err)
	return r
}

// value is how a component does on a cluster.
func (w *world) value(cluster, component string) status.Value {
	w.t.Helper()
	s, err := w.Status(w.t.Context(), "shop", on(cluster))
	require.NoError(w.t, err)
	for _, c := range s.Clusters[0].Components {
		if c.ID == component {
			return c.Value
		}
	}
	return status.Absent
}

// number reads a number of an object.
func (w *world) number(cluster string, ref driver.Ref, fields ...string) int {
	w.t.Helper()
	var v any = w.get(cluster, ref)
	for _, f := range fields {
		v = v.(map[string]any)[f]
	}
	n, _ := v.(float64)
	return int(n)
}

// scaled is somebody who changes the number of replicas of web.
func (w *world) scaled(cluster, manager string, replicas int) {
	w.edit(cluster, webRef, manager, func(o map[string]any) { o["spec"].(map[string]any)["replicas"] = replicas })
}

// podUIDs are the names of pods that are not going, by UID.
func (w *world) podUIDs(name string) map[string]string {
	w.t.Helper()
	c, err := w.set.Cluster(w.t.Context(), name)
	require.NoError(w.t, err)
	out := map[string]string{}
	for obj, err := range c.List(w.t.Context(), driver.Query{APIVersion: "v1", Kind: "Pod", Namespace: "shop"}) {
		require.NoError(w.t, err)
		if !obj.Deleting {
			out[obj.UID] = obj.Name
		}
	}
	return out
}

var dbRef = driver.Ref{APIVersion: "apps/v1", Kind: "StatefulSet", Namespace: "shop", Name: "shop-db"}

// order is the components whose workloads were written, in order.
func order(events []appspan.Event) []string {
	var out []string
	for _, e := range events {
		if e.Kind == appspan.EventProgress && e.Phase == deploy.PhaseApply && (e.Object == "Deployment shop/shop-web" || e.Object == "StatefulSet shop/shop-db") {
			out = append(out, e.Component)
		}
	}
	return out
}

func TestStopAndStartGoInTheOrderOfNeedsAndMayBeGivenTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		var events []appspan.Event
		tell := &deploy.ApplyOptions{OnEvent: func(e appspan.Event) {
			if e.Cluster == "a" {
				events = append(events, e)
			}
		}}
		_, err := w.Run(t.Context(), "shop", both, deploy.Command{Kind: deploy.KindStop}, tell)
		require.NoError(t, err)
		require.Equal(t, []string{"web", "db"}, order(events), "who needs another goes first")
		for _, name := range []string{"a", "b"} {
			require.Zero(t, w.number(name, webRef, "spec", "replicas"))
			require.Zero(t, w.number(name, dbRef, "spec", "replicas"))
			require.Equal(t, status.Stopped, w.value(name, "web"))
			require.Contains(t, w.objects(name, "shop"), "PersistentVolumeClaim/data-shop-db-0")
		}
		s, err := w.Status(t.Context(), "shop", both)
		require.NoError(t, err)
		require.Equal(t, status.Stopped, s.Worst)
		again := w.run(deploy.KindStop, both)
		require.Equal(t, deploy.OutcomeUnchanged, again.Cluster("a").Outcome)
		require.Equal(t, []deploy.ComponentResult{{Component: "web", Outcome: deploy.OutcomeUnchanged}, {Component: "db", Outcome: deploy.OutcomeUnchanged}}, again.Cluster("a").Components)

		w.deployed(shop(t, "web:1", "web:2"), on("a"))
		require.Zero(t, w.number("a", webRef, "spec", "replicas"), "a new version does not start what is stopped")

		events = nil
		r, err := w.Run(t.Context(), "shop", on("a"), deploy.Command{Kind: deploy.KindStart}, tell)
		require.NoError(t, err)
		require.Equal(t, []string{"db", "web"}, order(events), "who is needed goes first")
		require.Equal(t, []deploy.ComponentResult{{Component: "web", Outcome: deploy.OutcomeDone}, {Component: "db", Outcome: deploy.OutcomeDone}}, r.Cluster("a").Components)
		require.Equal(t, 2, w.number("a", webRef, "spec", "replicas"))
		require.Equal(t, status.Ready, w.value("a", "web"))
		require.Equal(t, status.Stopped, w.value("b", "web"), "the other cluster was not meant")
		require.Equal(t, deploy.OutcomeUnchanged, w.run(deploy.KindStart, on("a")).Cluster("a").Outcome)

		w.run(deploy.KindStop, on("a"), "web")
		require.Equal(t, status.Stopped, w.value("a", "web"))
		require.Equal(t, status.Ready, w.value("a", "db"))
	})
}

const scaled = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
components:
  - {id: web, kind: service, image: "web:1", security: {runAsUser: 1000}, resources: {requests: {cpu: 100m}},
     scale: {auto: {min: 2, max: 9, metrics: [{cpu: {utilization: 70}}]}}}
`

func TestWhatAnAutoscalerHadGivenComesBackAfterAStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		app := decode(t, scaled)
		w.deployed(app, on("a"))
		w.scaled("a", "hpa", 7)
		time.Sleep(time.Minute)
		require.Equal(t, 7, w.number("a", webRef, "spec", "replicas"))
		w.run(deploy.KindStop, on("a"))
		require.Zero(t, w.number("a", webRef, "spec", "replicas"))
		require.NotContains(t, w.objects("a", "shop"), "HorizontalPodAutoscaler/shop-web")
		w.run(deploy.KindStop, on("a")) // which does not forget
		w.run(deploy.KindStart, on("a"))
		require.Equal(t, 7, w.number("a", webRef, "spec", "replicas"))
		require.Contains(t, w.objects("a", "shop"), "HorizontalPodAutoscaler/shop-web")
		w.scaled("a", "hpa", 3)
		p, err := w.Plan(t.Context(), app, on("a"), nil)
		require.NoError(t, err)
		require.True(t, p.Empty(), "replicas are the autoscaler's again: %s", p)
	})
}

func TestAScaleByHandStaysUntilItIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		five := 5
		_, err := w.Run(t.Context(), "shop", on("a"), deploy.Command{Kind: deploy.KindScale, Components: []string{"web"}, Replicas: &five}, nil)
		require.NoError(t, err)
		require.Equal(t, 5, w.number("a", webRef, "spec", "replicas"))
		w.deployed(shop(t, "web:1", "web:2"), on("a"))
		require.Equal(t, 5, w.number("a", webRef, "spec", "replicas"))
		w.run(deploy.KindStop, on("a"))
		w.run(deploy.KindStart, on("a"))
		require.Equal(t, 5, w.number("a", webRef, "spec", "replicas"))
		w.run(deploy.KindScale, on("a"), "web")
		require.Equal(t, 2, w.number("a", webRef, "spec", "replicas"))
	})
}

func TestARestartReplacesThePodsOnceForACommand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		before := w.podUIDs("a")
		command := deploy.Command{Kind: deploy.KindRestart, Components: []string{"web"}, At: time.Now()}
		_, err := w.Run(t.Context(), "shop", on("a"), command, nil)
		require.NoError(t, err)
		after := w.podUIDs("a")
		require.Len(t, after, len(before))
		same := 0
		for uid := range after {
			if before[uid] != "" {
				same++
				require.Contains(t, after[uid], "shop-db")
			}
		}
		require.Equal(t, 1, same, "the database was not meant")
		r, err := w.Run(t.Context(), "shop", on("a"), command, nil)
		require.NoError(t, err)
		require.Equal(t, deploy.OutcomeUnchanged, r.Cluster("a").Outcome, "the same command is the same restart")
		w.deployed(shop(t, "value: hello", "value: good day"), on("a"))
	})
}

func TestAPauseHoldsBackWhatChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		w.run(deploy.KindPause, on("a"))
		before := w.podUIDs("a")
		_, err := w.Run(t.Context(), "shop", on("a"), deploy.Command{Kind: deploy.KindImage, Images: map[string]string{"web": "registry.example.com/web:2"}},
			&deploy.ApplyOptions{Wait: deploy.WaitWritten})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Equal(t, before, w.podUIDs("a"))
		w.run(deploy.KindResume, on("a"))
		require.NotEqual(t, before, w.podUIDs("a"))
		require.Equal(t, status.Ready, w.value("a", "web"))
	})
}

func TestAnImageIsChangedRecordedAndRolledBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), both)
		before := w.get("a", webRef)["spec"]
		_, err := w.Run(t.Context(), "shop", both, deploy.Command{Kind: deploy.KindImage, Images: map[string]string{"web": "registry.example.com/web:2"}}, nil)
		require.NoError(t, err)
		text, err := json.Marshal(w.get("b", webRef)["spec"])
		require.NoError(t, err)
		require.Contains(t, string(text), "web:2")
		releases, err := w.Releases(t.Context(), "shop", on("a"))
		require.NoError(t, err)
		require.Equal(t, deploy.KindImage, releases["a"][0].Kind)
		_, err = w.Rollback(t.Context(), "shop", both, nil, nil)
		require.NoError(t, err)
		require.Equal(t, before, w.get("a", webRef)["spec"])
	})
}

func TestARedeployUndoesWhatSomebodyChanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		w.scaled("a", "kubectl", 1)
		w.run(deploy.KindRedeploy, on("a"))
		require.Equal(t, 2, w.number("a", webRef, "spec", "replicas"))
	})
}

func TestACommandThatCannotBeIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		many := 1_000_000
		for message, c := range map[string]deploy.Command{
			`there is no component "wep"; there are web, db`: {Kind: deploy.KindStop, Components: []string{"wep"}},
			"is no command":               {Kind: deploy.KindRollback},
			"name the components":         {Kind: deploy.KindScale},
			"1000000 replicas":            {Kind: deploy.KindScale, Components: []string{"web"}, Replicas: &many},
			"images belong to KindImage":  {Kind: deploy.KindImage},
			"leave Components empty":      {Kind: deploy.KindImage, Components: []string{"web"}, Images: map[string]string{"web": "x"}},
			`there is no component "api"`: {Kind: deploy.KindImage, Images: map[string]string{"api": "x"}},
		} {
			_, err := w.Run(t.Context(), "shop", on("a"), c, nil)
			require.ErrorIs(t, err, appspan.ErrInvalid, message)
			require.ErrorContains(t, err, message)
		}
		_, err := w.Run(t.Context(), "nothing", on("a"), deploy.Command{Kind: deploy.KindStop}, nil)
		require.ErrorIs(t, err, appspan.ErrNotFound)
		r, err := w.Run(t.Context(), "shop", both, deploy.Command{Kind: deploy.KindStop}, nil)
		require.ErrorContains(t, err, "b: ")
		require.Equal(t, deploy.OutcomeDone, r.Cluster("a").Outcome, "where it is, it is stopped")
		require.Equal(t, deploy.OutcomeRefused, r.Cluster("b").Outcome)
	})
}

// changers may change applications, and not deploy them.
type changers struct{}

func (changers) Authorize(_ context.Context, _ appspan.Subject, a appspan.Access) error {
	if a.Verb == appspan.VerbRead || a.Verb == appspan.VerbUpdate {
		return nil
	}
	return appspan.ErrDenied
}

func TestToStopTakesTheRightToChangeAndToGiveAnImageThatToDeploy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		d, err := deploy.New(w.set, &deploy.Options{Installation: "test", Keys: w.keys, Authorizer: changers{}})
		require.NoError(t, err)
		d = d.For(appspan.Subject{ID: "ann"})
		_, err = d.Run(t.Context(), "shop", on("a"), deploy.Command{Kind: deploy.KindStop}, nil)
		require.NoError(t, err)
		_, err = d.Run(t.Context(), "shop", on("a"), deploy.Command{Kind: deploy.KindImage, Images: map[string]string{"web": "web:9"}}, nil)
		require.ErrorIs(t, err, appspan.ErrDenied)
	})
}

func TestWhatIsAskedIsKeptAlsoWhenNoObjectChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		w.deployed(shop(t), on("a"))
		scale := func(n int) *deploy.Result {
			t.Helper()
			r, err := w.Run(t.Context(), "shop", on("a"), deploy.Command{Kind: deploy.KindScale, Components: []string{"web"}, Replicas: &n}, nil)
			require.NoError(t, err)
			return r
		}
		require.Equal(t, deploy.OutcomeDone, scale(2).Cluster("a").Outcome, "it has two, by the application")
		require.Equal(t, deploy.OutcomeUnchanged, scale(2).Cluster("a").Outcome)
		w.deployed(shop(t, "replicas: 2", "replicas: 3"), on("a"))
		require.Equal(t, 2, w.number("a", webRef, "spec", "replicas"))
		w.run(deploy.KindStop, on("a"))
		scale(4)
		require.Zero(t, w.number("a", webRef, "spec", "replicas"))
		w.run(deploy.KindStart, on("a"))
		require.Equal(t, 4, w.number("a", webRef, "spec", "replicas"))
		scale(0)
		w.run(deploy.KindStop, on("a"), "web")
		scale(1)
		require.Zero(t, w.number("a", webRef, "spec", "replicas"), "it is stopped")
	})
}
