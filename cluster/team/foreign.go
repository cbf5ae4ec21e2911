package team

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// immutable is what cannot be changed of a kind, whose objects are made anew
// then.
func immutable(kind string) string {
	return map[string]string{"RoleBinding": "roleRef", "Secret": "type", "ResourceQuota": "spec.scopes"}[kind]
}

// scoped reports whether an object is a quota that bounds some pods only.
func scoped(obj driver.Object) bool {
	if obj.Kind != "ResourceQuota" {
		return false
	}
	q, err := decode[corev1.ResourceQuota](obj)
	return err != nil || len(q.Spec.Scopes) > 0 || q.Spec.ScopeSelector != nil
}

// strangers warns of rights in the team's namespaces that are not of its
// record. They stay: monitoring may need them, and who gave them may too.
func (r *reconciler) strangers() {
	for _, obj := range r.foreign {
		if _, ours := r.live[obj.Ref]; ours && strings.HasPrefix(obj.Name, reserved) {
			continue
		}
		b, err := decode[rbacv1.RoleBinding](obj)
		if err != nil || len(b.Subjects) == 0 {
			continue
		}
		var who []string
		for _, s := range b.Subjects {
			who = append(who, strings.TrimSpace(s.Kind+" "+strings.TrimPrefix(s.Namespace+"/"+s.Name, "/")))
		}
		if len(r.plan.Warnings) < maxChanges {
			r.plan.Warnings = append(r.plan.Warnings, cut(fmt.Sprintf("%s is not the team's: it gives %s %s to %s", obj.Ref, b.RoleRef.Kind, b.RoleRef.Name, strings.Join(who, ", ")), maxField))
		}
	}
}
