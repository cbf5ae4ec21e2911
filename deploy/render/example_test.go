package render_test

import (
	"fmt"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

// A document becomes objects in the order in which they are written, and notes
// tell what the cluster cannot do as asked.
func ExampleRender() {
	app, _, err := appmodel.Decode([]byte(`
apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
secrets:
  - {name: db, items: [{name: password, generate: {length: 24}}]}
components:
  - id: web
    kind: service
    image: registry.example.com/shop/web:1
    needs: [{name: db, component: db, condition: ready}]
    env: [{name: DB, template: "${need.db.address}"}]
    ports: [{name: http, port: 8080, servicePort: 80}]
    scale: {replicas: 2}
  - id: db
    kind: stateful
    image: postgres:17
    env: [{name: POSTGRES_PASSWORD, template: "${secret.db.password}"}]
    ports: [{name: sql, port: 5432, access: needs}]
    volumes: [{name: data, kind: persistent, size: 20Gi, data: database}]
    mounts: [{path: /var/lib/postgresql/data, volume: data}]
`), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	in := render.Input{Application: app, Namespace: "shop", Installation: "i1",
		Info: driver.Info{Version: "v1.34.0"}, Cluster: render.ClusterRef{Name: "eu-1"}, HashKey: []byte("a key that is kept"),
		Generated: map[string]map[string]appmodel.Sensitive{}}
	for _, g := range render.Generated(app) { // made once, and kept by the caller
		in.Generated[g.Group] = map[string]appmodel.Sensitive{g.Item: appmodel.NewSensitive("made-up")}
	}
	out, err := render.Render(in)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, o := range out.Objects {
		fmt.Println(o.Phase, o.Kind, o.Name, o.WaitFor)
	}
	for _, n := range out.Notes {
		fmt.Printf("%s: %s: %s\n", n.Severity, n.Path, n.Message)
	}
	// Output:
	// 2 Secret shop-db []
	// 3 NetworkPolicy shop-db []
	// 3 NetworkPolicy shop-web []
	// 3 PodDisruptionBudget shop-web []
	// 3 Service shop-db []
	// 3 Service shop-db-headless []
	// 3 Service shop-web []
	// 4 Deployment shop-web [{db ready}]
	// 4 StatefulSet shop-db []
	// warning: components[db].volumes[data]: cluster "eu-1" has no default storage class: the claim waits until a volume fits; name a storageClass
}
