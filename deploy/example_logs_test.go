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

// The log of a replica is read, and later what has come since.
func ExampleDeployer_Logs() {
	ctx := context.Background()
	memory := fake.New(nil)
	set, _ := cluster.NewSet(cluster.New("eu-1", memory, nil))
	defer set.Close()
	key, _ := seal.GenerateKey(nil)
	keys, _ := seal.NewKeyring(key)
	d, _ := deploy.New(set, &deploy.Options{Installation: "example", Keys: keys, Authorizer: appspan.AllowAll{}})
	app, _, _ := appmodel.Decode([]byte(`
apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: hello}
components:
  - {id: db, kind: stateful, image: "registry.example.com/db:1", ports: [{name: sql, port: 5432}], security: {runAsUser: 1000}}
`), nil)
	to := deploy.Target{Clusters: set.Names()}
	plan, _ := d.Plan(ctx, app, to, nil)
	if _, err := d.Apply(ctx, plan, nil); err != nil {
		fmt.Println(err)
		return
	}
	_ = memory.WriteLog("hello", "hello-db-0", "db", "ready", "one client")

	var cursor deploy.LogCursor // can be kept as JSON
	for line, err := range d.Logs(ctx, "hello", to, &deploy.LogOptions{Components: []string{"db"}}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(line)
		cursor.Note(line)
	}
	_ = memory.WriteLog("hello", "hello-db-0", "db", "two clients")
	for line := range d.Logs(ctx, "hello", to, &deploy.LogOptions{Cursor: &cursor}) {
		fmt.Println("since then:", line.Text)
	}
	// Output:
	// eu-1/hello-db-0 db: started registry.example.com/db:1
	// eu-1/hello-db-0 ready
	// eu-1/hello-db-0 one client
	// since then: two clients
}
