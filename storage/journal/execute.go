package journal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// Run executes the operations that are begun, here or elsewhere, and takes up
// those whose process died, until ctx ends. What is under way then is stopped
// and left for others to take up at once.
func (j *Journal) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { j.tidy(ctx) })
	slots := make(chan struct{}, j.opts.Concurrency)
	var mu sync.Mutex
	known := map[string]bool{}
	for e, err := range j.records.Watch(ctx, openKeys, nil) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if e.Type != storage.Added && e.Type != storage.Modified {
			continue
		}
		d, err := decode(e.Record)
		if err != nil { // others go on
			j.opts.Logger.Error("an operation cannot be read", "record", e.Record.Key, "error", err)
			continue
		}
		if d.Cancelling {
			j.stop(d.ID)
		}
		mu.Lock()
		if j.handler(d.Kind) != nil && !known[d.ID] {
			known[d.ID] = true
			wg.Go(func() {
				j.pursue(ctx, d.ID, slots)
				mu.Lock()
				delete(known, d.ID)
				mu.Unlock()
			})
		}
		mu.Unlock()
	}
	return nil
}

// stop ends an operation that this process executes.
func (j *Journal) stop(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if stop := j.running[id]; stop != nil {
		stop(errCancelled)
	}
}

// pursue tries to execute an operation until it is over.
func (j *Journal) pursue(ctx context.Context, id string, slots chan struct{}) {
	for ctx.Err() == nil {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		_, err := j.attempt(ctx, id, nil, true)
		<-slots
		if err == nil || errors.Is(err, appspan.ErrNotFound) {
			return
		}
		if !errors.Is(err, appspan.ErrConflict) && ctx.Err() == nil {
			j.opts.Logger.Warn("executing an operation", "operation", id, "error", err)
		}
		timer := time.NewTimer(j.opts.TTL/4 + rand.N(j.opts.TTL/8))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// ExecuteOptions shape an Execute.
type ExecuteOptions struct {
	// OnEvent hears what the operation tells, one event after the other; of
	// one that another process executes, what that one wrote down.
	OnEvent func(appspan.Event)
}

// Execute executes an operation in this process, now, and returns it once it
// is over; if another process has it, it waits for that one. When ctx ends,
// the operation is cancelled. A failure is in the operation, not the error.
func (j *Journal) Execute(ctx context.Context, id string, opts *ExecuteOptions) (Operation, error) {
	var last uint64
	tell := func(e appspan.Event) {
		last = max(last, e.Seq)
		if opts != nil && opts.OnEvent != nil {
			opts.OnEvent(e)
		}
	}
	elsewhere := func(op Operation) {
		for _, e := range op.Events {
			if e.Seq > last {
				tell(e)
			}
		}
	}
	for {
		op, err := j.attempt(ctx, id, tell, false)
		if err == nil {
			return op, nil
		}
		if !errors.Is(err, appspan.ErrConflict) && !errors.Is(err, storage.ErrLeaseLost) {
			return op, err
		}
		limited, cancel := context.WithTimeout(ctx, j.opts.TTL/4)
		op, err = j.follow(limited, id, elsewhere)
		cancel()
		if err == nil || ctx.Err() != nil || limited.Err() == nil {
			return op, err
		}
	}
}

// attempt executes an operation if nobody else does, and returns it once it is
// over. If handsOver, an operation that ctx interrupts is left for others,
// otherwise it is cancelled.
func (j *Journal) attempt(ctx context.Context, id string, tell func(appspan.Event), handsOver bool) (Operation, error) {
	d, _, err := j.load(ctx, id)
	if err != nil {
		return Operation{}, err
	}
	if d.State.Over() {
		return d.Operation, j.file(context.WithoutCancel(ctx), d)
	}
	handler := j.handler(d.Kind)
	if handler == nil {
		return d.Operation, fmt.Errorf("operation %s: %w: nothing here executes a %s", id, appspan.ErrUnsupported, d.Kind)
	}
	lease, err := j.leases.Try(ctx, "operations."+id)
	if err != nil {
		return d.Operation, err
	}
	op, err := j.executeHeld(ctx, id, handler, lease, tell, handsOver)
	released, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.opts.TTL)
	defer cancel()
	if op.State.Over() && err == nil {
		j.forgetLease(released, id, lease)
		return op, nil
	}
	return op, errors.Join(err, lease.Release(released))
}

// forgetLease deletes the lease of an operation that is over.
func (j *Journal) forgetLease(ctx context.Context, id string, lease *storage.Lease) {
	if err := lease.Release(ctx); err != nil {
		return // its record is small, and tidy finds it
	}
	key := "leases/operations." + id
	if rec, err := j.records.Get(ctx, key); err == nil {
		_ = j.records.Delete(ctx, key, rec.Revision) // as above
	}
}

// executeHeld executes an operation under its lease.
func (j *Journal) executeHeld(ctx context.Context, id string, handler Handler, lease *storage.Lease, tell func(appspan.Event), handsOver bool) (Operation, error) {
	d, _, err := j.load(ctx, id) // as the last holder left it
	if err != nil || d.State.Over() {
		if err != nil {
			return Operation{}, err
		}
		return d.Operation, j.file(context.WithoutCancel(ctx), d)
	}
	r := &Run{journal: j, doc: *d, tell: tell}
	if n := len(d.Events); n > 0 {
		r.seq = d.Events[n-1].Seq
	}
	r.doc.Fence, r.doc.Holder, r.doc.State = lease.Fence(), j.opts.Holder, Running
	r.doc.Attempts++
	if r.doc.Begun.IsZero() {
		r.doc.Begun = time.Now().UTC()
	}
	life, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(lease.Context(), func() { cancel(context.Cause(lease.Context())) })()
	j.mu.Lock()
	j.running[id] = cancel
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		delete(j.running, id)
		j.mu.Unlock()
	}()
	r.body, err = j.body(life, d)
	lost := errors.Is(err, appspan.ErrCorrupt) || errors.Is(err, appspan.ErrNotFound) // for ever
	if err != nil && !lost {
		return d.Operation, err
	}
	if err := r.write(life); err != nil {
		return d.Operation, err
	}
	switch {
	case r.doc.Cancelling:
		cancel(errCancelled)
	case !lost:
		stop := r.flush(life)
		err = call(life, handler, r)
		stop()
	}
	if lease.Context().Err() != nil {
		return r.Operation(), storage.ErrLeaseLost
	}
	return j.conclude(ctx, life, r, err, handsOver)
}

