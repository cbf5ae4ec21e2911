package clustertest

import (
	"encoding/json"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

func (e *env) getSub(ref driver.Ref, sub string) json.RawMessage {
	e.t.Helper()
	c, _ := driver.As[driver.Subresourcer](e.c)
	data, err := c.GetSub(e.ctx, ref, sub)
	e.NoError(err)
	return data
}

func (e *env) updateSub(ref driver.Ref, sub, patch string) json.RawMessage {
	e.t.Helper()
	c, _ := driver.As[driver.Subresourcer](e.c)
	data, err := c.UpdateSub(e.ctx, ref, sub, json.RawMessage(patch))
	e.NoError(err)
	return data
}

func subresourcePromises() []promise {
	const scale = "Kubernetes API reference: autoscaling/v1 Scale"
	const status = "Kubernetes API conventions: status is a subresource"
	list := []promise{
		{name: "scale shows the replicas", why: scale, run: func(e *env) {
			data := e.getSub(e.apply(e.object("apps/v1 Deployment web", deployment)).Ref, "scale")
			e.EqualValues(1, e.in(data, "spec", "replicas"))
			e.Equal("Scale", e.in(data, "kind"))
		}},
		{name: "scale sets the replicas", why: scale, run: func(e *env) {
			obj := e.apply(e.object("apps/v1 Deployment scaled", deployment))
			e.EqualValues(3, e.in(e.updateSub(obj.Ref, "scale", `{"spec":{"replicas":3}}`), "spec", "replicas"))
			e.EqualValues(3, e.at(e.get(obj.Ref), "spec", "replicas"))
		}},
		{name: "scale makes another manager of the replicas", why: scale + "; " + ssa, run: func(e *env) {
			web := e.object("apps/v1 StatefulSet web", `
spec:
  serviceName: web
  replicas: 0
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: "example.org/web:1"}]}}
`)
			e.apply(web)
			e.updateSub(web.Ref, "scale", `{"spec":{"replicas":1}}`)
			live := e.get(web.Ref)
			e.Contains(string(live.JSON), `"subresource":"scale"`)
			e.NotContains(e.owners(live, "f:spec", "f:replicas"), mine)
		}},
		{name: "scale raises the generation", why: scale, run: func(e *env) {
			obj := e.apply(e.object("apps/v1 Deployment counted", deployment))
			e.updateSub(obj.Ref, "scale", `{"spec":{"replicas":3}}`)
			e.Greater(e.get(obj.Ref).Generation, obj.Generation)
		}},
		{name: "scale refuses a negative number", why: scale, run: func(e *env) {
			obj := e.apply(e.object("apps/v1 Deployment web", deployment))
			c, _ := driver.As[driver.Subresourcer](e.c)
			_, err := c.UpdateSub(e.ctx, obj.Ref, "scale", json.RawMessage(`{"spec":{"replicas":-1}}`))
			e.ErrorIs(err, appspan.ErrInvalid)
		}},
		{name: "scale of what is missing is not found", why: scale, run: func(e *env) {
			c, _ := driver.As[driver.Subresourcer](e.c)
			_, err := c.GetSub(e.ctx, e.object("apps/v1 Deployment missing", deployment).Ref, "scale")
			e.ErrorIs(err, appspan.ErrNotFound)
		}},
		{name: "an update of the status sets it", why: status, run: func(e *env) {
			obj := e.apply(e.object("v1 PersistentVolumeClaim pending", claim))
			e.updateSub(obj.Ref, "status", `{"status":{"conditions":[{"type":"FileSystemResizePending","status":"True","lastProbeTime":null,"lastTransitionTime":null}]}}`)
			e.Equal("FileSystemResizePending", e.at(e.get(obj.Ref), "status", "conditions", 0, "type"))
		}},
		{name: "an update of the status changes no spec", why: status, run: func(e *env) {
			obj := e.apply(e.object("networking.k8s.io/v1 Ingress web", ingress))
			e.updateSub(obj.Ref, "status", `{"spec":{"ingressClassName":"other"},"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}}`)
			e.Equal("appspan-none", e.at(e.get(obj.Ref), "spec", "ingressClassName"))
		}},
		{name: "an update of the status keeps the generation", why: status, run: func(e *env) {
			obj := e.apply(e.object("networking.k8s.io/v1 Ingress web", ingress))
			e.updateSub(obj.Ref, "status", `{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.2"}]}}}`)
			live := e.get(obj.Ref)
			e.NotEqual(obj.Revision, live.Revision)
			e.Equal(obj.Generation, live.Generation)
		}},
		{name: "a subresource that the kind does not have is unsupported", why: "appspan.ErrUnsupported", run: func(e *env) {
			obj := e.apply(e.object("v1 ConfigMap plain", ""))
			c, _ := driver.As[driver.Subresourcer](e.c)
			_, err := c.GetSub(e.ctx, obj.Ref, "scale")
			e.ErrorIs(err, appspan.ErrUnsupported)
		}},
		{name: "an eviction removes a pod", why: "Kubernetes: API-initiated eviction", run: func(e *env) {
			pod := e.apply(e.object("v1 Pod evicted", "spec: {schedulingGates: [{name: appspan.example/wait}], automountServiceAccountToken: false, containers: [{name: a, image: 'example.org/a:1'}]}"))
			c, _ := driver.As[driver.Subresourcer](e.c)
			body, err := json.Marshal(map[string]any{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": map[string]string{"name": pod.Name, "namespace": pod.Namespace}})
			e.NoError(err)
			_, err = c.CreateSub(e.ctx, pod.Ref, "eviction", body)
			e.NoError(err)
			e.gone(pod.Ref)
		}},
	}
	for i := range list {
		list[i].needs = subresources
	}
	// A pod needs the service account "default", which a controller makes.
	list[len(list)-1].needs |= workloads
	return list
}

const (
	claim   = "spec: {accessModes: [ReadWriteOnce], storageClassName: appspan-none, resources: {requests: {storage: 1Gi}}}"
	ingress = "spec: {ingressClassName: appspan-none, defaultBackend: {service: {name: web, port: {number: 80}}}}"
)
