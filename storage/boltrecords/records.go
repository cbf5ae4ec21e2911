package boltrecords

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/internal/feed"
)

// Format is the version of the file's format.
const Format = 1

// The buckets and keys of a file. A record is its revision, as eight bytes
// big-endian, a checksum as four, and its value; revisions are the numbers of
// writes.
var (
	bucketRecords = []byte("records")
	bucketMeta    = []byte("meta")
	keyFormat     = []byte("format")
	keyMinReader  = []byte("minReader")
	keyStore      = []byte("store") // a random name, so that positions of another file are refused
)

// Options shape an Open. The zero value, like nil, is the default.
type Options struct {
	// LockTimeout is how long to wait for another process that has the file
	// open; default 1 s.
	LockTimeout time.Duration
	// ReadOnly opens a file that nobody writes meanwhile.
	ReadOnly bool
}

// Records is a store in one file, as a driver.
type Records struct {
	db    *bolt.DB
	feed  *feed.Feed
	mu    sync.RWMutex // held for reading while a call runs
	open  bool
	queue chan *write
	told  sync.Mutex    // held while a batch is committed and told to the feed
	done  chan struct{} // closed when the writer has ended
}

var (
	_ driver.Records = (*Records)(nil)
	_ driver.Watcher = (*Records)(nil)
)

// Open opens the file at path, or makes it, readable by this user alone.
func Open(path string, opts *Options) (*Records, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.LockTimeout <= 0 {
		o.LockTimeout = time.Second
	}
	db, err := openFile(path, o)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open %s: %w: another process has it open; stop that one, or let several share a Kubernetes hub (kuberecords)", path, appspan.ErrUnavailable)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, appspan.ErrCorrupt):
		return nil, fmt.Errorf("open %s: %w: it is no store of records, or is damaged: %w", path, appspan.ErrCorrupt, err)
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("open %s: %w: %w", path, appspan.ErrNotFound, err)
	case err != nil:
		return nil, fmt.Errorf("open %s: %w: %w", path, appspan.ErrUnavailable, err)
	}
	r := &Records{db: db, open: true, queue: make(chan *write), done: make(chan struct{})}
	last, store, err := prepare(db, o.ReadOnly)
	if err != nil {
		_ = db.Close() // the first error is the one to tell
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	r.feed = feed.New(last)
	r.feed.Position = func(n uint64) string { return store + "-" + strconv.FormatUint(n, 10) }
	r.feed.Number = func(position string) (uint64, bool) {
		text, ok := strings.CutPrefix(position, store+"-")
		n, err := strconv.ParseUint(text, 10, 64)
		return n, ok && err == nil
	}
	go r.run()
	return r, nil
}

// openFile opens a file; one that is there is checked first.
func openFile(path string, o Options) (*bolt.DB, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > 0 || o.ReadOnly {
		if err := check(path, o); err != nil {
			return nil, err
		}
	}
	return bolt.Open(path, 0o600, &bolt.Options{Timeout: o.LockTimeout, ReadOnly: o.ReadOnly, FreelistType: bolt.FreelistMapType})
}

// check checks a file while nobody writes it. Read-only, bbolt looks at the
// meta pages alone, which have checksums.
func check(path string, o Options) (err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Size() < 4*4096: // pages are no smaller
		return fmt.Errorf("%w: it is no file of records", appspan.ErrCorrupt)
	}
	var file *os.File
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", appspan.ErrCorrupt, p)
			_ = file.Close() // it is not to stay locked
		}
	}()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: o.LockTimeout, ReadOnly: true, OpenFile: func(name string, flag int, mode os.FileMode) (f *os.File, err error) {
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}})
	if err != nil {
		return err
	}
	return errors.Join(verify(file, db.Info().PageSize), db.Close())
}

