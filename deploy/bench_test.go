package deploy_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage/seal"
)

// remembering answers a LIST that was asked before from memory once on is set,
// so that a benchmark measures planning and not the in-memory cluster.
type remembering struct {
	driver.Cluster
	mu    sync.Mutex
	on    bool
	pages map[string]driver.Page
}

func (r *remembering) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.on {
		return r.Cluster.List(ctx, q)
	}
	key := fmt.Sprintf("%+v", q)
	if page, ok := r.pages[key]; ok {
		return page, nil
	}
	page, err := r.Cluster.List(ctx, q)
	if err == nil {
		r.pages[key] = page
	}
	return page, err
}

// many is an application of n components; each is a Deployment, a Service and
// a ConfigMap.
func many(n int) *appmodel.Application {
	user := int64(1000)
	app := &appmodel.Application{APIVersion: appmodel.APIVersion, Kind: appmodel.KindApplication, Metadata: appmodel.Metadata{Name: "many"}}
	for i := range n {
		app.Components = append(app.Components, appmodel.Component{
			ID: fmt.Sprintf("c%04d", i), Kind: appmodel.KindService,
			Container: appmodel.Container{Image: "registry.example.com/app:1",
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

// manyDeployed is a Deployer over one cluster on which the application runs.
func manyDeployed(b *testing.B, app *appmodel.Application) (*deploy.Deployer, deploy.Target) {
	b.Helper()
	key, err := seal.GenerateKey(nil)
	require.NoError(b, err)
	keys, err := seal.NewKeyring(key)
	require.NoError(b, err)
	memory := &remembering{Cluster: fake.New(&fake.Options{Name: "a", Nodes: fake.Nodes(20, "64", "256Gi")}), pages: map[string]driver.Page{}}
	set, err := cluster.NewSet(cluster.New("a", memory, nil))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, set.Close()) })
	d, err := deploy.New(set, &deploy.Options{Installation: "test", Keys: keys, Authorizer: appspan.AllowAll{}})
	require.NoError(b, err)
	to := deploy.Target{Clusters: []string{"a"}, Namespace: "many"}
	_, err = d.Deploy(b.Context(), app, to, nil)
	require.NoError(b, err)
	memory.mu.Lock()
	memory.on = true
	memory.mu.Unlock()
	return d, to
}

// BenchmarkPlan1000 plans an application of 1,000 components (3,000 objects)
// that runs already.
func BenchmarkPlan1000(b *testing.B) {
	app := many(1000)
	d, to := manyDeployed(b, app)
	for _, c := range []struct {
		name    string
		changed int
	}{{"unchanged", 0}, {"one changed", 1}, {"400 changed", 400}} {
		b.Run(c.name, func(b *testing.B) {
			next, err := appmodel.Clone(app), error(nil)
			for i := range c.changed {
				next.Components[i].Image = "registry.example.com/app:2"
			}
			b.ReportAllocs()
			for b.Loop() {
				var p *deploy.Plan
				p, err = d.Plan(b.Context(), next, to, nil)
				if err != nil || len(p.Clusters[0].Changes) != c.changed {
					b.Fatal(err, len(p.Clusters[0].Changes))
				}
			}
		})
	}
}
