package render_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy/render"
)

// single is a document with one component.
func single(kind, fields string) string {
	return "components: [{id: x, kind: " + kind + ", image: i, " + fields + "}]\n"
}

func TestWorkloads(t *testing.T) {
	t.Parallel()
	const claim = `volumes: [{name: v, kind: persistent, size: 1Gi}], mounts: [{path: /v, volume: v}], `
	testPodCases(t, []podCase{
		{name: "a service adds before it takes away", text: web(""), path: "spec strategy", want: `{"type":"RollingUpdate","rollingUpdate":{"maxSurge":"25%","maxUnavailable":0}}`},
		{name: "a service says how it is updated", text: web(`update: {maxSurge: 2, maxUnavailable: 10%, minReady: 5s, progressDeadline: 1m}`), path: "spec strategy rollingUpdate", want: `{"maxSurge":2,"maxUnavailable":"10%"}`},
		{name: "a rollout may stand still for so long", text: web(`update: {progressDeadline: 1m}`), path: "spec progressDeadlineSeconds", want: `60`},
		{name: "a replica is ready for so long before it counts", text: web(`update: {minReady: 5s}`), path: "spec minReadySeconds", want: `5`},
		{name: "a service whose volume one node writes is recreated", text: web(claim), path: "spec strategy", want: `{"type":"Recreate"}`},
		{name: "a service whose volume many nodes write is rolled", text: web(strings.Replace(claim, "1Gi", "1Gi, accessMode: ReadWriteMany", 1)), path: "spec strategy type", want: `"RollingUpdate"`},
		{name: "a recreated service", text: web(`update: {strategy: recreate}`), path: "spec strategy", want: `{"type":"Recreate"}`},
		{name: "replicas", text: web(`scale: {replicas: 3}`), path: "spec replicas", want: `3`},
		{name: "the first number of replicas is the least of autoscaling", text: web(`scale: {auto: {min: 2, max: 4, metrics: [{cpu: {utilization: 70}}]}}, resources: {requests: {cpu: 1}}`), path: "spec replicas", want: `2`},
		{name: "a stateful component rolls", text: single("stateful", ""), object: "StatefulSet/shop-x", path: "spec updateStrategy", want: `{"type":"RollingUpdate"}`},
		{name: "a stateful component may lose several at once", text: single("stateful", "update: {maxUnavailable: 2}"), object: "StatefulSet/shop-x", path: "spec updateStrategy rollingUpdate", want: `{"maxUnavailable":2}`},
		{name: "a stateful component waits for deletions", text: single("stateful", "update: {strategy: onDelete}"), object: "StatefulSet/shop-x", path: "spec updateStrategy", want: `{"type":"OnDelete"}`},
		{name: "a daemon rolls", text: single("daemon", ""), object: "DaemonSet/shop-x", path: "spec updateStrategy", want: `{"type":"RollingUpdate"}`},
		{name: "a daemon with a surge loses none", text: single("daemon", "update: {maxSurge: 1}"), object: "DaemonSet/shop-x", path: "spec updateStrategy rollingUpdate", want: `{"maxSurge":1,"maxUnavailable":0}`},
		{name: "a stateful component that is a Deployment stays one", text: single("stateful", "kubernetes: {workload: Deployment}"), object: "Deployment/shop-x", path: "spec replicas", want: `1`},
		{name: "a job says how it ends", text: single("job", "job: {retries: 0, deadline: 1h, completions: 3, parallelism: 2, ttl: 1m}"), object: "Job/shop-x-*", path: "spec backoffLimit", want: `0`},
		{name: "a job's pods are not restarted in place", text: single("job", ""), object: "Job/shop-x-*", path: podSpec + "restartPolicy", want: `"Never"`},
		{name: "a job that is run by hand is not rendered", text: single("job", "job: {runs: manual}"), object: "Job/shop-x-*"},
		{name: "a cron says when", text: single("cron", `cron: {schedule: "0 1 * * *", timeZone: Asia/Shanghai, concurrency: Forbid, startingDeadline: 15m, suspend: true, successHistory: 0, failureHistory: 2}, kubernetes: {defaults: none}, security: {level: baseline}`),
			object: "CronJob/shop-x", path: "spec", want: `{"schedule":"0 1 * * *","timeZone":"Asia/Shanghai","concurrencyPolicy":"Forbid","startingDeadlineSeconds":900,"suspend":true,"successfulJobsHistoryLimit":0,"failedJobsHistoryLimit":2,
			"jobTemplate":{"metadata":{"labels":{"app.kubernetes.io/managed-by":"appspan","app.kubernetes.io/name":"x","app.kubernetes.io/part-of":"shop","appspan.dev/application":"shop","appspan.dev/component":"x","appspan.dev/installation":"i1"}},
			"spec":{"template":{"metadata":{"labels":{"appspan.dev/application":"shop","appspan.dev/component":"x"}},"spec":{"containers":[{"name":"x","image":"i"}],"restartPolicy":"Never"}}}}}`},
	})
}