// call runs a handler; one that panics has failed.
func call(ctx context.Context, handler Handler, r *Run) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the handler panicked: %v", p)
		}
	}()
	return handler(ctx, r)
}

// conclude writes down how an operation ended, or that it has not.
func (j *Journal) conclude(ctx, life context.Context, r *Run, failed error, handsOver bool) (Operation, error) {
	interrupted := life.Err() != nil && (failed != nil || r.doc.Cancelling)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doc.State, r.doc.Ended, r.doc.Error, r.doc.Category = Done, time.Now().UTC(), "", ""
	switch {
	case interrupted && (errors.Is(context.Cause(life), errCancelled) || !handsOver):
		r.doc.State = Cancelled
		if failed != nil {
			r.doc.Error = text(failed)
		}
	case interrupted:
		r.doc.State, r.doc.Ended = Pending, time.Time{}
	case failed != nil:
		r.doc.failed(failed)
	}
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.opts.TTL)
	defer cancel()
	if err := r.write(limited); err != nil {
		return r.doc.Operation, err
	}
	if !r.doc.State.Over() {
		return r.doc.Operation, context.Cause(life)
	}
	return r.doc.Operation, j.file(limited, &r.doc)
}

// file moves an operation that is over to where nobody looks for work. Its
// record among the open ones says already that it is over.
func (j *Journal) file(ctx context.Context, d *document) error {
	if _, err := j.put(ctx, overKeys+d.ID, d, ""); err != nil && !errors.Is(err, appspan.ErrExists) {
		return err
	}
	if rec, err := j.records.Get(ctx, openKeys+d.ID); err == nil {
		if err := j.records.Delete(ctx, rec.Key, rec.Revision); err != nil && !errors.Is(err, appspan.ErrNotFound) && !errors.Is(err, appspan.ErrPrecondition) {
			return err
		}
	}
	return j.dropBody(ctx, d)
}

// tidy deletes now and then what nobody needs any more.
func (j *Journal) tidy(ctx context.Context) {
	for {
		timer := time.NewTimer(time.Hour + rand.N(time.Hour))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		if err := j.Tidy(ctx); err != nil && ctx.Err() == nil {
			j.opts.Logger.Warn("tidying the journal", "error", err)
		}
	}
}

// Tidy deletes operations that have been over for longer than Options.Keep,
// and what processes left behind that died at a bad moment. [Journal.Run] does
// it every hour or two.
func (j *Journal) Tidy(ctx context.Context) error {
	drop := func(rec storage.Record) error {
		err := j.records.Delete(ctx, rec.Key, rec.Revision)
		if errors.Is(err, appspan.ErrNotFound) || errors.Is(err, appspan.ErrPrecondition) {
			return nil
		}
		return err
	}
	for rec, err := range j.records.List(ctx, overKeys) {
		if err != nil {
			return err
		}
		if d, err := decode(rec); err == nil && time.Since(d.Ended) > j.opts.Keep {
			if err := drop(rec); err != nil {
				return err
			}
		}
	}
	orphans := map[string]func(rest string) string{ // prefix: the operation that a record belongs to
		bodyKeys:  func(rest string) string { id, _, _ := strings.Cut(rest, "/"); return id },
		"leases/": func(rest string) string { id, ok := strings.CutPrefix(rest, "operations."); return orNothing(id, ok) },
		indexKeys: func(string) string { return "" },
	}
	for prefix, owner := range orphans {
		for rec, err := range j.records.List(ctx, prefix) {
			if err != nil {
				return err
			}
			id := owner(strings.TrimPrefix(rec.Key, prefix))
			if prefix == indexKeys {
				id = string(rec.Value)
			}
			if id == "" || young(id) {
				continue
			}
			d, _, err := j.load(ctx, id)
			gone := errors.Is(err, appspan.ErrNotFound)
			if err != nil && !gone {
				return err
			}
			if gone || prefix != indexKeys && d.State.Over() {
				if err := drop(rec); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func orNothing(s string, ok bool) string {
	if !ok {
		return ""
	}
	return s
}

// young reports whether an operation may be just being written down.
func young(id string) bool {
	born, err := time.Parse("20060102t150405.000", id[:min(len(id), 19)])
	return err != nil || time.Since(born) < time.Hour
}
