package team_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/team"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	allocation := func(edit func(*team.Allocation)) func(*team.Team) {
		return func(tm *team.Team) {
			a := tm.Clusters["a"]
			edit(&a)
			tm.Clusters["a"] = a
		}
	}
	for _, c := range []struct {
		name string
		edit func(*team.Team)
		want []string
	}{
		{"a good team has no fault", func(*team.Team) {}, nil},
		{"an id is a label", func(tm *team.Team) { tm.ID = "The Blues" }, []string{`id: invalid: "The Blues" is no id`}},
		{"an id is short", func(tm *team.Team) { tm.ID = "b234567890123456789012345678901234567890x" }, []string{"at most 40"}},
		{"a member is one once", func(tm *team.Team) { tm.Members = append(tm.Members, team.Member{Subject: "ada", Role: "observer"}) }, []string{`members[3].subject`, "is a member already"}},
		{"a role exists", func(tm *team.Team) { tm.Members[0].Role = "king" }, []string{`members[0].role`, `no role "king"`}},
		{"a role of the team's own counts", func(tm *team.Team) {
			tm.Roles = []team.Role{{Name: "releaser", Permissions: []team.Permission{"application:read", "application:deploy"}}}
			tm.Members[0].Role = "releaser"
		}, nil},
		{"a role names permissions that there are", func(tm *team.Team) {
			tm.Roles = []team.Role{{Name: "x", Permissions: []team.Permission{"team:delete"}}}
		}, []string{"roles[0].permissions[0]", "team.Permissions"}},
		{"a built-in role stays what it is", func(tm *team.Team) { tm.Roles = []team.Role{{Name: "admin"}} }, []string{"roles[0].name", "taken"}},
		{"a quota has amounts", func(tm *team.Team) { tm.Quota["cpu"] = "many" }, []string{"quota[cpu]", "no amount"}},
		{"a quota is not negative", func(tm *team.Team) { tm.Quota["cpu"] = "-1" }, []string{"quota[cpu]"}},
		{"a quota bounds what can be counted", func(tm *team.Team) { tm.Quota["bananas"] = "1" }, []string{"quota[bananas]"}},
		{"a quota bounds devices", func(tm *team.Team) { tm.Quota["example.com/gpu"] = "1" }, nil},
		{"every fault is told", func(tm *team.Team) { tm.ID, tm.Quota["cpu"] = "", "x" }, []string{"id:", "quota[cpu]"}},
		{"a cluster has a name", func(tm *team.Team) { tm.Clusters["a/b"] = tm.Clusters["a"] }, []string{"clusters[a/b]", "registered"}},
		{"an allocation has a namespace", allocation(func(a *team.Allocation) { a.Namespaces = nil }), []string{"clusters[a].namespaces"}},
		{"the cluster's namespaces stay its own", allocation(func(a *team.Allocation) { a.Namespaces[0].Name = "kube-system" }), []string{"belongs to the cluster"}},
		{"so do those of the members", allocation(func(a *team.Allocation) { a.Namespaces[0].Name = "appspan-members-test" }), []string{"belongs to the cluster"}},
		{"a namespace is a label", allocation(func(a *team.Allocation) { a.Namespaces[0].Name = "a/b" }), []string{"namespaces[0].name"}},
		{"several namespaces say how they share", allocation(func(a *team.Allocation) { a.Namespaces = append(a.Namespaces, team.Namespace{Name: "blue-2"}) }),
			[]string{"namespaces[1].quota[cpu]", "state this one's part"}},
		{"shares do not exceed the whole", allocation(func(a *team.Allocation) {
			share := cluster.Amounts{"cpu": "5", "memory": "1Gi"}
			a.Namespaces = []team.Namespace{{Name: "x", Quota: share}, {Name: "y", Quota: share}}
		}), []string{"clusters[a].quota[cpu]", "10"}},
		{"a level is one of three", allocation(func(a *team.Allocation) { a.PodSecurity = "lax" }), []string{"podSecurity"}},
		{"a permit is a known one", allocation(func(a *team.Allocation) { a.Permits = []team.Permit{"root"} }), []string{"permits[0]"}},
		{"a node pool is labels", allocation(func(a *team.Allocation) { a.NodePool = map[string]string{"a b": "c"} }), []string{"nodePool[a b]"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tm := blue()
			c.edit(&tm)
			err := tm.Validate()
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, appspan.ErrInvalid)
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestRolesGrow(t *testing.T) {
	t.Parallel()
	roles := map[string]team.Role{}
	for _, r := range team.BuiltInRoles() {
		roles[r.Name] = r
	}
	require.Subset(t, roles["admin"].Permissions, roles["developer"].Permissions)
	require.Subset(t, roles["developer"].Permissions, roles["observer"].Permissions)
	require.False(t, roles["observer"].Can("secret:read"))
	require.False(t, roles["observer"].Can("application:deploy"))
	require.True(t, roles["developer"].Can("application:deploy"))
	require.False(t, roles["developer"].Can("member:update"))
	require.True(t, roles["admin"].Can("member:update"))
	for _, p := range team.Permissions() {
		for _, r := range p.Rules {
			for _, verb := range []string{"*", "update", "patch", "escalate", "bind", "impersonate"} {
				require.NotContains(t, r.Verbs, verb, p.Permission)
			}
		}
	}
}