func TestAJobIsAnotherOneWhenItChanges(t *testing.T) {
	t.Parallel()
	name := func(fields, release string) string {
		in := podInput(t, single("job", fields))
		in.Release = release
		out, err := render.Render(in)
		require.NoError(t, err)
		job := dig(find(t, out, "Job/shop-x-*"), "metadata name")
		require.Len(t, job, len("shop-x-12345678"))
		return job.(string)
	}
	require.Equal(t, name("args: [a]", "1"), name("args: [a]", "2"))
	require.NotEqual(t, name("args: [a]", "1"), name("args: [b]", "1"))
	require.NotEqual(t, name("job: {runs: eachRelease}", "1"), name("job: {runs: eachRelease}", "2"))
	require.Equal(t, name("job: {runs: eachRelease}", "1"), name("job: {runs: eachRelease}", "1"))
}

func TestReplicasThatSomebodyElseMovesAreSentOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want [][]string
	}{
		"fixed":                             {single("service", "scale: {replicas: 2}"), nil},
		"autoscaled":                        {single("service", "scale: {auto: {max: 4, metrics: [{custom: {metric: m, target: 5}}]}}"), [][]string{{"spec", "replicas"}}},
		"left to the cluster":               {single("service", "") + "policies: [{path: \"components[x].scale\", policy: external}]\n", [][]string{{"spec", "replicas"}}},
		"left to the cluster for all":       {single("stateful", "") + "policies: [{path: \"components[*].scale.replicas\", policy: external}]\n", [][]string{{"spec", "replicas"}}},
		"another field left to the cluster": {single("service", "") + "policies: [{path: \"components[x].image\", policy: external}]\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := render.Render(podInput(t, c.text))
			require.NoError(t, err)
			for _, o := range out.Objects {
				if o.Phase == render.PhaseWorkload && (o.Kind == "Deployment" || o.Kind == "StatefulSet") {
					require.Equal(t, c.want, o.External)
					return
				}
			}
			require.Fail(t, "no workload")
		})
	}
}

func TestConditionsOfNeedsHoldBackTheFirstStart(t *testing.T) {
	t.Parallel()
	out, err := render.Render(podInput(t, `components:
  - {id: web, kind: service, image: i, needs: [{component: setup, condition: completed}, {component: db, condition: ready}, {component: off, condition: ready, optional: true}, {component: cache}]}
  - {id: db, kind: stateful, image: i, ports: [{port: 1}]}
  - {id: cache, kind: service, image: i, ports: [{port: 1}]}
  - {id: off, kind: service, image: i, enabled: false, ports: [{port: 1}]}
  - {id: setup, kind: job, image: i}
`))
	require.NoError(t, err)
	for _, o := range out.Objects {
		require.NotEqual(t, "off", o.Component)
		if o.Ref.Name == "shop-web" && o.Kind == "Deployment" {
			require.Equal(t, []render.Wait{{Component: "db", Condition: "ready"}, {Component: "setup", Condition: "completed"}}, o.WaitFor)
		}
	}
}

func TestWhatCannotBeRenderedIsRefused(t *testing.T) {
	t.Parallel()
	_, err := render.Render(render.Input{})
	require.ErrorIs(t, err, appspan.ErrInvalid)
	_, err = render.Render(podInput(t, single("daemon", "kubernetes: {workload: ReplicaSet}")))
	require.ErrorIs(t, err, appspan.ErrUnsupported)
	require.ErrorContains(t, err, "components[x].kubernetes.workload")
	_, err = render.Render(podInput(t, "configs: [{name: a, objectName: same}, {name: b, objectName: same}]\n"))
	require.ErrorContains(t, err, "ConfigMap ns/same is rendered twice")
}
