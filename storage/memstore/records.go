package memstore

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/internal/feed"
)

// Records is a store in memory, as a driver.
type Records struct {
	mu     sync.Mutex
	keys   []string // sorted
	values map[string]driver.Record
	last   uint64 // number of the last change
	feed   *feed.Feed
	closed bool
}

var (
	_ driver.Records = (*Records)(nil)
	_ driver.Watcher = (*Records)(nil)
)

// NewRecords returns an empty store.
func NewRecords() *Records {
	r := &Records{values: map[string]driver.Record{}, feed: feed.New(0)}
	mine := fmt.Sprintf("%p-", r) // positions of another store are refused
	r.feed.Position = func(n uint64) string { return mine + strconv.FormatUint(n, 10) }
	r.feed.Number = func(position string) (uint64, bool) {
		text, ok := strings.CutPrefix(position, mine)
		n, err := strconv.ParseUint(text, 10, 64)
		return n, ok && err == nil
	}
	return r
}

// enter begins a call.
func (r *Records) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return driver.ErrClosed
	}
	return nil
}

// Get implements driver.Records.
func (r *Records) Get(ctx context.Context, key string) (driver.Record, error) {
	if err := r.enter(ctx); err != nil {
		return driver.Record{}, err
	}
	defer r.mu.Unlock()
	rec, ok := r.values[key]
	if !ok {
		return driver.Record{}, appspan.ErrNotFound
	}
	return copied(rec), nil
}

// copied is a record whose value is the caller's.
func copied(rec driver.Record) driver.Record {
	rec.Value = slices.Clone(rec.Value)
	return rec
}

// Put implements driver.Records.
func (r *Records) Put(ctx context.Context, key string, value []byte, ifRevision string) (string, error) {
	if err := r.enter(ctx); err != nil {
		return "", err
	}
	defer r.mu.Unlock()
	old, exists := r.values[key]
	switch {
	case ifRevision == "" && exists:
		return "", appspan.ErrExists
	case old.Revision != ifRevision:
		return "", appspan.ErrPrecondition
	}
	r.last++
	rec := driver.Record{Key: key, Value: slices.Clone(value), Revision: strconv.FormatUint(r.last, 10)}
	r.values[key] = rec
	if !exists {
		r.keys = slices.Insert(r.keys, sort.SearchStrings(r.keys, key), key)
	}
	r.feed.Add(driver.Change{Record: rec})
	return rec.Revision, nil
}

// Delete implements driver.Records.
func (r *Records) Delete(ctx context.Context, key, ifRevision string) error {
	if err := r.enter(ctx); err != nil {
		return err
	}
	defer r.mu.Unlock()
	old, exists := r.values[key]
	switch {
	case !exists:
		return appspan.ErrNotFound
	case old.Revision != ifRevision:
		return appspan.ErrPrecondition
	}
	r.last++
	delete(r.values, key)
	i := sort.SearchStrings(r.keys, key)
	r.keys = slices.Delete(r.keys, i, i+1)
	r.feed.Add(driver.Change{Record: driver.Record{Key: key, Revision: old.Revision}, Deleted: true})
	return nil
}

// page is how many records a List returns at most.
const page = 1000

// List implements driver.Records.
func (r *Records) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	if err := r.enter(ctx); err != nil {
		return driver.Page{}, err
	}
	defer r.mu.Unlock()
	limit := page
	if q.Limit > 0 && q.Limit < page {
		limit = q.Limit
	}
	out := driver.Page{Position: r.feed.Position(r.last)}
	for _, key := range r.keys[sort.SearchStrings(r.keys, max(q.Prefix, q.After)):] {
		if key == q.After {
			continue
		}
		if !strings.HasPrefix(key, q.Prefix) {
			break
		}
		if len(out.Records) == limit {
			out.More = true
			break
		}
		out.Records = append(out.Records, copied(r.values[key]))
	}
	return out, nil
}

// Watch implements driver.Watcher.
func (r *Records) Watch(ctx context.Context, prefix, position string) (driver.Watch, error) {
	return r.feed.Watch(ctx, prefix, position)
}

// Close implements driver.Records.
func (r *Records) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.feed.Close()
	return nil
}
