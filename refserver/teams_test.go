package refserver_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/refserver"
	"github.com/appspan-dev/appspan/refserver/client"
)

// kept is what the server's records hold, but for what watches itself.
func (s *site) kept(prefixes ...string) map[string]string {
	s.t.Helper()
	out := map[string]string{}
	for _, prefix := range prefixes {
		for rec, err := range s.Parts().Records.List(s.t.Context(), prefix) {
			require.NoError(s.t, err)
			out[rec.Key] = rec.Revision
		}
	}
	return out
}

func TestClustersAreRegisteredChangedAndRemoved(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	var list client.List[cluster.Status]
	s.send("admin", "GET", "/api/v1/clusters", nil).into(t, 200, &list)
	require.Len(t, list.Items, 2)
	s.send("admin", "GET", "/api/v1/clusters?limit=1", nil).into(t, 200, &list)
	require.Len(t, list.Items, 1)
	s.send("admin", "GET", "/api/v1/clusters?limit=1&cursor="+list.Next, nil).into(t, 200, &list)
	require.Equal(t, "b", list.Items[0].Name)
	s.send("somebody", "GET", "/api/v1/clusters/a", nil).into(t, 403, nil)
	s.send("somebody", "POST", "/api/v1/clusters", client.NewCluster{Name: "c", Provider: "fake"}).into(t, 403, nil)
	before := s.kept("clusters/", "cluster-uids/")
	for name, bad := range map[string]client.NewCluster{
		"a name that is none":      {Name: "No Name", Provider: "fake"},
		"no such provider":         {Name: "c", Provider: "none"},
		"a kubeconfig that is not": {Name: "c", Provider: "kubeconfig", Config: "x"},
		"one that runs a program":  {Name: "c", Provider: "kubeconfig", Config: "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: x, user: x}}]\nclusters: [{name: x, cluster: {server: https://127.0.0.1:1}}]\nusers: [{name: x, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: touch, args: [/tmp/owned], interactiveMode: Never}}}]"},
		"one that reads a file":    {Name: "c", Provider: "kubeconfig", Config: "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: x, user: x}}]\nclusters: [{name: x, cluster: {server: https://127.0.0.1:1, certificate-authority: /etc/passwd}}]\nusers: [{name: x, user: {}}]"},
	} {
		got := s.send("admin", "POST", "/api/v1/clusters", bad)
		require.Contains(t, []int{400, 403, 422}, got.StatusCode, "%s: %s", name, got.body)
	}
	s.send("admin", "POST", "/api/v1/clusters", client.NewCluster{Name: "a", Provider: "fake"}).into(t, 409, nil)
	require.Equal(t, before, s.kept("clusters/", "cluster-uids/"))

	got := s.send("admin", "GET", "/api/v1/clusters/a", nil)
	got.into(t, 200, nil)
	change := client.ClusterChange{Labels: map[string]string{"region": "eu"}}
	s.send("admin", "PATCH", "/api/v1/clusters/a", change).into(t, 428, nil)
	s.send("admin", "PATCH", "/api/v1/clusters/a", change, "If-Match", `"other"`).into(t, 412, nil)
	s.send("admin", "PATCH", "/api/v1/clusters/a?dryRun=true", change, "If-Match", got.Header.Get("ETag")).into(t, 200, nil)
	require.Equal(t, before, s.kept("clusters/", "cluster-uids/"))
	var st cluster.Status
	s.send("admin", "PATCH", "/api/v1/clusters/a", change, "If-Match", got.Header.Get("ETag")).into(t, 200, &st)
	require.Equal(t, "eu", st.Labels["region"])
	s.send("admin", "PATCH", "/api/v1/clusters/a", change, "If-Match", got.Header.Get("ETag")).into(t, 412, nil)
	s.send("admin", "GET", "/api/v1/clusters?label=region%3Deu", nil).into(t, 200, &list)
	require.Len(t, list.Items, 1)
	s.send("admin", "POST", "/api/v1/clusters/a/checks", nil).into(t, 200, &st)
	s.send("admin", "GET", "/api/v1/clusters/a/history", nil).into(t, 200, nil)
	s.send("admin", "DELETE", "/api/v1/clusters/b?dryRun=true", nil).into(t, 204, nil)
	s.send("admin", "GET", "/api/v1/clusters/b", nil).into(t, 200, nil)
	s.send("admin", "DELETE", "/api/v1/clusters/b", nil).into(t, 204, nil)
	s.send("admin", "GET", "/api/v1/clusters/b", nil).into(t, 404, nil)
	s.send("admin", "POST", "/api/v1/clusters?dryRun=true", client.NewCluster{Name: "b", Provider: "fake"}).into(t, 200, nil)
	s.send("admin", "GET", "/api/v1/clusters/b", nil).into(t, 404, nil)
	s.send("admin", "POST", "/api/v1/clusters", client.NewCluster{Name: "b", Provider: "fake"}).into(t, 201, nil)
}

