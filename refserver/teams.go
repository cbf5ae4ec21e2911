package refserver

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/refserver/client"
	"github.com/appspan-dev/appspan/storage"
)

func (s *Server) teamRoutes() []*route {
	const tag = "teams"
	return []*route{
		op("GET", "/teams", "listTeams", tag, "The teams that you may see", s.listTeams).asks("team", appspan.VerbRead),
		op("POST", "/teams", "createTeam", tag, "Make a team", s.createTeam).with(http.StatusCreated).or(http.StatusOK).asks("team", appspan.VerbCreate),
		op("GET", "/teams/{team}", "getTeam", tag, "One team: members, roles, quota, what it has where", s.getTeam).asks("team", appspan.VerbRead),
		op("PUT", "/teams/{team}", "putTeam", tag, "Change members, roles, quota and names; what it has on clusters is allocated", s.putTeam).asks("member", appspan.VerbUpdate),
		op("DELETE", "/teams/{team}", "deleteTeam", tag, "Delete a team; a dry run says what would go", s.deleteTeam).asks("team", appspan.VerbDelete),
		op("PUT", "/teams/{team}/clusters/{cluster}", "allocate", tag, "Give a team namespaces and quota on a cluster", s.allocate).asks("team", appspan.VerbUpdate),
		op("DELETE", "/teams/{team}/clusters/{cluster}", "deallocate", tag, "Take them away; namespaces stay with what is in them", s.deallocate).asks("team", appspan.VerbUpdate),
		op("GET", "/teams/{team}/usage", "getTeamUsage", tag, "What it uses and may use, per cluster and over all", s.teamUsage).asks("team", appspan.VerbRead),
		op("GET", "/teams/{team}/drift", "getTeamDrift", tag, "How it was last found on its clusters", s.teamDrift).asks("team", appspan.VerbRead),
		op("POST", "/teams/{team}/reconciliations", "reconcileTeam", tag, "Make it so on its clusters now", s.reconcileTeam).asks("team", appspan.VerbUpdate),
		op("POST", "/teams/{team}/clusters/{cluster}/kubeconfigs", "createKubeconfig", tag, "A short-lived kubeconfig of your own", s.createKubeconfig).with(http.StatusCreated).or(http.StatusOK).asks("kubeconfig", appspan.VerbCreate),
		op("GET", "/teams/{team}/clusters/{cluster}/credentials", "listCredentials", tag, "The registries that it has pull credentials for", s.listCredentials).asks("credential", appspan.VerbRead),
		op("PUT", "/teams/{team}/clusters/{cluster}/credentials", "setCredential", tag, "Set pull credentials; without a username and a password they are removed", s.setCredential).asks("credential", appspan.VerbUpdate),
		op("GET", "/roles", "listRoles", tag, "The roles that every team has, and all permissions", s.listRoles),
	}
}

type teamIn struct {
	Team string `path:"team"`
}

// teams are those to work with: for a dry run over records that keep nothing.
func (c *call) teams(dryRun bool) (*team.Teams, func(), error) {
	if !dryRun {
		return c.Teams, func() {}, nil
	}
	overlay := storage.Overlay(c.Records)
	t, err := team.New(overlay, c.s.parts.Fleet.For(appspan.Subject{ID: system}), &team.Options{Installation: c.Teams.Installation(), Keys: c.Keys, Authorizer: c.Authorizer})
	if err != nil {
		_ = overlay.Close()
		return nil, nil, err
	}
	return t.For(c.subject()), func() { _ = overlay.Close() }, nil
}

func (s *Server) listTeams(ctx context.Context, c *call, _ *struct{}) (client.List[team.Team], error) {
	out := client.List[team.Team]{Items: []team.Team{}}
	for t, err := range c.Teams.List(ctx) {
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, t)
	}
	return out, c.tagged(out)
}

type createTeamIn struct {
	dry
	Body team.Team
}

func (s *Server) createTeam(ctx context.Context, c *call, in *createTeamIn) (team.Team, error) {
	teams, end, err := c.teams(in.DryRun)
	if err != nil {
		return team.Team{}, err
	}
	defer end()
	made, err := teams.Create(ctx, in.Body)
	if err != nil {
		return made, err
	}
	if in.DryRun {
		c.status = http.StatusOK
		return made, nil
	}
	c.location("/teams/%s", made.ID)
	return made, c.tagged(made)
}

func (s *Server) getTeam(ctx context.Context, c *call, in *teamIn) (team.Team, error) {
	t, err := c.Teams.Get(ctx, in.Team)
	if err != nil {
		return t, err
	}
	return t, c.tagged(t)
}

type putTeamIn struct {
	dry
	match
	teamIn
	Body team.Team
}

func (s *Server) putTeam(ctx context.Context, c *call, in *putTeamIn) (team.Team, error) {
	if in.Body.ID != "" && in.Body.ID != in.Team {
		return team.Team{}, fmt.Errorf("%w: the body is of team %q, the path of %q", appspan.ErrInvalid, cutText(in.Body.ID, 64), in.Team)
	}
	teams, end, err := c.teams(in.DryRun)
	if err != nil {
		return team.Team{}, err
	}
	defer end()
	t, err := teams.Update(ctx, in.Team, func(now *team.Team) error {
		if err := in.match.of(*now); err != nil {
			return err
		}
		now.DisplayName, now.Members, now.Roles, now.Quota, now.Drift = in.Body.DisplayName, in.Body.Members, in.Body.Roles, in.Body.Quota, in.Body.Drift
		if in.Body.Clusters != nil {
			now.Clusters = in.Body.Clusters
		}
		return nil
	})
	if err != nil {
		return t, err
	}
	return t, c.tagged(t)
}

