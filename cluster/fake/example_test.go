package fake_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fake"
)

const configMap = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"default","name":"settings"},"data":{"color":%q}}`

func settings(color string) driver.Object {
	obj, err := driver.ParseObject(fmt.Appendf(nil, configMap, color))
	if err != nil {
		panic(err)
	}
	return obj
}

func ExampleNew() {
	ctx := context.Background()
	c := fake.New(nil)
	defer func() { _ = c.Close() }()

	_, err := c.Apply(ctx, settings("red"), driver.ApplyOptions{Manager: "alice"})
	fmt.Println("alice:", err)
	_, err = c.Apply(ctx, settings("blue"), driver.ApplyOptions{Manager: "bob"})
	fmt.Println("bob:", err, errors.Is(err, appspan.ErrConflict))
	// Output:
	// alice: <nil>
	// bob: conflict: .data.color is owned by alice true
}

func ExampleCluster_Handler() {
	c := fake.New(nil)
	defer func() { _ = c.Close() }()
	server := httptest.NewServer(c.Handler())
	defer server.Close()

	answer, err := server.Client().Get(server.URL + "/version")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = answer.Body.Close() }()
	data, _ := io.ReadAll(answer.Body)
	var version struct{ GitVersion string }
	_ = json.Unmarshal(data, &version)
	fmt.Println(answer.StatusCode == http.StatusOK, version.GitVersion)
	// Output: true v1.37.2
}

func ExampleCluster_Calls() {
	ctx := context.Background()
	c := fake.New(nil)
	defer func() { _ = c.Close() }()

	for range 3 {
		_, _ = c.Apply(ctx, settings("red"), driver.ApplyOptions{Manager: "alice"})
	}
	_, _ = c.List(ctx, driver.Query{APIVersion: "v1", Kind: "ConfigMap"})
	fmt.Println(c.Calls()[fake.CallKey{Verb: "patch", Kind: "ConfigMap"}], c.Calls()[fake.CallKey{Verb: "list", Kind: "ConfigMap"}])
	// Output: 3 1
}

func ExampleNodes() {
	for _, n := range fake.Nodes(2, "4", "8Gi") {
		fmt.Println(n.Name, n.Labels["topology.kubernetes.io/zone"], n.Allocatable["cpu"], n.Allocatable["memory"])
	}
	// Output:
	// node-1 a 4 8Gi
	// node-2 b 4 8Gi
}
