package clustertest

import (
	"encoding/base64"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

const contractApply = "driver.Cluster.Apply"

// deployment is the YAML of a Deployment's spec that every cluster accepts.
const deployment = `
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "example.org/web:1"}]}
`

func applyPromises() []promise {
	return []promise{
		{name: "apply creates what is absent", why: contractApply, run: func(e *env) {
			obj := e.object("v1 ServiceAccount fresh", "metadata: {annotations: {a: b}}")
			e.apply(obj)
			e.Equal("b", e.at(e.get(obj.Ref), "metadata", "annotations", "a"))
		}},
		{name: "apply updates what is there", why: contractApply, run: func(e *env) {
			e.apply(e.object("v1 ConfigMap updated", "data: {a: one}"))
			obj := e.object("v1 ConfigMap updated", "data: {a: two}")
			e.apply(obj)
			e.Equal("two", e.at(e.get(obj.Ref), "data", "a"))
		}},
		{name: "apply of what is so already keeps the revision", why: "KEP-555: an apply without a change is no write", run: func(e *env) {
			obj := e.object("v1 ConfigMap config", "data: {a: one}")
			first := e.apply(obj)
			e.Equal(first.Revision, e.apply(obj).Revision)
			e.Equal(first.Revision, e.get(obj.Ref).Revision)
		}},
		{name: "apply of a change raises the revision", why: "Kubernetes API concepts: resource versions", run: func(e *env) {
			first := e.apply(e.object("v1 Secret secret", "stringData: {a: one}"))
			second := e.apply(e.object("v1 Secret secret", "stringData: {a: two}"))
			e.NotEqual(first.Revision, second.Revision)
		}},
		{name: "apply returns the object as it is stored", why: contractApply, run: func(e *env) {
			obj := e.object("v1 Service front", "spec: {ports: [{port: 80}]}")
			e.JSONEq(string(e.apply(obj).JSON), string(e.get(obj.Ref).JSON))
		}},
		{name: "apply returns fields that agree with the JSON", why: "driver.Object", run: func(e *env) {
			result := e.apply(e.object("apps/v1 Deployment labelled", "metadata: {labels: {a: b}}"+deployment))
			parsed, err := driver.ParseObject(result.JSON)
			e.NoError(err)
			e.Equal(parsed, result)
			e.NotEmpty(result.UID)
			e.NotEmpty(result.Revision)
			e.Equal(map[string]string{"a": "b"}, result.Labels)
			e.Equal(int64(1), result.Generation)
		}},
		{name: "apply keeps the UID of what is there", why: "Kubernetes: object names and IDs", run: func(e *env) {
			first := e.apply(e.object("v1 Endpoints hosts", ""))
			second := e.apply(e.object("v1 Endpoints hosts", "metadata: {labels: {a: b}}"))
			e.Equal(first.UID, second.UID)
		}},
		{name: "apply makes a new UID for what comes again", why: "Kubernetes: object names and IDs", run: func(e *env) {
			obj := e.object("v1 LimitRange limits", "spec: {limits: []}")
			first := e.apply(obj)
			e.NoError(e.c.Delete(e.ctx, obj.Ref, driver.DeleteOptions{}))
			e.NotEqual(first.UID, e.apply(obj).UID)
		}},
		{name: "apply writes cluster-scoped kinds", why: contractApply, run: func(e *env) {
			obj := e.clusterwide("scheduling.k8s.io/v1 PriorityClass "+unique("priority"), "value: 7")
			e.Equal(obj.Ref, e.apply(obj).Ref)
			e.EqualValues(7, e.at(e.get(obj.Ref), "value"))
		}},
		{name: "apply shows the server's defaults", why: "Kubernetes API reference: DeploymentSpec.strategy", run: func(e *env) {
			result := e.apply(e.object("apps/v1 Deployment web", deployment))
			e.Equal("RollingUpdate", e.at(result, "spec", "strategy", "type"))
			e.Equal("Always", e.at(result, "spec", "template", "spec", "restartPolicy"))
		}},
		{name: "apply gives a Service an address", why: "Kubernetes API reference: ServiceSpec.clusterIP", run: func(e *env) {
			result := e.apply(e.object("v1 Service addressed", "spec: {ports: [{port: 80}]}"))
			e.NotEmpty(e.at(result, "spec", "clusterIP"))
			e.Equal("ClusterIP", e.at(result, "spec", "type"))
		}},
		{name: "apply keeps the bytes of a Secret", why: "Kubernetes API reference: Secret.data", run: func(e *env) {
			data := base64.StdEncoding.EncodeToString([]byte{0, 255, '\n', '"', 0xc3, 0x28})
			obj := e.object("v1 Secret bytes", "data: {raw: "+data+"}")
			e.apply(obj)
			e.Equal(data, e.at(e.get(obj.Ref), "data", "raw"))
		}},
		{name: "apply turns stringData into data", why: "Kubernetes API reference: Secret.stringData is write-only", run: func(e *env) {
			obj := e.object("v1 Secret text", "stringData: {password: swordfish}")
			result := e.apply(obj)
			e.Equal("c3dvcmRmaXNo", e.at(result, "data", "password"))
			e.Nil(e.at(result, "stringData"))
		}},
		{name: "apply does not write the status", why: "Kubernetes API conventions: status is a subresource", run: func(e *env) {
			result := e.apply(e.object("apps/v1 StatefulSet lying", `
spec:
  serviceName: lying
  replicas: 0
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "example.org/web:1"}]}}
status: {replicas: 7}
`))
			e.NotEqualValues(7, e.at(result, "status", "replicas"))
		}},
		{name: "apply in a namespace that is missing is not found", why: "Kubernetes: namespaces; appspan.ErrNotFound", run: func(e *env) {
			e.refused(appspan.ErrNotFound, e.objectIn(unique("none"), "v1 ConfigMap config", ""))
		}},
		{name: "apply of a kind that is not served is unsupported", why: "appspan.ErrUnsupported", run: func(e *env) {
			e.refused(appspan.ErrUnsupported, e.object("appspan.example/v1 Nothing none", ""))
			e.refused(appspan.ErrUnsupported, e.object("apps/v1beta1 Deployment old", deployment))
		}},
	}
}
