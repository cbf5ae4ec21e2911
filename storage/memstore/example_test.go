package memstore_test

import (
	"context"
	"fmt"

	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
)

func ExampleNewRecords() {
	records := storage.NewRecords(memstore.NewRecords(), nil)
	rec, err := records.Update(context.Background(), "visits", func(old []byte) ([]byte, error) { return append(old, '|'), nil })
	fmt.Println(string(rec.Value), err, records.Close())
	// Output: | <nil> <nil>
}
