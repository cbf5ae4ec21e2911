package deploy_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
)

const withMigration = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
components:
  - {id: web, kind: service, image: "registry.example.com/web:1", ports: [{name: http, port: 8080}]}
  - {id: migrate, kind: job, image: "registry.example.com/web:1", job: {ttl: 30s}}
`

func TestAJobThatWasCleanedUpHasRunAndIsNotRunAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		app := decode(t, withMigration)
		_, err := w.Deploy(t.Context(), app, both, nil)
		require.NoError(t, err)
		require.Len(t, jobsOn(t, w, "a"), 1)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Empty(t, jobsOn(t, w, "a"), "the cluster cleans it up")

		s, err := w.Status(t.Context(), "shop", both)
		require.NoError(t, err)
		require.Equal(t, status.Ready, s.Worst, s.Tree(nil))

		r, err := w.Deploy(t.Context(), app, both, nil)
		require.NoError(t, err)
		require.Equal(t, deploy.OutcomeUnchanged, r.Clusters[0].Outcome)
		require.Empty(t, jobsOn(t, w, "a"))

		app.Components[0].Image = "registry.example.com/web:2"
		_, err = w.Deploy(t.Context(), app, both, nil)
		require.NoError(t, err)
		require.Empty(t, jobsOn(t, w, "a"), "another component's change is no reason to run it")

		app.Components[1].Image = "registry.example.com/web:2"
		_, err = w.Deploy(t.Context(), app, both, nil)
		require.NoError(t, err)
		require.Len(t, jobsOn(t, w, "a"), 1, "its own is")
	})
}

func TestAJobThatFailedIsRunAgainThoughItWasCleanedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := two(t)
		app := decode(t, withMigration)
		app.Components[1].Image = "registry.example.com/gone:1"
		w.fakes["a"].Script(fake.Script{Failure: fake.ImagePull, Image: "registry.example.com/gone:1"})
		app.Components[1].Job.Deadline = app.Components[1].Job.TTL
		_, err := w.Deploy(t.Context(), app, on("a"), nil)
		require.ErrorIs(t, err, deploy.ErrNotReady)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Empty(t, jobsOn(t, w, "a"))
		p, err := w.Plan(t.Context(), app, on("a"), nil)
		require.NoError(t, err)
		require.Len(t, p.Clusters[0].Changes, 1)
		require.Equal(t, deploy.ActionCreate, p.Clusters[0].Changes[0].Action)
	})
}

func jobsOn(t *testing.T, w *world, name string) []driver.Object {
	t.Helper()
	page, err := w.fakes[name].List(t.Context(), driver.Query{APIVersion: "batch/v1", Kind: "Job", Namespace: "shop"})
	require.NoError(t, err)
	return page.Items
}
