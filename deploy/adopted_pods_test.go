package deploy_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel/manifests"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
)

// TestPodsOfAdoptedJobsAreFound: what ran before it was taken over carries no
// label of the application, and is its all the same.
func TestPodsOfAdoptedJobsAreFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		metrics := []fake.ExtraKind{{APIVersion: "metrics.k8s.io/v1beta1", Kind: "PodMetrics", Resource: "pods", NoStatus: true}}
		w := newWorld(t, map[string]*fake.Options{"a": {ExtraKinds: metrics}})
		apply := func(text string) {
			obj, err := driver.ParseObject([]byte(text))
			require.NoError(t, err)
			_, err = w.fakes["a"].Apply(t.Context(), obj, driver.ApplyOptions{Manager: "kubectl"})
			require.NoError(t, err)
		}
		for _, text := range []string{
			`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}`,
			`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"import","namespace":"shop"},"spec":{
				"template":{"metadata":{"labels":{"app":"batch"}},"spec":{"restartPolicy":"Never","containers":[{"name":"loader","image":"example.org/import:1"}]}}}}`,
			`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"plain","namespace":"shop"},"spec":{
				"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"clerk","image":"example.org/plain:1"}]}}}}`,
			`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"report","namespace":"shop"},"spec":{"schedule":"0 * * * *","jobTemplate":{"spec":{
				"template":{"metadata":{"labels":{"app":"batch"}},"spec":{"restartPolicy":"Never","containers":[{"name":"writer","image":"example.org/report:1"}]}}}}}}`,
		} {
			apply(text)
		}
		time.Sleep(90 * time.Minute)
		synctest.Wait()
		data, err := w.Existing(t.Context(), on("a"), nil)
		require.NoError(t, err)
		app, _, err := manifests.Import(t.Context(), data, &manifests.Options{Name: "shop"})
		require.NoError(t, err)
		apply(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"other","namespace":"shop"},"spec":{
			"template":{"metadata":{"labels":{"app":"batch"}},"spec":{"restartPolicy":"Never","containers":[{"name":"stranger","image":"example.org/other:1"}]}}}}`)
		synctest.Wait()
		before := w.podUIDs("a")
		require.Len(t, before, 4)
		p, err := w.Plan(t.Context(), app, on("a"), &deploy.PlanOptions{Adopt: true})
		require.NoError(t, err)
		_, err = w.Apply(t.Context(), p, nil)
		require.NoError(t, err)
		require.Equal(t, before, w.podUIDs("a"), "nothing runs again")
		heard := map[string]string{}
		for line, err := range w.Logs(t.Context(), "shop", on("a"), nil) {
			require.NoError(t, err)
			heard[line.Component] = line.Text
		}
		require.Equal(t, map[string]string{"import": "loader: done", "plain": "clerk: done", "report": "writer: done"}, heard)

		for _, component := range []string{"import", "plain", "report"} { // they have run: a pod is found, and none is ready
			err := w.Exec(t.Context(), "shop", on("a"), &deploy.ExecOptions{Component: component, Command: []string{"true"}})
			require.ErrorIs(t, err, appspan.ErrPrecondition, component)
		}
		usage, err := w.Usage(t.Context(), "shop", on("a"))
		require.NoError(t, err)
		require.Len(t, usage[0].Unmeasured, 3)

		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
		defer cancel()
		runs := map[string]int{}
		for line, err := range w.Logs(ctx, "shop", on("a"), &deploy.LogOptions{Follow: true}) {
			if err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				break
			}
			if strings.HasSuffix(line.Text, ": done") {
				runs[line.Component]++
			}
		}
		require.Equal(t, map[string]int{"import": 1, "plain": 1, "report": 3}, runs, "two come while they are followed")
	})
}
