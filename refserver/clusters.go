package refserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/refserver/client"
)

func (s *Server) clusterRoutes() []*route {
	const tag = "clusters"
	return []*route{
		op("GET", "/clusters", "listClusters", tag, "The clusters with their health, from what is known", s.listClusters).asks("cluster", appspan.VerbRead),
		op("POST", "/clusters", "addCluster", tag, "Register a cluster; one that does not answer is refused unless unverified", s.addCluster).with(http.StatusCreated).or(http.StatusOK).asks("cluster", appspan.VerbCreate),
		op("GET", "/clusters/{cluster}", "getCluster", tag, "One cluster, with its nodes and what they hold", s.getCluster).asks("cluster", appspan.VerbRead),
		op("PATCH", "/clusters/{cluster}", "changeCluster", tag, "Change labels, description, maintenance or credentials", s.changeCluster).asks("cluster", appspan.VerbUpdate),
		op("DELETE", "/clusters/{cluster}", "removeCluster", tag, "End a membership; while applications run there it is refused and names them", s.removeCluster).asks("cluster", appspan.VerbDelete),
		op("POST", "/clusters/{cluster}/forgetting", "forgetCluster", tag, "Give up on a cluster that does not answer; when it ever comes back, it is emptied", s.forgetCluster).with(http.StatusNoContent).asks("cluster", appspan.VerbDelete),
		op("GET", "/clusters/{cluster}/history", "listClusterHistory", tag, "How it did", s.clusterHistory).asks("cluster", appspan.VerbRead),
		op("POST", "/clusters/{cluster}/checks", "checkCluster", tag, "Look at it now", s.checkCluster).asks("cluster", appspan.VerbRead),
		op("POST", "/clusters/{cluster}/invitations", "inviteCluster", tag, "Make the manifest by which a cluster dials in: it is applied once", s.inviteCluster).with(http.StatusCreated).or(http.StatusOK).asks("cluster", appspan.VerbUpdate),
		op("PATCH", "/clusters/{cluster}/nodes/{node}", "changeNode", tag, "Cordon, uncordon or label a node", s.changeNode).asks("cluster", appspan.VerbUpdate),
		op("POST", "/clusters/{cluster}/nodes/{node}/drains", "drainNode", tag, "Evict what runs on a node", s.drainNode).with(http.StatusNoContent).asks("cluster", appspan.VerbUpdate),
		op("GET", "/forgotten-clusters", "listForgottenClusters", tag, "The clusters that were given up on", s.listForgotten).asks("cluster", appspan.VerbRead),
	}
}

type listClustersIn struct {
	page
	Search string   `query:"search" doc:"part of the name or the description"`
	Health []string `query:"health"`
	Labels []string `query:"label" doc:"key=value, all of them"`
}

func (s *Server) listClusters(ctx context.Context, c *call, in *listClustersIn) (client.List[cluster.Status], error) {
	out := client.List[cluster.Status]{Items: []cluster.Status{}}
	limit, err := in.limit()
	if err != nil {
		return out, err
	}
	after, err := in.after()
	if err != nil {
		return out, err
	}
	sel := cluster.Selector{Labels: map[string]string{}}
	for _, h := range in.Health {
		sel.Health = append(sel.Health, cluster.Health(h))
	}
	for _, l := range in.Labels {
		key, value, ok := strings.Cut(l, "=")
		if !ok {
			return out, fmt.Errorf("%w: label %q; give key=value", appspan.ErrInvalid, cutText(l, 100))
		}
		sel.Labels[key] = value
	}
	var all []cluster.Status
	for st, err := range c.Fleet.Clusters(ctx, sel) {
		if err != nil {
			return out, err
		}
		search := strings.ToLower(in.Search)
		if strings.Contains(strings.ToLower(st.Name), search) || strings.Contains(strings.ToLower(st.Description), search) {
			all = append(all, st)
		}
	}
	slices.SortFunc(all, func(a, b cluster.Status) int { return strings.Compare(a.Name, b.Name) })
	for _, st := range all {
		if st.Name <= after {
			continue
		}
		if len(out.Items) == limit {
			out.Next = cursorAt(out.Items[limit-1].Name)
			break
		}
		if st.Health == cluster.Unreachable {
			out.Unreachable = append(out.Unreachable, client.Unreachable{Cluster: st.Name, Since: st.Since, Reason: strings.Join(st.Reasons, "; ")})
		}
		if st.Info != nil { // the kinds of all clusters would be long: getCluster has them
			info := *st.Info
			info.Kinds = info.Kinds[:0]
			st.Info = &info
		}
		out.Items = append(out.Items, st)
	}
	return out, nil
}

type addClusterIn struct {
	dry
	Body client.NewCluster
}

