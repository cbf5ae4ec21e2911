package storagetest_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/driver"
)

// mutants are wrong drivers by the promise that each of them breaks. They are
// wrong about the keys of one folder.
func mutants() map[string]mutation {
	all := map[string]mutation{}
	for _, group := range []map[string]mutation{writeMutants(), raceMutants(), valueMutants(), listMutants(), watchMutants(), lifeMutants()} {
		maps.Copy(all, group)
	}
	return all
}

func in(key, folder string) bool { return strings.HasPrefix(key, folder+"/") }

// got changes what Get returns for a folder.
func got(folder string, change func(driver.Record, error) (driver.Record, error)) mutation {
	return mutation{get: func(ctx context.Context, x *mutant, key string) (driver.Record, error) {
		rec, err := x.Records.Get(ctx, key)
		if x.closed.Load() || !in(key, folder) {
			if x.closed.Load() {
				return driver.Record{}, driver.ErrClosed
			}
			return rec, err
		}
		return change(rec, err)
	}}
}

// puts replaces Put for a folder.
func puts(folder string, put func(ctx context.Context, x *mutant, key string, value []byte, ifRevision string) (string, error)) mutation {
	return mutation{put: func(ctx context.Context, x *mutant, key string, value []byte, ifRevision string) (string, error) {
		switch {
		case x.closed.Load():
			return "", driver.ErrClosed
		case in(key, folder):
			return put(ctx, x, key, value, ifRevision)
		}
		return x.Records.Put(ctx, key, value, ifRevision)
	}}
}

// deletes replaces Delete for a folder.
func deletes(folder string, del func(ctx context.Context, x *mutant, key, ifRevision string) error) mutation {
	return mutation{delete: func(ctx context.Context, x *mutant, key, ifRevision string) error {
		switch {
		case x.closed.Load():
			return driver.ErrClosed
		case in(key, folder):
			return del(ctx, x, key, ifRevision)
		}
		return x.Records.Delete(ctx, key, ifRevision)
	}}
}

// blind writes whatever the revision is, if one of the errors is in the way.
func blind(over ...error) func(ctx context.Context, x *mutant, key string, value []byte, ifRevision string) (string, error) {
	return func(ctx context.Context, x *mutant, key string, value []byte, ifRevision string) (string, error) {
		revision, err := x.Records.Put(ctx, key, value, ifRevision)
		for _, e := range over {
			if errors.Is(err, e) {
				rec, _ := x.Records.Get(ctx, key)
				return x.Records.Put(ctx, key, value, rec.Revision)
			}
		}
		return revision, err
	}
}

func writeMutants() map[string]mutation {
	return map[string]mutation{
		"get of a missing record is ErrNotFound": got("missing", func(driver.Record, error) (driver.Record, error) { return driver.Record{}, nil }),
		"get returns what was put, with the revision that put returned": got("stored", func(rec driver.Record, err error) (driver.Record, error) {
			rec.Revision += "0"
			return rec, err
		}),
		"put onto a revision replaces the value": puts("replaced", func(ctx context.Context, x *mutant, key string, value []byte, ifRevision string) (string, error) {
			if ifRevision != "" {
				rec, _ := x.Records.Get(ctx, key)
				value = rec.Value
			}
			return x.Records.Put(ctx, key, value, ifRevision)
		}),
		"put onto nothing of what exists is ErrExists and changes nothing":            puts("exists", blind(appspan.ErrExists)),
		"put onto an old revision is ErrPrecondition and changes nothing":             puts("old", blind(appspan.ErrPrecondition)),
		"put onto a revision of what is deleted is ErrPrecondition and makes nothing": puts("gone", blind(appspan.ErrPrecondition)),
		"put of an equal value gives another revision": puts("equal", func(ctx context.Context, x *mutant, key string, value []byte, ifRevision string) (string, error) {
			if rec, err := x.Records.Get(ctx, key); err == nil && bytes.Equal(rec.Value, value) {
				return rec.Revision, nil
			}
			return x.Records.Put(ctx, key, value, ifRevision)
		}),
		"a revision does not come back with a record that is made again": {
			put: func(ctx context.Context, x *mutant, key string, value []byte, ifRevision string) (string, error) {
				if x.closed.Load() {
					return "", driver.ErrClosed
				}
				revision, err := x.Records.Put(ctx, key, value, ifRevision)
				if err == nil && in(key, "again") {
					revision = "1"
				}
				return revision, err
			},
			delete: func(ctx context.Context, x *mutant, key, ifRevision string) error {
				if x.closed.Load() {
					return driver.ErrClosed
				}
				if rec, err := x.Records.Get(ctx, key); err == nil && in(key, "again") {
					ifRevision = rec.Revision
				}
				return x.Records.Delete(ctx, key, ifRevision)
			},
		},
		"delete removes a record":                   deletes("removed", func(context.Context, *mutant, string, string) error { return nil }),
		"delete of a missing record is ErrNotFound": deletes("never", func(context.Context, *mutant, string, string) error { return nil }),
		"delete of an old revision is ErrPrecondition and removes nothing": deletes("kept", func(ctx context.Context, x *mutant, key, _ string) error {
			rec, _ := x.Records.Get(ctx, key)
			return x.Records.Delete(ctx, key, rec.Revision)
		}),
	}
}

