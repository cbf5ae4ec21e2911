package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver"
)

// demo are the clusters of -demo, in memory.
type demo struct {
	fakes   fake.Provider
	outpost *fault.Cluster // edge-1, which goes away after a while
	away    *time.Timer
}

// awayAfter is when edge-1 stops to answer, so that one sees what that is like.
const awayAfter = time.Minute

func demoClusters() *demo {
	cluster := func(name string, nodes []driver.Node, classes ...driver.StorageClass) *fake.Cluster {
		return fake.New(&fake.Options{Name: name, Nodes: nodes, ReadyAfter: 300 * time.Millisecond, TerminateAfter: 300 * time.Millisecond, StorageClasses: classes})
	}
	standard := driver.StorageClass{Name: "standard", Provisioner: "disk.example.com", Default: true, AllowExpansion: true}
	fast := driver.StorageClass{Name: "fast", Provisioner: "nvme.example.com", AllowExpansion: true}
	d := &demo{fakes: fake.Provider{
		"eu-1":   cluster("eu-1", fake.Nodes(3, "8", "32Gi"), standard, fast),
		"us-1":   cluster("us-1", fake.Nodes(2, "8", "32Gi"), standard),
		"edge-1": cluster("edge-1", fake.Nodes(1, "2", "4Gi"), driver.StorageClass{Name: "local", Provisioner: "local.example.com", Default: true}),
	}}
	d.outpost = fault.New(d.fakes["edge-1"])
	d.away = time.AfterFunc(awayAfter, func() {
		gone := fmt.Errorf("%w: dial tcp 192.0.2.17:6443: no route to host", appspan.ErrUnavailable)
		d.outpost.Add(fault.Rule{Err: gone})
		d.outpost.Add(fault.Rule{Op: fault.Next, Err: io.EOF})
	})
	return d
}

// providers open the clusters for the fleet.
func (d *demo) providers() map[string]driver.Provider {
	return map[string]driver.Provider{"demo": driver.ProviderFunc(func(ctx context.Context, spec driver.Spec) (driver.Cluster, error) {
		if spec.Name == "edge-1" {
			return outpost{d.outpost}, nil
		}
		return d.fakes.Open(ctx, spec)
	})}
}

