package refserver

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
	"github.com/appspan-dev/appspan/storage"
)

// driftRoutes are what somebody changed by hand, and what becomes of it.
func (s *Server) driftRoutes() []*route {
	const tag = "drift"
	const path = "/applications/{namespace}/{application}"
	return []*route{
		op("GET", path+"/drift", "getDrift", tag, "What is not as it was deployed, by whom, asked now", s.getDrift).asks("application", appspan.VerbRead),
		op("POST", path+"/heals", "heal", tag, "Undo drift as a policy says", s.heal).with(http.StatusAccepted).or(http.StatusOK).asks("application", appspan.VerbDeploy),
		op("GET", path+"/findings", "listFindings", tag, "What was found by whoever keeps it", s.listFindings).asks("application", appspan.VerbRead),
		op("GET", "/keepings", "listKeepings", tag, "What is kept as it was deployed, and how", s.listKeepings).asks("application", appspan.VerbRead),
		op("PUT", path+"/keeping", "keep", tag, "Keep it as it was deployed: look again and again, and heal or report", s.keep).asks("application", appspan.VerbDeploy),
		op("DELETE", path+"/keeping", "stopKeeping", tag, "Keep it no more", s.stopKeeping).asks("application", appspan.VerbDeploy),
	}
}

func (s *Server) getDrift(ctx context.Context, c *call, in *some) (*deploy.Drift, error) {
	to, err := c.at(ctx, in.one, in.Clusters)
	if err != nil {
		return nil, err
	}
	return c.Deployer.Drift(ctx, in.Application, to, nil)
}

type healIn struct {
	dry
	one
	Body client.HealRequest
}

func (s *Server) heal(ctx context.Context, c *call, in *healIn) (client.Planned, error) {
	to, err := c.at(ctx, in.one, in.Body.Clusters)
	if err != nil {
		return client.Planned{}, err
	}
	h, err := c.Deployer.PlanHeal(ctx, in.Application, to, in.Body.Policy, nil)
	if err != nil {
		return client.Planned{}, err
	}
	if h.Plan == nil {
		c.status = http.StatusOK
		return client.Planned{Unchanged: true, Text: h.Drift.String()}, nil
	}
	return c.planned(ctx, h.Plan, in.DryRun, in.Body.Seen)
}

func (s *Server) listFindings(ctx context.Context, c *call, in *some) (client.List[deploy.Finding], error) {
	out := client.List[deploy.Finding]{Items: []deploy.Finding{}}
	to, err := c.at(ctx, in.one, in.Clusters)
	if err != nil {
		return out, err
	}
	found, err := c.Keeper.Findings(ctx, in.Application, to)
	out.Items = append(out.Items, found...)
	return out, err
}

func (s *Server) listKeepings(ctx context.Context, c *call, _ *struct{}) (client.List[deploy.Kept], error) {
	out := client.List[deploy.Kept]{Items: []deploy.Kept{}}
	found, err := c.Keeper.List(ctx)
	out.Items = append(out.Items, found...)
	return out, err
}

type keepIn struct {
	dry
	one
	Body client.Keeping
}

// keeper is the one to work with: for a dry run one over records that keep
// nothing.
func (c *call) keeper(dryRun bool) (*deploy.Keeper, func(), error) {
	if !dryRun {
		return c.Keeper, func() {}, nil
	}
	overlay := storage.Overlay(c.Records)
	k, err := deploy.NewKeeper(c.Deployer.Rehearsal(overlay), overlay, nil)
	return k, func() { _ = overlay.Close() }, err
}

func (s *Server) keep(ctx context.Context, c *call, in *keepIn) (client.Keeping, error) {
	to, err := c.at(ctx, in.one, nil)
	if err != nil {
		return in.Body, err
	}
	if in.Body.Seconds < 0 || in.Body.Seconds > 7*24*3600 {
		return in.Body, fmt.Errorf("%w: %d seconds; give up to a week", appspan.ErrInvalid, in.Body.Seconds)
	}
	k, end, err := c.keeper(in.DryRun)
	if err != nil {
		return in.Body, err
	}
	defer end()
	return in.Body, k.Keep(ctx, in.Application, to, in.Body.Policy, &deploy.KeepOptions{Interval: time.Duration(in.Body.Seconds) * time.Second})
}

type stopKeepingIn struct {
	dry
	one
}

func (s *Server) stopKeeping(ctx context.Context, c *call, in *stopKeepingIn) (empty, error) {
	to, err := c.at(ctx, in.one, nil)
	if err != nil {
		return empty{}, err
	}
	k, end, err := c.keeper(in.DryRun)
	if err != nil {
		return empty{}, err
	}
	defer end()
	return empty{}, k.Release(ctx, in.Application, to)
}
