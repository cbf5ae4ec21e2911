package memstore_test

import (
	"testing"

	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/appspan-dev/appspan/storage/storagetest"
)

func TestRecords(t *testing.T) {
	t.Parallel()
	storagetest.Records(t, func(testing.TB) driver.Records { return memstore.NewRecords() }, nil)
}