func TestAClusterIsInvitedWhereTheHubSaysWhereItIs(t *testing.T) {
	t.Parallel()
	s := open(t, func(o *refserver.Options) { o.HubURL = "https://hub.example.com/tunnel" })
	s.send("admin", "POST", "/api/v1/clusters", client.NewCluster{Name: "edge", Provider: "tunnel", Unverified: true}).into(t, 201, nil)
	ask := client.InvitationRequest{Image: "registry.example.com/appspan/agent:v1"}
	s.send("somebody", "POST", "/api/v1/clusters/edge/invitations", ask).into(t, 403, nil)
	s.send("admin", "POST", "/api/v1/clusters/a/invitations", ask).into(t, 412, nil)
	s.send("admin", "POST", "/api/v1/clusters/edge/invitations", client.InvitationRequest{}).into(t, 400, nil)
	var in client.Invitation
	s.send("admin", "POST", "/api/v1/clusters/edge/invitations", ask).into(t, 201, &in)
	require.Contains(t, in.Manifest, "registry.example.com/appspan/agent:v1")
	s.send("admin", "DELETE", "/api/v1/clusters/edge?force=true", nil).into(t, 204, nil)
	none := open(t, nil)
	none.send("admin", "POST", "/api/v1/clusters", client.NewCluster{Name: "edge", Provider: "tunnel", Unverified: true}).into(t, 201, nil)
	none.send("admin", "POST", "/api/v1/clusters/edge/invitations", ask).into(t, 422, nil)
}

