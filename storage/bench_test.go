package storage_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/kuberecords"
)

// BenchmarkRecords measures stores with values of 1 KiB. kuberecords is over a
// cluster in memory: what it costs beside the network.
func BenchmarkRecords(b *testing.B) {
	stores := map[string]func(b *testing.B) *storage.Records{
		"memstore":    func(b *testing.B) *storage.Records { return inMemory(b) },
		"boltrecords": func(b *testing.B) *storage.Records { return inFile(b, filepath.Join(b.TempDir(), "db")) },
		"kuberecords": func(b *testing.B) *storage.Records {
			d, err := kuberecords.NewRecords(fake.New(nil), kuberecords.Options{Namespace: "default"})
			require.NoError(b, err)
			return storage.NewRecords(d, nil)
		},
	}
	value := make([]byte, 1<<10)
	for name, open := range stores {
		b.Run(name+"/put", func(b *testing.B) {
			r, n := open(b), 0
			for b.Loop() {
				n++
				_, err := r.Put(b.Context(), fmt.Sprintf("a/%d", n), value, "")
				require.NoError(b, err)
			}
		})
		b.Run(name+"/put in parallel", func(b *testing.B) {
			r := open(b)
			var n atomic.Int64
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := r.Put(b.Context(), fmt.Sprintf("a/%d", n.Add(1)), value, ""); err != nil {
						b.Error(err)
					}
				}
			})
		})
		b.Run(name+"/get", func(b *testing.B) {
			r := open(b)
			_, err := r.Put(b.Context(), "a", value, "")
			require.NoError(b, err)
			for b.Loop() {
				_, err := r.Get(b.Context(), "a")
				require.NoError(b, err)
			}
		})
		if name == "kuberecords" && testing.Short() {
			continue
		}
		b.Run(name+"/list 10,000", func(b *testing.B) {
			r := open(b)
			fill(b, r, value)
			for b.Loop() {
				n := 0
				for _, err := range r.List(b.Context(), "a/") {
					require.NoError(b, err)
					n++
				}
				require.Equal(b, 10_000, n)
			}
		})
	}
}

// fill writes 10,000 records, several at a time, for a file to share flushes.
func fill(b *testing.B, r *storage.Records, value []byte) {
	done := make(chan error)
	for worker := range 50 {
		go func() {
			for n := range 200 {
				if _, err := r.Put(b.Context(), fmt.Sprintf("a/%d-%d", worker, n), value, ""); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 50 {
		require.NoError(b, <-done)
	}
}
