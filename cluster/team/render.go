package team

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Render is what a valid team is on one cluster, as objects in the order in
// which they are to be written: the namespaces with their Pod Security labels,
// and in each a ResourceQuota, a LimitRange, a NetworkPolicy, and the Roles and
// RoleBindings of the team's impersonated user and of its members; beside them
// the members' ServiceAccounts in [MembersNamespace]. It is pure. A cluster on
// which the team has nothing is appspan.ErrNotFound.
func Render(t Team, clusterName, installation string) ([]driver.Object, error) {
	a, ok := t.Clusters[clusterName]
	if !ok {
		return nil, fmt.Errorf("team %s: %w: it has nothing on cluster %q; allocate it first", t.ID, appspan.ErrNotFound, clusterName)
	}
	w := &writer{team: t, installation: installation}
	members := w.memberships()
	for _, n := range a.Namespaces {
		w.namespace(a, n)
		w.quota(a, n)
		w.limits(a, n)
		w.network(a, n)
		w.teamRights(n)
	}
	if len(members) > 0 {
		w.add(&corev1.Namespace{TypeMeta: typeMeta("v1", "Namespace"), ObjectMeta: metav1.ObjectMeta{Name: MembersNamespace(installation),
			Labels: w.labelled("", "members", map[string]string{
				podSecurityPrefix + "enforce": string(Restricted),
			})}})
	}
	for _, m := range members {
		w.member(m)
		for _, n := range a.Namespaces {
			w.memberRights(m, n)
		}
	}
	for _, r := range w.roles(members) {
		for _, n := range a.Namespaces {
			w.role(r, n)
		}
	}
	slices.SortStableFunc(w.objects, func(x, y driver.Object) int { return cmp.Compare(stage(x.Kind), stage(y.Kind)) })
	return w.objects, w.err
}

// stage orders what is written: what others need comes first, and rights come
// last.
func stage(kind string) int {
	return slices.Index([]string{"Namespace", "ResourceQuota", "LimitRange", "NetworkPolicy", "ServiceAccount", "Secret", "Role", "RoleBinding"}, kind)
}

// unbounded is more than any cluster has of anything.
const unbounded = "1P"

const podSecurityPrefix = "pod-security.kubernetes.io/"

// writer collects the objects of one team on one cluster.
type writer struct {
	team         Team
	installation string
	objects      []driver.Object
	err          error
}

func typeMeta(apiVersion, kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}
}

func (w *writer) add(v any) {
	obj, err := driver.NewObject(v)
	if w.err == nil {
		w.err = err
	}
	w.objects = append(w.objects, obj)
}

// labelled are the labels of an object of a team, or, if that is empty, of the
// installation.
func (w *writer) labelled(team, part string, more map[string]string) map[string]string {
	out := map[string]string{LabelInstallation: w.installation, LabelTeamPart: part, labelManagedBy: "appspan"}
	if team != "" {
		out[LabelTeam] = team
	}
	maps.Copy(out, more)
	return out
}

func (w *writer) meta(namespace, name, part string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: w.labelled(w.team.ID, part, nil)}
}

// namespace is a namespace of the team: pods that break the level are refused,
// those that break the next stricter one are warned of and audited.
func (w *writer) namespace(a Allocation, n Namespace) {
	stricter := Restricted
	if a.level() == Privileged {
		stricter = Baseline
	}
	w.add(&corev1.Namespace{TypeMeta: typeMeta("v1", "Namespace"), ObjectMeta: metav1.ObjectMeta{Name: n.Name,
		Labels: w.labelled(w.team.ID, "namespace", map[string]string{
			podSecurityPrefix + "enforce":         string(a.level()),
			podSecurityPrefix + "enforce-version": "latest", // ours, so that nobody's older one loosens it
			podSecurityPrefix + "warn":            string(stricter),
			podSecurityPrefix + "audit":           string(stricter),
		})}})
}

