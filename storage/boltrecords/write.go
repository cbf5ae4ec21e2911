package boltrecords

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/driver"
)

// newName is a name that no other file has.
func newName() []byte { return []byte(rand.Text()) }

// write is one write that waits for its turn.
type write struct {
	key        string
	value      []byte
	ifRevision string
	remove     bool

	revision uint64 // that it got, zero if nothing was written
	change   driver.Change
	err      error
	done     chan struct{}
}

// maxBatch is how many writes share a flush at most.
const maxBatch = 256

// Put implements driver.Records.
func (r *Records) Put(ctx context.Context, key string, value []byte, ifRevision string) (string, error) {
	w := &write{key: key, value: value, ifRevision: ifRevision, done: make(chan struct{})}
	if err := r.submit(ctx, w); err != nil {
		return "", err
	}
	return strconv.FormatUint(w.revision, 10), nil
}

// Delete implements driver.Records.
func (r *Records) Delete(ctx context.Context, key, ifRevision string) error {
	return r.submit(ctx, &write{key: key, ifRevision: ifRevision, remove: true, done: make(chan struct{})})
}

// submit hands a write to the writer and waits for it. What the writer has
// taken is waited for whatever ctx does: it is milliseconds, and its outcome
// is known then.
func (r *Records) submit(ctx context.Context, w *write) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.leave()
	select {
	case r.queue <- w:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-w.done
	return w.err
}

// run is the writer: what has queued up while one flush was under way shares
// the next.
func (r *Records) run() {
	defer close(r.done)
	for w := range r.queue {
		batch := []*write{w}
	gather:
		for len(batch) < maxBatch {
			select {
			case next, ok := <-r.queue:
				if !ok {
					break gather
				}
				batch = append(batch, next)
			default:
				break gather
			}
		}
		r.commit(batch)
	}
}

// commit makes the writes of a batch in one transaction.
func (r *Records) commit(batch []*write) {
	r.told.Lock()
	defer r.told.Unlock()
	err := r.update(func(tx *bolt.Tx) error {
		records := tx.Bucket(bucketRecords)
		for _, w := range batch {
			if w.err = w.apply(records); w.err != nil && w.revision != 0 {
				return w.err // the file, not what was asked
			}
		}
		return nil
	})
	for _, w := range batch {
		if err != nil {
			w.err = fmt.Errorf("%w: the file cannot be written: %w", appspan.ErrUnavailable, err)
		}
		if w.err == nil {
			r.feed.Add(w.change)
		}
		close(w.done)
	}
	if err != nil { // a commit that failed at its very end may have been made
		_ = r.view(func(tx *bolt.Tx) error {
			r.feed.Skip(tx.Bucket(bucketRecords).Sequence())
			return nil
		})
	}
}

// update writes; a damaged file is an error and no panic.
func (r *Records) update(do func(*bolt.Tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the file is damaged: %v", appspan.ErrCorrupt, p)
		}
	}()
	return r.db.Update(do)
}

// apply makes one write within a transaction.
func (w *write) apply(records *bolt.Bucket) error {
	key := []byte(w.key)
	stored := records.Get(key)
	current := ""
	if stored != nil {
		rec, err := decode(w.key, stored)
		if err != nil {
			return err
		}
		current = rec.Revision
	}
	switch {
	case w.remove && stored == nil:
		return appspan.ErrNotFound
	case !w.remove && w.ifRevision == "" && stored != nil:
		return appspan.ErrExists
	case current != w.ifRevision:
		return appspan.ErrPrecondition
	}
	n, err := records.NextSequence()
	w.revision = max(n, 1)
	if err != nil {
		return err
	}
	if w.remove {
		w.change = driver.Change{Record: driver.Record{Key: w.key, Revision: current}, Deleted: true}
		return records.Delete(key)
	}
	value := make([]byte, head, head+len(w.value))
	binary.BigEndian.PutUint64(value, n)
	binary.BigEndian.PutUint32(value[8:], sum(value[:8], w.key, w.value))
	value = append(value, w.value...)
	w.change = driver.Change{Record: driver.Record{Key: w.key, Value: value[head:], Revision: strconv.FormatUint(n, 10)}}
	return records.Put(key, value)
}
