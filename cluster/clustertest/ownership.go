package clustertest

import (
	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

const ssa = "KEP-555: server-side apply"

func ownershipPromises() []promise {
	other := driver.ApplyOptions{Manager: theirs}
	return []promise{
		{name: "apply keeps fields of other managers", why: ssa, run: func(e *env) {
			e.apply(e.object("v1 ConfigMap shared", "data: {theirs: a}"), other)
			result := e.apply(e.object("v1 ConfigMap shared", "data: {mine: b}"))
			e.Equal(map[string]any{"mine": "b", "theirs": "a"}, e.at(result, "data"))
		}},
		{name: "apply onto another manager's value is a conflict", why: ssa, run: func(e *env) {
			e.apply(e.object("v1 ConfigMap contested", "data: {a: one}"), other)
			obj := e.object("v1 ConfigMap contested", "data: {a: two}")
			e.refused(appspan.ErrConflict, obj)
			e.Equal("one", e.at(e.get(obj.Ref), "data", "a"))
		}},
		{name: "a conflict names the field and its manager", why: "driver.ConflictError", run: func(e *env) {
			e.apply(e.object("apps/v1 Deployment web", deployment), other)
			_, err := e.c.Apply(e.ctx, e.object("apps/v1 Deployment web", "spec: {replicas: 3}"), driver.ApplyOptions{Manager: mine})
			var conflict *driver.ConflictError
			e.ErrorAs(err, &conflict)
			e.Equal([]driver.FieldConflict{{Path: ".spec.replicas", Manager: theirs}}, conflict.Fields)
		}},
		{name: "a conflict lists every field", why: "driver.ConflictError", run: func(e *env) {
			e.apply(e.object("v1 ConfigMap disputed", "data: {a: one, b: one, c: one}"), other)
			_, err := e.c.Apply(e.ctx, e.object("v1 ConfigMap disputed", "data: {a: two, b: two, c: one}"), driver.ApplyOptions{Manager: mine})
			var conflict *driver.ConflictError
			e.ErrorAs(err, &conflict)
			e.ElementsMatch([]string{".data.a", ".data.b"}, []string{conflict.Fields[0].Path, conflict.Fields[len(conflict.Fields)-1].Path})
		}},
		{name: "apply with force takes fields over", why: ssa, run: func(e *env) {
			e.apply(e.object("v1 Service taken", "spec: {ports: [{port: 80}], sessionAffinity: None}"), other)
			result := e.apply(e.object("v1 Service taken", "spec: {ports: [{port: 80}], sessionAffinity: ClientIP}"), driver.ApplyOptions{Force: true})
			e.Equal("ClientIP", e.at(result, "spec", "sessionAffinity"))
		}},
		{name: "what was taken over belongs to the taker alone", why: ssa, run: func(e *env) {
			e.apply(e.object("v1 Secret taken", "data: {a: MQ==}"), other)
			obj := e.object("v1 Secret taken", "data: {a: Mg==}")
			e.apply(obj, driver.ApplyOptions{Force: true})
			owners := e.owners(e.get(obj.Ref), "f:data", "f:a")
			e.Equal([]string{mine}, owners)
		}},
		{name: "apply removes what its manager applies no more", why: ssa, run: func(e *env) {
			e.apply(e.object("v1 ConfigMap shrinking", "data: {a: one, b: two}"))
			result := e.apply(e.object("v1 ConfigMap shrinking", "data: {a: one}"))
			e.Equal(map[string]any{"a": "one"}, e.at(result, "data"))
		}},
		{name: "apply leaves what another manager applies too", why: ssa, run: func(e *env) {
			e.apply(e.object("v1 Secret co-owned", "data: {a: MQ==}"), other)
			e.apply(e.object("v1 Secret co-owned", "data: {a: MQ==}"))
			result := e.apply(e.object("v1 Secret co-owned", "metadata: {labels: {still: here}}"))
			e.Equal("MQ==", e.at(result, "data", "a"))
		}},
		{name: "apply merges lists by their keys", why: ssa + "; listType=map, containers by name", run: func(e *env) {
			e.apply(e.object("apps/v1 Deployment sidecar", deployment), other)
			result := e.apply(e.object("apps/v1 Deployment sidecar",
				`spec: {template: {spec: {containers: [{name: proxy, image: "example.org/proxy:1"}]}}}`))
			e.Len(e.at(result, "spec", "template", "spec", "containers"), 2)
		}},
		{name: "apply keys container ports by port and protocol", why: ssa + "; Container.ports has listMapKeys containerPort and protocol", run: func(e *env) {
			e.apply(e.object("apps/v1 DaemonSet dns", `
spec:
  selector: {matchLabels: {app: dns}}
  template:
    metadata: {labels: {app: dns}}
    spec: {nodeSelector: {appspan.example/none: "yes"}, containers: [{name: dns, image: "example.org/dns:1", ports: [{containerPort: 53, protocol: UDP}]}]}
`), other)
			result := e.apply(e.object("apps/v1 DaemonSet dns",
				`spec: {template: {spec: {containers: [{name: dns, ports: [{containerPort: 53, protocol: TCP, name: dns-tcp}]}]}}}`))
			e.Len(e.at(result, "spec", "template", "spec", "containers", 0, "ports"), 2)
		}},
		{name: "apply replaces atomic lists", why: ssa + "; Container.args is listType=atomic", run: func(e *env) {
			pod := func(args string) driver.Object {
				return e.object("apps/v1 ReplicaSet args", `
spec:
  replicas: 0
  selector: {matchLabels: {app: args}}
  template:
    metadata: {labels: {app: args}}
    spec: {containers: [{name: args, image: "example.org/args:1", args: `+args+`}]}
`)
			}
			e.apply(pod("[one, two]"))
			result := e.apply(pod("[three]"))
			e.Equal([]any{"three"}, e.at(result, "spec", "template", "spec", "containers", 0, "args"))
		}},
		{name: "apply merges finalizers as a set", why: ssa + "; ObjectMeta.finalizers is listType=set", run: func(e *env) {
			obj := e.object("v1 ConfigMap finalized", "metadata: {finalizers: [appspan.example/a]}")
			e.apply(obj, other)
			result := e.apply(e.object("v1 ConfigMap finalized", "metadata: {finalizers: [appspan.example/b]}"))
			e.ElementsMatch([]any{"appspan.example/a", "appspan.example/b"}, e.at(result, "metadata", "finalizers"))
			e.apply(e.object("v1 ConfigMap finalized", ""), other)
			e.apply(e.object("v1 ConfigMap finalized", ""))
		}},
		{name: "apply records the manager's operation", why: ssa + "; managedFields", run: func(e *env) {
			obj := e.object("v1 ServiceAccount recorded", "metadata: {labels: {a: b}}")
			e.apply(obj)
			fields := e.at(e.get(obj.Ref), "metadata", "managedFields", 0)
			e.Subset(fields, map[string]any{"manager": mine, "operation": "Apply", "apiVersion": "v1"})
		}},
		{name: "apply fills what a create of the same manager left", why: "driver.ApplyOptions.IfAbsent: a create and an apply of one manager are one owner", run: func(e *env) {
			e.apply(e.object("v1 ConfigMap evolving", "data: {a: one}"), driver.ApplyOptions{IfAbsent: true})
			result := e.apply(e.object("v1 ConfigMap evolving", "data: {a: two}"))
			e.Equal("two", e.at(result, "data", "a"))
		}},
	}
}

// owners are the managers of a field, by its path in managedFields.
func (e *env) owners(obj driver.Object, path ...any) []string {
	e.t.Helper()
	var owners []string
	entries, _ := e.at(obj, "metadata", "managedFields").([]any)
	for i := range entries {
		at := append([]any{"metadata", "managedFields", i, "fieldsV1"}, path...)
		if e.at(obj, at...) != nil {
			manager, _ := e.at(obj, "metadata", "managedFields", i, "manager").(string)
			owners = append(owners, manager)
		}
	}
	return owners
}
