package journal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/driver"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/memstore"
)

func newJournal(t testing.TB, records *storage.Records, handlers map[string]journal.Handler) *journal.Journal {
	t.Helper()
	j, err := journal.New(records, &journal.Options{Handlers: handlers})
	require.NoError(t, err)
	return j
}

func TestAnOperationIsWrittenDownAndExecutedStepByStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := storage.NewRecords(memstore.NewRecords(), nil)
		defer records.Close()
		var told []string
		j := newJournal(t, records, map[string]journal.Handler{"sum": func(ctx context.Context, r *journal.Run) error {
			var numbers []int
			if err := json.Unmarshal(r.Body(), &numbers); err != nil {
				return err
			}
			sum := 0
			for i, n := range numbers {
				got, err := journal.Value(ctx, r, fmt.Sprint("add ", i), func(context.Context) (int, error) {
					r.Event(ctx, appspan.Event{Kind: appspan.EventState, Message: fmt.Sprint("adding ", n)})
					return sum + n, nil
				})
				if err != nil {
					return err
				}
				sum = got
			}
			return r.SetOutcome(sum)
		}})
		op, err := j.Begin(t.Context(), journal.Intent{Kind: "sum", Key: "once", Body: json.RawMessage(`[1,2,3]`), About: map[string]string{"what": "numbers"}})
		require.NoError(t, err)
		require.Equal(t, journal.Pending, op.State)
		again, err := j.Begin(t.Context(), journal.Intent{Kind: "sum", Key: "once", Body: json.RawMessage(`[7]`)})
		require.NoError(t, err)
		require.Equal(t, op.ID, again.ID)

		op, err = j.Execute(t.Context(), op.ID, &journal.ExecuteOptions{OnEvent: func(e appspan.Event) { told = append(told, e.Message) }})
		require.NoError(t, err)
		require.Equal(t, journal.Done, op.State)
		require.JSONEq(t, "6", string(op.Outcome))
		require.Equal(t, []string{"adding 1", "adding 2", "adding 3"}, told)
		require.Len(t, op.Steps, 3)
		kept, err := j.Get(t.Context(), op.ID)
		require.NoError(t, err)
		require.Equal(t, op.Outcome, kept.Outcome)
		again, err = j.Begin(t.Context(), journal.Intent{Kind: "sum", Key: "once"})
		require.NoError(t, err)
		require.Equal(t, op.ID, again.ID, "also when it is over")
		require.ErrorIs(t, j.Cancel(t.Context(), op.ID), appspan.ErrConflict)
		left := 0
		for rec, err := range records.List(t.Context(), "") {
			require.NoError(t, err)
			t.Log(rec.Key)
			left++
		}
		require.Equal(t, 2, left, "the operation and its key")
		time.Sleep(31 * 24 * time.Hour)
		require.NoError(t, j.Tidy(t.Context()))
		require.NoError(t, j.Tidy(t.Context()))
		for rec, err := range records.List(t.Context(), "") {
			require.NoError(t, err)
			t.Error("left: ", rec.Key)
		}
	})
}

func TestTheLastEventOfABurstIsReadWhileItsStepGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := storage.NewRecords(memstore.NewRecords(), nil)
		defer records.Close()
		j := newJournal(t, records, map[string]journal.Handler{"wait": func(ctx context.Context, r *journal.Run) error {
			return r.Step(ctx, "long", func(ctx context.Context) error {
				for n := range 3 {
					r.Event(ctx, appspan.Event{Kind: appspan.EventState, Message: fmt.Sprint(n)})
				}
				time.Sleep(time.Minute)
				return nil
			})
		}})
		op, err := j.Begin(t.Context(), journal.Intent{Kind: "wait"})
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := j.Execute(t.Context(), op.ID, nil)
			require.NoError(t, err)
		})
		time.Sleep(3 * time.Second)
		seen, err := j.Get(t.Context(), op.ID)
		require.NoError(t, err)
		require.Len(t, seen.Events, 3)
		rec, err := records.Get(t.Context(), "operations/open/"+op.ID)
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		again, err := records.Get(t.Context(), rec.Key)
		require.NoError(t, err)
		require.Equal(t, rec.Revision, again.Revision, "what has nothing to tell writes nothing")
		wg.Wait()
	})
}

func TestAnOperationIsCancelledFromAnyProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := storage.NewRecords(memstore.NewRecords(), nil)
		defer records.Close()
		handlers := map[string]journal.Handler{"wait": func(ctx context.Context, r *journal.Run) error {
			return r.Step(ctx, "for ever", func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			})
		}}
		one, two := newJournal(t, records, handlers), newJournal(t, records, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := one.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		op, err := two.Begin(t.Context(), journal.Intent{Kind: "wait"})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.NoError(t, two.Cancel(t.Context(), op.ID))
		op, err = two.Wait(t.Context(), op.ID)
		require.NoError(t, err)
		require.Equal(t, journal.Cancelled, op.State)

		op, err = two.Begin(t.Context(), journal.Intent{Kind: "nobody-does-this"})
		require.NoError(t, err)
		require.NoError(t, two.Cancel(t.Context(), op.ID))
		op, err = two.Get(t.Context(), op.ID)
		require.NoError(t, err)
		require.Equal(t, journal.Cancelled, op.State)

		op, err = two.Begin(t.Context(), journal.Intent{Kind: "wait"})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		cancel()
		wg.Wait()
		op, err = two.Get(t.Context(), op.ID)
		require.NoError(t, err)
		require.Equal(t, journal.Pending, op.State, "a process that ends in good order leaves its work for others")
	})
}

