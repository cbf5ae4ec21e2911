package storagetest

import (
	"context"
	"fmt"
	"runtime"
	"strings"

	"github.com/appspan-dev/appspan/storage/driver"
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

// Check runs one promise on d and returns why it failed, or nothing.
func Check(ctx context.Context, name string, d driver.Records, again func(driver.Records) driver.Records, o *Options) string {
	for _, p := range promises() {
		if p.name != name {
			continue
		}
		r := &recorder{}
		e := &env{tb: r, d: d, opts: o.withDefaults(), again: again}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() {
				if p := recover(); p != nil {
					r.Errorf("panic: %v", p)
				}
			}()
			e.check(ctx, p)
		}()
		<-done
		return strings.Join(r.failures, "\n")
	}
	return "no such promise"
}
