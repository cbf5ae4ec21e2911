package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// Run takes all stages further, until ctx ends; then it returns nil once what was
// under way has stopped. Any number of processes may run a pipeline over the same
// records. No environment waits for another. Stages that are over are removed when
// fifty newer ones of their environment are. The error is that of records which
// cannot be used.
func (p *Pipeline) Run(ctx context.Context) error {
	loop := &stageLoop{Pipeline: p, busy: map[environmentRef]bool{}, wake: make(chan struct{}, 1)}
	defer loop.wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 1)
	loop.wg.Go(func() { failed <- loop.listen(ctx) })
	for {
		if err := loop.round(ctx); err != nil && ctx.Err() == nil {
			p.opts.Logger.Warn("reading stages", "error", err)
		}
		timer := time.NewTimer(spread(p.opts.Interval))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case err := <-failed:
			timer.Stop()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("pipeline: %w", err)
		case <-loop.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// stageLoop is one Run.
type stageLoop struct {
	*Pipeline
	wg   sync.WaitGroup
	wake chan struct{}

	mu   sync.Mutex
	busy map[environmentRef]bool // environments at which this process is; true: something came meanwhile
}

// listen wakes the loop when a stage is changed.
func (l *stageLoop) listen(ctx context.Context) error {
	for e, err := range l.records.Watch(ctx, stageKeys, nil) {
		if err != nil {
			return err
		}
		if e.Type == storage.Added || e.Type == storage.Modified {
			l.awake()
		}
	}
	return ctx.Err()
}

func (l *stageLoop) awake() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// round begins to take stages further, one of each environment at a time.
func (l *stageLoop) round(ctx context.Context) error {
	var all []*stageRecord
	for r, err := range l.stages(ctx, "") {
		if errors.Is(err, appspan.ErrCorrupt) || errors.Is(err, appspan.ErrUnsupported) {
			l.opts.Logger.Error("a stage cannot be read", "error", err)
			continue
		}
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *stageRecord) int { return compareStages(&a.Stage, &b.Stage) })
	over, done := map[environmentRef]int{}, map[environmentRef]bool{}
	open := map[environmentRef][]*stageRecord{}
	for _, r := range slices.Backward(all) {
		place := r.environment()
		if !r.State.Over() {
			open[place] = append(open[place], r)
			continue
		}
		over[place]++
		if r.State == StageDone && !done[place] { // its process may have died before what follows was begun
			done[place] = true
			if !r.Followed {
				open[place] = append(open[place], r)
			}
		}
		if over[place] > keptStages {
			l.forget(ctx, r)
		}
	}
	for place, stages := range open {
		if !l.enter(place) {
			continue
		}
		slices.Reverse(stages)
		l.wg.Go(func() {
			defer l.leave(place)
			for _, r := range stages {
				now, err := l.advance(ctx, r)
				if errors.Is(err, appspan.ErrConflict) {
					return // another process is at it
				}
				if err != nil && ctx.Err() == nil {
					l.opts.Logger.Warn("a stage does not go on", "stage", r.ID, "application", r.Application, "environment", r.Environment, "error", err)
				}
				if err == nil && now.State.Over() && !r.State.Over() {
					l.awake() // the next one's turn
				}
			}
		})
	}
	return nil
}

func (l *stageLoop) enter(place environmentRef) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, busy := l.busy[place]; busy {
		l.busy[place] = true
		return false
	}
	l.busy[place] = false
	return true
}

func (l *stageLoop) leave(place environmentRef) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[place] {
		l.awake()
	}
	delete(l.busy, place)
}

// forget removes a stage that is long over.
func (p *Pipeline) forget(ctx context.Context, r *stageRecord) {
	rec, err := p.records.Get(ctx, stageKey(r.Application, r.ID))
	if err == nil {
		err = p.records.Delete(ctx, rec.Key, rec.Revision)
	}
	if err != nil && !errors.Is(err, appspan.ErrNotFound) && !errors.Is(err, appspan.ErrPrecondition) && ctx.Err() == nil {
		p.opts.Logger.Warn("removing an old stage", "stage", r.ID, "error", err)
	}
}
