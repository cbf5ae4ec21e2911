package client

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/team"
)

// NewCluster is a cluster that is to be registered.
type NewCluster struct {
	Name string `json:"name"`
	// Provider is "kubeconfig", "tunnel", or one of the server's own.
	Provider string `json:"provider"`
	// Config is the provider's configuration, as a kubeconfig; Context chooses in
	// it. It is never given back.
	Config      string            `json:"config,omitempty"`
	Context     string            `json:"context,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Description string            `json:"description,omitempty"`
	// Unverified registers one that does not answer yet.
	Unverified bool `json:"unverified,omitempty"`
}

// ClusterChange is what of a cluster is changed; what is absent stays.
type ClusterChange struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Description *string           `json:"description,omitempty"`
	// Maintenance says why nothing is expected of it now; "" ends that.
	Maintenance *string `json:"maintenance,omitempty"`
	// Config and Context take the place of those that are kept.
	Config  *string `json:"config,omitempty"`
	Context *string `json:"context,omitempty"`
}

// Invitation is how a cluster joins through the tunnel.
type Invitation struct {
	// Manifest is for one kubectl apply in the cluster. It holds a token that works
	// once.
	Manifest string    `json:"manifest"`
	Expires  time.Time `json:"expires"`
}

// InvitationRequest says what an invitation is to be.
type InvitationRequest struct {
	// Image is the agent's.
	Image string `json:"image"`
	// Seconds is how long the token works; default an hour.
	Seconds int `json:"seconds,omitempty"`
	// ClusterAdmin gives the agent every right, in place of what Appspan needs.
	ClusterAdmin bool `json:"clusterAdmin,omitempty"`
}

// NodeChange is what happens to a node.
type NodeChange struct {
	// Unschedulable cordons or uncordons it.
	Unschedulable *bool `json:"unschedulable,omitempty"`
	// Labels are set; an empty value removes one.
	Labels map[string]string `json:"labels,omitempty"`
}

// Clusters yields the clusters with their health, from what the server knows.
func (c *Client) Clusters(ctx context.Context) iter.Seq2[cluster.Status, error] {
	return pages[cluster.Status](ctx, c, get("clusters"))
}

// Cluster is one, with its nodes, and its entity tag.
func (c *Client) Cluster(ctx context.Context, name string) (cluster.Status, string, error) {
	return tagged[cluster.Status](ctx, c, get("clusters", name))
}

// AddCluster registers a cluster, or says whether it could be.
func (c *Client) AddCluster(ctx context.Context, n NewCluster, dryRun bool) (cluster.Status, error) {
	return one[cluster.Status](ctx, c, post(n, "clusters").flag("dryRun", dryRun))
}

// ChangeCluster changes the cluster that has the entity tag.
func (c *Client) ChangeCluster(ctx context.Context, name string, change ClusterChange, etag string) (cluster.Status, error) {
	return one[cluster.Status](ctx, c, patch(change, "clusters", name).match(etag))
}

// RemoveCluster ends its membership; while applications run there it is refused
// unless forced.
func (c *Client) RemoveCluster(ctx context.Context, name string, force bool) error {
	return none(ctx, c, del("clusters", name).flag("force", force))
}

// ForgetCluster gives up on a cluster that does not answer.
func (c *Client) ForgetCluster(ctx context.Context, name string) error {
	return none(ctx, c, post(struct{}{}, "clusters", name, "forgetting"))
}

// ForgottenClusters yields those that were given up on.
func (c *Client) ForgottenClusters(ctx context.Context) iter.Seq2[cluster.Tombstone, error] {
	return pages[cluster.Tombstone](ctx, c, get("forgotten-clusters"))
}

// ClusterHistory yields how it did.
func (c *Client) ClusterHistory(ctx context.Context, name string) iter.Seq2[cluster.Transition, error] {
	return pages[cluster.Transition](ctx, c, get("clusters", name, "history"))
}

// CheckCluster looks at a cluster now.
func (c *Client) CheckCluster(ctx context.Context, name string) (cluster.Status, error) {
	return one[cluster.Status](ctx, c, post(struct{}{}, "clusters", name, "checks"))
}

// InviteCluster makes the manifest by which a cluster joins through the tunnel.
func (c *Client) InviteCluster(ctx context.Context, name string, r InvitationRequest) (Invitation, error) {
	return one[Invitation](ctx, c, post(r, "clusters", name, "invitations"))
}

// ChangeNode cordons, uncordons or labels a node, and DrainNode empties it.
func (c *Client) ChangeNode(ctx context.Context, name, node string, change NodeChange) error {
	return none(ctx, c, patch(change, "clusters", name, "nodes", node))
}

// DrainNode evicts what runs on a node, and waits until it is gone, two minutes at
// most.
func (c *Client) DrainNode(ctx context.Context, name, node string) error {
	r := post(struct{}{}, "clusters", name, "nodes", node, "drains")
	long := *c
	long.opts.Timeout = 3 * time.Minute
	return none(ctx, &long, r)
}

// Teams yields the teams that the subject may see.
func (c *Client) Teams(ctx context.Context) iter.Seq2[team.Team, error] {
	return pages[team.Team](ctx, c, get("teams"))
}

// Team is one, and its entity tag.
func (c *Client) Team(ctx context.Context, id string) (team.Team, string, error) {
	return tagged[team.Team](ctx, c, get("teams", id))
}

// CreateTeam makes a team.
func (c *Client) CreateTeam(ctx context.Context, t team.Team) (team.Team, error) {
	return one[team.Team](ctx, c, post(t, "teams"))
}

// PutTeam changes the team that has the entity tag: members, roles, quota, names.
func (c *Client) PutTeam(ctx context.Context, t team.Team, etag string) (team.Team, error) {
	return one[team.Team](ctx, c, put(t, "teams", t.ID).match(etag))
}

// TeamRemoval says what becomes of what a team has.
type TeamRemoval struct {
	Data   team.Data
	To     string
	Force  bool
	Forget bool
	DryRun bool
}

// DeleteTeam deletes a team, or says what would go.
func (c *Client) DeleteTeam(ctx context.Context, id string, o TeamRemoval) (team.Removal, error) {
	return one[team.Removal](ctx, c, del("teams", id).param("data", string(o.Data)).param("to", o.To).flag("force", o.Force).flag("forget", o.Forget).flag("dryRun", o.DryRun))
}

// Allocated is a team with what it was given, and warnings.
type Allocated struct {
	Team     team.Team `json:"team"`
	Warnings []string  `json:"warnings"`
}

// Allocate gives a team something on a cluster.
func (c *Client) Allocate(ctx context.Context, id, name string, a team.Allocation) (Allocated, error) {
	return one[Allocated](ctx, c, put(a, "teams", id, "clusters", name))
}

// Deallocate takes it away; namespaces stay with what is in them.
func (c *Client) Deallocate(ctx context.Context, id, name string) error {
	return none(ctx, c, del("teams", id, "clusters", name))
}

// TeamUsage is what a team uses, and may use.
func (c *Client) TeamUsage(ctx context.Context, id string) (team.Usage, error) {
	return one[team.Usage](ctx, c, get("teams", id, "usage"))
}

// TeamDrift is how a team was last found on its clusters.
func (c *Client) TeamDrift(ctx context.Context, id string) (team.Drift, error) {
	return one[team.Drift](ctx, c, get("teams", id, "drift"))
}

// ReconcileTeam makes a team so on its clusters, or says what would be done.
func (c *Client) ReconcileTeam(ctx context.Context, id string, dryRun bool) (team.Plan, error) {
	return one[team.Plan](ctx, c, post(struct{}{}, "teams", id, "reconciliations").flag("dryRun", dryRun))
}

// KubeconfigRequest says how a member reaches a cluster.
type KubeconfigRequest struct {
	// Server is the URL of its API server, CA the PEM of the authority.
	Server string `json:"server"`
	CA     string `json:"ca,omitempty"`
	// Seconds is how long it works; default an hour.
	Seconds int `json:"seconds,omitempty"`
}

// Kubeconfig is a short-lived one of a member.
type Kubeconfig struct {
	Config  string    `json:"config"`
	Expires time.Time `json:"expires"`
}

// CreateKubeconfig makes one for the subject, a member of the team.
func (c *Client) CreateKubeconfig(ctx context.Context, id, name string, r KubeconfigRequest) (Kubeconfig, error) {
	return one[Kubeconfig](ctx, c, post(r, "teams", id, "clusters", name, "kubeconfigs"))
}

// Registry is a registry that a team has pull credentials for.
type Registry struct {
	Registry string `json:"registry"`
}

// Credential is what images of a registry are pulled with.
type Credential struct {
	Registry string `json:"registry"`
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
}

// Registries yields those that a team has pull credentials for on a cluster.
func (c *Client) Registries(ctx context.Context, id, name string) iter.Seq2[Registry, error] {
	return pages[Registry](ctx, c, get("teams", id, "clusters", name, "credentials"))
}

// SetCredential stores pull credentials; without a username and a password they
// are removed.
func (c *Client) SetCredential(ctx context.Context, id, name string, credential Credential) error {
	return none(ctx, c, put(credential, "teams", id, "clusters", name, "credentials"))
}

// RoleInfo are the roles that every team has, and the permissions there are.
type RoleInfo struct {
	Roles       []team.Role `json:"roles"`
	Permissions []Described `json:"permissions"`
}

// Described is a permission.
type Described struct {
	Permission  string `json:"permission"`
	Description string `json:"description"`
}

// Roles are the built-in roles and all permissions.
func (c *Client) Roles(ctx context.Context) (RoleInfo, error) {
	return one[RoleInfo](ctx, c, get("roles"))
}

// AuditFilter chooses entries of the audit log.
type AuditFilter struct {
	From, Until time.Time
	Subject     string
}

// Audit yields what was done, the newest first: in the team that the client acts
// for, or everywhere.
func (c *Client) Audit(ctx context.Context, f AuditFilter) iter.Seq2[appspan.AuditEntry, error] {
	return pages[appspan.AuditEntry](ctx, c, f.of("audit"))
}

// ExportAudit writes the same, the oldest first, as JSON, one entry a line.
func (c *Client) ExportAudit(ctx context.Context, w io.Writer, f AuditFilter) error {
	resp, err := c.stream(ctx, f.of("audit", "export"))
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(w, resp.Body)
	return err
}

func (f AuditFilter) of(path ...string) *request {
	r := get(path...).param("subject", f.Subject)
	if !f.From.IsZero() {
		r.param("from", f.From.UTC().Format(time.RFC3339))
	}
	if !f.Until.IsZero() {
		r.param("until", f.Until.UTC().Format(time.RFC3339))
	}
	return r
}
