package team_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/team"
)

const pod = `{containers: [{name: x, image: x, resources: {requests: {cpu: 500m, memory: 1Gi}}}]}`

func TestDemand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		objects string
		opts    team.DemandOptions
		want    cluster.Amounts
	}{
		{"a deployment that is made anew asks for its replicas",
			`{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {replicas: 3, strategy: {type: Recreate}, template: {spec: ` + pod + `}}}`,
			team.DemandOptions{}, cluster.Amounts{"cpu": "1500m", "memory": "3Gi", "pods": "3"}},
		{"a rolling update adds a quarter, rounded up",
			`{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {replicas: 5, template: {spec: ` + pod + `}}}`,
			team.DemandOptions{}, cluster.Amounts{"cpu": "3500m", "memory": "7Gi", "pods": "7"}},
		{"or what it says",
			`{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {replicas: 5, strategy: {rollingUpdate: {maxSurge: 1}}, template: {spec: ` + pod + `}}}`,
			team.DemandOptions{}, cluster.Amounts{"cpu": "3", "memory": "6Gi", "pods": "6"}},
		{"which can be left out",
			`{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {template: {spec: ` + pod + `}}}`,
			team.DemandOptions{WithoutSurge: true}, cluster.Amounts{"cpu": "500m", "memory": "1Gi", "pods": "1"}},
		{"an autoscaler may make more of it, in whatever order they come",
			`{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: x}, spec: {maxReplicas: 4, scaleTargetRef: {kind: Deployment, name: x}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {replicas: 2, strategy: {type: Recreate}, template: {spec: ` + pod + `}}}`,
			team.DemandOptions{}, cluster.Amounts{"cpu": "2", "memory": "4Gi", "pods": "4"}},
		{"one that is stopped asks for nothing",
			`{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {replicas: 0, template: {spec: ` + pod + `}}}`,
			team.DemandOptions{}, cluster.Amounts{}},
		{"a stateful set asks for claims",
			`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x}, spec: {replicas: 2, template: {spec: ` + pod + `}, volumeClaimTemplates: [{metadata: {name: d}, spec: {resources: {requests: {storage: 10Gi}}}}]}}`,
			team.DemandOptions{}, cluster.Amounts{"cpu": "1", "memory": "2Gi", "pods": "2", "storage": "20Gi", "persistentvolumeclaims": "2"}},
		{"a daemon set is on every node",
			`{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: x}, spec: {template: {spec: ` + pod + `}}}`,
			team.DemandOptions{Nodes: 3}, cluster.Amounts{"cpu": "1500m", "memory": "3Gi", "pods": "3"}},
		{"a job runs no more at once than it completes",
			`{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {parallelism: 5, completions: 2, template: {spec: ` + pod + `}}}`,
			team.DemandOptions{}, cluster.Amounts{"cpu": "1", "memory": "2Gi", "pods": "2"}},
		{"a cron job may run late beside the next one",
			`{apiVersion: batch/v1, kind: CronJob, metadata: {name: x}, spec: {jobTemplate: {spec: {template: {spec: ` + pod + `}}}}}`,
			team.DemandOptions{}, cluster.Amounts{"cpu": "1", "memory": "2Gi", "pods": "2"}},
		{"unless it is forbidden to",
			`{apiVersion: batch/v1, kind: CronJob, metadata: {name: x}, spec: {concurrencyPolicy: Forbid, jobTemplate: {spec: {template: {spec: ` + pod + `}}}}}`,
			team.DemandOptions{}, cluster.Amounts{"cpu": "500m", "memory": "1Gi", "pods": "1"}},
		{"containers without requests ask for the defaults, those with limits for these",
			`{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: a}, {name: b, resources: {limits: {cpu: "2"}}}]}}`,
			team.DemandOptions{Defaults: cluster.Amounts{"cpu": "100m", "memory": "64Mi"}}, cluster.Amounts{"cpu": "2100m", "memory": "128Mi", "pods": "1"}},
		{"an init container counts where it asks for more, a sidecar always",
			`{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {initContainers: [{name: i, resources: {requests: {cpu: "3"}}}, {name: s, restartPolicy: Always, resources: {requests: {cpu: "1"}}}], containers: [{name: a, resources: {requests: {cpu: "1"}}}]}}`,
			team.DemandOptions{}, cluster.Amounts{"cpu": "3", "pods": "1"}},
		{"devices and load balancers count",
			`{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: a, resources: {limits: {example.com/gpu: 2}}}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {type: LoadBalancer}}`,
			team.DemandOptions{}, cluster.Amounts{"example.com/gpu": "2", "pods": "1", "services.loadbalancers": "1"}},
		{"a function may scale, once for each of two revisions",
			`{apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: x}, spec: {template: {metadata: {annotations: {autoscaling.knative.dev/max-scale: "3"}}, spec: ` + pod + `}}}`,
			team.DemandOptions{}, cluster.Amounts{"cpu": "3", "memory": "6Gi", "pods": "6"}},
		{"KEDA may make more of it",
			`{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: x}, spec: {maxReplicaCount: 4, scaleTargetRef: {name: x}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {strategy: {type: Recreate}, template: {spec: ` + pod + `}}}`,
			team.DemandOptions{}, cluster.Amounts{"cpu": "2", "memory": "4Gi", "pods": "4"}},
		{"fields have one spelling",
			`{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {replicas: 2, Replicas: 1, strategy: {type: Recreate}, template: {spec: ` + pod + `}}, Spec: {}}`,
			team.DemandOptions{}, cluster.Amounts{"cpu": "1", "memory": "2Gi", "pods": "2"}},
		{"configuration asks for nothing", `{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}`, team.DemandOptions{}, cluster.Amounts{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := team.Demand(parse(t, c.objects), &c.opts)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	_, err := team.Demand(parse(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {replicas: many}}`), nil)
	require.ErrorIs(t, err, appspan.ErrInvalid)
}

// parse reads YAML documents.
func parse(t testing.TB, text string) []driver.Object {
	t.Helper()
	var out []driver.Object
	for _, doc := range documents(text) {
		data, err := yaml.YAMLToJSON([]byte(doc))
		require.NoError(t, err, doc)
		obj, err := driver.ParseObject(data)
		require.NoError(t, err, doc)
		out = append(out, obj)
	}
	return out
}
