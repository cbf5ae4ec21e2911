package composefile_test

import (
	"context"
	"fmt"

	"github.com/appspan-dev/appspan/appmodel/composefile"
)

func ExampleImport() {
	const file = `
services:
  web:
    image: nginx:1.27
    ports: ["8080:80"]
    environment: {API_URL: "http://api:8000"}
  api:
    build: ./api
    expose: ["8000"]
    ulimits: {nofile: 1024}
`
	app, report, err := composefile.Import(context.Background(), []byte(file), &composefile.Options{
		File:   "shop.compose.yaml",
		Images: map[string]string{"api": "registry.example.com/shop/api:3.2.0"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range app.Components {
		fmt.Println(c.ID, c.Kind, c.Image, len(c.Needs), "needs")
	}
	fmt.Println(app.Components[0].Env[0].Template)
	fmt.Print(report)
	// Output:
	// web service nginx:1.27 1 needs
	// api service registry.example.com/shop/api:3.2.0 0 needs
	// http://${need.api.address}
	// 6 leaves: 5 mapped, 0 implied, 0 degraded, 1 unsupported (83 % kept)
	// shop.compose.yaml:10: services.api.ulimits.nofile: unsupported: Kubernetes has no limits of this kind for pods
	// note: security level baseline everywhere: most Docker images run as root
}
