package clustertest

import (
	"fmt"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

const (
	strict      = "KEP-2885: strict field validation"
	apiContract = "Kubernetes API validation"
)

func validationPromises() []promise {
	invalid := func(name, why, id, body string) promise {
		return promise{name: name, why: why, run: func(e *env) {
			obj := e.object(id, body)
			e.refused(appspan.ErrInvalid, obj)
			e.absent(obj.Ref)
		}}
	}
	return []promise{
		invalid("an unknown field is refused", strict, "v1 ConfigMap typo", "dada: {a: b}"),
		{name: "an unknown field is refused also by a create", why: strict, run: func(e *env) {
			e.refused(appspan.ErrInvalid, e.object("v1 ConfigMap typo", "dada: {a: b}"), driver.ApplyOptions{IfAbsent: true})
		}},
		{name: "a field that comes twice is refused", why: strict, run: func(e *env) {
			obj := e.object("v1 ConfigMap twice", "data: {a: b}")
			obj.JSON = []byte(strings.Replace(string(obj.JSON), `"a":"b"`, `"a":"b","a":"c"`, 1))
			e.refused(appspan.ErrInvalid, obj)
		}},
		invalid("a value of the wrong type is refused", apiContract, "v1 ConfigMap typed", "data: {a: [1]}"),
		invalid("a name that is none is refused", "Kubernetes: object names (RFC 1123)", "v1 ConfigMap Not_A_Name", ""),
		invalid("a label that is none is refused", "Kubernetes: labels, syntax and character set", "v1 ConfigMap labelled", "metadata: {labels: {a: 'b c'}}"),
		invalid("a negative number of replicas is refused", apiContract, "apps/v1 Deployment web", strings.Replace(deployment, "replicas: 1", "replicas: -1", 1)),
		invalid("a selector that does not select its template is refused", apiContract, "apps/v1 Deployment web", strings.Replace(deployment, "labels: {app: web}", "labels: {app: other}", 1)),
		invalid("a container without an image is refused", apiContract, "apps/v1 StatefulSet web",
			"spec: {serviceName: web, selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web}]}}}"),
		invalid("a port that is none is refused", apiContract, "v1 Service web", "spec: {ports: [{port: 70000}]}"),
		invalid("two ports of one name are refused", apiContract, "v1 Service web", "spec: {ports: [{name: a, port: 80}, {name: a, port: 81}]}"),
		invalid("a schedule that is none is refused", apiContract, "batch/v1 CronJob nightly",
			"spec: {schedule: every night, jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}}}"),
		invalid("a Job whose pods always restart is refused", apiContract, "batch/v1 Job once",
			"spec: {template: {spec: {restartPolicy: Always, containers: [{name: a, image: a}]}}}"),
		invalid("a claim without an access mode is refused", apiContract, "v1 PersistentVolumeClaim data", "spec: {resources: {requests: {storage: 1Gi}}}"),
		invalid("a quantity that is none is refused", apiContract, "v1 PersistentVolumeClaim data", "spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: much}}}"),
		{name: "an object that is too large is refused", why: "Kubernetes: a ConfigMap holds at most 1 MiB", run: func(e *env) {
			e.refused(appspan.ErrInvalid, e.object("v1 ConfigMap large", "data: {a: "+strings.Repeat("x", 1<<20+1)+"}"))
		}},
		{name: "a Ref that names another namespace than the JSON is refused", why: "driver.Object.JSON", run: func(e *env) {
			obj := e.object("v1 ConfigMap config", "")
			obj.Namespace = e.newNamespace()
			e.refused(appspan.ErrInvalid, obj)
			e.absent(obj.Ref)
		}},
		{name: "a Ref that names another name than the JSON is refused", why: "driver.Object.JSON", run: func(e *env) {
			obj := e.object("v1 ConfigMap config", "")
			obj.Name = "other"
			e.refused(appspan.ErrInvalid, obj)
			e.absent(obj.Ref)
		}},
		{name: "the selector of a Deployment is immutable", why: "Kubernetes API reference: DeploymentSpec.selector", run: func(e *env) {
			e.apply(e.object("apps/v1 Deployment web", deployment))
			e.refused(appspan.ErrInvalid, e.object("apps/v1 Deployment web", strings.ReplaceAll(deployment, "app: web", "app: other")))
		}},
		{name: "the template of a Job is immutable", why: "Kubernetes API reference: JobSpec.template", run: func(e *env) {
			job := "spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: a, image: 'example.org/a:%d'}]}}}"
			e.apply(e.object("batch/v1 Job once", fmt.Sprintf(job, 1)))
			e.refused(appspan.ErrInvalid, e.object("batch/v1 Job once", fmt.Sprintf(job, 2)))
		}},
		{name: "the claim templates of a StatefulSet are immutable", why: "Kubernetes API reference: StatefulSetSpec", run: func(e *env) {
			e.apply(e.object("apps/v1 StatefulSet data", fmt.Sprintf(statefulSet, 0, "1Gi")))
			e.refused(appspan.ErrInvalid, e.object("apps/v1 StatefulSet data", fmt.Sprintf(statefulSet, 0, "2Gi")), driver.ApplyOptions{Force: true})
		}},
		{name: "an immutable Secret stays as it is", why: "Kubernetes API reference: Secret.immutable", run: func(e *env) {
			e.apply(e.object("v1 Secret fixed", "immutable: true\nstringData: {a: one}"))
			e.refused(appspan.ErrInvalid, e.object("v1 Secret fixed", "immutable: true\nstringData: {a: two}"))
		}},
		{name: "the type of a Secret is immutable", why: "Kubernetes API reference: Secret.type", run: func(e *env) {
			e.apply(e.object("v1 Secret typed", "type: Opaque"))
			e.refused(appspan.ErrInvalid, e.object("v1 Secret typed", "type: appspan.example/other"))
		}},
		{name: "a used-up quota is exhausted", why: "appspan.ErrExhausted; Kubernetes: resource quotas", needs: workloads, run: func(e *env) {
			quota := e.object("v1 ResourceQuota none", "spec: {hard: {count/secrets: 0}}")
			e.apply(quota)
			e.until(quota.Ref, e.equal("0", "status", "hard", "count/secrets"))
			n := 0
			e.tick("the quota is enforced", func() bool { // admission hears of it after its controller
				n++
				_, err := e.c.Apply(e.ctx, e.object(fmt.Sprintf("v1 Secret early-%d", n), ""), applyOptions(nil))
				return err != nil
			})
			e.refused(appspan.ErrExhausted, e.object("v1 Secret surplus", ""))
		}},
	}
}

// statefulSet is the YAML of a StatefulSet with a claim: replicas, storage.
const statefulSet = `
spec:
  serviceName: data
  replicas: %d
  selector: {matchLabels: {app: data}}
  template:
    metadata: {labels: {app: data}}
    spec: {containers: [{name: data, image: "example.org/data:1", volumeMounts: [{name: disk, mountPath: /data}]}]}
  volumeClaimTemplates:
  - metadata: {name: disk}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: %s}}}
`

func generationPromises() []promise {
	const why = "Kubernetes API conventions: metadata.generation"
	return []promise{
		{name: "the generation rises with the spec", why: why, run: func(e *env) {
			first := e.apply(e.object("apps/v1 Deployment web", deployment))
			second := e.apply(e.object("apps/v1 Deployment web", strings.Replace(deployment, "web:1", "web:2", 1)))
			e.Equal(first.Generation+1, second.Generation)
		}},
		{name: "the generation stays with labels", why: why, run: func(e *env) {
			first := e.apply(e.object("apps/v1 Deployment web", deployment))
			second := e.apply(e.object("apps/v1 Deployment web", "metadata: {labels: {a: b}}"+deployment))
			e.Equal("b", second.Labels["a"])
			e.Equal(first.Generation, second.Generation)
		}},
		{name: "the generation stays with annotations", why: why, run: func(e *env) {
			first := e.apply(e.object("apps/v1 StatefulSet data", fmt.Sprintf(statefulSet, 0, "1Gi")))
			second := e.apply(e.object("apps/v1 StatefulSet data", "metadata: {annotations: {c: d}}"+fmt.Sprintf(statefulSet, 0, "1Gi")))
			e.Equal("d", e.at(second, "metadata", "annotations", "c"))
			e.Equal(first.Generation, second.Generation)
		}},
		{name: "the generation of a Deployment rises with its annotations", why: why + "; a Deployment's controller copies them, so that they count", run: func(e *env) {
			first := e.apply(e.object("apps/v1 Deployment web", deployment))
			second := e.apply(e.object("apps/v1 Deployment web", "metadata: {annotations: {c: d}}"+deployment))
			e.Equal(first.Generation+1, second.Generation)
		}},
		{name: "a ConfigMap has no generation", why: why + "; kinds without a spec have none", run: func(e *env) {
			e.apply(e.object("v1 ConfigMap counted", "data: {a: one}"))
			e.Zero(e.apply(e.object("v1 ConfigMap counted", "data: {a: two}")).Generation)
		}},
	}
}
