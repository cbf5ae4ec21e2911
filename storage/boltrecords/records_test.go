package boltrecords_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/storage/boltrecords"
	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/storagetest"
)

func open(t testing.TB, path string) *boltrecords.Records {
	d, err := boltrecords.Open(path, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func TestRecords(t *testing.T) {
	t.Parallel()
	var paths sync.Map
	storagetest.Records(t, func(t testing.TB) driver.Records {
		path := filepath.Join(t.TempDir(), "db")
		d := open(t, path)
		paths.Store(driver.Records(d), path)
		return d
	}, &storagetest.Options{Again: func(t testing.TB, d driver.Records) driver.Records {
		path, _ := paths.Load(d)
		return open(t, path.(string))
	}})
}
