package team

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
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

// bindingsIn reads who has rights in namespaces, and which rights of the whole
// cluster their accounts have, and whoever else is named.
func bindingsIn(ctx context.Context, c *cluster.Cluster, namespaces []string, named func(rbacv1.Subject) bool) ([]rbacv1.RoleBinding, error) {
	var out []rbacv1.RoleBinding
	list := func(kind, namespace string) error {
		for obj, err := range c.List(ctx, cluster.Query{APIVersion: rbacVersion, Kind: kind, Namespace: namespace, Projection: driver.Trimmed}) {
			if err != nil {
				return err
			}
			b, err := decode[rbacv1.RoleBinding](obj) // both kinds have the same fields
			if err != nil {
				return err
			}
			b.Kind = kind
			if namespace != "" && len(b.Subjects) > 0 || slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool { return accountIn(s, namespaces) || named(s) }) {
				out = append(out, b)
			}
		}
		return nil
	}
	for _, namespace := range namespaces {
		if err := list("RoleBinding", namespace); err != nil {
			return nil, err
		}
	}
	if len(namespaces) == 0 {
		return nil, nil
	}
	if err := list("ClusterRoleBinding", ""); err != nil && !errors.Is(err, appspan.ErrDenied) { // not everybody may look
		return nil, err
	}
	return out, nil
}

// accountIn reports whether a subject is an account of one of the namespaces,
// or all of them.
func accountIn(s rbacv1.Subject, namespaces []string) bool {
	group, _ := strings.CutPrefix(s.Name, "system:serviceaccounts:")
	return s.Kind == rbacv1.ServiceAccountKind && slices.Contains(namespaces, s.Namespace) ||
		s.Kind == rbacv1.GroupKind && group != s.Name && slices.Contains(namespaces, group)
}

// own reports whether a subject is the team's user, or a member's account.
func (r *reconciler) own(s rbacv1.Subject) bool {
	return s.Kind == rbacv1.UserKind && s.Name == Identity(r.doc.ID).User || s.Kind == rbacv1.ServiceAccountKind &&
		s.Namespace == MembersNamespace(r.teams.opts.Installation) && slices.ContainsFunc(r.doc.Members, func(m Member) bool { return AccountName(r.doc.ID, m.Subject) == s.Name })
}

// stranger tells of a binding that is not the team's.
func stranger(b rbacv1.RoleBinding) string {
	var who []string
	for _, s := range b.Subjects {
		who = append(who, strings.TrimSpace(s.Kind+" "+strings.TrimPrefix(s.Namespace+"/"+s.Name, "/")))
	}
	ref := driver.Ref{APIVersion: rbacVersion, Kind: b.Kind, Namespace: b.Namespace, Name: b.Name}
	return cut(fmt.Sprintf("%s is not the team's: it gives %s %s to %s", ref, b.RoleRef.Kind, b.RoleRef.Name, strings.Join(who, ", ")), maxField)
}

// strangers warns of rights that are not of the team's record. They stay:
// monitoring may need them, and who gave them may too.
func (r *reconciler) strangers() {
	for _, b := range r.foreign {
		ref := driver.Ref{APIVersion: rbacVersion, Kind: b.Kind, Namespace: b.Namespace, Name: b.Name}
		if _, ours := r.live[ref]; ours && strings.HasPrefix(b.Name, reserved) {
			continue
		}
		if len(r.plan.Warnings) < maxChanges {
			r.warn(stranger(b))
		}
	}
}

// adopted warns of what comes with a namespace: what runs in it, its data, and
// the rights that others gave there or to its accounts, which the team's
// applications may then use.
func (t *Teams) adopted(ctx context.Context, c *cluster.Cluster, namespace string) []string {
	limited, cancel := t.limit(ctx)
	defer cancel()
	bindings, err := bindingsIn(limited, c, []string{namespace}, func(rbacv1.Subject) bool { return false })
	var out []string
	for _, b := range bindings {
		if len(out) < maxChanges {
			out = append(out, stranger(b))
		}
	}
	var contents []Contents
	if err == nil {
		contents, err = t.contents(limited, c.Name(), []Change{{Object: driver.Ref{Kind: "Namespace", Name: namespace}}})
	}
	for _, in := range contents {
		if found := append(in.Workloads, in.Claims...); len(found) > 0 {
			out = append(out, cut(fmt.Sprintf("namespace %s on %s comes with %s", namespace, c.Name(), strings.Join(found, ", ")), maxField))
		}
	}
	if err != nil {
		out = append(out, fmt.Sprintf("what is in namespace %s on %s could not be looked at: %v", namespace, c.Name(), err))
	}
	return out
}
