package clustertest

import (
	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// as is the cluster as a team sees it; users have unique names.
func (e *env) as(id driver.Identity) driver.Cluster {
	e.t.Helper()
	c, _ := driver.As[driver.Impersonator](e.c)
	view, err := c.As(id)
	e.NoError(err)
	return view
}

// grant lets a subject read ConfigMaps in a namespace.
func (e *env) grant(namespace, kind, subject string) {
	e.t.Helper()
	e.apply(e.objectIn(namespace, "rbac.authorization.k8s.io/v1 Role reader", "rules: [{apiGroups: [''], resources: [configmaps], verbs: [get, list]}]"))
	e.apply(e.objectIn(namespace, "rbac.authorization.k8s.io/v1 RoleBinding reader",
		"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}\nsubjects: [{apiGroup: rbac.authorization.k8s.io, kind: "+kind+", name: '"+subject+"'}]"))
}

// allowed waits until a view may read ref: authorizers learn of roles a
// little later.
func (e *env) allowed(view driver.Cluster, ref driver.Ref) {
	e.t.Helper()
	e.tick("a role allows nothing", func() bool {
		_, err := view.Get(e.ctx, ref)
		if err != nil && e.ctx.Err() == nil {
			e.ErrorIs(err, appspan.ErrDenied)
		}
		return err == nil
	})
}

func identityPromises() []promise {
	const why = "driver.Impersonator; Kubernetes: RBAC"
	list := []promise{
		{name: "an identity without a role is denied", why: why, run: func(e *env) {
			obj := e.apply(e.object("v1 Secret hidden", ""))
			_, err := e.as(driver.Identity{User: unique("nobody")}).Get(e.ctx, obj.Ref)
			e.ErrorIs(err, appspan.ErrDenied)
			e.False(appspan.Retryable(err))
		}},
		{name: "an identity without a role may not write", why: why, run: func(e *env) {
			obj := e.object("v1 Secret forged", "")
			_, err := e.as(driver.Identity{User: unique("nobody")}).Apply(e.ctx, obj, driver.ApplyOptions{Manager: mine})
			e.ErrorIs(err, appspan.ErrDenied)
			e.absent(obj.Ref)
		}},
		{name: "a role allows what it says to a user", why: why, run: func(e *env) {
			user := unique("reader")
			obj := e.apply(e.object("v1 ConfigMap shown", ""))
			e.grant(e.namespace(), "User", user)
			e.allowed(e.as(driver.Identity{User: user}), obj.Ref)
		}},
		{name: "a role allows what it says to a group", why: why, run: func(e *env) {
			group := unique("group")
			obj := e.apply(e.object("v1 ConfigMap shown", ""))
			e.grant(e.namespace(), "Group", group)
			e.allowed(e.as(driver.Identity{User: unique("user"), Groups: []string{group}}), obj.Ref)
		}},
		{name: "a role allows no more than it says", why: why, run: func(e *env) {
			user := unique("user")
			obj := e.apply(e.object("v1 ConfigMap protected", ""))
			e.grant(e.namespace(), "User", user)
			view := e.as(driver.Identity{User: user})
			e.allowed(view, obj.Ref)
			e.ErrorIs(view.Delete(e.ctx, obj.Ref, driver.DeleteOptions{}), appspan.ErrDenied)
		}},
		{name: "a role counts in its namespace only", why: why, run: func(e *env) {
			user := unique("user")
			obj := e.apply(e.object("v1 ConfigMap shown", ""))
			elsewhere := e.apply(e.objectIn(e.newNamespace(), "v1 ConfigMap hidden", ""))
			e.grant(e.namespace(), "User", user)
			view := e.as(driver.Identity{User: user})
			e.allowed(view, obj.Ref)
			_, err := view.Get(e.ctx, elsewhere.Ref)
			e.ErrorIs(err, appspan.ErrDenied)
		}},
		{name: "a role may allow to read the namespace that it is in", why: why, run: func(e *env) {
			user := unique("inside")
			e.apply(e.object("rbac.authorization.k8s.io/v1 Role inside", "rules: [{apiGroups: [''], resources: [namespaces], verbs: [get]}]"))
			e.apply(e.object("rbac.authorization.k8s.io/v1 RoleBinding inside",
				"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: inside}\nsubjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: '"+user+"'}]"))
			view := e.as(driver.Identity{User: user})
			e.allowed(view, driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: e.namespace()})
			_, err := view.Get(e.ctx, driver.Ref{APIVersion: "v1", Kind: "Namespace", Name: "kube-system"})
			e.ErrorIs(err, appspan.ErrDenied)
		}},
		{name: "closing a view leaves the cluster open", why: "driver.Impersonator.As", run: func(e *env) {
			obj := e.apply(e.object("v1 ConfigMap open", ""))
			e.NoError(e.as(driver.Identity{User: unique("user")}).Close())
			e.get(obj.Ref)
		}},
	}
	for i := range list {
		list[i].needs = impersonation
	}
	return list
}
