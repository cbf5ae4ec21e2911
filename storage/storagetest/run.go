package storagetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/driver"
)

// Options say what the stores under test can do. The zero value, like nil, is
// a store that ends with its handle.
type Options struct {
	// Again opens another handle on the store of d, which was closed. Without
	// it what outlives a handle is not checked.
	Again func(t testing.TB, d driver.Records) driver.Records
	// MaxValue is the largest value that the store keeps; default
	// storage.MaxValue.
	MaxValue int
	// Wait bounds one promise; default one minute.
	Wait time.Duration
}

// Records checks every promise in a parallel subtest. open is called in each
// of them for an empty store, which the suite closes. Promises about watches
// are skipped if the driver has no driver.Watcher.
func Records(t *testing.T, open func(t testing.TB) driver.Records, opts *Options) {
	t.Helper()
	o := opts.withDefaults()
	for _, p := range promises() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			e := &env{tb: t, d: open(t), opts: o}
			if o.Again != nil {
				e.again = func(d driver.Records) driver.Records { return o.Again(t, d) }
			}
			if reason := e.missing(p); reason != "" {
				_ = e.d.Close()
				t.Skip(reason)
			}
			e.check(t.Context(), p)
		})
	}
}

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.MaxValue <= 0 {
		d.MaxValue = storage.MaxValue
	}
	if d.Wait <= 0 {
		d.Wait = time.Minute
	}
	return d
}

// promise is one thing that every driver does.
type promise struct {
	name    string // a sentence
	watches bool   // it needs a driver.Watcher
	again   bool   // it needs another handle
	run     func(e *env)
}

// promises are all of them. Their names are unique.
func promises() []promise {
	var all []promise
	for _, group := range [][]promise{writePromises(), racePromises(), valuePromises(), listPromises(), watchPromises(), lifePromises()} {
		all = append(all, group...)
	}
	return all
}

// tb is what a promise needs of *testing.T. FailNow must end the goroutine.
type tb interface {
	Errorf(format string, args ...any)
	FailNow()
	Helper()
}

// env is one run of a promise.
type env struct {
	tb
	ctx   context.Context
	d     driver.Records
	opts  Options
	again func(driver.Records) driver.Records
}

func (e *env) missing(p promise) string {
	if _, ok := driver.As[driver.Watcher](e.d); p.watches && !ok {
		return "the driver has no driver.Watcher"
	}
	if p.again && e.again == nil {
		return "the store ends with its handle (Options.Again)"
	}
	return ""
}

func (e *env) check(ctx context.Context, p promise) {
	var cancel context.CancelFunc
	e.ctx, cancel = context.WithTimeout(ctx, e.opts.Wait)
	defer cancel()
	defer func() { _ = e.d.Close() }()
	p.run(e)
}

// must ends the promise unless what is said is so.
func (e *env) must(ok bool, format string, args ...any) {
	e.Helper()
	if !ok {
		e.Errorf(format, args...)
		e.FailNow()
	}
}

// wraps ends the promise unless err wraps want.
func (e *env) wraps(err, want error, what string) {
	e.Helper()
	e.must(errors.Is(err, want), "%s: got error %v, want %v", what, err, want)
}

func (e *env) put(key, value, ifRevision string) string {
	e.Helper()
	revision, err := e.d.Put(e.ctx, key, []byte(value), ifRevision)
	e.must(err == nil, "put %s: %v", key, err)
	return revision
}

func (e *env) get(key string) driver.Record {
	e.Helper()
	rec, err := e.d.Get(e.ctx, key)
	e.must(err == nil, "get %s: %v", key, err)
	return rec
}

// holds ends the promise unless a record is as said.
func (e *env) holds(key, value, revision string) {
	e.Helper()
	rec := e.get(key)
	e.must(rec.Key == key && string(rec.Value) == value && rec.Revision == revision,
		"get %s: got %s, want value %.40q of revision %s", key, show(rec), value, revision)
}

func (e *env) remove(key, revision string) {
	e.Helper()
	err := e.d.Delete(e.ctx, key, revision)
	e.must(err == nil, "delete %s: %v", key, err)
}

// list reads every page.
func (e *env) list(prefix string, limit int) []driver.Record {
	e.Helper()
	var all []driver.Record
	for q := (driver.Query{Prefix: prefix, Limit: limit}); ; {
		page, err := e.d.List(e.ctx, q)
		e.must(err == nil, "list %s: %v", prefix, err)
		all = append(all, page.Records...)
		if !page.More {
			return all
		}
		e.must(len(page.Records) > 0, "list %s: an empty page that is not the last", prefix)
		q.After = page.Records[len(page.Records)-1].Key
	}
}

func show(rec driver.Record) string {
	return fmt.Sprintf("%q = %.40q of revision %s", rec.Key, rec.Value, rec.Revision)
}