type deleteTeamIn struct {
	dry
	teamIn
	Data   string `query:"data" doc:"what becomes of its namespaces: keep, move or delete"`
	To     string `query:"to" doc:"the team that gets them"`
	Force  bool   `query:"force"`
	Forget bool   `query:"forget" doc:"give up on clusters that do not answer"`
}

func (s *Server) deleteTeam(ctx context.Context, c *call, in *deleteTeamIn) (team.Removal, error) {
	o := &team.DeleteOptions{Data: team.Data(in.Data), To: in.To, Force: in.Force, Forget: in.Forget}
	if in.DryRun {
		return c.Teams.PlanDelete(ctx, in.Team, o)
	}
	return c.Teams.Delete(ctx, in.Team, o)
}

type teamClusterIn struct {
	teamIn
	clusterIn
}

type allocateIn struct {
	dry
	teamClusterIn
	Body team.Allocation
}

func (s *Server) allocate(ctx context.Context, c *call, in *allocateIn) (client.Allocated, error) {
	teams, end, err := c.teams(in.DryRun)
	if err != nil {
		return client.Allocated{}, err
	}
	defer end()
	t, warnings, err := teams.Allocate(ctx, in.Team, in.Cluster, in.Body)
	return client.Allocated{Team: t, Warnings: append([]string{}, warnings...)}, err
}

type deallocateIn struct {
	dry
	teamClusterIn
}

func (s *Server) deallocate(ctx context.Context, c *call, in *deallocateIn) (empty, error) {
	teams, end, err := c.teams(in.DryRun)
	if err != nil {
		return empty{}, err
	}
	defer end()
	_, err = teams.Update(ctx, in.Team, func(now *team.Team) error {
		if _, ok := now.Clusters[in.Cluster]; !ok {
			return fmt.Errorf("%w: team %s has nothing on cluster %q", appspan.ErrNotFound, in.Team, in.Cluster)
		}
		delete(now.Clusters, in.Cluster)
		return nil
	})
	return empty{}, err
}

func (s *Server) teamUsage(ctx context.Context, c *call, in *teamIn) (team.Usage, error) {
	return c.Teams.Usage(ctx, in.Team)
}

func (s *Server) teamDrift(ctx context.Context, c *call, in *teamIn) (team.Drift, error) {
	return c.Teams.Drift(ctx, in.Team)
}

type reconcileIn struct {
	dry
	teamIn
}

func (s *Server) reconcileTeam(ctx context.Context, c *call, in *reconcileIn) (team.Plan, error) {
	if in.DryRun {
		return c.Teams.Plan(ctx, in.Team)
	}
	return c.Teams.Reconcile(ctx, in.Team)
}

type kubeconfigIn struct {
	dry
	teamClusterIn
	Body client.KubeconfigRequest
}

func (s *Server) createKubeconfig(ctx context.Context, c *call, in *kubeconfigIn) (client.Kubeconfig, error) {
	c.w.Header().Set("Cache-Control", "no-store")
	if in.DryRun {
		c.status = http.StatusOK
		return client.Kubeconfig{}, appspan.Authorize(ctx, c.Authorizer, c.subject(), appspan.Access{Verb: appspan.VerbCreate, Resource: "kubeconfig", Team: in.Team, Cluster: in.Cluster})
	}
	k, err := c.Teams.Kubeconfig(ctx, in.Team, in.Cluster, team.KubeconfigOptions{Server: in.Body.Server, CA: []byte(in.Body.CA), Lifetime: time.Duration(in.Body.Seconds) * time.Second})
	return client.Kubeconfig{Config: string(k.Config), Expires: k.Expires}, err
}

func (s *Server) listCredentials(ctx context.Context, c *call, in *teamClusterIn) (client.List[client.Registry], error) {
	out := client.List[client.Registry]{Items: []client.Registry{}}
	found, err := c.Teams.Registries(ctx, in.Team, in.Cluster)
	for _, name := range found {
		out.Items = append(out.Items, client.Registry{Registry: name})
	}
	return out, err
}

type setCredentialIn struct {
	dry
	teamClusterIn
	Body client.Credential
}

func (s *Server) setCredential(ctx context.Context, c *call, in *setCredentialIn) (empty, error) {
	teams, end, err := c.teams(in.DryRun)
	if err != nil {
		return empty{}, err
	}
	defer end()
	return empty{}, teams.SetCredential(ctx, in.Team, in.Cluster, team.Credential{Registry: in.Body.Registry, Username: in.Body.Username, Password: in.Body.Password})
}

func (s *Server) listRoles(context.Context, *call, *struct{}) (client.RoleInfo, error) {
	out := client.RoleInfo{Roles: team.BuiltInRoles()}
	for _, p := range team.Permissions() {
		out.Permissions = append(out.Permissions, client.Described{Permission: string(p.Permission), Description: p.Description})
	}
	return out, nil
}
