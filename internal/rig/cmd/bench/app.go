package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy/render"
)

// The states of the application through which the phases go.
const (
	stateFirst   = "first"
	stateChanged = "changed" // -changed components have another image
	stateOne     = "one"     // and one more
)

// application is the application in a state.
func application(s settings, state string) *appmodel.Application {
	app := &appmodel.Application{APIVersion: appmodel.APIVersion, Kind: appmodel.KindApplication, Metadata: appmodel.Metadata{Name: "bench"}}
	user := int64(1000)
	changed := 0
	switch state {
	case stateChanged:
		changed = s.changed
	case stateOne:
		changed = s.changed + 1
	}
	for i := range s.components {
		image := "registry.example.com/app:1"
		if i < changed {
			image = "registry.example.com/app:2"
		}
		app.Components = append(app.Components, appmodel.Component{
			ID: fmt.Sprintf("c%04d", i), Kind: appmodel.KindService,
			Container: appmodel.Container{Image: image,
				Env:       []appmodel.Env{{Name: "MODE", Value: "production"}, {Name: "INDEX", Value: fmt.Sprint(i)}},
				Files:     []appmodel.File{{Path: "/etc/app/settings.json", Content: fmt.Sprintf("{\"index\": %d}", i)}},
				Resources: &appmodel.Resources{Requests: map[string]appmodel.Quantity{"cpu": "10m", "memory": "16Mi"}},
				Security:  &appmodel.Security{RunAsUser: &user},
			},
			Ports:      []appmodel.Port{{Name: "http", Port: 8080, ServicePort: 80}},
			Kubernetes: &appmodel.Kubernetes{Defaults: "none"},
		})
	}
	return app
}

// objects renders a state for a namespace.
func objects(s settings, state, namespace string) ([]render.Object, error) {
	out, err := render.Render(render.Input{Application: application(s, state), Namespace: namespace, Installation: "bench",
		Info: driver.Info{Version: "v1.37.2", UID: "bench"}, HashKey: []byte("bench")})
	if err != nil {
		return nil, err
	}
	return out.Objects, nil
}

// writeObjects writes a state as files for the engines that are programs: a
// manifest for kubectl and a chart for helm.
func writeObjects(s settings, state, namespace string) error {
	list, err := objects(s, state, namespace)
	if err != nil {
		return err
	}
	if len(list) != 3*s.components {
		return fmt.Errorf("the application renders to %d objects, not %d", len(list), 3*s.components)
	}
	var b strings.Builder
	for _, o := range list {
		var v map[string]any
		if err := json.Unmarshal(o.JSON, &v); err != nil {
			return err
		}
		text, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	if strings.Contains(b.String(), "{{") {
		return fmt.Errorf("the rendered objects contain template syntax")
	}
	base := filepath.Join(s.dir, namespace+"-"+state)
	if err := os.MkdirAll(filepath.Join(base, "templates"), 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		base + ".yaml": b.String(),
		filepath.Join(base, "templates", "all.yaml"): b.String(),
		filepath.Join(base, "Chart.yaml"):            "apiVersion: v2\nname: bench\nversion: 1.0.0\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
