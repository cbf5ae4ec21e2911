package kuberecords_test

import (
	"context"
	"fmt"

	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/kuberecords"
)

func ExampleNewRecords() {
	ctx := context.Background()
	hub := fake.New(nil) // or kube.FromKubeconfig
	defer hub.Close()
	d, err := kuberecords.NewRecords(hub, kuberecords.Options{Namespace: "default"})
	if err != nil {
		fmt.Println(err)
		return
	}
	records := storage.NewRecords(d, nil)
	defer records.Close()
	if _, err := records.Put(ctx, "teams/blue", []byte("five people"), ""); err != nil {
		fmt.Println(err)
		return
	}
	rec, err := records.Get(ctx, "teams/blue")
	fmt.Println(string(rec.Value), err)
	// Output: five people <nil>
}
