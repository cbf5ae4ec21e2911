package team

import (
	"maps"
	"slices"

	"github.com/appspan-dev/appspan/cluster"
)

// Team is a group of people, the namespaces in which their applications run,
// and how much those may ask for. It is plain data: [Teams] keeps it.
type Team struct {
	// ID is a DNS label of at most 40 characters, for life. It goes into
	// labels, names of objects and the name of the impersonated user.
	ID string `json:"id"`
	// DisplayName is what people read; empty is the ID.
	DisplayName string `json:"displayName,omitempty"`
	// Members are the people and programs of the team, each once.
	Members []Member `json:"members,omitempty"`
	// Roles are roles of the team's own, beside the built-in ones.
	Roles []Role `json:"roles,omitempty"`
	// Clusters say, by name of the cluster, what the team has there.
	Clusters map[string]Allocation `json:"clusters,omitempty"`
	// Quota bounds what all applications of the team reserve over all
	// clusters together; a resource that is not in it is not bounded.
	Quota cluster.Amounts `json:"quota,omitempty"`
	// Drift says what [Teams.Run] does about what somebody changed on a
	// cluster; default is RunOptions.Policy.
	Drift DriftPolicy `json:"drift,omitempty"`
	// Revision is the stored revision, opaque; empty for a team that is not
	// stored. It is ignored on Create.
	Revision string `json:"-"`
}

// Member is one person or program of a team.
type Member struct {
	// Subject is the appspan.Subject's ID.
	Subject string `json:"subject"`
	// Role is the name of a built-in role or of one of the team's own.
	Role string `json:"role"`
}

// Allocation is what a team has on one cluster.
type Allocation struct {
	// Namespaces are those in which the team's applications run.
	Namespaces []Namespace `json:"namespaces"`
	// Quota bounds what the team's applications reserve on this cluster, and
	// is the ResourceQuota of the namespace. With several namespaces each
	// states its share, see [Namespace].
	Quota cluster.Amounts `json:"quota,omitempty"`
	// CountSurge reserves also what a rolling update adds before it takes
	// others away, from the beginning, and makes the ResourceQuota exactly the
	// quota. Without it an update needs no quota beside that of the
	// application: the ResourceQuota has twice the room for what pods ask for,
	// so that an update at the limit does not wait for itself.
	CountSurge bool `json:"countSurge,omitempty"`
	// Defaults are the requests of containers that state none, without which
	// a quota could not be kept; default 100m of CPU and 128Mi of memory.
	Defaults cluster.Amounts `json:"defaults,omitempty"`
	// PodSecurity is the level of the Pod Security Standards that is enforced;
	// default [Baseline]. The next stricter one warns.
	PodSecurity Level `json:"podSecurity,omitempty"`
	// Network says with whom the team's pods may talk beside each other.
	Network Network `json:"network,omitzero"`
	// NodePool, if any, are the node labels that the team's pods must select;
	// other node selectors are refused.
	NodePool map[string]string `json:"nodePool,omitempty"`
	// Hosts are the host names that routes may use, "*.example.com" with all
	// below it; empty is any that is not allocated to another team there. Where
	// teams share an ingress, it keeps one from answering for another.
	Hosts []string `json:"hosts,omitempty"`
	// Permits are exceptions to what [Check] refuses.
	Permits []Permit `json:"permits,omitempty"`
}

// Namespace is one namespace of a team on one cluster.
type Namespace struct {
	// Name is chosen freely; default on [Teams.Allocate]: the team's ID.
	Name string `json:"name"`
	// Adopt takes over a namespace that exists already and belongs to nobody.
	// Without it an existing namespace is appspan.ErrExists.
	Adopt bool `json:"adopt,omitempty"`
	// Quota is the namespace's share of the allocation's quota; default: all
	// of it, which is right for a single namespace only.
	Quota cluster.Amounts `json:"quota,omitempty"`
}

// Network says with whom the pods of a team may talk. The zero value: with
// pods of the same team on the same cluster and with the cluster's DNS.
type Network struct {
	// From are namespaces whose pods may connect to the team's: those of
	// ingress controllers and of monitoring.
	From []string `json:"from,omitempty"`
	// Internet lets the team's pods connect to public addresses.
	Internet bool `json:"internet,omitempty"`
	// Open applies no NetworkPolicy at all.
	Open bool `json:"open,omitempty"`
}

