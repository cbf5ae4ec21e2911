package clustertest

import (
	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

func deletePromises() []promise {
	const why = "driver.Cluster.Delete"
	return []promise{
		{name: "delete removes", why: why, run: func(e *env) {
			obj := e.object("v1 ConfigMap done", "")
			e.apply(obj)
			e.NoError(e.c.Delete(e.ctx, obj.Ref, driver.DeleteOptions{}))
			e.absent(obj.Ref)
		}},
		{name: "delete of what is missing is not found", why: why, run: func(e *env) {
			e.ErrorIs(e.c.Delete(e.ctx, e.object("v1 ConfigMap missing", "").Ref, driver.DeleteOptions{}), appspan.ErrNotFound)
		}},
		{name: "delete of a kind that is not served is unsupported", why: "appspan.ErrUnsupported", run: func(e *env) {
			e.ErrorIs(e.c.Delete(e.ctx, e.object("appspan.example/v1 Nothing none", "").Ref, driver.DeleteOptions{}), appspan.ErrUnsupported)
		}},
		{name: "delete of the right UID and revision removes", why: "driver.DeleteOptions", run: func(e *env) {
			obj := e.apply(e.object("v1 ConfigMap known", ""))
			e.NoError(e.c.Delete(e.ctx, obj.Ref, driver.DeleteOptions{UID: obj.UID, Revision: obj.Revision}))
			e.absent(obj.Ref)
		}},
		{name: "delete of another UID is refused", why: "driver.DeleteOptions.UID", run: func(e *env) {
			obj := e.apply(e.object("v1 ConfigMap kept", ""))
			e.ErrorIs(e.c.Delete(e.ctx, obj.Ref, driver.DeleteOptions{UID: strange}), appspan.ErrPrecondition)
			e.get(obj.Ref)
		}},
		{name: "delete of an old revision is refused", why: "driver.DeleteOptions.Revision", run: func(e *env) {
			old := e.apply(e.object("v1 ConfigMap kept", "data: {a: one}"))
			e.apply(e.object("v1 ConfigMap kept", "data: {a: two}"))
			e.ErrorIs(e.c.Delete(e.ctx, old.Ref, driver.DeleteOptions{Revision: old.Revision}), appspan.ErrPrecondition)
			e.get(old.Ref)
		}},
		{name: "a dry run deletes nothing", why: "driver.DeleteOptions.DryRun", run: func(e *env) {
			obj := e.apply(e.object("v1 ConfigMap kept", ""))
			e.NoError(e.c.Delete(e.ctx, obj.Ref, driver.DeleteOptions{DryRun: true}))
			e.False(e.get(obj.Ref).Deleting)
		}},
		{name: "delete waits for finalizers", why: "Kubernetes: finalizers", run: func(e *env) {
			obj := e.apply(e.object("v1 ConfigMap held", "metadata: {finalizers: [appspan.example/hold]}"))
			e.NoError(e.c.Delete(e.ctx, obj.Ref, driver.DeleteOptions{}))
			e.True(e.get(obj.Ref).Deleting)
			_, _ = e.c.Apply(e.ctx, e.object("v1 ConfigMap held", ""), driver.ApplyOptions{Manager: mine})
		}},
		{name: "the last finalizer lets an object go", why: "Kubernetes: finalizers", run: func(e *env) {
			obj := e.apply(e.object("v1 Secret held", "metadata: {finalizers: [appspan.example/hold]}"))
			e.NoError(e.c.Delete(e.ctx, obj.Ref, driver.DeleteOptions{}))
			e.apply(e.object("v1 Secret held", ""))
			e.absent(obj.Ref)
		}},
		{name: "delete of a cluster-scoped object removes it", why: why, run: func(e *env) {
			obj := e.apply(e.clusterwide("scheduling.k8s.io/v1 PriorityClass "+unique("doomed"), "value: 7"))
			e.NoError(e.c.Delete(e.ctx, obj.Ref, driver.DeleteOptions{}))
			e.absent(obj.Ref)
		}},
	}
}

func garbagePromises() []promise {
	const why = "Kubernetes: garbage collection, cascading deletion"
	// family makes an owner and a dependent.
	family := func(e *env, finalizers string) (owner, dependent driver.Object) {
		owner = e.apply(e.object("v1 ConfigMap owner", ""))
		dependent = e.apply(e.object("v1 ConfigMap dependent", "metadata: {finalizers: ["+finalizers+
			"], ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, blockOwnerDeletion: true, uid: "+owner.UID+"}]}"))
		return owner, dependent
	}
	return []promise{
		{name: "what an object owned goes after it", why: why, needs: workloads, run: func(e *env) {
			owner, dependent := family(e, "")
			e.NoError(e.c.Delete(e.ctx, owner.Ref, driver.DeleteOptions{Propagation: driver.Background}))
			e.absent(owner.Ref)
			e.gone(dependent.Ref)
		}},
		{name: "what an object owned goes before it in the foreground", why: why, needs: workloads, run: func(e *env) {
			owner, dependent := family(e, "appspan.example/hold")
			e.NoError(e.c.Delete(e.ctx, owner.Ref, driver.DeleteOptions{Propagation: driver.Foreground}))
			e.until(dependent.Ref, func(o driver.Object) bool { return o.Deleting })
			e.True(e.get(owner.Ref).Deleting)
			e.apply(e.object("v1 ConfigMap dependent", "metadata: {ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, blockOwnerDeletion: true, uid: "+owner.UID+"}]}"))
			e.gone(owner.Ref)
		}},
		{name: "what an orphaning delete leaves has no owner", why: why, needs: workloads, run: func(e *env) {
			owner, dependent := family(e, "")
			e.NoError(e.c.Delete(e.ctx, owner.Ref, driver.DeleteOptions{Propagation: driver.Orphan}))
			e.gone(owner.Ref)
			e.until(dependent.Ref, func(o driver.Object) bool { return !o.Deleting && e.at(o, "metadata", "ownerReferences") == nil })
		}},
		{name: "a deleted namespace takes its content along", why: "Kubernetes: namespaces", needs: workloads, run: func(e *env) {
			ns := driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: e.namespace()}
			obj := e.apply(e.object("v1 ConfigMap content", ""))
			e.NoError(e.c.Delete(e.ctx, ns, driver.DeleteOptions{}))
			e.gone(ns)
			e.absent(obj.Ref)
		}},
		{name: "a namespace that is going takes nothing new", why: "Kubernetes: namespaces, NamespaceLifecycle admission", needs: workloads, run: func(e *env) {
			ns := driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: e.namespace()}
			e.apply(e.object("v1 ConfigMap holding", "metadata: {finalizers: [appspan.example/hold]}"))
			e.NoError(e.c.Delete(e.ctx, ns, driver.DeleteOptions{}))
			e.until(ns, func(o driver.Object) bool { return o.Deleting })
			_, err := e.c.Apply(e.ctx, e.object("v1 ConfigMap late", ""), driver.ApplyOptions{Manager: mine})
			e.ErrorIs(err, appspan.ErrDenied)
			e.apply(e.object("v1 ConfigMap holding", ""))
			e.gone(ns)
		}},
	}
}
