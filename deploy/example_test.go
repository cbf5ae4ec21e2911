package deploy_test

import (
	"context"
	"fmt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage/seal"
)

// One application on two clusters: planned, applied, looked at, removed.
func ExampleNew() {
	ctx := context.Background()
	set, _ := cluster.NewSet(cluster.New("eu-1", fake.New(nil), nil), cluster.New("us-1", fake.New(nil), nil))
	defer set.Close()
	key, _ := seal.GenerateKey(nil)
	keys, _ := seal.NewKeyring(key)
	d, err := deploy.New(set, &deploy.Options{Installation: "example", Keys: keys, Authorizer: appspan.AllowAll{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	app, _, err := appmodel.Decode([]byte(`
apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: hello}
components:
  - {id: web, kind: service, image: "registry.example.com/hello:1", ports: [{name: http, port: 8080}], security: {runAsUser: 1000}}
`), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	to := deploy.Target{Clusters: set.Names(), Namespace: "hello"}
	plan, err := d.Plan(ctx, app, to, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, change := range plan.Clusters[0].Changes {
		fmt.Println(change.Action, change.Object)
	}
	if _, err := d.Apply(ctx, plan, nil); err != nil {
		fmt.Println(err)
		return
	}
	s, _ := d.Status(ctx, "hello", to)
	fmt.Print(s.Tree(nil))
	result, _ := d.Remove(ctx, "hello", to, nil, nil)
	fmt.Println(result.Cluster("eu-1").Deleted, "deleted on eu-1")
	// Output:
	// create Namespace hello
	// create NetworkPolicy hello/hello-web
	// create Service hello/hello-web
	// create Deployment hello/hello-web
	// hello  2 Ready
	// ├─ ✔ Ready  eu-1/hello  revision 1
	// │  └─ ✔ Ready  web  service  1/1
	// └─ ✔ Ready  us-1/hello  revision 1
	//    └─ ✔ Ready  web  service  1/1
	// 3 deleted on eu-1
}
