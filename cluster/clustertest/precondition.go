package clustertest

import (
	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

const contractOptions = "driver.ApplyOptions"

// strange is a UID that no object has.
const strange = "5ff98d8e-1b5c-4a52-9d3f-0123456789ab"

func preconditionPromises() []promise {
	absent := driver.ApplyOptions{IfAbsent: true}
	return []promise{
		{name: "apply if absent creates", why: contractOptions + ".IfAbsent", run: func(e *env) {
			obj := e.object("v1 ConfigMap first", "data: {a: one}")
			result := e.apply(obj, absent)
			e.NotEmpty(result.UID)
			e.Equal(result.UID, e.get(obj.Ref).UID)
		}},
		{name: "apply if absent refuses what is there", why: contractOptions + ".IfAbsent", run: func(e *env) {
			e.apply(e.object("v1 ConfigMap second", "data: {a: one}"))
			obj := e.object("v1 ConfigMap second", "data: {a: two}")
			e.refused(appspan.ErrExists, obj, absent)
			e.Equal("one", e.at(e.get(obj.Ref), "data", "a"))
		}},
		{name: "apply if absent records its manager", why: contractOptions + ".Manager", run: func(e *env) {
			result := e.apply(e.object("v1 Secret managed", "stringData: {a: one}"), driver.ApplyOptions{IfAbsent: true, Manager: theirs})
			e.Equal([]string{theirs}, e.owners(result, "f:data"))
		}},
		{name: "apply onto the right revision writes", why: contractOptions + ".IfRevision", run: func(e *env) {
			first := e.apply(e.object("v1 ConfigMap config", "data: {a: one}"))
			result := e.apply(e.object("v1 ConfigMap config", "data: {a: two}"), driver.ApplyOptions{IfRevision: first.Revision})
			e.Equal("two", e.at(result, "data", "a"))
		}},
		{name: "apply onto an old revision is refused", why: contractOptions + ".IfRevision", run: func(e *env) {
			first := e.apply(e.object("v1 ConfigMap config", "data: {a: one}"))
			e.apply(e.object("v1 ConfigMap config", "data: {a: two}"))
			obj := e.object("v1 ConfigMap config", "data: {a: three}")
			e.refused(appspan.ErrPrecondition, obj, driver.ApplyOptions{IfRevision: first.Revision})
			e.Equal("two", e.at(e.get(obj.Ref), "data", "a"))
		}},
		{name: "apply onto a revision of nothing is refused", why: contractOptions + ".IfRevision", run: func(e *env) {
			other := e.apply(e.object("v1 ConfigMap other", ""))
			obj := e.object("v1 ConfigMap missing", "data: {a: one}")
			e.refused(appspan.ErrPrecondition, obj, driver.ApplyOptions{IfRevision: other.Revision})
			e.absent(obj.Ref)
		}},
		{name: "apply onto the right UID writes", why: contractOptions + ".IfUID", run: func(e *env) {
			first := e.apply(e.object("v1 ConfigMap config", "data: {a: one}"))
			result := e.apply(e.object("v1 ConfigMap config", "data: {a: two}"), driver.ApplyOptions{IfUID: first.UID})
			e.Equal("two", e.at(result, "data", "a"))
		}},
		{name: "apply onto another UID is refused", why: contractOptions + ".IfUID", run: func(e *env) {
			e.apply(e.object("v1 ConfigMap config", "data: {a: one}"))
			obj := e.object("v1 ConfigMap config", "data: {a: two}")
			e.refused(appspan.ErrPrecondition, obj, driver.ApplyOptions{IfUID: strange})
			e.Equal("one", e.at(e.get(obj.Ref), "data", "a"))
		}},
		{name: "apply onto a UID of nothing is refused", why: contractOptions + ".IfUID", run: func(e *env) {
			obj := e.object("v1 ConfigMap missing", "data: {a: one}")
			e.refused(appspan.ErrPrecondition, obj, driver.ApplyOptions{IfUID: strange})
			e.absent(obj.Ref)
		}},
		{name: "force does not override a precondition", why: contractOptions + ".Force takes over fields, no more", run: func(e *env) {
			e.apply(e.object("v1 Secret guarded", "stringData: {a: one}"))
			e.refused(appspan.ErrPrecondition, e.object("v1 Secret guarded", "stringData: {a: two}"), driver.ApplyOptions{IfUID: strange, Force: true})
		}},
	}
}

func dryRunPromises() []promise {
	dry := driver.ApplyOptions{DryRun: true}
	return []promise{
		{name: "a dry run creates nothing", why: contractOptions + ".DryRun", run: func(e *env) {
			obj := e.object("v1 ConfigMap trial", "data: {a: one}")
			e.apply(obj, dry)
			e.absent(obj.Ref)
		}},
		{name: "a dry run if absent creates nothing", why: contractOptions + ".DryRun", run: func(e *env) {
			obj := e.object("v1 ConfigMap trial", "data: {a: one}")
			e.apply(obj, driver.ApplyOptions{DryRun: true, IfAbsent: true})
			e.absent(obj.Ref)
		}},
		{name: "a dry run changes nothing", why: contractOptions + ".DryRun", run: func(e *env) {
			before := e.apply(e.object("v1 ConfigMap trial", "data: {a: one}"))
			e.apply(e.object("v1 ConfigMap trial", "data: {a: two}"), dry)
			e.Equal(before.Revision, e.get(before.Ref).Revision)
		}},
		{name: "a dry run returns what would be", why: contractOptions + ".DryRun merges on the server", run: func(e *env) {
			e.apply(e.object("apps/v1 Deployment web", deployment), driver.ApplyOptions{Manager: theirs})
			result := e.apply(e.object("apps/v1 Deployment web", "spec: {minReadySeconds: 5}"), dry)
			e.EqualValues(5, e.at(result, "spec", "minReadySeconds"))
			e.EqualValues(1, e.at(result, "spec", "replicas"))
		}},
		{name: "a dry run validates", why: contractOptions + ".DryRun validates", run: func(e *env) {
			e.refused(appspan.ErrInvalid, e.object("apps/v1 Deployment web", deployment+"  minReadySeconds: -1"), dry)
		}},
		{name: "a dry run finds conflicts", why: contractOptions + ".DryRun merges on the server", run: func(e *env) {
			e.apply(e.object("v1 ConfigMap trial", "data: {a: one}"), driver.ApplyOptions{Manager: theirs})
			e.refused(appspan.ErrConflict, e.object("v1 ConfigMap trial", "data: {a: two}"), dry)
		}},
	}
}
