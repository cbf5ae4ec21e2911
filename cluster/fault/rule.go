package fault

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Op is one operation of a driver.
type Op string

// The operations that rules can break. Next is the receiving of one event of
// a watch.
const (
	Any       Op = ""
	Info      Op = "info"
	Apply     Op = "apply"
	Get       Op = "get"
	List      Op = "list"
	Delete    Op = "delete"
	Watch     Op = "watch"
	Next      Op = "next"
	GetSub    Op = "get-sub"
	UpdateSub Op = "update-sub"
	CreateSub Op = "create-sub"
	Usage     Op = "usage"
	Logs      Op = "logs"
	Exec      Op = "exec"
	Forward   Op = "forward"
)

// When says on which side of the operation a fault strikes.
type When int

const (
	// Before: the operation does not happen.
	Before When = iota
	// After: it happens, and its answer is lost.
	After
)

// Lie is what a rule does to an answer, instead of failing.
type Lie int

// The lies. They apply to what has an object or a list in its answer, and to
// events of a watch.
const (
	// Honest answers are left alone.
	Honest Lie = iota
	// Drop leaves out the last item of a page, or an event.
	Drop
	// Duplicate repeats the last item of a page, or an event.
	Duplicate
	// Stale answers a list as the same query was answered before, as a cache
	// does that lags; the first answer is honest.
	Stale
	// Corrupt cuts the JSON of an object (of a page: of its last item) in two.
	Corrupt
)

// Lost is a handy Err: the answer did not come, and nobody says that the call
// may be repeated.
const Lost = lost("the connection was lost")

type lost string

func (l lost) Error() string { return "unavailable: " + string(l) }
func (lost) Unwrap() error   { return appspan.ErrUnavailable }

// Rule is one fault: which calls it strikes, and how. The zero value strikes
// every call and does nothing.
type Rule struct {
	// Op, Kind, Namespace and Name choose calls; empty is all of them.
	// Namespace and Name are patterns of package path; a List, and the
	// opening of a Watch, have no name, so that a pattern passes
	// them by, "*" excepted.
	Op              Op
	Kind            string
	Namespace, Name string
	// Nth strikes only the n-th of these calls, counted from one.
	Nth int
	// Times strikes at most so many of them; zero is no bound.
	Times int
	// Probability strikes each of them by chance, drawn from Seed; zero is
	// always.
	Probability float64
	Seed        uint64

	// When is the side on which Delay, Hang and Err strike.
	When When
	// Delay is waited first; it obeys the context.
	Delay time.Duration
	// Hang waits until the context ends (of an event: or the watch is stopped).
	Hang bool
	// Err is what the call fails with. io.EOF for Next cuts the stream in good
	// order.
	Err error
	// Lie changes the answer.
	Lie Lie
}

// target is what a rule looks at.
type target struct {
	op  Op
	ref driver.Ref
}

func (r Rule) matches(t target) bool {
	return (r.Op == Any || r.Op == t.op) && (r.Kind == "" || r.Kind == t.ref.Kind) && glob(r.Namespace, t.ref.Namespace) && glob(r.Name, t.ref.Name)
}

func glob(pattern, s string) bool {
	if pattern == "" {
		return true
	}
	ok, err := path.Match(pattern, s)
	return ok && err == nil
}

// armed is a rule with what it has seen.
type armed struct {
	Rule
	seen, struck int
	perTarget    map[target]uint64
}

// strikes counts a call and decides.
func (a *armed) strikes(t target) bool {
	if !a.matches(t) {
		return false
	}
	a.seen++
	n := a.perTarget[t]
	a.perTarget[t] = n + 1
	switch {
	case a.Nth > 0 && a.seen != a.Nth, a.Times > 0 && a.struck >= a.Times:
		return false
	case a.Probability > 0 && a.chance(t, n) >= a.Probability:
		return false
	}
	a.struck++
	return true
}

// chance draws for the n-th call of a target, whoever else calls meanwhile.
func (a *armed) chance(t target, n uint64) float64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s|%s|%s|%d", t.op, t.ref.APIVersion, t.ref, n)
	return rand.New(rand.NewPCG(a.Seed, h.Sum64())).Float64()
}

// strike waits and fails as the rule says.
func (r Rule) strike(ctx context.Context, stopped <-chan struct{}) error {
	if r.Delay > 0 {
		timer := time.NewTimer(r.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-stopped:
		}
	}
	if r.Hang {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-stopped:
		}
	}
	return r.Err
}

// maxCalls bounds the log; older calls are forgotten.
const maxCalls = 100_000

// plan is what a cluster and its views share: rules and the log.
type plan struct {
	mu    sync.Mutex
	rules []*armed
	calls []Call
	count map[Op]int
	pages map[question]driver.Page // what Stale answers with
}

// question is a query and who asks: not everybody sees the same.
type question struct {
	driver.Query
	user string
}

// Call is one call that a [Cluster] has seen.
type Call struct {
	Op   Op
	Ref  driver.Ref // of a list or watch: what the query names
	User string     // whom a view acts as, empty for the cluster's own
	Err  error      // what the caller was told
	// Struck says that a rule struck it.
	Struck bool
	Began  time.Time
	Took   time.Duration
}

// strikers are the rules that strike a call, in their order.
func (p *plan) strikers(t target) []Rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	var rules []Rule
	for _, a := range p.rules {
		if a.strikes(t) {
			rules = append(rules, a.Rule)
		}
	}
	return rules
}

func (p *plan) record(c Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count[c.Op]++
	if len(p.calls) >= maxCalls {
		p.calls = append(p.calls[:0], p.calls[maxCalls/2:]...)
	}
	p.calls = append(p.calls, c)
}

// stale returns the first page that a question was answered with.
func (p *plan) stale(q question, page driver.Page) driver.Page {
	p.mu.Lock()
	defer p.mu.Unlock()
	if old, ok := p.pages[q]; ok {
		return old
	}
	p.pages[q] = page
	return page
}
