package status

import (
	"strings"
	"testing"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/stretchr/testify/require"
)

func TestWorkload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		api, kind, body string
		want            Value
	}{
		"a deployment that its controller has not seen":           {"apps/v1", "Deployment", `"metadata":{"name":"x","generation":2},"spec":{"replicas":1},"status":{"observedGeneration":1,"replicas":1,"updatedReplicas":1,"readyReplicas":1,"availableReplicas":1}`, Progressing},
		"a deployment whose old pods are still there":             {"apps/v1", "Deployment", `"spec":{"replicas":1},"status":{"observedGeneration":1,"replicas":2,"updatedReplicas":1,"readyReplicas":2,"availableReplicas":2}`, Progressing},
		"a deployment whose pods are ready but not available yet": {"apps/v1", "Deployment", `"spec":{"replicas":1},"status":{"observedGeneration":1,"replicas":1,"updatedReplicas":1,"readyReplicas":1}`, Progressing},
		"a deployment past its deadline":                          {"apps/v1", "Deployment", `"spec":{"replicas":1},"status":{"observedGeneration":1,"replicas":1,"conditions":[{"type":"Progressing","status":"False","reason":"ProgressDeadlineExceeded"}]}`, Failed},
		"a deployment without pods to stop":                       {"apps/v1", "Deployment", `"spec":{"replicas":0},"status":{"observedGeneration":1,"replicas":1}`, Progressing},
		"a paused deployment whose change is held back":           {"apps/v1", "Deployment", `"spec":{"replicas":1,"paused":true},"status":{"observedGeneration":1,"replicas":1,"readyReplicas":1,"availableReplicas":1}`, Ready},
		"a deployment that was paused half-way":                   {"apps/v1", "Deployment", `"spec":{"replicas":1,"paused":true},"status":{"observedGeneration":1,"replicas":2,"updatedReplicas":1,"readyReplicas":2,"availableReplicas":2}`, Ready},
		"a paused deployment that lacks replicas":                 {"apps/v1", "Deployment", `"spec":{"replicas":2,"paused":true},"status":{"observedGeneration":1,"replicas":1,"readyReplicas":1,"availableReplicas":1}`, Progressing},
		"a stateful set above its partition":                      {"apps/v1", "StatefulSet", `"spec":{"replicas":3,"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":2}}},"status":{"observedGeneration":1,"replicas":3,"updatedReplicas":1,"readyReplicas":3,"availableReplicas":3}`, Ready},
		"a stateful set below its partition":                      {"apps/v1", "StatefulSet", `"spec":{"replicas":3,"updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":1}}},"status":{"observedGeneration":1,"replicas":3,"updatedReplicas":1,"readyReplicas":3,"availableReplicas":3}`, Progressing},
		"a stateful set updated on delete":                        {"apps/v1", "StatefulSet", `"spec":{"replicas":1,"updateStrategy":{"type":"OnDelete"}},"status":{"observedGeneration":1,"replicas":1,"readyReplicas":1,"availableReplicas":1}`, Ready},
		"a daemon set that is rolled out":                         {"apps/v1", "DaemonSet", `"status":{"observedGeneration":1,"desiredNumberScheduled":2,"currentNumberScheduled":2,"updatedNumberScheduled":1,"numberReady":2,"numberAvailable":2}`, Progressing},
		"a daemon set on every node":                              {"apps/v1", "DaemonSet", `"status":{"observedGeneration":1,"desiredNumberScheduled":2,"currentNumberScheduled":2,"updatedNumberScheduled":2,"numberReady":2,"numberAvailable":2}`, Ready},
		"a job under way":                                         {"batch/v1", "Job", `"status":{"active":1}`, Progressing},
		"a job past its deadline":                                 {"batch/v1", "Job", `"status":{"conditions":[{"type":"Failed","status":"True","reason":"DeadlineExceeded"}]}`, Failed},
		"a suspended cron job":                                    {"batch/v1", "CronJob", `"spec":{"suspend":true}`, Stopped},
		"a claim that waits for its first pod":                    {"v1", "PersistentVolumeClaim", `"status":{"phase":"Pending"}`, Progressing},
		"a lost claim":                                            {"v1", "PersistentVolumeClaim", `"status":{"phase":"Lost"}`, Failed},
		"a load balancer without an address":                      {"v1", "Service", `"spec":{"type":"LoadBalancer"}`, Progressing},
		"a service inside of the cluster":                         {"v1", "Service", `"spec":{"type":"ClusterIP"}`, Ready},
		"a Knative Service that failed":                           {"serving.knative.dev/v1", "Service", `"status":{"observedGeneration":1,"conditions":[{"type":"Ready","status":"False","reason":"RevisionFailed"}]}`, Failed},
		"a Knative Service under way":                             {"serving.knative.dev/v1", "Service", `"status":{"observedGeneration":1,"conditions":[{"type":"Ready","status":"Unknown"}]}`, Progressing},
		"a new Knative Service":                                   {"serving.knative.dev/v1", "Service", `"spec":{}`, Progressing},
		"a foreign kind that is ready":                            {"example.org/v1", "Cache", `"status":{"conditions":[{"type":"Ready","status":"True"}]}`, Ready},
		"a foreign kind that says nothing":                        {"example.org/v1", "Cache", `"status":{}`, Unknown},
		"a config map":                                            {"v1", "ConfigMap", `"data":{}`, Ready},
	} {
		obj := driver.Object{Ref: driver.Ref{APIVersion: c.api, Kind: c.kind, Name: "x"}, JSON: []byte("{" + c.body + "}")}
		require.Equal(t, c.want, Workload(obj).Value, name)
		obj.Deleting = true
		require.NotEqual(t, Ready, Workload(obj).Value, name)
		obj.Deleting, obj.JSON = false, []byte("[")
		require.Equal(t, Unknown, Workload(obj).Value, name)
	}
}

func TestOptionalComponentsCapAtDegraded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		components []Component
		want       Value
	}{
		{[]Component{{Value: Ready}, {Value: Failed, Optional: true}}, Degraded},
		{[]Component{{Value: Ready}, {Value: Absent, Optional: true}}, Degraded},
		{[]Component{{Value: Failed}, {Value: Failed, Optional: true}}, Failed},
		{[]Component{{Value: Ready}, {Value: Stopped}}, Ready},
		{[]Component{{Value: Stopped}, {Value: Stopped}}, Stopped},
		{[]Component{{Value: Ready}, {Value: Unknown}}, Unknown},
		{nil, Unknown},
	} {
		require.Equal(t, c.want, overall(c.components), "%v", c.components)
	}
}

func TestMessagesFromClustersDoNotReachTheTerminalRaw(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a [31mb c", line("a \x1b[31mb\n\tc\u009b"))
	require.Len(t, []rune(line(strings.Repeat("x", 1000))), 300)
}