func (s *Server) addCluster(ctx context.Context, c *call, in *addClusterIn) (cluster.Status, error) {
	b := in.Body
	r := cluster.Registration{Name: b.Name, Provider: b.Provider, Config: []byte(b.Config), Context: b.Context, Labels: b.Labels, Description: b.Description}
	st, err := c.Fleet.Add(ctx, r, &cluster.AddOptions{Unverified: b.Unverified, DryRun: in.DryRun})
	if err != nil {
		return st, err
	}
	if in.DryRun {
		c.status = http.StatusOK
		return st, nil
	}
	c.location("/clusters/%s", st.Name)
	return st, nil
}

type clusterIn struct {
	Cluster string `path:"cluster"`
}

// changeable is what of a cluster is changed, for its entity tag.
type changeable struct {
	Labels      map[string]string
	Description string
	Maintenance bool
}

func changeableOf(st cluster.Status) changeable {
	return changeable{maps.Clone(st.Labels), st.Description, st.Health == cluster.Maintenance}
}

func (s *Server) getCluster(ctx context.Context, c *call, in *clusterIn) (cluster.Status, error) {
	st, err := c.Fleet.Status(ctx, in.Cluster)
	if err != nil {
		return st, err
	}
	return st, c.tagged(changeableOf(st))
}

type changeClusterIn struct {
	dry
	match
	clusterIn
	Body client.ClusterChange
}

// errDry ends a change that is not to be made.
var errDry = errors.New("it would be changed")