func raceMutants() map[string]mutation {
	return map[string]mutation{
		"of many that create one record at a time one succeeds":     puts("create", blind(appspan.ErrExists)),
		"of many that put onto one revision at a time one succeeds": puts("swap", blind(appspan.ErrPrecondition)),
		"of many that delete one revision at a time one succeeds": deletes("drop", func(ctx context.Context, x *mutant, key, ifRevision string) error {
			err := x.Records.Delete(ctx, key, ifRevision)
			if errors.Is(err, appspan.ErrNotFound) {
				err = nil
			}
			return err
		}),
	}
}

// keeper keeps what one reader got, and gives it to the next.
func keeper(folder string, list bool) mutation {
	var mu sync.Mutex
	kept := map[*mutant]map[string]driver.Record{}
	keep := func(x *mutant, rec driver.Record) driver.Record {
		mu.Lock()
		defer mu.Unlock()
		if kept[x] == nil {
			kept[x] = map[string]driver.Record{}
		}
		if _, ok := kept[x][rec.Key]; !ok {
			kept[x][rec.Key] = rec
		}
		return kept[x][rec.Key]
	}
	m := mutation{get: func(ctx context.Context, x *mutant, key string) (driver.Record, error) {
		if x.closed.Load() {
			return driver.Record{}, driver.ErrClosed
		}
		rec, err := x.Records.Get(ctx, key)
		if err == nil && in(key, folder) {
			rec = keep(x, rec)
		}
		return rec, err
	}}
	if list {
		m.list = func(ctx context.Context, x *mutant, q driver.Query) (driver.Page, error) {
			if x.closed.Load() {
				return driver.Page{}, driver.ErrClosed
			}
			page, err := x.Records.List(ctx, q)
			for i, rec := range page.Records {
				if in(rec.Key, folder) {
					page.Records[i] = keep(x, rec)
				}
			}
			return page, err
		}
	}
	return m
}

// lossy changes values of a folder when they are put.
func lossy(folder string, change func([]byte) []byte) mutation {
	return puts(folder, func(ctx context.Context, x *mutant, key string, value []byte, ifRevision string) (string, error) {
		return x.Records.Put(ctx, key, change(value), ifRevision)
	})
}

func valueMutants() map[string]mutation {
	late := mutation{}
	var mu sync.Mutex
	lent := map[string][]byte{}
	late.put = func(ctx context.Context, x *mutant, key string, value []byte, ifRevision string) (string, error) {
		if x.closed.Load() {
			return "", driver.ErrClosed
		}
		if in(key, "mine") {
			mu.Lock()
			lent[key] = value
			mu.Unlock()
		}
		return x.Records.Put(ctx, key, value, ifRevision)
	}
	late.get = func(ctx context.Context, x *mutant, key string) (driver.Record, error) {
		if x.closed.Load() {
			return driver.Record{}, driver.ErrClosed
		}
		rec, err := x.Records.Get(ctx, key)
		mu.Lock()
		defer mu.Unlock()
		if value, ok := lent[key]; ok {
			rec.Value = value
		}
		return rec, err
	}
	fold := func(folder string, change func(string) string) mutation {
		return mutation{
			get: func(ctx context.Context, x *mutant, key string) (driver.Record, error) {
				if x.closed.Load() {
					return driver.Record{}, driver.ErrClosed
				}
				if in(key, folder) {
					rec, err := x.Records.Get(ctx, change(key))
					rec.Key = key
					return rec, err
				}
				return x.Records.Get(ctx, key)
			},
			put: func(ctx context.Context, x *mutant, key string, value []byte, ifRevision string) (string, error) {
				if x.closed.Load() {
					return "", driver.ErrClosed
				}
				if in(key, folder) {
					key = change(key)
				}
				return x.Records.Put(ctx, key, value, ifRevision)
			},
		}
	}
	return map[string]mutation{
		"the value is copied when it is put":                            late,
		"the value that get returns is a copy":                          keeper("yours", false),
		"the value that list returns is a copy":                         keeper("ours", true),
		"an empty value is kept":                                        lossy("empty", func([]byte) []byte { return []byte("null") }),
		"any bytes are kept":                                            lossy("bytes", func(v []byte) []byte { return []byte(strings.ToValidUTF8(string(v), "?")) }),
		"the largest value is kept":                                     lossy("large", func(v []byte) []byte { return v[:len(v)-1] }),
		"the longest key is kept":                                       puts("long", func(context.Context, *mutant, string, []byte, string) (string, error) { return "", appspan.ErrInvalid }),
		"keys differ by case and by every character that they may have": fold("chars", strings.ToLower),
	}
}

