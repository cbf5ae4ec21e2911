package boltrecords_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/boltrecords"
	"github.com/appspan-dev/appspan/storage/driver"
)

// sample is the bytes of a file with records of several sizes, some of them
// deleted, so that it has branches, long pages and free ones.
func sample(t testing.TB, records int) []byte {
	path := filepath.Join(t.TempDir(), "db")
	d, err := boltrecords.Open(path, nil)
	require.NoError(t, err)
	for n := range records {
		key := fmt.Sprintf("records/%03d", n)
		revision, err := d.Put(t.Context(), key, value(key), "")
		require.NoError(t, err)
		if n%5 == 4 {
			require.NoError(t, d.Delete(t.Context(), key, revision))
		}
	}
	require.NoError(t, d.Close())
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

func value(key string) []byte { return bytes.Repeat([]byte(key), 1+len(key)*int(key[len(key)-1]%7)) }

// survives opens damaged bytes, and reads and writes all it can: what it reads
// is as it was written, everything else is an error.
func survives(t testing.TB, data []byte) error {
	path := filepath.Join(t.TempDir(), "db")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	d, err := boltrecords.Open(path, nil)
	if err != nil {
		if !isKnown(err) {
			t.Errorf("the error has no sentinel: %v", err)
		}
		return err
	}
	defer d.Close()
	page, err := d.List(t.Context(), driver.Query{})
	if err != nil {
		require.ErrorIs(t, err, appspan.ErrCorrupt)
	}
	for _, rec := range page.Records {
		if strings.HasPrefix(rec.Key, "records/") {
			require.Equal(t, value(rec.Key), rec.Value)
		}
	}
	for n := range 3 {
		_, _ = d.Put(t.Context(), fmt.Sprintf("new/%d", n), value("new/0"), "")
	}
	return err
}

func isKnown(err error) bool {
	for _, sentinel := range []error{appspan.ErrCorrupt, appspan.ErrUnsupported} {
		if strings.Contains(err.Error(), sentinel.Error()) {
			return true
		}
	}
	return false
}

func TestAFileThatWasCutIsCorrupt(t *testing.T) {
	t.Parallel()
	data := sample(t, 40)
	require.NoError(t, survives(t, data))
	for _, size := range []int{1, 79, 80, 4095, 4096, 8192, 12288, 16384, 32768} {
		require.ErrorIs(t, survives(t, data[:size]), appspan.ErrCorrupt, "cut to %d bytes", size)
	}
}

func TestAForeignFileIsCorrupt(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"text":          bytes.Repeat([]byte("dear diary\n"), 2000),
		"zeroes":        make([]byte, 1<<16),
		"one byte":      {1},
		"SQLite":        append([]byte("SQLite format 3\x00"), make([]byte, 1<<15)...),
		"ones":          bytes.Repeat([]byte{0xff}, 1<<16),
		"another bbolt": otherBolt(t),
	} {
		require.ErrorIs(t, survives(t, data), appspan.ErrCorrupt, name)
	}
	_, err := boltrecords.Open(t.TempDir(), nil)
	require.Error(t, err, "a directory")
}

func otherBolt(t *testing.T) []byte {
	path := filepath.Join(t.TempDir(), "other")
	edit(t, path, func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket([]byte("cache"))
		return err
	})
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

func edit(t *testing.T, path string, change func(*bolt.Tx) error) {
	db, err := bolt.Open(path, 0o600, nil)
	require.NoError(t, err)
	require.NoError(t, db.Update(change))
	require.NoError(t, db.Close())
}

func TestAFlippedBitIsNoticedOrDoesNotMatter(t *testing.T) {
	t.Parallel()
	data := sample(t, 12)
	step := max(1, len(data)/1500) | 1
	if os.Getenv("APPSPAN_SOAK") != "" {
		step = 7
	}
	for at := 0; at < len(data); at += step {
		flipped := bytes.Clone(data)
		flipped[at] ^= 1 << (at % 8)
		_ = survives(t, flipped)
	}
}

func TestAFileOfANewerFormatIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	require.NoError(t, os.WriteFile(path, sample(t, 3), 0o600))
	edit(t, path, func(tx *bolt.Tx) error {
		meta := tx.Bucket([]byte("meta"))
		require.NoError(t, meta.Put([]byte("format"), []byte("7")))
		return meta.Put([]byte("minReader"), []byte("6"))
	})
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, readOnly := range []bool{false, true} {
		_, err = boltrecords.Open(path, &boltrecords.Options{ReadOnly: readOnly})
		require.ErrorIs(t, err, appspan.ErrUnsupported)
	}
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(before, after))
}

// FuzzOpen changes a file in two places and cuts it.
func FuzzOpen(f *testing.F) {
	data := sample(f, 30)
	f.Add(uint32(0), uint64(0), uint32(9000), uint64(1)<<63, uint32(len(data)))
	f.Add(uint32(4096*3), uint64(0xffff), uint32(16400), uint64(0xffffffff), uint32(len(data)))
	f.Fuzz(func(t *testing.T, at uint32, change uint64, at2 uint32, change2 uint64, size uint32) {
		damaged := bytes.Clone(data)
		for i := range 8 {
			damaged[(int(at)+i)%len(data)] ^= byte(change >> (8 * i))
			damaged[(int(at2)+i)%len(data)] ^= byte(change2 >> (8 * i))
		}
		if s := int(size); s > 0 && s < len(damaged) {
			damaged = damaged[:s]
		}
		_ = survives(t, damaged)
	})
}