func TestATeamLivesThroughTheAPI(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	blue := team.Team{ID: "blue", Members: []team.Member{{Subject: "ann", Role: team.RoleAdmin}, {Subject: "dan", Role: team.RoleDeveloper}}, Quota: cluster.Amounts{"cpu": "4"}}
	s.send("ann", "POST", "/api/v1/teams", blue).into(t, 403, nil)
	s.send("admin", "POST", "/api/v1/teams?dryRun=true", blue).into(t, 200, nil)
	s.send("admin", "GET", "/api/v1/teams/blue", nil).into(t, 404, nil)
	s.send("admin", "POST", "/api/v1/teams", blue).into(t, 201, nil)
	s.send("admin", "POST", "/api/v1/teams", blue).into(t, 409, nil)
	got := s.send("ann", "GET", "/api/v1/teams/blue", nil)
	var now team.Team
	got.into(t, 200, &now)
	s.send("eve", "GET", "/api/v1/teams/blue", nil).into(t, 403, nil)
	now.Members = append(now.Members, team.Member{Subject: "bob", Role: team.RoleObserver})
	s.send("ann", "PUT", "/api/v1/teams/blue", now).into(t, 428, nil)
	s.send("dan", "PUT", "/api/v1/teams/blue", now, "If-Match", got.Header.Get("ETag")).into(t, 403, nil)
	s.send("ann", "PUT", "/api/v1/teams/blue?dryRun=true", now, "If-Match", got.Header.Get("ETag")).into(t, 200, nil)
	s.send("ann", "PUT", "/api/v1/teams/blue", now, "If-Match", got.Header.Get("ETag")).into(t, 200, &now)
	require.Len(t, now.Members, 3)

	space := team.Allocation{Namespaces: []team.Namespace{{Name: "blue"}}, Quota: cluster.Amounts{"cpu": "2"}}
	s.send("ann", "PUT", "/api/v1/teams/blue/clusters/a", space).into(t, 403, nil)
	var allocated client.Allocated
	s.send("admin", "PUT", "/api/v1/teams/blue/clusters/a", space).into(t, 200, &allocated)
	require.Len(t, allocated.Team.Clusters, 1)
	var plan team.Plan
	s.send("admin", "POST", "/api/v1/teams/blue/reconciliations", nil).into(t, 200, &plan)
	var usage team.Usage
	s.send("dan", "GET", "/api/v1/teams/blue/usage", nil).into(t, 200, &usage)
	require.Equal(t, "4", usage.Quota["cpu"])
	s.send("ann", "PUT", "/api/v1/teams/blue/clusters/a/credentials", client.Credential{Registry: "registry.example.com", Username: "u", Password: "c0rrect-horse"}).into(t, 204, nil)
	listed := s.send("ann", "GET", "/api/v1/teams/blue/clusters/a/credentials", nil)
	listed.into(t, 200, nil)
	require.NotContains(t, string(listed.body), "c0rrect-horse")
	require.Contains(t, string(listed.body), "registry.example.com")

	// a team's developer deploys, in the team's namespace alone
	deployment := map[string]any{"document": map[string]any{"text": shop}, "target": map[string]any{"clusters": []string{"a"}, "namespace": "blue"}}
	var begun client.Planned
	s.send("dan", "POST", "/api/v1/applications?team=blue", deployment).into(t, 202, &begun)
	require.Equal(t, "done", string(s.settled("dan", begun.Operation.ID).State))
	deployment["target"] = map[string]any{"clusters": []string{"a"}, "namespace": "elsewhere"}
	s.send("dan", "POST", "/api/v1/applications?team=blue", deployment).into(t, 403, nil)
	s.send("bob", "POST", "/api/v1/applications?team=blue&dryRun=true", deployment).into(t, 403, nil)
	seen, latest := 0, time.Now().Add(time.Hour)
	for next := ""; ; {
		path := "/api/v1/audit?team=blue&limit=2"
		if next != "" {
			path += "&cursor=" + next
		}
		var audit client.List[appspan.AuditEntry]
		s.send("ann", "GET", path, nil).into(t, 200, &audit)
		for _, e := range audit.Items {
			require.False(t, e.Time.After(latest), "the newest come first")
			latest = e.Time
		}
		seen += len(audit.Items)
		if next = audit.Next; next == "" {
			break
		}
	}
	exported := s.send("ann", "GET", "/api/v1/audit/export?team=blue", nil)
	exported.into(t, 200, nil)
	require.Equal(t, seen, lines(exported.body), "every entry is on one page")
	s.send("dan", "GET", "/api/v1/audit?team=blue", nil).into(t, 403, nil)
	s.send("ann", "GET", "/api/v1/audit", nil).into(t, 403, nil)

	s.send("admin", "DELETE", "/api/v1/teams/blue?dryRun=true", nil).into(t, 200, nil)
	s.send("admin", "DELETE", "/api/v1/teams/blue", nil).into(t, 412, nil)
	s.send("admin", "DELETE", "/api/v1/teams/blue?force=true", nil).into(t, 200, nil)
	s.send("admin", "GET", "/api/v1/teams/blue", nil).into(t, 404, nil)
}

func lines(data []byte) (n int) {
	for _, b := range data {
		if b == '\n' {
			n++
		}
	}
	return n
}
