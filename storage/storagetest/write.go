package storagetest

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

func writePromises() []promise {
	return []promise{
		{name: "get of a missing record is ErrNotFound", run: func(e *env) {
			_, err := e.d.Get(e.ctx, "missing/a")
			e.wraps(err, appspan.ErrNotFound, "get")
		}},
		{name: "get returns what was put, with the revision that put returned", run: func(e *env) {
			e.holds("stored/a", "one", e.put("stored/a", "one", ""))
		}},
		{name: "put onto a revision replaces the value", run: func(e *env) {
			e.holds("replaced/a", "two", e.put("replaced/a", "two", e.put("replaced/a", "one", "")))
		}},
		{name: "put onto nothing of what exists is ErrExists and changes nothing", run: func(e *env) {
			revision := e.put("exists/a", "one", "")
			_, err := e.d.Put(e.ctx, "exists/a", []byte("two"), "")
			e.wraps(err, appspan.ErrExists, "put")
			e.holds("exists/a", "one", revision)
		}},
		{name: "put onto an old revision is ErrPrecondition and changes nothing", run: func(e *env) {
			old := e.put("old/a", "one", "")
			revision := e.put("old/a", "two", old)
			_, err := e.d.Put(e.ctx, "old/a", []byte("three"), old)
			e.wraps(err, appspan.ErrPrecondition, "put")
			e.holds("old/a", "two", revision)
		}},
		{name: "put onto a revision of what is deleted is ErrPrecondition and makes nothing", run: func(e *env) {
			revision := e.put("gone/a", "one", "")
			e.remove("gone/a", revision)
			_, err := e.d.Put(e.ctx, "gone/a", []byte("two"), revision)
			e.wraps(err, appspan.ErrPrecondition, "put")
			_, err = e.d.Get(e.ctx, "gone/a")
			e.wraps(err, appspan.ErrNotFound, "get")
		}},
		{name: "put of an equal value gives another revision", run: func(e *env) {
			first := e.put("equal/a", "one", "")
			second := e.put("equal/a", "one", first)
			e.must(first != second, "both have revision %s", first)
			e.holds("equal/a", "one", second)
		}},
		{name: "a revision does not come back with a record that is made again", run: func(e *env) {
			seen := map[string]bool{}
			for range 5 {
				revision := e.put("again/a", "one", "")
				e.must(revision != "" && !seen[revision], "revision %q came back", revision)
				seen[revision] = true
				e.remove("again/a", revision)
			}
		}},
		{name: "delete removes a record", run: func(e *env) {
			e.remove("removed/a", e.put("removed/a", "one", ""))
			_, err := e.d.Get(e.ctx, "removed/a")
			e.wraps(err, appspan.ErrNotFound, "get")
		}},
		{name: "delete of a missing record is ErrNotFound", run: func(e *env) {
			err := e.d.Delete(e.ctx, "never/a", e.put("never/b", "one", ""))
			e.wraps(err, appspan.ErrNotFound, "delete")
		}},
		{name: "delete of an old revision is ErrPrecondition and removes nothing", run: func(e *env) {
			old := e.put("kept/a", "one", "")
			revision := e.put("kept/a", "two", old)
			e.wraps(e.d.Delete(e.ctx, "kept/a", old), appspan.ErrPrecondition, "delete")
			e.holds("kept/a", "two", revision)
		}},
	}
}

const racers = 16

// race runs do for several at a time and returns how many succeeded; what
// others fail with must wrap one of lost.
func (e *env) race(do func(n int) error, lost ...error) int {
	var wins atomic.Int64
	failures := make([]error, racers)
	var wg sync.WaitGroup
	for n := range racers {
		wg.Go(func() {
			if failures[n] = do(n); failures[n] == nil {
				wins.Add(1)
			}
		})
	}
	wg.Wait()
	for _, err := range failures {
		ok := err == nil
		for _, want := range lost {
			ok = ok || errors.Is(err, want)
		}
		e.must(ok, "who was slower got error %v", err)
	}
	return int(wins.Load())
}

func racePromises() []promise {
	return []promise{
		{name: "of many that create one record at a time one succeeds", run: func(e *env) {
			n := e.race(func(n int) error {
				_, err := e.d.Put(e.ctx, "create/a", []byte{byte(n)}, "")
				return err
			}, appspan.ErrExists)
			e.must(n == 1, "%d succeeded", n)
		}},
		{name: "of many that put onto one revision at a time one succeeds", run: func(e *env) {
			revision := e.put("swap/a", "one", "")
			n := e.race(func(n int) error {
				_, err := e.d.Put(e.ctx, "swap/a", []byte{byte(n)}, revision)
				return err
			}, appspan.ErrPrecondition)
			e.must(n == 1, "%d succeeded", n)
		}},
		{name: "of many that delete one revision at a time one succeeds", run: func(e *env) {
			revision := e.put("drop/a", "one", "")
			n := e.race(func(int) error { return e.d.Delete(e.ctx, "drop/a", revision) }, appspan.ErrNotFound, appspan.ErrPrecondition)
			e.must(n == 1, "%d succeeded", n)
		}},
	}
}

func valuePromises() []promise {
	return []promise{
		{name: "the value is copied when it is put", run: func(e *env) {
			value := []byte("one")
			_, err := e.d.Put(e.ctx, "mine/a", value, "")
			e.must(err == nil, "put: %v", err)
			value[0] = 'X'
			got := e.get("mine/a")
			e.must(string(got.Value) == "one", "got %s", show(got))
		}},
		{name: "the value that get returns is a copy", run: func(e *env) {
			e.put("yours/a", "one", "")
			e.get("yours/a").Value[0] = 'X'
			got := e.get("yours/a")
			e.must(string(got.Value) == "one", "got %s", show(got))
		}},
		{name: "the value that list returns is a copy", run: func(e *env) {
			e.put("ours/a", "one", "")
			e.list("ours/", 0)[0].Value[0] = 'X'
			got := e.get("ours/a")
			e.must(string(got.Value) == "one", "got %s", show(got))
		}},
		{name: "an empty value is kept", run: func(e *env) {
			e.holds("empty/a", "", e.put("empty/a", "", ""))
		}},
		{name: "any bytes are kept", run: func(e *env) {
			all := make([]byte, 256)
			for i := range all {
				all[i] = byte(i)
			}
			e.holds("bytes/a", string(all), e.put("bytes/a", string(all), ""))
		}},
		{name: "the largest value is kept", run: func(e *env) {
			large := string(bytes.Repeat([]byte{0xff}, e.opts.MaxValue))
			e.holds("large/a", large, e.put("large/a", large, ""))
		}},
		{name: "the longest key is kept", run: func(e *env) {
			key := "long/" + strings.Repeat("k", storage.MaxKey-5)
			e.holds(key, "one", e.put(key, "one", ""))
		}},
		{name: "keys differ by case and by every character that they may have", run: func(e *env) {
			revisions := map[string]string{}
			for _, key := range []string{"chars/a", "chars/A", "chars/a.b", "chars/a-b", "chars/a_b", "chars/a@b", "chars/a:b", "chars/a~b", "chars/a+b", "chars/a=b", "chars/a/b"} {
				revisions[key] = e.put(key, key, "")
			}
			for key, revision := range revisions {
				e.holds(key, key, revision)
			}
		}},
	}
}
