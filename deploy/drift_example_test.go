package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/appspan-dev/appspan/storage/seal"
)

// greeted is an application on a cluster, and somebody who changes its greeting
// by hand.
func greeted(ctx context.Context) (d *deploy.Deployer, to deploy.Target, byHand func(from, to string), done func() error) {
	f := fake.New(nil)
	set, _ := cluster.NewSet(cluster.New("eu-1", f, nil))
	key, _ := seal.GenerateKey(nil)
	keys, _ := seal.NewKeyring(key)
	d, _ = deploy.New(set, &deploy.Options{Installation: "example", Keys: keys, Authorizer: appspan.AllowAll{}})
	app, _, _ := appmodel.Decode([]byte(`
apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: hello}
configs: [{name: site, items: [{name: GREETING, value: hello}, {name: COLOUR, value: blue}]}]
components:
  - {id: web, kind: service, image: "registry.example.com/hello:1", envFrom: [{config: site}], security: {runAsUser: 1000}}
`), nil)
	to = deploy.Target{Clusters: set.Names(), Namespace: "hello"}
	if _, err := d.Deploy(ctx, app, to, nil); err != nil {
		fmt.Println(err)
	}
	site := driver.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "hello", Name: "hello-site"}
	return d, to, func(from, to string) {
		obj, _ := f.Get(ctx, site)
		obj.JSON = json.RawMessage(strings.Replace(string(obj.JSON), from, to, 1))
		if _, err := f.Update(ctx, obj, "kubectl-edit"); err != nil {
			fmt.Println(err)
		}
	}, set.Close
}

// What somebody changed by hand is told with its author, and healed but for
// what a policy lets be.
func ExampleDeployer_Heal() {
	ctx := context.Background()
	d, to, byHand, done := greeted(ctx)
	defer done()
	byHand(`GREETING":"hello`, `GREETING":"hullo`)
	byHand(`COLOUR":"blue`, `COLOUR":"red`)

	policy := deploy.DriftPolicy{Default: deploy.DriftHeal, Rules: []deploy.DriftRule{
		{Kind: "ConfigMap", Path: ".data.COLOUR", Action: deploy.DriftYield},
	}}
	drift, err := d.Drift(ctx, "hello", to, &deploy.DriftOptions{Policy: policy})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(drift)
	result, err := d.Heal(ctx, "hello", to, policy, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Clusters[0].Outcome, "release", result.Clusters[0].Revision)
	drift, _ = d.Drift(ctx, "hello", to, &deploy.DriftOptions{Policy: policy})
	fmt.Println(drift.Empty(), len(drift.Clusters[0].Items))
	// Output:
	// eu-1: 2 not as release 1 says
	//   ConfigMap hello/hello-site .data.COLOUR: "blue" → "red" by kubectl-edit (yield)
	//   ConfigMap hello/hello-site .data.GREETING: "hello" → "hullo" by kubectl-edit (heal)
	// done release 2
	// true 1
}

// A Keeper heals what is changed by hand, in one of the processes that run it.
func ExampleNewKeeper() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	d, to, byHand, done := greeted(ctx)
	defer done()
	byHand(`GREETING":"hello`, `GREETING":"hullo`)

	records := storage.NewRecords(memstore.NewRecords(), nil)
	defer records.Close()
	healed := make(chan string, 1)
	k, err := deploy.NewKeeper(d, records, &deploy.KeeperOptions{OnEvent: func(e appspan.Event) { healed <- e.Cluster + ": " + e.Message }})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := k.Keep(ctx, "hello", to, deploy.DriftPolicy{Default: deploy.DriftHeal}, &deploy.KeepOptions{Interval: time.Minute}); err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error)
	go func() { ended <- k.Run(ctx) }()
	fmt.Println(<-healed)
	cancel()
	fmt.Println(<-ended)
	// Output:
	// eu-1: ConfigMap hello/hello-site .data.GREETING: "hello" → "hullo" by kubectl-edit (heal); 1 healed: done, release 2
	// <nil>
}
