package manifests_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/appspan-dev/appspan/appmodel/manifests"
)

const guestbook = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  paused: true
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - name: server
          image: registry.example.com/guestbook/web:1.4
          env: [{name: STORE, value: "redis://store:6379"}]
          ports: [{containerPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: store}
spec:
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec:
      containers: [{name: redis, image: "redis:7.4", ports: [{containerPort: 6379}]}]
---
apiVersion: v1
kind: Service
metadata: {name: store}
spec: {selector: {app: store}, ports: [{name: redis, port: 6379}]}
---
apiVersion: example.com/v1
kind: Backup
metadata: {name: nightly}
spec: {at: "02:30"}
`

func ExampleImport() {
	app, report, err := manifests.Import(context.Background(), []byte(guestbook), &manifests.Options{File: "guestbook.yaml"})
	if err != nil {
		fmt.Println(err)
		return
	}
	web := app.Components[0]
	fmt.Println(app.Metadata.Name, len(app.Components), "components")
	fmt.Println(web.ID, web.Image, "needs", web.Needs[0].Component, "at", web.Env[0].Template)
	fmt.Printf("a patch keeps %s\n", app.Patches[0].Apply)
	for _, l := range report.Leaves {
		if l.Path == "Deployment[web].spec.replicas" || l.Path == "Backup[nightly].spec.at" {
			fmt.Println(l)
		}
	}
	fmt.Print(report)
	// Output:
	// guestbook 3 components
	// web registry.example.com/guestbook/web:1.4 needs store at redis://${need.store.address}
	// a patch keeps {"spec":{"paused":true}}
	// guestbook.yaml:6: Deployment[web].spec.replicas: mapped -> components[web].scale.replicas
	// guestbook.yaml:41: Backup[nightly].spec.at: raw -> components[objects].objects[example.com/Backup/nightly]: the application has no field for Backup
	// 37 leaves: 32 mapped, 0 implied, 5 raw, 0 degraded, 0 unsupported (100 % kept)
	// note: objects carry the labels of Appspan besides their own; those of a component carry the labels of its pods
}

func ExampleImportFS() {
	// os.OpenRoot(dir) gives the files of a directory, and nothing outside.
	files := fstest.MapFS{
		"base/job.yaml": {Data: []byte("apiVersion: batch/v1\nkind: Job\nmetadata: {name: fill}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: fill, image: 'registry.example.com/fill:1'}]}}}\n")},
		"settings.yml":  {Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {TZ: UTC}\n")},
		"README.md":     {Data: []byte("not read")},
	}
	app, report, err := manifests.ImportFS(context.Background(), files, &manifests.Options{Name: "nightly"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(app.Metadata.Name, app.Components[0].Kind, app.Components[0].ID, app.Configs[0].Items[0].Value)
	fmt.Println(report.Leaves[0])
	// Output:
	// nightly job fill UTC
	// base/job.yaml:1: Job[fill].apiVersion: mapped -> components[fill].kind
}
