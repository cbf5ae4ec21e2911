package appmodel_test

import (
	"fmt"

	"github.com/appspan-dev/appspan/appmodel"
)

const small = `apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
components:
  - id: web
    kind: service
    image: registry.example.com/shop/web:3.2.0
    ports: [{name: http, port: 8080, servicePort: 80}]
    needs: [{component: db}]
  - {id: db, kind: stateful, image: "postgres:17", ports: [{port: 5432}],
     volumes: [{name: data, kind: persistent, size: 10Gi}], mounts: [{path: /var/lib/postgresql/data, volume: data}]}
`

func ExampleDecode() {
	app, _, err := appmodel.Decode([]byte(small), &appmodel.DecodeOptions{File: "shop.yaml"})
	if err != nil {
		fmt.Println(err)
		return
	}
	full := appmodel.WithDefaults(app)
	fmt.Println(full.Components[0].Needs[0].Name, full.Components[1].Ports[0].ServicePort, full.Components[1].Volumes[0].AccessMode)
	// Output: db 5432 ReadWriteOnce
}

func ExampleDecode_faults() {
	_, faults, _ := appmodel.Decode([]byte(`apiVersion: appspan.dev/v1alpha1
kind: Application
metadata: {name: shop}
components:
  - {id: web, kind: service, image: "web:1", replica: 3, needs: [{component: dbb}]}
  - {id: db, kind: service, image: "db:1"}
`), &appmodel.DecodeOptions{File: "shop.yaml"})
	for _, f := range faults {
		fmt.Println(f)
	}
	// Output:
	// shop.yaml:5:46: components[web].replica: unknown field; did you mean "scale.replicas"? Foreign data belongs under "extensions"
	// shop.yaml:5:66: components[web].needs[dbb]: no component "dbb"; did you mean "db"? For another application add "application:"
}

func ExampleEncode() {
	app, _, _ := appmodel.Decode([]byte(small), nil)
	app.Components = app.Components[:1]
	app.Components[0].Needs = nil
	text, _ := appmodel.Encode(app, nil)
	fmt.Print(string(text))
	// Output:
	// apiVersion: appspan.dev/v1alpha1
	// kind: Application
	// metadata:
	//   name: shop
	// components:
	//   - id: web
	//     kind: service
	//     image: "registry.example.com/shop/web:3.2.0"
	//     ports:
	//       - name: http
	//         port: 8080
	//         servicePort: 80
}

func ExampleParseTemplate() {
	t, _ := appmodel.ParseTemplate("https://${param.host}/?price=$$5")
	text, _ := t.Expand(func(ref appmodel.TemplateRef) (string, error) { return ref.Path[0] + ".example.com", nil })
	fmt.Println(text)
	// Output: https://host.example.com/?price=$5
}

func ExampleObjectName() {
	fmt.Println(appmodel.ObjectName("shop", "web"))
	fmt.Println(appmodel.ObjectName("a-rather-long-name-of-an-application", "and-of-a-component"))
	// Output:
	// shop-web
	// a-rather-long-name-of-an-application-and-of-4f4c0594
}
