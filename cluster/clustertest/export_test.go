package clustertest

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// Promises are the names of all promises.
func Promises() []string {
	var names []string
	for _, p := range promises() {
		names = append(names, p.name)
	}
	return names
}

// recorder keeps what a promise says instead of failing a test.
type recorder struct{ failures []string }

func (r *recorder) Helper()  {}
func (r *recorder) FailNow() { runtime.Goexit() }
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// Check runs one promise on c, and returns why it failed, or nothing.
func Check(ctx context.Context, name string, c driver.Cluster, o *Options) string {
	for _, p := range promises() {
		if p.name != name {
			continue
		}
		r := &recorder{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.check(ctx, r, c, o.withDefaults())
		}()
		<-done
		return strings.Join(r.failures, "\n")
	}
	return "no such promise"
}
