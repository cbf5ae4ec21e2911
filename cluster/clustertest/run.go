package clustertest

import (
	"context"
	"testing"
	"time"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// Options say what the clusters under test can do. The zero value, like nil,
// is an API server alone.
type Options struct {
	// Workloads says that the cluster has controllers, a scheduler and nodes
	// on which pods become ready: then the promises about workloads, quota,
	// garbage collection and the deletion of namespaces are checked too.
	Workloads bool
	// Logs says that containers print as those of package fake do: a line when
	// they begin, and those of a Job one more before they end. It is for
	// clusters with Workloads.
	Logs bool
	// Exec says that commands run in containers, with the programs true, echo,
	// cat and sh. It is for clusters with Workloads.
	Exec bool
	// Wait bounds one promise; default one minute.
	Wait time.Duration
	// Poll is the time between two looks at what has not happened yet;
	// default 20 ms.
	Poll time.Duration
}

const (
	defaultWait = time.Minute
	defaultPoll = 20 * time.Millisecond
)

func (o *Options) withDefaults() Options {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Wait <= 0 {
		d.Wait = defaultWait
	}
	if d.Poll <= 0 {
		d.Poll = defaultPoll
	}
	return d
}

// Run checks every promise in a parallel subtest. open is called once in
// each of them for a connection of its own, which the suite closes. Promises
// about an optional interface that the driver does not have are skipped.
func Run(t *testing.T, open func(t *testing.T) driver.Cluster, opts *Options) {
	t.Helper()
	o := opts.withDefaults()
	for _, p := range promises() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			c := open(t)
			if reason := p.missing(c, o); reason != "" {
				_ = c.Close()
				t.Skip(reason)
			}
			p.check(t.Context(), t, c, o)
			if t.Failed() {
				t.Logf("promised by: %s", p.why)
			}
		})
	}
}

// tb is what a promise needs of *testing.T. FailNow must end the goroutine.
type tb interface {
	Errorf(format string, args ...any)
	FailNow()
	Helper()
}

// need is what a promise asks of a cluster beyond the contract's core.
type need int

const (
	workloads need = 1 << iota
	watcher
	subresources
	impersonation
	logs
	executes
)

// promise is one thing that every driver does.
type promise struct {
	name  string // a sentence
	why   string // where it comes from
	needs need
	run   func(e *env)
}

// missing says why the promise does not apply to c, or nothing.
func (p promise) missing(c driver.Cluster, o Options) string {
	if p.needs&workloads != 0 && !o.Workloads {
		return "needs controllers and nodes (Options.Workloads)"
	}
	if _, ok := driver.As[driver.Watcher](c); p.needs&watcher != 0 && !ok {
		return "the driver has no driver.Watcher"
	}
	if _, ok := driver.As[driver.Subresourcer](c); p.needs&subresources != 0 && !ok {
		return "the driver has no driver.Subresourcer"
	}
	if _, ok := driver.As[driver.Impersonator](c); p.needs&impersonation != 0 && !ok {
		return "the driver has no driver.Impersonator"
	}
	if _, ok := driver.As[driver.LogStreamer](c); p.needs&logs != 0 && !(ok && o.Logs) {
		return "needs containers that print (Options.Logs, driver.LogStreamer)"
	}
	if _, ok := driver.As[driver.Execer](c); p.needs&executes != 0 && !(ok && o.Exec) {
		return "needs containers that run commands (Options.Exec, driver.Execer)"
	}
	return ""
}

// check runs the promise on c, and closes c.
func (p promise) check(ctx context.Context, t tb, c driver.Cluster, o Options) {
	e, end := newEnv(ctx, t, c, o)
	defer end()
	p.run(e)
}

// promises are all of them. Their names are unique.
func promises() []promise {
	var all []promise
	for _, group := range [][]promise{
		infoPromises(), applyPromises(), ownershipPromises(), preconditionPromises(), dryRunPromises(), validationPromises(),
		generationPromises(), getPromises(), listPromises(), pagePromises(), deletePromises(), watchPromises(), subresourcePromises(),
		identityPromises(), lifePromises(), parallelPromises(), workloadPromises(), storagePromises(), garbagePromises(),
		logPromises(), execPromises(),
	} {
		all = append(all, group...)
	}
	return all
}