// listed changes what List returns for a folder's prefix, or without one.
func listed(prefix string, change func(q driver.Query, page *driver.Page)) mutation {
	return mutation{list: func(ctx context.Context, x *mutant, q driver.Query) (driver.Page, error) {
		if x.closed.Load() {
			return driver.Page{}, driver.ErrClosed
		}
		page, err := x.Records.List(ctx, q)
		if q.Prefix == prefix && err == nil {
			change(q, &page)
		}
		return page, err
	}}
}

func listMutants() map[string]mutation {
	return map[string]mutation{
		"list is in the byte order of keys": listed("order/", func(_ driver.Query, p *driver.Page) {
			p.Records[0], p.Records[1] = p.Records[1], p.Records[0]
		}),
		"list has whole records": listed("whole/", func(_ driver.Query, p *driver.Page) { p.Records[0].Revision = "" }),
		"list has only what begins with the prefix": {list: func(ctx context.Context, x *mutant, q driver.Query) (driver.Page, error) {
			if x.closed.Load() {
				return driver.Page{}, driver.ErrClosed
			}
			if q.Prefix == "pre/a/" {
				q.Prefix = "pre/a"
			}
			return x.Records.List(ctx, q)
		}},
		"list without a prefix has everything":       listed("", func(_ driver.Query, p *driver.Page) { p.Records = p.Records[1:] }),
		"list of nothing is empty and the last page": listed("nothing/", func(_ driver.Query, p *driver.Page) { p.More = true }),
		"list begins after a key, whether it is there or not": {list: func(ctx context.Context, x *mutant, q driver.Query) (driver.Page, error) {
			if x.closed.Load() {
				return driver.Page{}, driver.ErrClosed
			}
			if _, err := x.Records.Get(ctx, q.After); q.Prefix == "after/" && q.After != "" && err != nil {
				q.After = ""
			}
			return x.Records.List(ctx, q)
		}},
		"list keeps its limit and goes on to the end": {list: func(ctx context.Context, x *mutant, q driver.Query) (driver.Page, error) {
			if x.closed.Load() {
				return driver.Page{}, driver.ErrClosed
			}
			if q.Prefix == "limit/" {
				q.Limit = 0
			}
			return x.Records.List(ctx, q)
		}},
		"list has each record that stays once while others come and go": listed("stay/", func(q driver.Query, p *driver.Page) {
			if q.After != "" && len(p.Records) > 1 {
				p.Records = p.Records[1:]
			}
		}),
	}
}

// watched changes the changes that a watch of a prefix tells.
func watched(prefix string, next func(driver.Change) []driver.Change) mutation {
	return mutation{watch: func(ctx context.Context, x *mutant, p, position string) (driver.Watch, error) {
		w, err := x.Records.Watch(ctx, p, position)
		if err == nil && p == prefix {
			w = &changed{Watch: w, next: next}
		}
		return w, err
	}}
}

