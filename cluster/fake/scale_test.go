package fake_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
)

// BenchmarkApply3000 is a first deployment of 1,000 components of three
// objects, with eight writers, on the wall clock.
func BenchmarkApply3000(b *testing.B) {
	for b.Loop() {
		c := fake.New(nil)
		var objects []driver.Object
		for i := range 1000 {
			name := fmt.Sprintf("c%d", i)
			objects = append(objects, deployment(b, name, "nginx:1", 1),
				object(b, `{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"default","name":%q},"spec":{"selector":{"app":%q},"ports":[{"port":80}]}}`, name, name),
				object(b, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"default","name":%q},"data":{"a":"b"}}`, name))
		}
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < len(objects); i += 8 {
					_, err := c.Apply(b.Context(), objects[i], driver.ApplyOptions{Manager: "bench"})
					if err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		require.NoError(b, c.Close())
	}
}

func TestHundredsOfComponentsBecomeReady(t *testing.T) {
	simulate(t, &fake.Options{Nodes: fake.Nodes(20, "64", "256Gi")}, func(t *testing.T, c *fake.Cluster) {
		for i := range 300 {
			name := fmt.Sprintf("c%d", i)
			apply(t, c, object(t, `{"apiVersion":"v1","kind":"Service","metadata":{"namespace":"default","name":%q},"spec":{"selector":{"app":%q},"ports":[{"port":80}]}}`, name, name))
			apply(t, c, object(t, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"default","name":%q},"data":{"a":"b"}}`, name))
			apply(t, c, deployment(t, name, "nginx:1", 1))
		}
		synctest.Wait()
		page, err := c.List(t.Context(), driver.Query{APIVersion: "v1", Kind: "Pod", Fields: "status.phase=Running", Limit: 2000})
		require.NoError(t, err)
		require.Len(t, page.Items, 300)
	})
}
