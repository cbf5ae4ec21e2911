package leaktest_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"
)

// TestALeakAnywhereIsFound leaks a credential into each place that is searched.
func TestALeakAnywhereIsFound(t *testing.T) {
	type hidden struct{ secret string }
	for where, leak := range map[string]func(w *world, secret string){
		"standard error":  func(_ *world, secret string) { fmt.Fprintln(os.Stderr, secret) },
		"package log":     func(_ *world, secret string) { log.Print(secret) },
		"the log as JSON": func(w *world, secret string) { w.logger.Debug("it", "value", []byte(secret)) },
		"the log as text": func(_ *world, secret string) { klog.InfoS("it", "value", secret) },
		"events":          func(w *world, secret string) { w.event(appspan.Event{Message: secret}) },
		"an error":        func(w *world, secret string) { w.hear("an error", fmt.Errorf("no: %w", errors.New(secret))) },
		"an error's cause": func(w *world, secret string) {
			w.hear("an error's cause", &cluster.Error{Op: "get", Err: &quiet{secret}})
		},
		"a struct":               func(w *world, secret string) { w.hear("a struct", struct{ inner hidden }{hidden{secret}}) },
		"a pointer":              func(w *world, secret string) { w.hear("a pointer", struct{ inner *hidden }{&hidden{secret}}) },
		"a watch of records":     func(w *world, secret string) { w.put(secret) },
		"stored: records.db":     func(w *world, secret string) { w.put(secret) },
		"an export":              func(w *world, secret string) { w.put(secret); w.moved() },
		"a key":                  func(w *world, _ string) { _, _ = w.at("a key").Write(w.keys.MarshalKeyFile()) },
		"a record":               func(w *world, secret string) { w.put(secret); w.moved() },
		"what a wrong KMS wraps": func(w *world, _ string) { w.unsealed() },
	} {
		t.Run(where, func(t *testing.T) {
			w := newWorld(t)
			w.bolt()
			stop := w.follow()
			secret := w.secret("it")
			for place, data := range w.everything() {
				found, err := w.finder.Find(data)
				require.NoError(t, err)
				require.Empty(t, found, place)
			}
			leak(w, secret)
			stop()
			found, err := w.finder.Find(w.everything()[where])
			require.NoError(t, err)
			require.NotEmpty(t, found)
		})
	}
}

// quiet is an error whose text is harmless, and whose fields are not.
type quiet struct{ Token string }

func (*quiet) Error() string { return "no" }

// put stores something.
func (w *world) put(value string) {
	_, err := w.records.Put(w.t.Context(), "leaks/one", []byte(value), "")
	require.NoError(w.t, err)
}

// unsealed wraps keys with a KMS that does nothing.
func (w *world) unsealed() {
	wrapped, err := w.keys.MarshalWrapped(w.t.Context(), kms{0})
	require.NoError(w.t, err)
	_, _ = w.at("what a wrong KMS wraps").Write(wrapped)
}