// process is one process that may be killed: then nothing of it is heard any
// more, at once.
type process struct {
	*memstore.Records
	dead  chan struct{}
	flaky int
	calls atomic.Int32
}

var errDead = errors.New("the process is dead")

// enter is at the begin and the end of each call.
func (p *process) enter() error {
	select {
	case <-p.dead:
		return errDead
	default:
		return nil
	}
}

func (p *process) Put(ctx context.Context, key string, value []byte, ifRevision string) (string, error) {
	if err := p.enter(); err != nil {
		return "", err
	}
	n := int(p.calls.Add(1))
	if p.flaky > 0 && n%p.flaky == 0 {
		return "", appspan.ErrUnavailable
	}
	revision, err := p.Records.Put(ctx, key, value, ifRevision)
	if p.flaky > 0 && n%(p.flaky+3) == 0 {
		return "", appspan.ErrUnavailable // it was written, and nobody heard
	}
	return revision, err
}

func (p *process) Get(ctx context.Context, key string) (driver.Record, error) {
	if err := p.enter(); err != nil {
		return driver.Record{}, err
	}
	return p.Records.Get(ctx, key)
}

func (p *process) Delete(ctx context.Context, key, ifRevision string) error {
	if err := p.enter(); err != nil {
		return err
	}
	return p.Records.Delete(ctx, key, ifRevision)
}

// interleave runs operations on three processes of which some are killed, and
// checks that no step runs twice at a time and that every operation ends well.
func interleave(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	store := memstore.NewRecords()
	defer store.Close()
	const operations, steps = 3, 3
	var inside, ran [operations][steps]atomic.Int32
	var wg sync.WaitGroup
	start := func(n int, flaky int) *process {
		p := &process{Records: store, dead: make(chan struct{}), flaky: flaky}
		records := storage.NewRecords(p, &storage.RecordsOptions{Attempts: 1})
		ctx, kill := context.WithCancel(context.Background())
		durations := rand.New(rand.NewPCG(seed, uint64(n)))
		var mu sync.Mutex
		handler := func(ctx context.Context, r *journal.Run) error {
			var op int
			if err := json.Unmarshal(r.Body(), &op); err != nil {
				return err
			}
			for s := range steps {
				err := r.Step(ctx, fmt.Sprint("step ", s), func(ctx context.Context) error {
					if inside[op][s].Add(1) != 1 {
						t.Errorf("seed %d: step %d of operation %d runs twice at a time", seed, s, op)
					}
					defer inside[op][s].Add(-1)
					ran[op][s].Add(1)
					mu.Lock()
					d := time.Duration(durations.IntN(30_000)) * time.Millisecond
					mu.Unlock()
					select {
					case <-time.After(d):
						return nil
					case <-p.dead:
						return errDead
					case <-ctx.Done():
						return ctx.Err()
					}
				})
				if err != nil {
					return err
				}
			}
			return nil
		}
		retrying := func(ctx context.Context, r *journal.Run) error {
			for {
				err := handler(ctx, r)
				if err == nil || ctx.Err() != nil || !errors.Is(err, appspan.ErrUnavailable) {
					return err
				}
				time.Sleep(time.Second)
			}
		}
		j, err := journal.New(records, &journal.Options{Handlers: map[string]journal.Handler{"work": retrying}, Holder: fmt.Sprint("process-", n), TTL: 3 * time.Second})
		require.NoError(t, err)
		wg.Go(func() {
			for ctx.Err() == nil && p.enter() == nil {
				_ = j.Run(ctx) // again after whatever its store did
				time.Sleep(100 * time.Millisecond)
			}
		})
		wg.Go(func() { <-p.dead; kill() })
		return p
	}
	records := storage.NewRecords(store, nil)
	j := newJournal(t, records, nil)
	var ids []string
	for n := range operations {
		op, err := j.Begin(t.Context(), journal.Intent{Kind: "work", Body: json.RawMessage(fmt.Sprint(n))})
		require.NoError(t, err)
		ids = append(ids, op.ID)
	}
	processes := []*process{start(0, rng.IntN(2)*(5+rng.IntN(9))), start(1, 0), start(2, rng.IntN(2)*(5+rng.IntN(9)))}
	for n := range 3 + rng.IntN(4) {
		time.Sleep(time.Duration(rng.IntN(20_000)) * time.Millisecond)
		i := rng.IntN(len(processes))
		close(processes[i].dead)
		time.Sleep(time.Duration(rng.IntN(4_000)) * time.Millisecond)
		processes[i] = start(3+n, 0)
	}
	for n, id := range ids {
		op, err := j.Wait(t.Context(), id)
		require.NoError(t, err)
		if op.State != journal.Done {
			t.Errorf("seed %d: operation %d is %s: %s", seed, n, op.State, op.Error)
		}
		require.Len(t, op.Steps, steps)
		for s := range steps {
			require.Positive(t, ran[n][s].Load())
		}
		require.False(t, slices.ContainsFunc(op.Steps, func(s journal.Step) bool { return s.State != journal.Done }))
	}
	for _, p := range processes {
		close(p.dead)
	}
	wg.Wait()
}

func TestNoStepRunsTwiceAtATimeWhoeverDies(t *testing.T) {
	t.Parallel()
	runs := 1000
	if os.Getenv("APPSPAN_SOAK") != "" {
		runs = 10_000
	}
	if testing.Short() {
		runs = 50
	}
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) { interleave(t, uint64(seed)) })
		if t.Failed() {
			return
		}
	}
}
