package storagetest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/appspan-dev/appspan/storage/driver"
)

func keys(records []driver.Record) []string {
	var all []string
	for _, rec := range records {
		all = append(all, rec.Key)
	}
	return all
}

func (e *env) lists(prefix string, limit int, want ...string) {
	e.Helper()
	got := keys(e.list(prefix, limit))
	e.must(slices.Equal(got, want), "list %q: got %v, want %v", prefix, got, want)
}

func listPromises() []promise {
	return []promise{
		{name: "list is in the byte order of keys", run: func(e *env) {
			for _, key := range []string{"order/b", "order/a/b", "order/a-b", "order/B", "order/a"} {
				e.put(key, "one", "")
			}
			e.lists("order/", 0, "order/B", "order/a", "order/a-b", "order/a/b", "order/b")
		}},
		{name: "list has whole records", run: func(e *env) {
			revision := e.put("whole/a", "one", "")
			all := e.list("whole/", 0)
			e.must(len(all) == 1 && string(all[0].Value) == "one" && all[0].Revision == revision, "got %v", all)
		}},
		{name: "list has only what begins with the prefix", run: func(e *env) {
			for _, key := range []string{"pre/a", "pre/a/x", "pre/ab/x", "pre/a0", "pre/A/x"} {
				e.put(key, "one", "")
			}
			e.lists("pre/a/", 0, "pre/a/x")
		}},
		{name: "list without a prefix has everything", run: func(e *env) {
			for _, key := range []string{"every", "every/x", "zz"} {
				e.put(key, "one", "")
			}
			e.lists("", 0, "every", "every/x", "zz")
		}},
		{name: "list of nothing is empty and the last page", run: func(e *env) {
			page, err := e.d.List(e.ctx, driver.Query{Prefix: "nothing/"})
			e.must(err == nil && len(page.Records) == 0 && !page.More, "got %v, %v", page, err)
		}},
		{name: "list begins after a key, whether it is there or not", run: func(e *env) {
			for _, key := range []string{"after/a", "after/c", "after/d"} {
				e.put(key, "one", "")
			}
			for _, after := range []string{"after/b", "after/c"} {
				page, err := e.d.List(e.ctx, driver.Query{Prefix: "after/", After: after})
				e.must(err == nil, "list: %v", err)
				got := keys(page.Records)
				e.must(got[len(got)-1] == "after/d" && got[0] > after, "after %s: got %v", after, got)
			}
		}},
		{name: "list keeps its limit and goes on to the end", run: func(e *env) {
			for n := range 7 {
				e.put(fmt.Sprintf("limit/%d", n), "one", "")
			}
			page, err := e.d.List(e.ctx, driver.Query{Prefix: "limit/", Limit: 3})
			e.must(err == nil && len(page.Records) <= 3 && page.More, "got %v, %v", page, err)
			e.lists("limit/", 3, "limit/0", "limit/1", "limit/2", "limit/3", "limit/4", "limit/5", "limit/6")
		}},
		{name: "list has each record that stays once while others come and go", run: func(e *env) {
			var want []string
			for n := range 12 {
				key := fmt.Sprintf("stay/%02d", n)
				want = append(want, key)
				e.put(key, "one", "")
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				for n := range 12 {
					key := fmt.Sprintf("stay/%02d-x", 11-n)
					if revision, err := e.d.Put(e.ctx, key, []byte("one"), ""); err == nil {
						_ = e.d.Delete(e.ctx, key, revision)
					}
				}
			})
			var seen [][]string
			for range 4 {
				var got []string
				for _, key := range keys(e.list("stay/", 2)) {
					if len(key) == len("stay/00") {
						got = append(got, key)
					}
				}
				seen = append(seen, got)
			}
			wg.Wait()
			for _, got := range seen {
				e.must(slices.Equal(got, want), "got %v, want %v", got, want)
			}
		}},
	}
}
