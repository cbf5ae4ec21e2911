package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/driver"
)

// Record is one small versioned document; see [driver.Record].
type Record = driver.Record

// RecordsOptions shape a [Records]. The zero value, like nil, is the default.
type RecordsOptions struct {
	// Attempts is how often a call is sent at most while its error is
	// appspan.Retryable; default 4, 1 repeats nothing.
	Attempts int
	// Timeout bounds one call with its repetitions; default 30 s.
	Timeout time.Duration
	// PollInterval is the time between the lists of a Watch whose driver
	// cannot watch; default 2 s.
	PollInterval time.Duration
}

// Records is a store of small versioned records.
type Records struct {
	driver driver.Records
	opts   RecordsOptions
	close  sync.Once
	closed error
}

// NewRecords returns a store that works through d, which it closes with itself.
func NewRecords(d driver.Records, opts *RecordsOptions) *Records {
	var o RecordsOptions
	if opts != nil {
		o = *opts
	}
	if o.Attempts < 1 {
		o.Attempts = 4
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.PollInterval <= 0 {
		o.PollInterval = 2 * time.Second
	}
	return &Records{driver: d, opts: o}
}

// Driver is the driver that the store works through.
func (r *Records) Driver() driver.Records { return r.driver }

// Get reads one record; a missing one is appspan.ErrNotFound.
func (r *Records) Get(ctx context.Context, key string) (Record, error) {
	if err := CheckKey(key); err != nil {
		return Record{}, wrap("get", key, err)
	}
	var rec Record
	err := r.call(ctx, func(ctx context.Context) (err error) {
		rec, err = r.driver.Get(ctx, key)
		return err
	})
	return rec, wrap("get", key, err)
}

// Put writes a record and returns its new revision, if its revision is still
// ifRevision: "" means that it must not exist (appspan.ErrExists if it does),
// anything else that it is as it was read (appspan.ErrPrecondition if not).
// There is no blind put.
func (r *Records) Put(ctx context.Context, key string, value []byte, ifRevision string) (string, error) {
	err := CheckKey(key)
	if err == nil && len(value) > MaxValue {
		err = fmt.Errorf("%w: the value has %d bytes, at most %d are kept; put what is large into a bucket", appspan.ErrInvalid, len(value), MaxValue)
	}
	if err != nil {
		return "", wrap("put", key, err)
	}
	var revision string
	err = r.call(ctx, func(ctx context.Context) (err error) {
		revision, err = r.driver.Put(ctx, key, value, ifRevision)
		return err
	})
	return revision, wrap("put", key, err)
}

// Delete removes a record that is as it was read. A missing one is
// appspan.ErrNotFound, one that was changed appspan.ErrPrecondition.
func (r *Records) Delete(ctx context.Context, key, ifRevision string) error {
	err := CheckKey(key)
	if err == nil && ifRevision == "" {
		err = fmt.Errorf("%w: the revision is empty; read the record first", appspan.ErrInvalid)
	}
	if err == nil {
		err = r.call(ctx, func(ctx context.Context) error { return r.driver.Delete(ctx, key, ifRevision) })
	}
	return wrap("delete", key, err)
}

// List reads the records whose keys begin with prefix, which ends with a slash
// or is empty, in the order of their keys. An error comes last. The sequence
// is read once.
func (r *Records) List(ctx context.Context, prefix string) iter.Seq2[Record, error] {
	return once(func(yield func(Record, error) bool) {
		err := checkPrefix(prefix)
		for q := (driver.Query{Prefix: prefix}); err == nil; {
			var page driver.Page
			if page, err = r.page(ctx, q); err != nil {
				break
			}
			for _, rec := range page.Records {
				if !yield(rec, nil) {
					return
				}
			}
			if !page.More {
				return
			}
			q.After = page.Records[len(page.Records)-1].Key
		}
		yield(Record{}, wrap("list", prefix, err))
	})
}

// page reads one page.
func (r *Records) page(ctx context.Context, q driver.Query) (driver.Page, error) {
	var page driver.Page
	err := r.call(ctx, func(ctx context.Context) (err error) {
		page, err = r.driver.List(ctx, q)
		return err
	})
	if err == nil && page.More && (len(page.Records) == 0 || page.Records[len(page.Records)-1].Key <= q.After) {
		err = fmt.Errorf("%w: the store goes on without getting on", appspan.ErrUnavailable)
	}
	return page, err
}

// Update changes a record by compare-and-swap: edit gets the value, nil if
// there is none, and returns the new one; nil deletes it. It is called again
// when somebody else was faster, up to a hundred times (then
// appspan.ErrConflict). A value that edit leaves as it is is not written. An
// error of edit ends the update and is returned. It returns the record as it
// is then, without a revision if it is deleted.
func (r *Records) Update(ctx context.Context, key string, edit func(old []byte) ([]byte, error)) (Record, error) {
	for n := range maxUpdates {
		rec, err := r.Get(ctx, key)
		if err != nil && !errors.Is(err, appspan.ErrNotFound) {
			return Record{}, err
		}
		exists := err == nil
		var old []byte // a copy, which edit may change; not nil if there is a record
		if exists {
			old = append([]byte{}, rec.Value...)
		}
		value, err := edit(old)
		if err != nil {
			return Record{}, err
		}
		switch {
		case value == nil && !exists, value != nil && exists && string(value) == string(rec.Value):
			return rec, nil
		case value == nil:
			err = r.Delete(ctx, key, rec.Revision)
			rec = Record{Key: key}
		default:
			var revision string
			revision, err = r.Put(ctx, key, value, rec.Revision)
			rec = Record{Key: key, Value: value, Revision: revision}
		}
		if !lostRace(err) {
			return rec, err
		}
		if !sleep(ctx, rand.N(time.Millisecond<<min(n, 7))) {
			return Record{}, wrap("update", key, context.Cause(ctx))
		}
	}
	return Record{}, wrap("update", key, fmt.Errorf("%w: others change it all the time; try again later", appspan.ErrConflict))
}

const maxUpdates = 100

// lostRace reports whether somebody else was faster.
func lostRace(err error) bool {
	return errors.Is(err, appspan.ErrPrecondition) || errors.Is(err, appspan.ErrExists) || errors.Is(err, appspan.ErrNotFound)
}

// Close closes the driver: watches end, later calls fail. It is idempotent.
func (r *Records) Close() error {
	r.close.Do(func() { r.closed = wrap("close", "", r.driver.Close()) })
	return r.closed
}

// call runs do until it succeeds, fails for good, or Attempts or Timeout are
// used up.
func (r *Records) call(ctx context.Context, do func(context.Context) error) error {
	limited, cancel := context.WithTimeoutCause(ctx, r.opts.Timeout, fmt.Errorf("%w: no answer within %v", appspan.ErrUnavailable, r.opts.Timeout))
	defer cancel()
	for n := 1; ; n++ {
		err := do(limited)
		if err != nil && limited.Err() != nil && ctx.Err() == nil {
			return context.Cause(limited)
		}
		if n >= r.opts.Attempts || !appspan.Retryable(err) || !sleep(limited, backOff(n, err)) {
			return err
		}
	}
}

// backOff is the time to wait after the n-th failure in a row, from 1.
func backOff(n int, err error) time.Duration {
	d := min(100*time.Millisecond<<min(n-1, 6), 5*time.Second)
	return max(appspan.RetryAfter(err), d/2) + rand.N(d/2)
}

// sleep waits and reports whether the context is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// once makes a sequence fail when it is read again.
func once[T any](seq iter.Seq2[T, error]) iter.Seq2[T, error] {
	used := false
	return func(yield func(T, error) bool) {
		if used {
			var none T
			yield(none, fmt.Errorf("%w: the sequence was read already; call again for another one", appspan.ErrInvalid))
			return
		}
		used = true
		seq(yield)
	}
}
