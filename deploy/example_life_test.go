package deploy_test

import (
	"context"
	"fmt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/appspan-dev/appspan/storage/seal"
)

// hello is an application of one service.
const hello = `
apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: hello}
components:
  - {id: web, kind: service, image: "registry.example.com/hello:1", scale: {replicas: 2}, security: {runAsUser: 1000}}
`

// exampleDeployer is a Deployer over two clusters in memory, with an application
// on the first.
func exampleDeployer(ctx context.Context) (*deploy.Deployer, deploy.Target, error) {
	set, err := cluster.NewSet(cluster.New("dev", fake.New(nil), nil), cluster.New("live", fake.New(nil), nil))
	if err != nil {
		return nil, deploy.Target{}, err
	}
	key, _ := seal.GenerateKey(nil)
	keys, _ := seal.NewKeyring(key)
	d, err := deploy.New(set, &deploy.Options{Installation: "example", Keys: keys, Authorizer: appspan.AllowAll{}})
	if err != nil {
		return nil, deploy.Target{}, err
	}
	app, _, err := appmodel.Decode([]byte(hello), nil)
	if err != nil {
		return nil, deploy.Target{}, err
	}
	to := deploy.Target{Clusters: []string{"dev"}, Namespace: "hello"}
	_, err = d.Deploy(ctx, app, to, nil)
	return d, to, err
}

// An application is stopped and started again.
func ExampleDeployer_Run() {
	ctx := context.Background()
	d, to, err := exampleDeployer(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, kind := range []deploy.PlanKind{deploy.KindStop, deploy.KindStop, deploy.KindStart} {
		result, err := d.Run(ctx, "hello", to, deploy.Command{Kind: kind}, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		s, _ := d.Status(ctx, "hello", to)
		fmt.Println(kind, result.Cluster("dev").Outcome, s.Worst)
	}
	// Output:
	// stop done Stopped
	// stop unchanged Stopped
	// start done Ready
}

// A copy is made, both change, and what changed in the source is promoted.
func ExampleDeployer_PlanPromotion() {
	ctx := context.Background()
	d, dev, err := exampleDeployer(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	live := deploy.Target{Clusters: []string{"live"}, Namespace: "hello"}
	plan, err := d.PlanCopy(ctx, deploy.Source{Application: "hello", Target: dev}, live, &deploy.CopyOptions{Replicas: map[string]int{"web": 5}})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := d.Apply(ctx, plan, nil); err != nil {
		fmt.Println(err)
		return
	}
	newer := deploy.Command{Kind: deploy.KindImage, Images: map[string]string{"web": "registry.example.com/hello:2"}}
	if _, err := d.Run(ctx, "hello", dev, newer, nil); err != nil {
		fmt.Println(err)
		return
	}

	promotion, err := d.PlanPromotion(ctx, "hello", live, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range promotion.Changes {
		fmt.Printf("%s: %s is %s\n", c.Path, c.Old, c.New)
	}
	if _, err := d.Apply(ctx, promotion.Plan, nil); err != nil {
		fmt.Println(err)
		return
	}
	s, _ := d.Status(ctx, "hello", live)
	fmt.Print(s.Tree(nil))
	// Output:
	// components[web].image: "registry.example.com/hello:1" is "registry.example.com/hello:2"
	// hello  1 Ready
	// └─ ✔ Ready  live/hello  revision 2
	//    └─ ✔ Ready  web  service  5/5
}

// What is deployed to development goes on to production once somebody else has
// approved the plan.
func ExamplePipeline() {
	ctx := context.Background()
	d, dev, err := exampleDeployer(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	records := storage.NewRecords(memstore.NewRecords(), nil)
	defer records.Close()
	envs, _ := deploy.NewEnvironments(records, d)
	live := deploy.Target{Clusters: []string{"live"}, Namespace: "hello"}
	_ = envs.Put(ctx, deploy.Environment{Application: "hello", Name: "development", Target: dev})
	_ = envs.Put(ctx, deploy.Environment{Application: "hello", Name: "production", From: "development", Auto: true, Target: live,
		Gates: deploy.Gates{Approvals: 1}})
	p, err := deploy.NewPipeline(envs, &deploy.PipelineOptions{OnStage: func(s deploy.Stage) {
		fmt.Println(s.Environment, s.State)
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	app, _, _ := appmodel.Decode([]byte(hello), nil)
	stage, err := p.For(appspan.Subject{ID: "dana"}).Deploy(ctx, "hello", "development", app, nil)
	if err == nil {
		_, err = p.Advance(ctx, "hello", stage.ID) // Run does this by itself
	}
	for next, nextErr := range p.List(ctx, "hello") {
		if err != nil || nextErr != nil || next.Environment != "production" {
			continue
		}
		if next, err = p.Advance(ctx, "hello", next.ID); err == nil {
			_, err = p.For(appspan.Subject{ID: "olga"}).Approve(ctx, "hello", next.ID, next.PlanHash, "looks good")
		}
		if err == nil {
			_, err = p.Advance(ctx, "hello", next.ID)
		}
	}
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// development planning
	// development checking
	// development waiting
	// development applying
	// development verifying
	// development done
	// production planning
	// production checking
	// production waiting
	// production applying
	// production verifying
	// production done
}
