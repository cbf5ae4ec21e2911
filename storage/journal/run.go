package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// Run is one operation while this process executes it.
type Run struct {
	journal *Journal
	body    json.RawMessage
	tell    func(appspan.Event)

	mu      sync.Mutex // also orders the writes
	doc     document
	written time.Time
	told    bool // an event that is not written yet
	seq     uint64
}

// Operation is the operation as it is now.
func (r *Run) Operation() Operation {
	r.mu.Lock()
	defer r.mu.Unlock()
	op := r.doc.Operation
	op.Steps, op.Events = slices.Clone(op.Steps), slices.Clone(op.Events)
	return op
}

// Body is what the operation was begun with.
func (r *Run) Body() json.RawMessage { return r.body }

// Step runs do as the step of a name, which is its own within the operation,
// unless the step has ended well before: then it returns nil at once. That it
// begins and how it ended is written down first and last; a failed step runs
// again if the handler calls it again. Steps may run at the same time.
func (r *Run) Step(ctx context.Context, name string, do func(context.Context) error) error {
	_, err := Value(ctx, r, name, func(ctx context.Context) (struct{}, error) { return struct{}{}, do(ctx) })
	return err
}

// Value is [Run.Step] for a step that has a result, which is kept as JSON (at
// most 64 KiB) and returned when the step has ended before.
func Value[T any](ctx context.Context, r *Run, name string, do func(context.Context) (T, error)) (T, error) {
	var result T
	kept, ended, err := r.begin(ctx, name)
	if err != nil {
		return result, err
	}
	if ended {
		if len(kept) > 0 {
			err = json.Unmarshal(kept, &result)
		}
		return result, err
	}
	result, err = do(ctx)
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), storage.ErrLeaseLost) {
		return result, context.Cause(ctx) // another process says how it goes on
	}
	return result, errors.Join(err, r.end(ctx, name, result, err))
}

// begin writes down that a step begins, or returns what it left.
func (r *Run) begin(ctx context.Context, name string) (kept json.RawMessage, ended bool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, false, context.Cause(ctx)
	}
	if name == "" || len(name) > 253 {
		return nil, false, fmt.Errorf("operation %s: %w: step %.80q: a name has 1 to 253 bytes", r.doc.ID, appspan.ErrInvalid, name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.step(name)
	if s == nil {
		if len(r.doc.Steps) >= maxSteps {
			return nil, false, fmt.Errorf("operation %s: %w: it has more than %d steps", r.doc.ID, appspan.ErrExhausted, maxSteps)
		}
		r.doc.Steps = append(r.doc.Steps, Step{Name: name})
		s = &r.doc.Steps[len(r.doc.Steps)-1]
	}
	if s.State == Done {
		return s.Result, true, nil
	}
	s.State, s.Begun, s.Ended, s.Error = Running, time.Now().UTC(), time.Time{}, ""
	s.Attempts++
	return nil, false, r.write(ctx)
}

func (r *Run) step(name string) *Step {
	for i := range r.doc.Steps {
		if r.doc.Steps[i].Name == name {
			return &r.doc.Steps[i]
		}
	}
	return nil
}

// end writes down how a step ended. A step that was stopped has not ended.
func (r *Run) end(ctx context.Context, name string, result any, failed error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.step(name)
	s.State, s.Ended = Done, time.Now().UTC()
	switch {
	case failed != nil && ctx.Err() != nil:
		s.State, s.Ended = Pending, time.Time{}
	case failed != nil:
		s.State, s.Error = Failed, text(failed)
	default:
		if _, none := result.(struct{}); !none {
			data, err := json.Marshal(result)
			if err != nil {
				return fmt.Errorf("operation %s: step %s: its result: %w", r.doc.ID, name, err)
			}
			if len(data) > maxResult {
				return fmt.Errorf("operation %s: step %s: %w: its result has %d bytes, at most %d are kept", r.doc.ID, name, appspan.ErrInvalid, len(data), maxResult)
			}
			s.Result = data
		}
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.journal.opts.TTL)
	defer cancel()
	return r.write(limited)
}

// Event tells what happens: to whoever executes the operation, and to whoever
// reads it, within a second or so.
func (r *Run) Event(ctx context.Context, e appspan.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	e.Seq = r.seq
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	if n := len(r.doc.Events); n > 0 && e.Kind == appspan.EventProgress && r.doc.Events[n-1].Kind == e.Kind && r.doc.Events[n-1].Cluster == e.Cluster && r.doc.Events[n-1].Phase == e.Phase {
		r.doc.Events[n-1] = e
	} else {
		r.doc.Events = append(r.doc.Events, e)
	}
	if n := len(r.doc.Events) - maxEvents; n > 0 {
		r.doc.Events = slices.Delete(r.doc.Events, 0, n)
	}
	if r.tell != nil {
		r.tell(e)
	}
	r.told = true
	if time.Since(r.written) > eventInterval {
		r.writeEvents(ctx)
	}
}

// eventInterval is how often events alone are written.
const eventInterval = time.Second

func (r *Run) writeEvents(ctx context.Context) {
	if err := r.write(ctx); err != nil && ctx.Err() == nil {
		r.journal.opts.Logger.Warn("recording an event", "operation", r.doc.ID, "error", err)
	}
}

// flush writes the last events of a burst, which nothing else would write for a
// while, until stop is called.
func (r *Run) flush(ctx context.Context) (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(eventInterval)
		defer ticker.Stop()
		for {
			select {
			case <-end:
				return
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			r.mu.Lock()
			if r.told {
				r.writeEvents(ctx)
			}
			r.mu.Unlock()
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// SetOutcome is what the operation came to, as JSON of at most 256 KiB.
func (r *Run) SetOutcome(v any) error {
	data, err := json.Marshal(v)
	if err == nil && len(data) > 4*maxResult {
		err = fmt.Errorf("%w: the outcome has %d bytes, at most %d are kept", appspan.ErrInvalid, len(data), 4*maxResult)
	}
	if err != nil {
		return fmt.Errorf("operation %s: %w", r.doc.ID, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doc.Outcome = data
	return nil
}

// write stores the operation, with what others may have asked for meanwhile.
// Under the lease of a later holder it is storage.ErrLeaseLost.
func (r *Run) write(ctx context.Context) error {
	_, err := r.journal.records.Update(ctx, openKeys+r.doc.ID, func(old []byte) ([]byte, error) {
		if old == nil {
			return nil, storage.ErrLeaseLost // somebody ended it
		}
		there, err := decode(storage.Record{Key: openKeys + r.doc.ID, Value: old})
		if err != nil {
			return nil, err
		}
		if there.Fence > r.doc.Fence || there.State.Over() {
			return nil, storage.ErrLeaseLost
		}
		r.doc.Cancelling = r.doc.Cancelling || there.Cancelling
		r.doc.Envelope = storage.Envelope{Format: format, MinReader: format}
		return json.Marshal(&r.doc)
	})
	if err == nil {
		r.written, r.told = time.Now(), false
	}
	return err
}

// text is an error as it is stored: bounded.
func text(err error) string {
	s := err.Error()
	if len(s) > maxText {
		s = s[:maxText] + "…"
	}
	return s
}
