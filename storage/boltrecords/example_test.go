package boltrecords_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/boltrecords"
)

func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "records")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "appspan.db")
	for range 2 { // as if the program started twice
		d, err := boltrecords.Open(path, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		records := storage.NewRecords(d, nil)
		rec, err := records.Update(ctx, "starts", func(old []byte) ([]byte, error) { return append(old, '|'), nil })
		fmt.Println(string(rec.Value), err, records.Close())
	}
	// Output:
	// | <nil> <nil>
	// || <nil> <nil>
}
