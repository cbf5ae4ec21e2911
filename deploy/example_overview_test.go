package deploy_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/deploy/status"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/appspan-dev/appspan/storage/seal"
)

// A server lists every application with how it does, and asks no cluster for that.
func ExampleOverview() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	set, _ := cluster.NewSet(cluster.New("eu-1", fake.New(nil), nil))
	defer set.Close()
	records := storage.NewRecords(memstore.NewRecords(), nil)
	defer records.Close()
	key, _ := seal.GenerateKey(nil)
	keys, _ := seal.NewKeyring(key)
	d, err := deploy.New(set, &deploy.Options{Installation: "example", Keys: keys, Authorizer: appspan.AllowAll{}, Records: records})
	if err != nil {
		fmt.Println(err)
		return
	}
	overview, err := deploy.NewOverview(d, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	changes := overview.Changes(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = overview.Run(ctx) })

	app, _, _ := appmodel.Decode([]byte(`
apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: hello}
components:
  - {id: web, kind: service, image: "registry.example.com/web:1", ports: [{name: http, port: 8080}], security: {runAsUser: 1000}}
`), nil)
	if _, err := d.Deploy(ctx, app, deploy.Target{Clusters: set.Names()}, nil); err != nil {
		fmt.Println(err)
		return
	}
	for seen, err := range changes {
		if err != nil || seen.Status.Worst == status.Ready {
			break
		}
	}
	for seen, err := range overview.List(ctx, deploy.Filter{Search: "hell"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(seen.Key(), "revision", seen.Clusters[0].Revision, "on", seen.Target().Clusters, seen.Status.Worst)
	}
	cancel()
	wg.Wait()
	// Output: hello/hello revision 1 on [eu-1] Ready
}