// Level is a level of the Kubernetes Pod Security Standards.
type Level string

// The levels, from the loosest on.
const (
	Privileged Level = "privileged"
	Baseline   Level = "baseline"
	Restricted Level = "restricted"
)

// Permit is an exception to what a team's applications may not contain.
type Permit string

// The permits.
const (
	// PermitLoadBalancers: Services of type LoadBalancer, which cost money and
	// addresses.
	PermitLoadBalancers Permit = "load-balancers"
	// PermitNodePorts: Services of type NodePort, and host ports where the Pod
	// Security level allows them.
	PermitNodePorts Permit = "node-ports"
	// PermitEndpoints: EndpointSlices and Services that lead to addresses or
	// names of the team's choosing (CVE-2021-25740).
	PermitEndpoints Permit = "endpoints"
	// PermitEgress: NetworkPolicies that open egress.
	PermitEgress Permit = "egress"
	// PermitDaemons: DaemonSets, which run on every node.
	PermitDaemons Permit = "daemons"
	// PermitPriorities: priority classes, by which pods drive out others. Those
	// of the cluster's own pods are refused always.
	PermitPriorities Permit = "priorities"
	// PermitRuntimes: runtime classes, which may hold pods less well.
	PermitRuntimes Permit = "runtimes"
	// PermitVolumes: volumes that pods describe by address or id (NFS, disks,
	// CSI inline), rather than claim from a storage class.
	PermitVolumes Permit = "volumes"
)

// Permits returns every permit there is.
func Permits() []Permit {
	return []Permit{PermitLoadBalancers, PermitNodePorts, PermitEndpoints, PermitEgress, PermitDaemons, PermitPriorities, PermitRuntimes, PermitVolumes}
}

// Member returns the member with a subject's ID.
func (t Team) Member(subject string) (Member, bool) {
	i := slices.IndexFunc(t.Members, func(m Member) bool { return m.Subject == subject })
	if i < 0 {
		return Member{}, false
	}
	return t.Members[i], true
}

// Namespaces returns the names of the team's namespaces on a cluster.
func (t Team) Namespaces(clusterName string) []string {
	var out []string
	for _, n := range t.Clusters[clusterName].Namespaces {
		out = append(out, n.Name)
	}
	return out
}

// has reports whether a namespace on a cluster, or on any if that is empty, is
// the team's.
func (t Team) has(clusterName, namespace string) bool {
	for name := range t.Clusters {
		if (clusterName == "" || clusterName == name) && slices.Contains(t.Namespaces(name), namespace) {
			return true
		}
	}
	return false
}

// clone copies everything that a caller could change.
func (t Team) clone() Team {
	t.Members = slices.Clone(t.Members)
	t.Quota = maps.Clone(t.Quota)
	t.Roles = slices.Clone(t.Roles)
	for i := range t.Roles {
		t.Roles[i].Permissions = slices.Clone(t.Roles[i].Permissions)
	}
	t.Clusters = maps.Clone(t.Clusters)
	for name, a := range t.Clusters {
		t.Clusters[name] = a.clone()
	}
	return t
}

func (a Allocation) clone() Allocation {
	a.Namespaces = slices.Clone(a.Namespaces)
	for i := range a.Namespaces {
		a.Namespaces[i].Quota = maps.Clone(a.Namespaces[i].Quota)
	}
	a.Quota, a.Defaults = maps.Clone(a.Quota), maps.Clone(a.Defaults)
	a.Network.From = slices.Clone(a.Network.From)
	a.NodePool, a.Permits, a.Hosts = maps.Clone(a.NodePool), slices.Clone(a.Permits), slices.Clone(a.Hosts)
	return a
}

func (a Allocation) permits(p Permit) bool { return slices.Contains(a.Permits, p) }

// level is the enforced level.
func (a Allocation) level() Level {
	if a.PodSecurity == "" {
		return Baseline
	}
	return a.PodSecurity
}

// defaults are the requests of containers that state none.
func (a Allocation) defaults() cluster.Amounts {
	out := cluster.Amounts{"cpu": "100m", "memory": "128Mi"}
	maps.Copy(out, a.Defaults)
	return out
}

// share is the quota of one of the namespaces.
func (a Allocation) share(n Namespace) cluster.Amounts {
	out := cluster.Amounts{}
	maps.Copy(out, a.Quota)
	maps.Copy(out, n.Quota)
	return out
}
