package clustertest

import (
	"fmt"
	"strings"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// condition reads the status of a condition, "" when there is none.
func (e *env) condition(obj driver.Object, kind string) (status, reason string) {
	e.t.Helper()
	list, _ := e.at(obj, "status", "conditions").([]any)
	for i := range list {
		if e.at(obj, "status", "conditions", i, "type") == kind {
			status, _ = e.at(obj, "status", "conditions", i, "status").(string)
			reason, _ = e.at(obj, "status", "conditions", i, "reason").(string)
		}
	}
	return status, reason
}

// complete waits until a Deployment has rolled out completely.
func (e *env) complete(ref driver.Ref, replicas int) driver.Object {
	e.t.Helper()
	return e.until(ref, func(o driver.Object) bool {
		for _, field := range []string{"replicas", "updatedReplicas", "readyReplicas", "availableReplicas"} {
			if e.at(o, "status", field) != float64(replicas) {
				return false
			}
		}
		return e.at(o, "status", "observedGeneration") == float64(o.Generation)
	})
}

func (e *env) pods(labels string) []driver.Object {
	e.t.Helper()
	return e.list(driver.Query{APIVersion: "v1", Kind: "Pod", Labels: labels}).Items
}

func workloadPromises() []promise {
	const why = "Kubernetes: workload management"
	// two is a Deployment of two replicas.
	two := strings.Replace(deployment, "replicas: 1", "replicas: 2", 1)
	list := []promise{
		{name: "a Deployment becomes available", why: why, run: func(e *env) {
			obj := e.apply(e.object("apps/v1 Deployment web", two))
			status, _ := e.condition(e.complete(obj.Ref, 2), "Available")
			e.Equal("True", status)
		}},
		{name: "a Deployment's observed generation follows", why: why, run: func(e *env) {
			obj := e.apply(e.object("apps/v1 Deployment web", "metadata: {annotations: {about: observation}}"+deployment))
			e.until(obj.Ref, e.equal(float64(1), "status", "observedGeneration"))
			e.apply(e.object("apps/v1 Deployment web", "metadata: {annotations: {about: observation}}"+two))
			e.until(obj.Ref, e.equal(float64(2), "status", "observedGeneration"))
		}},
		{name: "a Deployment rolls its pods when the template changes", why: why, run: func(e *env) {
			obj := e.apply(e.object("apps/v1 Deployment web", deployment))
			e.complete(obj.Ref, 1)
			e.apply(e.object("apps/v1 Deployment web", strings.Replace(deployment, "web:1", "web:2", 1)))
			e.complete(obj.Ref, 1)
			e.tick("old pods are still there", func() bool {
				pods := e.pods("app=web")
				return len(pods) == 1 && e.at(pods[0], "spec", "containers", 0, "image") == "example.org/web:2"
			})
		}},
		{name: "a Deployment's pods are owned through a ReplicaSet", why: why + ", owner references", run: func(e *env) {
			obj := e.apply(e.object("apps/v1 Deployment web", deployment))
			e.complete(obj.Ref, 1)
			set := e.list(driver.Query{APIVersion: "apps/v1", Kind: "ReplicaSet", Labels: "app=web"}).Items[0]
			e.Equal(obj.UID, e.at(set, "metadata", "ownerReferences", 0, "uid"))
			e.Equal(set.UID, e.at(e.pods("app=web")[0], "metadata", "ownerReferences", 0, "uid"))
		}},
		{name: "a Deployment of no replicas has no pods", why: why, run: func(e *env) {
			obj := e.apply(e.object("apps/v1 Deployment web", two))
			e.complete(obj.Ref, 2)
			e.apply(e.object("apps/v1 Deployment web", strings.Replace(deployment, "replicas: 1", "replicas: 0", 1)))
			e.tick("pods are still there", func() bool { return len(e.pods("app=web")) == 0 })
		}},
		{name: "a Deployment whose pods find no node says so", why: "Kubernetes: pod conditions, PodScheduled", run: func(e *env) {
			e.apply(e.object("apps/v1 Deployment web", strings.Replace(deployment, "containers:", "nodeSelector: {appspan.example/none: 'yes'}, containers:", 1)))
			e.tick("no pod is unschedulable", func() bool {
				pods := e.pods("app=web")
				if len(pods) == 0 {
					return false
				}
				status, reason := e.condition(pods[0], "PodScheduled")
				return status == "False" && reason == "Unschedulable"
			})
		}},
		{name: "a pod runs on a node with an address", why: "Kubernetes API reference: PodStatus", run: func(e *env) {
			obj := e.apply(e.object("apps/v1 Deployment web", deployment))
			e.complete(obj.Ref, 1)
			pod := e.pods("app=web")[0]
			e.Equal("Running", e.at(pod, "status", "phase"))
			e.NotEmpty(e.at(pod, "spec", "nodeName"))
			e.NotEmpty(e.at(pod, "status", "podIP"))
		}},
		{name: "a StatefulSet numbers its pods", why: why + ", StatefulSets", run: func(e *env) {
			obj := e.apply(e.object("apps/v1 StatefulSet data", fmt.Sprintf(statefulSet, 2, "1Gi")))
			e.until(obj.Ref, e.equal(float64(2), "status", "readyReplicas"))
			e.Equal([]string{"data-0", "data-1"}, names(e.pods("app=data")))
		}},
		{name: "a StatefulSet's claims are bound", why: why + ", StatefulSets", run: func(e *env) {
			obj := e.apply(e.object("apps/v1 StatefulSet data", fmt.Sprintf(statefulSet, 1, "1Gi")))
			e.until(obj.Ref, e.equal(float64(1), "status", "readyReplicas"))
			e.until(e.claim("disk-data-0"), e.equal("Bound", "status", "phase"))
		}},
		{name: "a StatefulSet leaves its claims", why: why + ", StatefulSets; persistentVolumeClaimRetentionPolicy is Retain", run: func(e *env) {
			obj := e.apply(e.object("apps/v1 StatefulSet data", fmt.Sprintf(statefulSet, 1, "2Gi")))
			e.until(obj.Ref, e.equal(float64(1), "status", "readyReplicas"))
			e.remove(obj.Ref)
			e.tick("pods are still there", func() bool { return len(e.pods("app=data")) == 0 })
			e.False(e.get(e.claim("disk-data-0")).Deleting)
		}},
		{name: "a DaemonSet has a pod on each node", why: why + ", DaemonSets", run: func(e *env) {
			obj := e.apply(e.object("apps/v1 DaemonSet agent",
				"spec: {selector: {matchLabels: {app: agent}}, template: {metadata: {labels: {app: agent}}, spec: {containers: [{name: a, image: 'example.org/a:1'}]}}}"))
			live := e.until(obj.Ref, func(o driver.Object) bool {
				wanted, _ := e.at(o, "status", "desiredNumberScheduled").(float64)
				return wanted > 0 && e.at(o, "status", "numberReady") == wanted && e.at(o, "status", "observedGeneration") == float64(o.Generation)
			})
			nodes := map[any]bool{}
			for _, pod := range e.pods("app=agent") {
				nodes[e.at(pod, "spec", "nodeName")] = true
			}
			e.EqualValues(len(nodes), e.at(live, "status", "desiredNumberScheduled"))
		}},
		{name: "a Job completes", why: why + ", Jobs", run: func(e *env) {
			obj := e.apply(e.object("batch/v1 Job once", "spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: 'example.org/a:1'}]}}}"))
			e.until(obj.Ref, func(o driver.Object) bool {
				status, _ := e.condition(o, "Complete")
				return status == "True" && e.at(o, "status", "succeeded") == float64(1)
			})
		}},
		{name: "a CronJob is taken and waits", why: why + ", CronJobs", run: func(e *env) {
			obj := e.apply(e.object("batch/v1 CronJob yearly",
				"spec: {schedule: '0 0 1 1 *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: 'example.org/a:1'}]}}}}}"))
			e.Equal("Allow", e.at(e.get(obj.Ref), "spec", "concurrencyPolicy"))
			e.Empty(e.list(driver.Query{APIVersion: "batch/v1", Kind: "Job"}).Items)
		}},
		{name: "a Service has its ready pods as endpoints", why: "Kubernetes: EndpointSlices", run: func(e *env) {
			obj := e.apply(e.object("apps/v1 Deployment web", two))
			e.apply(e.object("v1 Service front", "spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}"))
			e.complete(obj.Ref, 2)
			e.tick("two ready endpoints", func() bool {
				slices := e.list(driver.Query{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice", Labels: "kubernetes.io/service-name=front"}).Items
				if len(slices) != 1 || e.at(slices[0], "ports", 0, "port") != float64(8080) {
					return false
				}
				list, _ := e.at(slices[0], "endpoints").([]any)
				for i := range list {
					if e.at(slices[0], "endpoints", i, "conditions", "ready") != true {
						return false
					}
				}
				return len(list) == 2
			})
		}},
		{name: "an autoscaler is taken", why: "Kubernetes API reference: autoscaling/v2", run: func(e *env) {
			e.apply(e.object("apps/v1 Deployment web", deployment))
			obj := e.apply(e.object("autoscaling/v2 HorizontalPodAutoscaler web", `
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 1
  maxReplicas: 3
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}}]
`))
			e.until(obj.Ref, func(o driver.Object) bool {
				status, _ := e.condition(o, "AbleToScale")
				return status == "True"
			})
		}},
		{name: "a disruption budget counts healthy pods", why: "Kubernetes: disruptions", run: func(e *env) {
			obj := e.apply(e.object("apps/v1 Deployment web", two))
			e.complete(obj.Ref, 2)
			budget := e.apply(e.object("policy/v1 PodDisruptionBudget web", "spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}"))
			e.until(budget.Ref, func(o driver.Object) bool {
				return e.at(o, "status", "currentHealthy") == float64(2) && e.at(o, "status", "disruptionsAllowed") == float64(1)
			})
		}},
		{name: "a new namespace gets a service account", why: "Kubernetes: service accounts", run: func(e *env) {
			e.until(driver.Ref{APIVersion: "v1", Kind: "ServiceAccount", Namespace: e.namespace(), Name: "default"}, func(driver.Object) bool { return true })
		}},
	}
	for i := range list {
		list[i].needs = workloads
	}
	return list
}

func (e *env) claim(name string) driver.Ref {
	return driver.Ref{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: e.namespace(), Name: name}
}

func storagePromises() []promise {
	return []promise{
		{name: "a claim that a pod uses is bound", why: "Kubernetes: persistent volumes", needs: workloads, run: func(e *env) {
			obj := e.apply(e.object("v1 PersistentVolumeClaim disk", "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}"))
			e.apply(e.object("batch/v1 Job user", `
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: a, image: "example.org/a:1", volumeMounts: [{name: disk, mountPath: /data}]}]
      volumes: [{name: disk, persistentVolumeClaim: {claimName: disk}}]
`))
			live := e.until(obj.Ref, e.equal("Bound", "status", "phase"))
			e.NotEmpty(e.at(live, "spec", "volumeName"))
		}},
		{name: "a claim of a class that is missing waits", why: "Kubernetes: persistent volumes", needs: workloads, run: func(e *env) {
			obj := e.apply(e.object("v1 PersistentVolumeClaim disk", claim))
			e.until(obj.Ref, e.equal("Pending", "status", "phase"))
		}},
	}
}