// prepare checks the format, or writes it into a new file, and returns the
// number of the last write and the store's name.
func prepare(db *bolt.DB, readOnly bool) (last uint64, store string, err error) {
	checkFormat := func(tx *bolt.Tx) error {
		meta, records := tx.Bucket(bucketMeta), tx.Bucket(bucketRecords)
		if meta == nil || records == nil {
			return fmt.Errorf("%w: it is no store of records", appspan.ErrCorrupt)
		}
		format, err1 := strconv.Atoi(string(meta.Get(keyFormat)))
		least, err2 := strconv.Atoi(string(meta.Get(keyMinReader)))
		if err1 != nil || err2 != nil || format < 1 {
			return fmt.Errorf("%w: it has no format", appspan.ErrCorrupt)
		}
		if least > Format {
			return fmt.Errorf("%w: it is of format %d and needs a program that knows format %d; this one knows %d: update it", appspan.ErrUnsupported, format, least, Format)
		}
		last, store = records.Sequence(), string(meta.Get(keyStore))
		return nil
	}
	fresh := false
	err = db.View(func(tx *bolt.Tx) error {
		if name, _ := tx.Cursor().First(); name == nil && !readOnly {
			fresh = true
			return nil
		}
		return checkFormat(tx)
	})
	if !fresh || err != nil {
		return last, store, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		meta, err := tx.CreateBucket(bucketMeta)
		if err != nil {
			return err
		}
		if _, err := tx.CreateBucket(bucketRecords); err != nil {
			return err
		}
		one := []byte(strconv.Itoa(Format))
		return errors.Join(meta.Put(keyFormat, one), meta.Put(keyMinReader, one), meta.Put(keyStore, newName()), checkFormat(tx))
	})
	return last, store, err
}

// enter begins a call; leave ends it.
func (r *Records) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.RLock()
	if !r.open {
		r.mu.RUnlock()
		return driver.ErrClosed
	}
	return nil
}

func (r *Records) leave() { r.mu.RUnlock() }

// head is the length of what is before a value.
const head = 8 + 4

// sum is the checksum of a record: CRC-32C of revision, key and value.
func sum(revision []byte, key string, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(crc32.Checksum(revision, table), table, []byte(key)), table, value)
}

// decode reads what is stored under a key. Revision and value are copies.
func decode(key string, stored []byte) (driver.Record, error) {
	if len(stored) < head || binary.BigEndian.Uint32(stored[8:]) != sum(stored[:8], key, stored[head:]) {
		return driver.Record{}, fmt.Errorf("%w: record %s is damaged", appspan.ErrCorrupt, key)
	}
	return driver.Record{Key: key, Value: bytes.Clone(stored[head:]), Revision: strconv.FormatUint(binary.BigEndian.Uint64(stored), 10)}, nil
}

// Get implements driver.Records.
func (r *Records) Get(ctx context.Context, key string) (rec driver.Record, err error) {
	if err := r.enter(ctx); err != nil {
		return driver.Record{}, err
	}
	defer r.leave()
	err = r.view(func(tx *bolt.Tx) error {
		stored := tx.Bucket(bucketRecords).Get([]byte(key))
		if stored == nil {
			return appspan.ErrNotFound
		}
		rec, err = decode(key, stored)
		return err
	})
	return rec, err
}

// view reads; a damaged file is an error and no panic.
func (r *Records) view(do func(*bolt.Tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the file is damaged: %v", appspan.ErrCorrupt, p)
		}
	}()
	return r.db.View(do)
}

const (
	pageRecords = 1000
	pageBytes   = 8 << 20
)

// List implements driver.Records.
func (r *Records) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	if err := r.enter(ctx); err != nil {
		return driver.Page{}, err
	}
	defer r.leave()
	limit := pageRecords
	if q.Limit > 0 && q.Limit < limit {
		limit = q.Limit
	}
	var out driver.Page
	err := r.view(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(bucketRecords)
		out.Position = r.feed.Position(bucket.Sequence())
		size := 0
		c := bucket.Cursor()
		for k, v := c.Seek([]byte(max(q.Prefix, q.After))); k != nil && bytes.HasPrefix(k, []byte(q.Prefix)); k, v = c.Next() {
			if string(k) == q.After {
				continue
			}
			if len(out.Records) == limit || size >= pageBytes {
				out.More = true
				return nil
			}
			rec, err := decode(string(k), v)
			if err != nil {
				return err
			}
			out.Records = append(out.Records, rec)
			size += len(v)
		}
		return nil
	})
	return out, err
}

// Watch implements driver.Watcher: this process is the only one that writes.
func (r *Records) Watch(ctx context.Context, prefix, position string) (driver.Watch, error) {
	r.told.Lock() // what a List has seen, the feed has heard of
	defer r.told.Unlock()
	return r.feed.Watch(ctx, prefix, position)
}

// Close implements driver.Records: it waits for the calls under way.
func (r *Records) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.open {
		return nil
	}
	r.open = false
	close(r.queue)
	<-r.done
	r.feed.Close()
	return r.db.Close()
}
