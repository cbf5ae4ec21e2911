package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/fault"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/memstore"
)

// life is that of a process: it ends at a write, to a cluster or to its records.
// From then on it says nothing more to anybody.
type life struct {
	left atomic.Int64
	dead atomic.Bool
	done bool   // the last write is made, and nobody hears of it
	end  func() // is told
}

const immortal = int64(1) << 40

func lives(writes int64, done bool) *life {
	l := &life{done: done, end: func() {}}
	l.left.Store(writes)
	return l
}

// write makes a write, if it is still alive.
func (l *life) write(do func() error) error {
	left := l.left.Add(-1)
	if left == -1 {
		if l.done {
			_ = do()
		}
		l.dead.Store(true)
		l.end()
	}
	if left < 0 {
		return errKilled
	}
	return do()
}

func (l *life) read() error {
	if l.dead.Load() {
		return errKilled
	}
	return nil
}

// lived is a cluster as a process sees it that may die.
type lived struct {
	driver.Cluster
	*life
}

func (l lived) Unwrap() driver.Cluster { return l.Cluster }
func (l lived) Close() error           { return nil }

func (l lived) Apply(ctx context.Context, obj driver.Object, o driver.ApplyOptions) (out driver.Object, err error) {
	return out, l.write(func() (err error) { out, err = l.Cluster.Apply(ctx, obj, o); return err })
}

func (l lived) Delete(ctx context.Context, ref driver.Ref, o driver.DeleteOptions) error {
	return l.write(func() error { return l.Cluster.Delete(ctx, ref, o) })
}

func (l lived) Get(ctx context.Context, ref driver.Ref) (driver.Object, error) {
	if err := l.read(); err != nil {
		return driver.Object{}, err
	}
	return l.Cluster.Get(ctx, ref)
}

func (l lived) List(ctx context.Context, q driver.Query) (driver.Page, error) {
	if err := l.read(); err != nil {
		return driver.Page{}, err
	}
	return l.Cluster.List(ctx, q)
}

// livedStore is a store as a process sees it that may die.
type livedStore struct {
	*memstore.Records
	*life
}

func (l livedStore) Put(ctx context.Context, key string, value []byte, ifRevision string) (out string, err error) {
	return out, l.write(func() (err error) { out, err = l.Records.Put(ctx, key, value, ifRevision); return err })
}

func (l livedStore) Delete(ctx context.Context, key, ifRevision string) error {
	return l.write(func() error { return l.Records.Delete(ctx, key, ifRevision) })
}

// process starts a process of an installation.
func (w *walk) process(installation string, l *life, j *journal.Journal) (d *deploy.Deployer, end func()) {
	var members []*cluster.Cluster
	for _, name := range w.names {
		var d driver.Cluster = w.nets[name]
		if w.spoil != nil {
			d = w.spoil(w, name, d)
		}
		members = append(members, cluster.New(name, lived{d, l}, &cluster.Options{Labels: labelsOf(name), Timeout: 10 * time.Second}))
	}
	set, err := cluster.NewSet(members...)
	require.NoError(w.t, err)
	d, err = deploy.New(set, &deploy.Options{Installation: installation, Keys: w.keys, Authorizer: appspan.AllowAll{}, Journal: j})
	require.NoError(w.t, err)
	return d, func() { _ = set.Close() }
}

// labelsOf are those of a cluster.
func labelsOf(name string) map[string]string { return map[string]string{"walk": "yes", "tier": name} }

// mishap is what happens while an operation is carried out.
type mishap int

const (
	nothingHappens mishap = iota
	isKilled              // the process dies at a write
	callFails             // one call fails, for good as far as its caller knows
	callRepeats           // some calls fail, and may be repeated
	fallsSilent           // a cluster says nothing any more, for some steps
	isResumed             // the process dies at a write, and another one runs the journal
)

// mishap draws what happens.
func (w *walk) mishap() mishap {
	switch n := w.rand.IntN(20); {
	case n < 8:
		return nothingHappens
	case n < 12:
		return isKilled
	case n < 14:
		return callFails
	case n < 16:
		return callRepeats
	case n < 17:
		return fallsSilent
	}
	return isResumed
}

