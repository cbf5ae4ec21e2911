package cluster_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/fake"
)

func ExampleNew() {
	ctx := context.Background()
	c := cluster.New("eu-1", fake.New(nil), nil)
	defer c.Close()

	config, err := cluster.ParseObject([]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"default","name":"shop"},"data":{"color":"blue"}}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := c.Apply(ctx, config, cluster.ApplyOptions{Manager: "example"}); err != nil {
		fmt.Println(err)
		return
	}
	for object, err := range c.List(ctx, cluster.Query{APIVersion: "v1", Kind: "ConfigMap", Namespace: "default", Fields: "metadata.name=shop"}) {
		fmt.Println(object.Ref, err)
	}

	_, err = c.Get(ctx, cluster.Ref{APIVersion: "v1", Kind: "ConfigMap", Namespace: "default", Name: "other"})
	fmt.Println(errors.Is(err, appspan.ErrNotFound), err)
	// Output:
	// ConfigMap default/shop <nil>
	// true get eu-1 ConfigMap default/other: not found: configmaps "other" not found
}

func ExampleCluster_Watch() {
	ctx := context.Background()
	c := cluster.New("eu-1", fake.New(nil), nil)
	defer c.Close()
	for event, err := range c.Watch(ctx, cluster.Query{APIVersion: "v1", Kind: "Namespace", Fields: "metadata.name=default"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.Type, event.Object.Name)
		if event.Type == cluster.Synced {
			break // everything that there is has come
		}
	}
	// Output:
	// added default
	// synced
}