func (d *demo) close() error {
	d.away.Stop()
	var errs []error
	for _, c := range d.fakes {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// outpost is a connection to edge-1; closing it leaves the cluster as it is.
type outpost struct{ driver.Cluster }

func (outpost) Close() error             { return nil }
func (o outpost) Unwrap() driver.Cluster { return o.Cluster }

//go:embed demo/*.yaml
var demoFiles embed.FS

func demoApplication(name string) (*appmodel.Application, error) {
	data, err := demoFiles.ReadFile("demo/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	app, _, err := appmodel.Decode(data, nil)
	return app, err
}

// showOff registers the clusters, makes teams, and deploys sample applications:
// some fine, one broken, one changed by hand, one on its way to production.
func showOff(ctx context.Context, server *refserver.Server) error {
	p := server.Parts().For(appspan.Subject{ID: localOperator})
	for _, r := range []cluster.Registration{
		{Name: "eu-1", Labels: map[string]string{"region": "eu", "tier": "core"}, Description: "Frankfurt, three nodes"},
		{Name: "us-1", Labels: map[string]string{"region": "us", "tier": "core"}, Description: "Ohio, two nodes"},
		{Name: "edge-1", Labels: map[string]string{"region": "eu", "tier": "edge"}, Description: "One node in a shop; its line is bad"},
	} {
		r.Provider = "demo"
		if _, err := p.Fleet.Add(ctx, r, nil); err != nil {
			return err
		}
	}
	if err := demoTeams(ctx, p); err != nil {
		return err
	}
	g, all := errgroup.WithContext(ctx)
	for _, one := range []func(context.Context, *refserver.Parts) error{demoShop, demoWebsite, demoReports, demoTelemetry} {
		g.Go(func() error { return one(all, p) })
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("the demonstration: %w", err)
	}
	return p.Fleet.Refresh(ctx, cluster.Selector{}) // so that what runs there is counted
}

func demoTeams(ctx context.Context, p *refserver.Parts) error {
	for _, t := range []struct {
		team.Team
		on map[string][]string // namespaces by cluster
	}{
		{team.Team{ID: "storefront", DisplayName: "Storefront", Quota: cluster.Amounts{"cpu": "24", "memory": "48Gi"}, Members: []team.Member{
			{Subject: "ann", Role: team.RoleAdmin}, {Subject: "ben", Role: team.RoleDeveloper}, {Subject: "carol", Role: team.RoleObserver}}},
			map[string][]string{"eu-1": {"shop-development", "shop-test", "shop"}, "us-1": {"shop"}}},
		{team.Team{ID: "insight", DisplayName: "Insight", Quota: cluster.Amounts{"cpu": "8", "memory": "16Gi"}, Members: []team.Member{
			{Subject: "dora", Role: team.RoleAdmin}, {Subject: "ben", Role: team.RoleObserver}}},
			map[string][]string{"eu-1": {"reports"}, "edge-1": {"telemetry"}}},
	} {
		if _, err := p.Teams.Create(ctx, t.Team); err != nil {
			return err
		}
		for name, namespaces := range t.on {
			var a team.Allocation
			for _, namespace := range namespaces {
				a.Namespaces = append(a.Namespaces, team.Namespace{Name: namespace})
			}
			if _, _, err := p.Teams.Allocate(ctx, t.ID, name, a); err != nil {
				return err
			}
		}
		if _, err := p.Teams.Reconcile(ctx, t.ID); err != nil {
			return err
		}
	}
	return nil
}

// demoDeploy deploys without waiting until it is ready.
func demoDeploy(ctx context.Context, p *refserver.Parts, app *appmodel.Application, to deploy.Target) error {
	_, err := p.Deployer.Deploy(ctx, app, to, &deploy.DeployOptions{Apply: deploy.ApplyOptions{Wait: deploy.WaitWritten}})
	return err
}

// demoShop runs in three environments; a newer image waits for its approval
// before production.
func demoShop(ctx context.Context, p *refserver.Parts) error {
	environments := []deploy.Environment{
		{Name: "development", Target: deploy.Target{Clusters: []string{"eu-1"}, Namespace: "shop-development"}},
		{Name: "test", From: "development", Target: deploy.Target{Clusters: []string{"eu-1"}, Namespace: "shop-test"}},
		{Name: "production", From: "test", RollBack: true, Target: deploy.Target{Clusters: []string{"eu-1", "us-1"}, Namespace: "shop"}},
	}
	for i := range environments {
		environments[i].Application, environments[i].Target.Team = "shop", "storefront"
		if err := p.Environments.Put(ctx, environments[i]); err != nil {
			return err
		}
	}
	app, err := demoApplication("shop")
	if err != nil {
		return err
	}
	apply := func(plan *deploy.Plan, err error) error {
		if err == nil {
			_, err = p.Deployer.Apply(ctx, plan, &deploy.ApplyOptions{Wait: deploy.WaitWritten})
		}
		return err
	}
	promote := func(name string) error {
		promotion, err := p.Environments.PlanPromotion(ctx, "shop", name, nil)
		if err != nil {
			return err
		}
		return apply(promotion.Plan, nil)
	}
	for _, image := range []string{"registry.example.com/shop/api:3.2.0", "registry.example.com/shop/api:3.3.0"} {
		newer(app, "api", image)
		if err := apply(p.Environments.PlanDeploy(ctx, "shop", "development", app, nil)); err != nil {
			return err
		}
		if err := promote("test"); err != nil {
			return err
		}
		if environments[2].Gates.Approvals > 0 {
			break
		}
		if err := promote("production"); err != nil {
			return err
		}
		environments[2].Gates = deploy.Gates{Approvals: 1, OwnApproval: true}
		if err := p.Environments.Put(ctx, environments[2]); err != nil {
			return err
		}
	}
	_, err = p.Pipeline.Promote(ctx, "shop", "production", nil)
	return err
}

// newer gives a component another image.
func newer(app *appmodel.Application, component, image string) {
	for i := range app.Components {
		if app.Components[i].ID == component {
			app.Components[i].Image = image
		}
	}
}

// demoWebsite runs on two clusters; somebody scaled it by hand on one.
func demoWebsite(ctx context.Context, p *refserver.Parts) error {
	app, err := demoApplication("website")
	if err != nil {
		return err
	}
	if err := demoDeploy(ctx, p, app, deploy.Target{Clusters: []string{"eu-1", "us-1"}, Namespace: "website"}); err != nil {
		return err
	}
	c, err := p.Fleet.Cluster(ctx, "us-1")
	if err != nil {
		return err
	}
	scaled, err := driver.ParseObject([]byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"website-web","namespace":"website"},"spec":{"replicas":5}}`))
	if err != nil {
		return err
	}
	_, err = c.Apply(ctx, scaled, driver.ApplyOptions{Manager: "kubectl-scale", Force: true})
	return err
}

// demoReports was fine until its last release, whose image nobody can pull.
func demoReports(ctx context.Context, p *refserver.Parts) error {
	app, err := demoApplication("reports")
	if err != nil {
		return err
	}
	to := deploy.Target{Clusters: []string{"eu-1"}, Namespace: "reports", Team: "insight"}
	if err := demoDeploy(ctx, p, app, to); err != nil {
		return err
	}
	newer(app, "worker", "registry.example.invalid/reports/worker:2.0.0")
	return demoDeploy(ctx, p, app, to)
}

func demoTelemetry(ctx context.Context, p *refserver.Parts) error {
	app, err := demoApplication("telemetry")
	if err != nil {
		return err
	}
	return demoDeploy(ctx, p, app, deploy.Target{Clusters: []string{"edge-1"}, Namespace: "telemetry", Team: "insight"})
}