// attempt carries an operation out for the first time, while something happens.
// Where a cluster fell silent before the end, it is the victim.
func (w *walk) attempt(op *operation, m mishap) (done bool, note, silent string, err error) {
	r := w.rand
	l, n, after := lives(immortal, false), int64(r.IntN(24)), r.IntN(2) == 0
	victim := op.on[r.IntN(len(op.on))]
	switch m {
	case isKilled:
		l, note = lives(n, after), fmt.Sprintf(", killed at write %d", n)
	case callFails:
		rule := fault.Rule{Op: []fault.Op{fault.Apply, fault.Apply, fault.Delete, fault.List, fault.Get}[r.IntN(5)], Nth: 1 + r.IntN(12), Err: fault.Lost}
		switch r.IntN(6) {
		case 0:
			rule.Err = fmt.Errorf("%w: somebody else was faster", appspan.ErrConflict)
		case 1:
			rule.Err, rule.Hang = nil, true
		}
		if after && !errors.Is(rule.Err, appspan.ErrConflict) {
			rule.When = fault.After
		}
		note = fmt.Sprintf(", %s %d fails on %s: %v, hangs %v, after %v", rule.Op, rule.Nth, victim, rule.Err, rule.Hang, rule.When == fault.After)
		defer w.nets[victim].Add(rule)()
	case callRepeats:
		busy := appspan.MarkRetryable(fmt.Errorf("%w: too many requests", appspan.ErrUnavailable), time.Duration(r.IntN(2))*time.Second)
		for range 2 {
			rule := fault.Rule{Op: []fault.Op{fault.Apply, fault.Delete, fault.List, fault.Get}[r.IntN(4)], Nth: 1 + r.IntN(12), Err: busy}
			defer w.nets[victim].Add(rule)()
		}
		defer w.nets[victim].Add(fault.Rule{Op: fault.Next, Nth: 1 + r.IntN(12), Err: []error{io.EOF, fault.Lost}[r.IntN(2)]})()
		note = ", too many requests and a cut watch on " + victim
	case fallsSilent:
		note = fmt.Sprintf(", %s falls silent at write %d", victim, n)
		fell := w.audits[victim].silence(n, func() { w.nets[victim].Add(fault.Rule{Hang: true}) })
		defer func() {
			if fell() && err == nil && !done {
				silent = victim
			} else if fell() {
				w.reached(victim)
			}
		}()
	}
	d, end := w.process(op.slot.installation, l, nil)
	defer end()
	failed := op.carryOut(w, d, op.to, false)
	if m == callRepeats && failed != nil && !op.mayFail(w) {
		return false, note, "", diverged(refused, "calls that may be repeated are not: %v", failed)
	}
	return failed == nil, note, "", nil
}

// silence lets a cluster make so many writes, and then fall silent; the result
// takes that back, and says whether it happened.
func (a *audit) silence(writes int64, fall func()) func() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left, a.fall, a.fell = writes, fall, false
	return func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.fall = nil
		return a.fell
	}
}

// reached makes the net to a cluster as it is to be: it answers, or not.
func (w *walk) reached(name string) {
	w.nets[name].Heal()
	if w.away[name] > 0 {
		w.nets[name].Add(fault.Rule{Err: fault.Lost})
	}
}

// resume carries an operation out in a process that dies, and lets another one
// run the journal: afterwards it is done, or was never begun.
func (w *walk) resume(op *operation) (begun bool, note string, err error) {
	n, after := int64(w.rand.IntN(40)), w.rand.IntN(2) == 0
	note = fmt.Sprintf(", killed at write %d and resumed", n)
	store := memstore.NewRecords()
	defer store.Close()
	open := func(l *life) *journal.Journal {
		j, err := journal.New(storage.NewRecords(livedStore{store, l}, &storage.RecordsOptions{Attempts: 1}), nil)
		require.NoError(w.t, err)
		return j
	}
	l := lives(n, after)
	mortal, kill := context.WithCancelCause(w.t.Context())
	l.end = func() { kill(errKilled) }
	d, end := w.process(op.slot.installation, l, open(l))
	w.ctx = mortal
	first := op.carryOut(w, d, op.to, false)
	w.ctx = w.t.Context()
	end()
	kill(errKilled)
	if first == nil {
		return true, note, nil
	}
	if !l.dead.Load() {
		return false, note, diverged(refused, "through the journal: %v", first)
	}
	second := open(lives(immortal, false))
	_, end = w.process(op.slot.installation, lives(immortal, false), second)
	defer end()
	ctx, stop := context.WithCancel(w.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = second.Run(ctx) })
	defer wg.Wait()
	defer stop()
	for left := 1; left > 0; {
		time.Sleep(30 * time.Second)
		left = 0
		for _, err := range second.List(w.t.Context(), false) {
			if err != nil {
				return false, note, err
			}
			left++
		}
	}
	for one, err := range second.List(w.t.Context(), true) {
		if err != nil {
			return false, note, err
		}
		if begun = true; one.State != journal.Done {
			return begun, note, diverged(halved, "the operation is %s: %s, after %v", one.State, one.Error, first)
		}
	}
	return begun, note, nil
}
