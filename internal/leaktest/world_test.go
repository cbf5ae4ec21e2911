package leaktest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/internal/leaktest"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/seal"
	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"
)

// world is a program that uses everything, and all that it leaves behind.
type world struct {
	t       *testing.T
	finder  *leaktest.Finder
	dir     string
	records *storage.Records
	keys    *seal.Keyring
	logger  *slog.Logger
	stored  func() map[string][]byte // what the store is made of, by name

	mu    sync.Mutex
	said  map[string][]byte // what was logged, told and returned, by where
	heard map[string]bool
}

// newWorld has the program's log, and whatever else would go to standard error,
// for itself: its tests do not run in parallel.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, finder: leaktest.NewFinder(), dir: t.TempDir(), said: map[string][]byte{}, heard: map[string]bool{}}
	const most = slog.Level(-10) // klog's levels are below Debug
	w.logger = slog.New(slog.NewMultiHandler(
		slog.NewTextHandler(w.at("the log as text"), &slog.HandlerOptions{Level: most, AddSource: true}),
		slog.NewJSONHandler(w.at("the log as JSON"), &slog.HandlerOptions{Level: most})))
	stderr, output := os.Stderr, log.Writer()
	file, err := os.Create(filepath.Join(w.dir, "stderr"))
	require.NoError(t, err)
	os.Stderr = file
	log.SetOutput(w.at("package log"))
	klog.SetSlogLogger(w.logger)
	verbosity := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(verbosity)
	require.NoError(t, verbosity.Set("v", "8")) // client-go tells of requests and their headers; at 9 it races with itself
	t.Cleanup(func() {
		os.Stderr = stderr
		log.SetOutput(output)
		klog.ClearLogger()
		_ = verbosity.Set("v", "0")
		_ = file.Close()
	})
	return w
}

// place is where something is said.
type place struct {
	w    *world
	name string
}

func (p place) Write(b []byte) (int, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.said[p.name] = append(p.w.said[p.name], b...)
	return len(b), nil
}

func (w *world) at(name string) place { return place{w, name} }

// secret makes a credential of characters that may stand anywhere.
func (w *world) secret(name string) string {
	value := rand.Text() + rand.Text()
	w.finder.Add(name, []byte(value))
	return value
}

// password makes a credential of characters that are escaped in most places.
func (w *world) password(name string) string {
	value := `p"<&>\/+ %` + rand.Text() + `=é'` + rand.Text()
	w.finder.Add(name, []byte(value))
	return value
}

// hear notes something that the SDK returned or told, in each way in which a
// program may print it.
func (w *world) hear(where string, v any) {
	out := w.at(where)
	known := fmt.Sprintf("%s %T %+v %p", where, v, v, v)
	w.mu.Lock()
	again := w.heard[known]
	w.heard[known] = true
	w.mu.Unlock()
	if again {
		return
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(out, verb+"\n", v)
	}
	type holder struct{ V any }
	fmt.Fprintf(out, "%+v %#v\n", holder{v}, &holder{v})
	text, err := json.Marshal(v)
	fmt.Fprintf(out, "%s %v\n", text, err)
	w.logger.Debug(where, "value", v, slog.Group("in", "list", []any{v}))
	if err, ok := v.(error); ok {
		w.unfold(where, err)
	}
}

// unfold notes each error within an error by itself: some have fields.
func (w *world) unfold(where string, err error) {
	fmt.Fprintf(w.at(where), "%+v %#v\n", err, err)
	if text, e := json.Marshal(err); e == nil {
		fmt.Fprintf(w.at(where), "%s\n", text)
	}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		if inner := err.Unwrap(); inner != nil {
			w.unfold(where, inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range err.Unwrap() {
			w.unfold(where, inner)
		}
	}
}

// ok notes an error that should not be.
func (w *world) ok(where string, err error) {
	w.t.Helper()
	if err != nil {
		w.hear(where, err)
	}
	require.NoError(w.t, err, where)
}

// fails notes an error that is to be.
func (w *world) fails(where string, err error) {
	w.t.Helper()
	require.Error(w.t, err, where)
	w.hear("the error of "+where, err)
}

// event is an OnEvent.
func (w *world) event(e appspan.Event) { w.hear("events", e) }

// stage searches what is stored by now, as it may be written over later.
func (w *world) stage(when string) {
	w.t.Helper()
	w.report(when, w.stored())
}

// clean searches everything that there is by now.
func (w *world) clean(when string) {
	w.t.Helper()
	w.report(when, w.everything())
}

// everything is what is stored, and what was ever said, by where.
func (w *world) everything() map[string][]byte {
	klog.Flush()
	all := map[string][]byte{"standard error": must(os.ReadFile(filepath.Join(w.dir, "stderr")))}
	for name, data := range w.stored() {
		all["stored: "+name] = data
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, data := range w.said {
		all[name] = bytes.Clone(data)
	}
	return all
}

func (w *world) report(when string, all map[string][]byte) {
	w.t.Helper()
	total := 0
	for _, where := range slices.Sorted(maps.Keys(all)) {
		total += len(all[where])
		found, err := w.finder.Find(all[where])
		if err != nil {
			w.t.Errorf("%s: %s: %v", when, where, err)
		}
		for _, f := range found {
			w.t.Errorf("%s: %s: %s", when, where, f)
		}
	}
	w.t.Logf("%s: %d credentials looked for in %d places, %d bytes", when, len(w.finder.Names()), len(all), total)
}

// follow notes every record that is ever stored, until the returned function
// ends it, when it has noted all.
func (w *world) follow() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	const end = "leaktest/end"
	go func() {
		defer close(done)
		for e, err := range w.records.Watch(ctx, "", nil) {
			_, _ = w.at("a watch of records").Write(e.Record.Value)
			fmt.Fprintf(w.at("a watch of records"), "%+v %v\n", e, err)
			if e.Record.Key == end {
				return
			}
		}
	}()
	w.t.Cleanup(func() { cancel(); <-done })
	return func() {
		_, err := w.records.Put(ctx, end, nil, "")
		require.NoError(w.t, err)
		<-done
	}
}
