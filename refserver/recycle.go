package refserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
)

// recycleRoutes are what was removed and may come back, and what was lost and is
// found again.
func (s *Server) recycleRoutes() []*route {
	const tag = "recycle bin"
	return []*route{
		op("GET", "/recycled", "listRecycled", tag, "What was removed and may be brought back, asked of clusters now", s.listRecycled).asks("application", appspan.VerbRead),
		op("POST", "/applications/{namespace}/{application}/restorations", "restoreApplication", tag, "Bring back what was removed, as it ran last", s.restoreApplication).with(http.StatusAccepted).or(http.StatusOK).asks("application", appspan.VerbDeploy),
		op("POST", "/purges", "purge", tag, "Empty the recycle bin, for ever", s.purge).asks("application", appspan.VerbDelete),
		op("POST", "/recoveries", "recover", tag, "Find again what runs on clusters, when records were lost", s.recovery).asks("environment", appspan.VerbUpdate),
	}
}

type recycledIn struct {
	Clusters  []string `query:"cluster"`
	Namespace string   `query:"namespace"`
}

func (s *Server) listRecycled(ctx context.Context, c *call, in *recycledIn) (client.List[deploy.Recycled], error) {
	out := client.List[deploy.Recycled]{Items: []deploy.Recycled{}}
	bins, err := c.bins(ctx, in)
	if err != nil {
		return out, err
	}
	found, failed := make([][]deploy.Recycled, len(bins)), make([]error, len(bins))
	var wg sync.WaitGroup
	for i, bin := range bins { // one that is gone holds up no other
		wg.Go(func() { found[i], failed[i] = c.Deployer.Recycled(ctx, bin) })
	}
	wg.Wait()
	for i, err := range failed {
		name := bins[i].Clusters[0]
		switch {
		case errors.Is(err, appspan.ErrUnavailable):
			if !slices.ContainsFunc(out.Unreachable, func(u client.Unreachable) bool { return u.Cluster == name }) {
				st, _ := c.Fleet.Status(ctx, name)
				out.Unreachable = append(out.Unreachable, client.Unreachable{Cluster: name, Since: st.LastAnswer, Reason: detail(err)})
			}
		case err != nil:
			return out, err
		}
	}
	out.Items = append(out.Items, slices.Concat(found...)...)
	slices.SortStableFunc(out.Items, func(a, b deploy.Recycled) int { return b.At.Compare(a.At) })
	return out, nil
}

// bins are where to look, a cluster each: for a team in the namespaces that it has.
func (c *call) bins(ctx context.Context, in *recycledIn) (out []deploy.Target, err error) {
	names, acts := in.Clusters, c.subject().Team
	if len(names) == 0 {
		if names, err = c.Fleet.Select(ctx, cluster.Selector{}); err != nil {
			return nil, err
		}
	}
	var t team.Team
	if acts != "" && in.Namespace == "" {
		if t, err = c.Teams.Get(ctx, acts); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		namespaces := []string{in.Namespace}
		if acts != "" && in.Namespace == "" {
			namespaces = t.Namespaces(name)
		}
		for _, namespace := range namespaces {
			out = append(out, deploy.Target{Clusters: []string{name}, Namespace: namespace, Team: acts})
		}
	}
	return out, nil
}

type restoreIn struct {
	dry
	some
	Body client.Seen
}

func (s *Server) restoreApplication(ctx context.Context, c *call, in *restoreIn) (client.Planned, error) {
	to, err := c.at(ctx, in.one, in.Clusters)
	if err != nil {
		return client.Planned{}, err
	}
	p, err := c.Deployer.PlanRestore(ctx, in.Application, to, nil)
	if err != nil {
		return client.Planned{}, err
	}
	return c.planned(ctx, p, in.DryRun, in.Body)
}

type purgeIn struct {
	dry
	Body client.Purge
}

func (s *Server) purge(ctx context.Context, c *call, in *purgeIn) (client.List[deploy.Recycled], error) {
	out := client.List[deploy.Recycled]{Items: []deploy.Recycled{}}
	before := in.Body.Before
	if before.IsZero() {
		before = time.Now()
	}
	to := deploy.Target{Clusters: in.Body.Clusters, Namespace: in.Body.Namespace, Team: c.subject().Team}
	if !in.DryRun {
		found, err := c.Deployer.Purge(ctx, to, before)
		out.Items = append(out.Items, found...)
		return out, err
	}
	found, err := c.Deployer.Recycled(ctx, to)
	for _, r := range found {
		if r.At.Before(before) {
			out.Items = append(out.Items, r)
		}
	}
	return out, err
}

type recoveryIn struct {
	dry
	Body struct {
		Clusters []string `json:"clusters"`
	}
}

func (s *Server) recovery(ctx context.Context, c *call, in *recoveryIn) (*deploy.Recovery, error) {
	if len(in.Body.Clusters) == 0 {
		return nil, fmt.Errorf("%w: name the clusters to look at", appspan.ErrInvalid)
	}
	envs, _, end, err := c.environments(in.DryRun)
	defer end()
	if err != nil {
		return nil, err
	}
	r, err := envs.Recover(ctx, deploy.Target{Clusters: in.Body.Clusters})
	if r != nil && len(r.Missed) > 0 { // it says so itself
		err = nil
	}
	return r, err
}
