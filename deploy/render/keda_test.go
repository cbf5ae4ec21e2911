package render_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

var kedaKinds = []driver.KindInfo{
	{APIVersion: "keda.sh/v1alpha1", Kind: "ScaledObject", Namespaced: true},
	{APIVersion: "keda.sh/v1alpha1", Kind: "TriggerAuthentication", Namespaced: true},
}

const scaledShop = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: app}
secrets: [{name: queue, items: [{name: password, value: hidden}]}]
components:
  - {id: api, kind: service, image: i, resources: {requests: {cpu: 1}}, scale: {auto: {min: 2, max: 8, scaleDownDelay: 2m, metrics: [{cpu: {utilization: 70}}, {memory: {average: 1Gi}}]}}}
  - {id: worker, kind: service, image: i, scale: {auto: {min: 0, max: 5, scaleDownDelay: 90s, metrics: [{trigger: {type: rabbitmq, settings: {queueName: jobs, value: "20"}, secret: queue}}]}}}
  - id: office
    kind: service
    image: i
    resources: {requests: {cpu: 1}}
    scale: {auto: {min: 1, max: 6, metrics: [{cpu: {utilization: 50}}], schedules: [
      {name: day, cron: "0 8 * * *", timeZone: Asia/Shanghai, replicas: 4}, {name: noon, cron: "0 12 * * *", timeZone: Asia/Shanghai, replicas: 6}, {name: night, cron: "0 20 * * *", timeZone: Asia/Shanghai, replicas: 1}]}}
  - {id: once, kind: service, image: i, scale: {auto: {min: 1, max: 6, metrics: [{requestRate: {target: 10}}, {custom: {metric: jobs, target: 3}}], schedules: [{name: day, cron: "0 8 * * *", replicas: 4}]}}}
  - {id: idle, kind: service, image: i, scale: {auto: {min: 0, max: 6, metrics: [{concurrency: {target: 10}}]}}}
`

func TestScalingRendersToItsGoldens(t *testing.T) {
	t.Parallel()
	for name, info := range map[string]driver.Info{"keda": kinds(t, kedaKinds...), "plain": kinds(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := render.Render(edgeInput(decode(t, scaledShop), info))
			require.NoError(t, err)
			golden(t, "scaling-"+name, edgeText(t, out, "HorizontalPodAutoscaler", "ScaledObject", "TriggerAuthentication"))
			for _, o := range out.Objects {
				switch o.Kind {
				case "HorizontalPodAutoscaler":
					require.NoError(t, yaml.UnmarshalStrict(o.JSON, &autoscalingv2.HorizontalPodAutoscaler{}))
				case "Deployment":
					require.Equal(t, [][]string{{"spec", "replicas"}}, o.External, o.Ref)
				}
			}
		})
	}
}

func TestSchedulesBecomeWindowsOnlyWhereTheyFollowEachOther(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, schedules, kind, note string }{
		{"two that alternate", `{name: a, cron: "0 8 * * 1-5", replicas: 3}, {name: b, cron: "0 20 * * 1-5", replicas: 1}`, "ScaledObject", ""},
		{"one never ends", `{name: a, cron: "0 8 * * *", replicas: 3}`, "HorizontalPodAutoscaler", "two schedules or more"},
		{"zones differ", `{name: a, cron: "0 8 * * *", timeZone: Asia/Shanghai, replicas: 3}, {name: b, cron: "0 20 * * *", replicas: 1}`, "HorizontalPodAutoscaler", "one time zone"},
		{"one comes twice", `{name: a, cron: "0 8 * * 1-5", replicas: 3}, {name: b, cron: "0 20 * * *", replicas: 1}`, "HorizontalPodAutoscaler", "same order"},
		{"a word is no five fields", `{name: a, cron: "@daily", replicas: 3}, {name: b, cron: "0 20 * * *", replicas: 1}`, "HorizontalPodAutoscaler", "five fields"},
		{"more than the most", `{name: a, cron: "0 8 * * *", replicas: 9}, {name: b, cron: "0 20 * * *", replicas: 1}`, "ScaledObject", "greater max"},
		{"less than the least", `{name: a, cron: "0 8 * * *", replicas: 3}, {name: b, cron: "0 20 * * *", replicas: 0}`, "ScaledObject", "smaller min"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := podInput(t, web(`resources: {requests: {cpu: 1}}, scale: {auto: {min: 1, max: 5, metrics: [{cpu: {utilization: 70}}], schedules: [`+test.schedules+`]}}`))
			in.Info.Kinds = kedaKinds
			out, err := render.Render(in)
			require.NoError(t, err)
			var found, notes []string
			for _, o := range out.Objects {
				if o.Kind == "ScaledObject" || o.Kind == "HorizontalPodAutoscaler" {
					found = append(found, o.Kind)
				}
			}
			for _, n := range out.Notes {
				notes = append(notes, n.Message)
			}
			require.Equal(t, []string{test.kind}, found)
			require.Contains(t, strings.Join(notes, "\n"), test.note)
		})
	}
}