func watchMutants() map[string]mutation {
	// sluggish is a watch of a folder that only time ends.
	sluggish := func(prefix string) mutation {
		return mutation{watch: func(ctx context.Context, x *mutant, p, position string) (driver.Watch, error) {
			if p != prefix {
				return x.Records.Watch(ctx, p, position)
			}
			w := late{make(chan struct{})}
			time.AfterFunc(10*time.Second, func() { close(w.end) })
			return w, nil
		}}
	}
	shut := sluggish("shut/")
	shut.close = func(x *mutant) error { x.closed.Store(true); return nil }
	cut := mutation{watch: func(ctx context.Context, x *mutant, p, position string) (driver.Watch, error) {
		if p == "cut/" {
			return endless{}, nil
		}
		return x.Records.Watch(ctx, p, position)
	}}
	return map[string]mutation{
		"watch tells every write in order": watched("each/", func(c driver.Change) []driver.Change {
			if string(c.Record.Value) == "4" {
				return nil
			}
			return []driver.Change{c}
		}),
		"watch tells a deletion with the key": watched("end/", func(c driver.Change) []driver.Change {
			if c.Deleted {
				c.Record.Key = ""
			}
			return []driver.Change{c}
		}),
		"watch goes on from a position without loss or repetition": watched("resume/", func(c driver.Change) []driver.Change {
			if string(c.Record.Value) == "3" {
				return []driver.Change{c, c}
			}
			return []driver.Change{c}
		}),
		"watch from the position of a page misses nothing that came after it": {watch: func(ctx context.Context, x *mutant, p, position string) (driver.Watch, error) {
			if p == "since/" {
				page, _ := x.Records.List(ctx, driver.Query{})
				position = page.Position
			}
			return x.Records.Watch(ctx, p, position)
		}},
		"watch has only what begins with the prefix": {watch: func(ctx context.Context, x *mutant, p, position string) (driver.Watch, error) {
			if p == "part/a/" {
				p = "part/a"
			}
			return x.Records.Watch(ctx, p, position)
		}},
		"watch refuses a position of another store": {watch: func(ctx context.Context, x *mutant, p, position string) (driver.Watch, error) {
			if p == "foreign/" {
				page, _ := x.Records.List(ctx, driver.Query{})
				position = page.Position
				time.AfterFunc(time.Second, func() { _, _ = x.Records.Put(context.Background(), "foreign/a", nil, "") })
			}
			return x.Records.Watch(ctx, p, position)
		}},
		"the values that watches return are copies": func() mutation {
			var mu sync.Mutex
			shared := map[*mutant][]byte{}
			return mutation{watch: func(ctx context.Context, x *mutant, p, position string) (driver.Watch, error) {
				w, err := x.Records.Watch(ctx, p, position)
				if err != nil || p != "told/" {
					return w, err
				}
				return &changed{Watch: w, next: func(c driver.Change) []driver.Change {
					mu.Lock()
					defer mu.Unlock()
					if shared[x] == nil {
						shared[x] = c.Record.Value
					}
					c.Record.Value = shared[x]
					return []driver.Change{c}
				}}, nil
			}}
		}(),
		"Stop ends a watch that waits":                   sluggish("stop/"),
		"the end of its context ends a watch that waits": cut,
		"Close ends a watch that waits":                  shut,
	}
}

// late is a watch that ends at a time of its own, and not in good order.
type late struct{ end chan struct{} }

func (w late) Next() (driver.Change, error) {
	<-w.end
	return driver.Change{}, context.DeadlineExceeded
}
func (late) Stop() {}

// endless is a watch that tells something for ever.
type endless struct{}

func (endless) Next() (driver.Change, error) { return driver.Change{}, nil }
func (endless) Stop()                        {}

func lifeMutants() map[string]mutation {
	return map[string]mutation{
		"calls after Close are ErrClosed": {get: func(ctx context.Context, x *mutant, key string) (driver.Record, error) {
			if x.closed.Load() {
				return driver.Record{}, appspan.ErrUnavailable
			}
			return x.Records.Get(ctx, key)
		}},
		"Close is idempotent": {close: func(x *mutant) error {
			if _, err := x.Records.Get(context.Background(), "twice/a"); err != nil {
				return x.end()
			}
			if x.closed.Load() {
				return driver.ErrClosed
			}
			x.closed.Store(true)
			return nil
		}},
		"a call whose context has ended does nothing": puts("ended", func(_ context.Context, x *mutant, key string, value []byte, ifRevision string) (string, error) {
			return x.Records.Put(context.Background(), key, value, ifRevision)
		}),
		"another handle reads what was acknowledged, and revisions go on": {again: func(x *mutant) {
			rec, _ := x.Records.Get(context.Background(), "handle/a")
			_ = x.Records.Delete(context.Background(), "handle/a", rec.Revision)
		}},
	}
}
