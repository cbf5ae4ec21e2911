package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

func ExampleNewRecords() {
	ctx := context.Background()
	records := storage.NewRecords(memstore.NewRecords(), nil)
	defer records.Close()

	revision, err := records.Put(ctx, "teams/blue", []byte("four people"), "") // must not exist
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := records.Put(ctx, "teams/blue", []byte("five people"), revision); err != nil {
		fmt.Println(err)
		return
	}
	_, err = records.Put(ctx, "teams/blue", []byte("six people"), revision) // too late
	fmt.Println(errors.Is(err, appspan.ErrPrecondition))
	for rec, err := range records.List(ctx, "teams/") {
		fmt.Println(rec.Key, string(rec.Value), err)
	}
	// Output:
	// true
	// teams/blue five people <nil>
}

func ExampleRecords_Leases() {
	ctx := context.Background()
	records := storage.NewRecords(memstore.NewRecords(), nil)
	defer records.Close()

	lease, err := records.Leases("host-1", nil).Acquire(ctx, "reconciler")
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = records.Leases("host-2", nil).Try(ctx, "reconciler")
	fmt.Println(err)
	fmt.Println(lease.Context().Err(), lease.Fence(), lease.Release(ctx))
	// Output:
	// lease reconciler: conflict: host-1 holds it
	// <nil> 1 <nil>
}

func ExampleRecords_Export() {
	ctx := context.Background()
	from, to := storage.NewRecords(memstore.NewRecords(), nil), storage.NewRecords(memstore.NewRecords(), nil)
	if _, err := from.Put(ctx, "teams/blue", []byte("five people"), ""); err != nil {
		fmt.Println(err)
		return
	}
	var file bytes.Buffer
	fmt.Println(from.Export(ctx, &file))
	fmt.Println(to.Import(ctx, bytes.NewReader(file.Bytes()), nil))
	fmt.Println(to.Import(ctx, bytes.NewReader(file.Bytes()), nil)) // it is all there
	// Output:
	// 1 <nil>
	// 1 <nil>
	// 0 <nil>
}
