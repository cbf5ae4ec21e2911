package fake_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
)

// object parses JSON, with single quotes for readability.
func object(t testing.TB, format string, args ...any) driver.Object {
	t.Helper()
	data := []byte(fmt.Sprintf(format, args...))
	o, err := driver.ParseObject(data)
	require.NoError(t, err)
	return o
}

func deployment(t testing.TB, name, image string, replicas int) driver.Object {
	t.Helper()
	return object(t, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"namespace":"default","name":%q},"spec":{"replicas":%d,
		"selector":{"matchLabels":{"app":%q}},"template":{"metadata":{"labels":{"app":%q}},"spec":{"containers":[{"name":"main","image":%q,"ports":[{"containerPort":80}],
		"resources":{"requests":{"cpu":"0.1"}}}]}}}}`, name, replicas, name, name, image)
}

func apply(t testing.TB, c driver.Cluster, o driver.Object) driver.Object {
	t.Helper()
	r, err := c.Apply(t.Context(), o, driver.ApplyOptions{Manager: "test"})
	require.NoError(t, err)
	return r
}

// get decodes an object of the cluster.
func get[T any](t testing.TB, c driver.Cluster, apiVersion, kind, namespace, name string) T {
	t.Helper()
	o, err := c.Get(t.Context(), driver.Ref{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name})
	require.NoError(t, err)
	var v T
	require.NoError(t, json.Unmarshal(o.JSON, &v))
	return v
}

// simulate runs a test on a virtual clock with a cluster of its own.
func simulate(t *testing.T, opts *fake.Options, run func(t *testing.T, c *fake.Cluster)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := fake.New(opts)
		defer func() { require.NoError(t, c.Close()) }()
		synctest.Wait()
		run(t, c)
	})
}

// replaced is an object's JSON with one text in place of another.
func replaced(o driver.Object, before, after string) string {
	return strings.ReplaceAll(string(o.JSON), before, after)
}
