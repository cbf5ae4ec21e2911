package fake

import (
	"fmt"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan/cluster/driver"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// access is what one call wants to do.
type access struct {
	verb    string
	kind    *kind // nil for what is no object
	key     key
	sub     string
	manager string
	path    string // of a URL that is no object
}

func (a access) kindName() string {
	if a.kind == nil {
		return ""
	}
	return a.kind.gvk.Kind
}

func (a access) ref() driver.Ref {
	if a.kind == nil {
		return driver.Ref{}
	}
	return driver.Ref{APIVersion: a.kind.apiVersion(), Kind: a.kind.gvk.Kind, Namespace: a.key.namespace, Name: a.key.name}
}

// attributes are an access as RBAC sees it.
type attributes struct {
	verb, group, resource, namespace, name, path string
}

func (a access) attributes() attributes {
	at := attributes{verb: a.verb, namespace: a.key.namespace, name: a.key.name, path: a.path}
	if a.kind != nil {
		if a.kind.is("Namespace") {
			at.namespace = a.key.name // one namespace is within itself
		}
		at.group, at.resource = a.kind.gvk.Group, a.kind.resource
		if a.sub != "" {
			at.resource += "/" + a.sub
		}
	}
	return at
}

// authorize asks the roles and bindings in the cluster. nil is the
// administrator.
func (c *Cluster) authorize(id *driver.Identity, a access) error {
	if id == nil {
		return nil
	}
	at := a.attributes()
	if c.allowed(id, at) {
		return nil
	}
	scope := "at the cluster scope"
	if at.namespace != "" {
		scope = fmt.Sprintf("in the namespace %q", at.namespace)
	}
	if at.path != "" {
		return apierrors.NewForbidden(schema.GroupResource{}, "", fmt.Errorf("User %q cannot %s path %q", id.User, at.verb, at.path))
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: at.group, Resource: at.resource}, at.name,
		fmt.Errorf("User %q cannot %s resource %q in API group %q %s", id.User, at.verb, at.resource, at.group, scope))
}

func (c *Cluster) allowed(id *driver.Identity, at attributes) bool {
	if slices.Contains(id.Groups, "system:masters") {
		return true
	}
	return slices.ContainsFunc(c.rules(id, at.namespace), func(r rbacv1.PolicyRule) bool { return permits(r, at) })
}

// rules are those that bindings give an identity in a namespace ("" is the
// cluster).
func (c *Cluster) rules(id *driver.Identity, namespace string) []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	bindings, _ := c.store.list(c.kinds.find(rbacv1.SchemeGroupVersion.String(), "ClusterRoleBinding"), "")
	for _, r := range bindings {
		if b := r.obj.(*rbacv1.ClusterRoleBinding); names(b.Subjects, id, "") {
			rules = append(rules, c.roleRules(b.RoleRef, "")...)
		}
	}
	if namespace == "" {
		return rules
	}
	bindings, _ = c.store.list(c.kinds.find(rbacv1.SchemeGroupVersion.String(), "RoleBinding"), namespace)
	for _, r := range bindings {
		if b := r.obj.(*rbacv1.RoleBinding); names(b.Subjects, id, namespace) {
			rules = append(rules, c.roleRules(b.RoleRef, namespace)...)
		}
	}
	return rules
}

func (c *Cluster) roleRules(ref rbacv1.RoleRef, namespace string) []rbacv1.PolicyRule {
	if ref.Kind == "Role" {
		if r := c.store.get(c.kinds.find(rbacv1.SchemeGroupVersion.String(), "Role"), key{namespace, ref.Name}); r != nil {
			return r.obj.(*rbacv1.Role).Rules
		}
		return nil
	}
	if r := c.store.get(c.kinds.find(rbacv1.SchemeGroupVersion.String(), "ClusterRole"), key{"", ref.Name}); r != nil {
		return r.obj.(*rbacv1.ClusterRole).Rules
	}
	return nil
}

// names reports whether subjects name the identity.
func names(subjects []rbacv1.Subject, id *driver.Identity, namespace string) bool {
	return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
		switch s.Kind {
		case rbacv1.UserKind:
			return s.Name == id.User
		case rbacv1.GroupKind:
			return slices.Contains(id.Groups, s.Name)
		case rbacv1.ServiceAccountKind:
			if s.Namespace != "" {
				namespace = s.Namespace
			}
			return id.User == "system:serviceaccount:"+namespace+":"+s.Name
		}
		return false
	})
}

// permits reports whether one rule allows an access.
func permits(r rbacv1.PolicyRule, at attributes) bool {
	has := func(list []string, s string) bool { return slices.Contains(list, "*") || slices.Contains(list, s) }
	if !has(r.Verbs, at.verb) {
		return false
	}
	if at.path != "" {
		return slices.ContainsFunc(r.NonResourceURLs, func(u string) bool {
			prefix, open := strings.CutSuffix(u, "*")
			return u == at.path || open && strings.HasPrefix(at.path, prefix)
		})
	}
	_, sub, isSub := strings.Cut(at.resource, "/")
	return has(r.APIGroups, at.group) &&
		(has(r.Resources, at.resource) || isSub && slices.Contains(r.Resources, "*/"+sub)) &&
		(len(r.ResourceNames) == 0 || at.name != "" && slices.Contains(r.ResourceNames, at.name))
}