func (w *writer) quota(a Allocation, n Namespace) {
	hard := corev1.ResourceList{} // what is not bounded is counted nevertheless
	for _, name := range []string{ResourceCPU, ResourceMemory, ResourceStorage, ResourceClaims, ResourcePods} {
		hard[corev1.ResourceName(quotaName(name))] = resource.MustParse(unbounded)
	}
	for name, q := range mustParse(a.share(n)) {
		if ofPods(name) && !a.CountSurge {
			q.Mul(2)
		}
		hard[corev1.ResourceName(quotaName(name))] = q
	}
	if !a.permits(PermitLoadBalancers) {
		hard[corev1.ResourceServicesLoadBalancers] = resource.MustParse("0")
	}
	if !a.permits(PermitNodePorts) {
		hard[corev1.ResourceServicesNodePorts] = resource.MustParse("0")
	}
	if a.permits(PermitLoadBalancers) { // their ports are node ports too
		delete(hard, corev1.ResourceServicesNodePorts)
	}
	w.add(&corev1.ResourceQuota{TypeMeta: typeMeta("v1", "ResourceQuota"), ObjectMeta: w.meta(n.Name, objectName, "quota"),
		Spec: corev1.ResourceQuotaSpec{Hard: hard}})
}

// limits gives containers requests, without which pods would be refused as
// soon as a quota bounds that resource.
func (w *writer) limits(a Allocation, n Namespace) {
	requests := corev1.ResourceList{}
	for name, q := range mustParse(a.defaults()) {
		requests[corev1.ResourceName(name)] = q
	}
	w.add(&corev1.LimitRange{TypeMeta: typeMeta("v1", "LimitRange"), ObjectMeta: w.meta(n.Name, objectName, "limits"),
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, DefaultRequest: requests}}}})
}

// teamRights are the rights of the impersonated team.
func (w *writer) teamRights(n Namespace) {
	w.add(&rbacv1.Role{TypeMeta: typeMeta(rbacVersion, "Role"), ObjectMeta: w.meta(n.Name, objectName, "rights"), Rules: TeamRules()})
	w.add(&rbacv1.RoleBinding{TypeMeta: typeMeta(rbacVersion, "RoleBinding"), ObjectMeta: w.meta(n.Name, objectName, "rights"),
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: objectName},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: Identity(w.team.ID).User}}})
}

// memberships are the members whose role gives something on clusters.
func (w *writer) memberships() []Member {
	members := slices.DeleteFunc(slices.Clone(w.team.Members), func(m Member) bool {
		r, _ := w.team.Role(m.Role)
		return !r.Can("kubeconfig:create") || len(r.rules()) == 0
	})
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Subject, b.Subject) })
	return members
}

func (w *writer) roles(members []Member) []Role {
	var out []Role
	for _, m := range members {
		if !slices.ContainsFunc(out, func(r Role) bool { return r.Name == m.Role }) {
			r, _ := w.team.Role(m.Role)
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Role) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (w *writer) role(r Role, n Namespace) {
	w.add(&rbacv1.Role{TypeMeta: typeMeta(rbacVersion, "Role"), ObjectMeta: w.meta(n.Name, roleName(r.Name), "role"), Rules: r.rules()})
}

func roleName(role string) string { return objectName + "-role-" + role }

// member is a member's account. Nothing mounts its token.
func (w *writer) member(m Member) {
	meta := w.meta(MembersNamespace(w.installation), AccountName(w.team.ID, m.Subject), "member")
	meta.Annotations = map[string]string{AnnotationMember: m.Subject}
	w.add(&corev1.ServiceAccount{TypeMeta: typeMeta("v1", "ServiceAccount"), ObjectMeta: meta, AutomountServiceAccountToken: new(bool)})
}

// memberRights bind a member to the role. The role is part of the name: what a
// binding refers to cannot be changed.
func (w *writer) memberRights(m Member, n Namespace) {
	name := objectName + "-" + digest(m.Subject+"\n"+m.Role)
	w.add(&rbacv1.RoleBinding{TypeMeta: typeMeta(rbacVersion, "RoleBinding"), ObjectMeta: w.meta(n.Name, name, "member"),
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: roleName(m.Role)},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: MembersNamespace(w.installation), Name: AccountName(w.team.ID, m.Subject)}}})
}
