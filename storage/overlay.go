package storage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/driver"
)

// Overlay returns records that read through to below and keep what is written to
// themselves: what is done with them is done to nothing, as for a dry run. They
// cannot be watched but by listing, hold as much as is written, and are closed by
// nobody: below stays open.
func Overlay(below *Records) *Records {
	return NewRecords(&overlay{below: below, own: map[string]Record{}}, &RecordsOptions{Attempts: 1})
}

// overlay is a driver that keeps writes in memory; a record without a revision is
// deleted.
type overlay struct {
	below *Records

	writing sync.Mutex // what is checked stays so until it is written
	mu      sync.Mutex
	own     map[string]Record
	n       int
	closed  bool
}

// maxOverlay bounds the records that an overlay keeps.
const maxOverlay = 10_000

func (o *overlay) Get(ctx context.Context, key string) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	o.mu.Lock()
	rec, ok := o.own[key]
	closed := o.closed
	o.mu.Unlock()
	if closed {
		return Record{}, driver.ErrClosed
	}
	if !ok {
		return o.below.Get(ctx, key)
	}
	if rec.Revision == "" {
		return Record{}, fmt.Errorf("%w: %s", appspan.ErrNotFound, key)
	}
	rec.Value = slices.Clone(rec.Value)
	return rec, nil
}

// write checks the revision and keeps the record.
func (o *overlay) write(ctx context.Context, rec Record, ifRevision string) (string, error) {
	o.writing.Lock()
	defer o.writing.Unlock()
	now, err := o.Get(ctx, rec.Key)
	switch {
	case err != nil && !errors.Is(err, appspan.ErrNotFound):
		return "", err
	case err == nil && ifRevision == "":
		return "", fmt.Errorf("%w: %s", appspan.ErrExists, rec.Key)
	case err != nil && ifRevision != "" && rec.Revision == "":
		return "", err
	case err != nil && ifRevision != "":
		return "", fmt.Errorf("%w: %s is not there", appspan.ErrPrecondition, rec.Key)
	case err == nil && now.Revision != ifRevision:
		return "", fmt.Errorf("%w: %s is at another revision", appspan.ErrPrecondition, rec.Key)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.own) >= maxOverlay {
		return "", fmt.Errorf("%w: an overlay keeps %d records", appspan.ErrExhausted, maxOverlay)
	}
	if rec.Revision != "" {
		o.n++
		rec.Revision = "overlay-" + strconv.Itoa(o.n)
	}
	o.own[rec.Key] = rec
	return rec.Revision, nil
}

func (o *overlay) Put(ctx context.Context, key string, value []byte, ifRevision string) (string, error) {
	return o.write(ctx, Record{Key: key, Value: slices.Clone(value), Revision: "new"}, ifRevision)
}

func (o *overlay) Delete(ctx context.Context, key, ifRevision string) error {
	_, err := o.write(ctx, Record{Key: key}, ifRevision)
	return err
}

// List reads everything below for each page: what it is for is small.
func (o *overlay) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	all := map[string]Record{}
	for rec, err := range o.below.List(ctx, q.Prefix) {
		if err != nil {
			return driver.Page{}, err
		}
		all[rec.Key] = rec
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return driver.Page{}, driver.ErrClosed
	}
	for key, rec := range o.own {
		switch {
		case !strings.HasPrefix(key, q.Prefix):
		case rec.Revision == "":
			delete(all, key)
		default:
			rec.Value = slices.Clone(rec.Value)
			all[key] = rec
		}
	}
	var page driver.Page
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if key <= q.After {
			continue
		}
		if q.Limit > 0 && len(page.Records) == q.Limit {
			page.More = true
			break
		}
		page.Records = append(page.Records, all[key])
	}
	return page, nil
}

func (o *overlay) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	return nil
}