func (s *Server) changeCluster(ctx context.Context, c *call, in *changeClusterIn) (cluster.Status, error) {
	err := c.Fleet.Change(ctx, in.Cluster, func(r *cluster.Registration) error {
		if err := in.match.of(changeable{maps.Clone(r.Labels), r.Description, r.Maintenance != ""}); err != nil {
			return err
		}
		if in.Body.Labels != nil {
			r.Labels = in.Body.Labels
		}
		for _, field := range []struct {
			to   *string
			from *string
		}{{&r.Description, in.Body.Description}, {&r.Maintenance, in.Body.Maintenance}, {&r.Context, in.Body.Context}} {
			if field.from != nil {
				*field.to = *field.from
			}
		}
		if in.Body.Config != nil {
			r.Config = []byte(*in.Body.Config)
		}
		if in.DryRun {
			return errDry
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDry) {
		return cluster.Status{}, err
	}
	return c.Fleet.Status(ctx, in.Cluster)
}

type removeClusterIn struct {
	dry
	clusterIn
	Force bool `query:"force" doc:"although applications run there, which go on running"`
}

func (s *Server) removeCluster(ctx context.Context, c *call, in *removeClusterIn) (empty, error) {
	if err := c.Fleet.Remove(ctx, in.Cluster, &cluster.RemoveOptions{Force: in.Force, DryRun: in.DryRun}); err != nil || in.DryRun {
		return empty{}, err
	}
	return empty{}, c.leave(ctx, in.Cluster)
}

// leave ends what a cluster had in the tunnel.
func (c *call) leave(ctx context.Context, name string) error {
	if c.Tunnel == nil || c.Members == nil {
		return nil
	}
	if err := c.Members.Forget(ctx, name); err != nil && !errors.Is(err, appspan.ErrNotFound) {
		return err
	}
	c.Tunnel.Disconnect(name)
	return nil
}

type forgetClusterIn struct {
	dry
	clusterIn
}

func (s *Server) forgetCluster(ctx context.Context, c *call, in *forgetClusterIn) (empty, error) {
	if in.DryRun {
		if err := appspan.Authorize(ctx, c.Authorizer, c.subject(), appspan.Access{Verb: appspan.VerbDelete, Resource: "cluster", Cluster: in.Cluster}); err != nil {
			return empty{}, err
		}
		_, err := c.Fleet.Status(ctx, in.Cluster)
		return empty{}, err
	}
	return empty{}, c.Fleet.Forget(ctx, in.Cluster) // its agent stays known, so that it is emptied when it comes back
}

func (s *Server) clusterHistory(ctx context.Context, c *call, in *clusterIn) (client.List[cluster.Transition], error) {
	out := client.List[cluster.Transition]{Items: []cluster.Transition{}}
	found, err := c.Fleet.History(ctx, in.Cluster)
	out.Items = append(out.Items, found...)
	return out, err
}

type checkClusterIn struct {
	dry
	clusterIn
}

func (s *Server) checkCluster(ctx context.Context, c *call, in *checkClusterIn) (cluster.Status, error) {
	if !in.DryRun {
		if err := c.Fleet.Refresh(ctx, cluster.Selector{Names: []string{in.Cluster}}); err != nil && !errors.Is(err, appspan.ErrUnavailable) {
			return cluster.Status{}, err
		}
	}
	return c.Fleet.Status(ctx, in.Cluster)
}

func (s *Server) listForgotten(ctx context.Context, c *call, _ *struct{}) (client.List[cluster.Tombstone], error) {
	out := client.List[cluster.Tombstone]{Items: []cluster.Tombstone{}}
	found, err := c.Fleet.Forgotten(ctx)
	out.Items = append(out.Items, found...)
	return out, err
}

type inviteIn struct {
	dry
	clusterIn
	Body client.InvitationRequest
}

func (s *Server) inviteCluster(ctx context.Context, c *call, in *inviteIn) (client.Invitation, error) {
	if err := appspan.Authorize(ctx, c.Authorizer, c.subject(), appspan.Access{Verb: appspan.VerbUpdate, Resource: "cluster", Cluster: in.Cluster}); err != nil {
		return client.Invitation{}, err
	}
	st, err := c.Fleet.Status(ctx, in.Cluster)
	switch {
	case err != nil:
		return client.Invitation{}, err
	case c.Tunnel == nil || c.Members == nil || s.opts.HubURL == "":
		return client.Invitation{}, fmt.Errorf("%w: this server does not say where clusters dial in; set HandlerOptions.HubURL, or -hub-url", appspan.ErrUnsupported)
	case st.Provider != "tunnel":
		return client.Invitation{}, fmt.Errorf("%w: cluster %q is of provider %q; register it with provider tunnel, unverified", appspan.ErrPrecondition, in.Cluster, st.Provider)
	case in.Body.Image == "":
		return client.Invitation{}, fmt.Errorf("%w: name the agent's image", appspan.ErrInvalid)
	}
	valid := time.Duration(in.Body.Seconds) * time.Second
	if valid == 0 {
		valid = time.Hour
	}
	if valid < time.Minute || valid > 24*time.Hour {
		return client.Invitation{}, fmt.Errorf("%w: %v; a token works for a minute to a day", appspan.ErrInvalid, valid)
	}
	out := client.Invitation{Expires: time.Now().UTC().Add(valid)}
	if in.DryRun {
		c.status = http.StatusOK
		return out, nil
	}
	token, err := c.Members.Invite(ctx, s.opts.HubURL, c.Tunnel.KeyID(), in.Cluster, valid)
	if err != nil {
		return client.Invitation{}, err
	}
	manifest, err := tunnel.Manifest(tunnel.ManifestOptions{Token: token, Image: in.Body.Image, ClusterAdmin: in.Body.ClusterAdmin})
	if err != nil {
		return client.Invitation{}, err
	}
	out.Manifest = string(manifest)
	c.w.Header().Set("Cache-Control", "no-store")
	return out, s.audit(ctx, c, appspan.VerbUpdate, "cluster", "invitation of "+in.Cluster)
}

type nodeIn struct {
	clusterIn
	Node string `path:"node"`
}

// node is a cluster whose nodes the subject may change.
func (c *call) node(ctx context.Context, in *nodeIn) (*cluster.Cluster, error) {
	if err := appspan.Authorize(ctx, c.Authorizer, c.subject(), appspan.Access{Verb: appspan.VerbUpdate, Resource: "cluster", Cluster: in.Cluster}); err != nil {
		return nil, err
	}
	return c.Fleet.Cluster(ctx, in.Cluster)
}

type changeNodeIn struct {
	dry
	nodeIn
	Body client.NodeChange
}

func (s *Server) changeNode(ctx context.Context, c *call, in *changeNodeIn) (empty, error) {
	at, err := c.node(ctx, &in.nodeIn)
	if err != nil || in.DryRun {
		return empty{}, err
	}
	if in.Body.Unschedulable != nil {
		change := at.Uncordon
		if *in.Body.Unschedulable {
			change = at.Cordon
		}
		if err := change(ctx, in.Node); err != nil {
			return empty{}, err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(in.Body.Labels)) {
		if err := at.LabelNode(ctx, in.Node, key, in.Body.Labels[key]); err != nil {
			return empty{}, err
		}
	}
	return empty{}, s.audit(ctx, c, appspan.VerbUpdate, "node", in.Cluster+"/"+in.Node)
}

type drainIn struct {
	dry
	nodeIn
}

func (s *Server) drainNode(ctx context.Context, c *call, in *drainIn) (empty, error) {
	at, err := c.node(ctx, &in.nodeIn)
	if err != nil || in.DryRun {
		return empty{}, err
	}
	if err := at.Drain(ctx, in.Node, &cluster.DrainOptions{Timeout: 2 * time.Minute}); err != nil {
		return empty{}, err
	}
	return empty{}, s.audit(ctx, c, appspan.VerbUpdate, "node", "drained "+in.Cluster+"/"+in.Node)
}
