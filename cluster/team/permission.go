package team

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/appspan-dev/appspan"
)

// Permission is the right to one verb on one resource of an appspan.Access,
// as "resource:verb": "application:deploy".
type Permission string

// permissionOf is the permission that an access needs.
func permissionOf(a appspan.Access) Permission {
	return Permission(a.Resource + ":" + string(a.Verb))
}

// PermissionInfo describes a permission.
type PermissionInfo struct {
	Permission Permission
	// Description is one line for people.
	Description string
	// Rules are what a member with the permission may do with a kubeconfig in
	// the team's namespaces; most permissions give nothing there. None of them
	// creates what counts against a quota: that is deploy's business.
	Rules []rbacv1.PolicyRule
}

// Permissions returns every permission there is, sorted by resource. A role
// that names another one is invalid.
func Permissions() []PermissionInfo {
	read := []string{"get", "list", "watch"}
	rule := func(verbs []string, group string, resources ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{Verbs: verbs, APIGroups: []string{group}, Resources: resources}
	}
	return []PermissionInfo{
		{"application:read", "see applications, their plans, releases and status", []rbacv1.PolicyRule{
			rule(read, "", "pods", "services", "endpoints", "configmaps", "persistentvolumeclaims", "events", "serviceaccounts", "resourcequotas", "limitranges"),
			rule(read, "apps", "deployments", "replicasets", "statefulsets", "daemonsets", "controllerrevisions"),
			rule(read, "batch", "jobs", "cronjobs"),
			rule(read, "autoscaling", "horizontalpodautoscalers"),
			rule(read, "policy", "poddisruptionbudgets"),
			rule(read, "networking.k8s.io", "ingresses", "networkpolicies"),
			rule(read, "discovery.k8s.io", "endpointslices"),
			rule(read, "events.k8s.io", "events"),
		}},
		{"application:create", "create applications", nil},
		{"application:update", "change, scale, stop and restart applications", []rbacv1.PolicyRule{
			rule([]string{"delete"}, "", "pods"),
			rule([]string{"create"}, "", "pods/eviction"),
		}},
		{"application:delete", "remove applications", nil},
		{"application:deploy", "apply plans, roll back", nil},
		{"application:bind", "use what other applications provide", nil},
		{"application:exec", "run commands in pods and connect to their ports", []rbacv1.PolicyRule{
			rule([]string{"create", "get"}, "", "pods/exec", "pods/attach", "pods/portforward"),
		}},
		{"audit:read", "read what was done in the team", nil},
		{"backup:read", "see backups", nil},
		{"backup:create", "take backups", nil},
		{"backup:delete", "delete backups", nil},
		{"backup:deploy", "restore backups", nil},
		{"cluster:read", "see the clusters that the team has something on", nil},
		{"credential:read", "see which image pull credentials there are; never their passwords", nil},
		{"credential:update", "set and remove image pull credentials", nil},
		{"environment:approve", "approve what comes to an environment, and change its gates", nil},
		{"environment:read", "see environments", nil},
		{"environment:create", "create environments", nil},
		{"environment:update", "change environments and promote between them", nil},
		{"environment:delete", "remove environments", nil},
		{"kubeconfig:create", "get a short-lived kubeconfig of one's own", nil},
		{"log:read", "read logs of pods", []rbacv1.PolicyRule{rule([]string{"get"}, "", "pods/log")}},
		{"member:update", "add, change and remove members and the team's own roles", nil},
		{"secret:read", "read secret values", []rbacv1.PolicyRule{rule(read, "", "secrets")}},
		{"secret:update", "set secret values", nil},
		{"team:read", "see the team, its members, allocations, quota and usage", nil},
		{"template:read", "see templates of the team's catalogs", nil},
		{"template:create", "publish templates", nil},
		{"template:update", "change channels of templates", nil},
		{"template:delete", "withdraw templates", nil},
		{"template:deploy", "install templates", nil},
	}
}

// What no role gives: creating and deleting teams, and allocating clusters,
// namespaces and quota to them ("team:create", "team:update", "team:delete").
// That is for operators, see [AuthorizerOptions].

// Role is a named list of permissions.
type Role struct {
	Name        string       `json:"name"`
	Permissions []Permission `json:"permissions"`
}

// The names of the built-in roles.
const (
	RoleAdmin     = "admin"
	RoleDeveloper = "developer"
	RoleObserver  = "observer"
)

// BuiltInRoles returns the roles that every team has: an observer sees
// everything but secrets, audit and credentials; a developer also works on
// applications; an admin has every permission.
func BuiltInRoles() []Role {
	admin, developer, observer := Role{Name: RoleAdmin}, Role{Name: RoleDeveloper}, Role{Name: RoleObserver}
	for _, p := range Permissions() {
		resource, verb, _ := strings.Cut(string(p.Permission), ":")
		admin.Permissions = append(admin.Permissions, p.Permission)
		sees := verb == "read" && !slices.Contains([]string{"secret", "audit", "credential"}, resource) || resource == "kubeconfig"
		if sees {
			observer.Permissions = append(observer.Permissions, p.Permission)
		}
		works := resource == "application" || p.Permission == "backup:create" || p.Permission == "backup:deploy" ||
			resource == "environment" && verb != "delete" && verb != "approve" || resource == "template" && verb != "delete" || p.Permission == "secret:update"
		if sees || works {
			developer.Permissions = append(developer.Permissions, p.Permission)
		}
	}
	return []Role{admin, developer, observer}
}

// Role returns the role of a name: one of the team's own or a built-in one.
func (t Team) Role(name string) (Role, bool) {
	for _, roles := range [][]Role{BuiltInRoles(), t.Roles} {
		if i := slices.IndexFunc(roles, func(r Role) bool { return r.Name == name }); i >= 0 {
			return roles[i], true
		}
	}
	return Role{}, false
}

// Can reports whether the role has a permission.
func (r Role) Can(p Permission) bool { return slices.Contains(r.Permissions, p) }

// rules are what the role gives a kubeconfig in a namespace.
func (r Role) rules() []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for _, p := range Permissions() {
		if r.Can(p.Permission) {
			out = append(out, p.Rules...)
		}
	}
	return out
}
