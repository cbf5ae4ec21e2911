package deploy

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
)

// Selection is an application somewhere, one of several that a command is for.
type Selection struct {
	Application string `json:"application"`
	Target      Target `json:"target"`
}

// BatchResult is what a command did to one application of several.
type BatchResult struct {
	Selection
	// Result says it cluster by cluster and component by component; nil if
	// the command was not begun.
	Result *Result `json:"result,omitempty"`
	// Error is why it is not done, Skipped that it was not begun because one
	// before it failed.
	Error   string `json:"error,omitempty"`
	Skipped bool   `json:"skipped,omitempty"`

	err error
}

// Err is why the command is not done there, nil if it is.
func (r *BatchResult) Err() error { return r.err }

// BatchOptions shape a RunAll.
type BatchOptions struct {
	// Apply is for each application; its events come one after the other,
	// whatever they are of.
	Apply ApplyOptions
	// Concurrency is how many applications are under way at once; default 8.
	Concurrency int
}

// RunAll gives a command to several applications, in the order in which they
// need each other: for a start or a restart those that others need first, for a
// stop last; others at the same time. An application whose turn comes after one
// that failed is skipped. There is one result for each selection, in their
// order; the error joins theirs.
func (d *Deployer) RunAll(ctx context.Context, selections []Selection, c Command, opts *BatchOptions) ([]BatchResult, error) {
	var o BatchOptions
	if opts != nil {
		o = *opts
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 8
	}
	c, err := c.normal()
	if err != nil {
		return nil, err
	}
	b := &batch{d: d, command: c, options: o, results: make([]BatchResult, len(selections)), needs: make([]map[int]bool, len(selections))}
	for i, s := range selections {
		b.results[i].Selection = s
	}
	b.learn(ctx)
	for _, wave := range b.waves() {
		b.run(ctx, wave)
	}
	var errs []error
	for i := range b.results {
		errs = append(errs, b.results[i].err)
	}
	return b.results, errors.Join(errs...)
}

// batch is one RunAll.
type batch struct {
	d       *Deployer
	command Command
	options BatchOptions
	results []BatchResult
	needs   []map[int]bool // whom each waits for
	events  sync.Mutex
}

func (b *batch) fail(i int, err error) {
	r := &b.results[i]
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%s in %s: %w", r.Application, r.Target.Namespace, err)
		r.Error = r.err.Error()
	}
}

// learn finds out which applications need which.
func (b *batch) learn(ctx context.Context) {
	b.each(len(b.results), func(i int) {
		b.needs[i] = map[int]bool{}
		apps, err := b.d.meant(ctx, b.results[i].Selection)
		b.fail(i, err)
		for _, app := range apps {
			for _, ref := range outside(app) {
				other := needOf(app, ref).Application
				for j := range b.results {
					if j != i && other != "" && b.results[j].Application == other {
						b.needs[i][j] = true
					}
				}
			}
		}
	})
	if b.command.Kind != KindStop {
		return
	}
	turned := make([]map[int]bool, len(b.needs))
	for i := range turned {
		turned[i] = map[int]bool{}
	}
	for i, needed := range b.needs {
		for j := range needed {
			turned[j][i] = true
		}
	}
	b.needs = turned
}

// meant is what an application is meant to be on each of its clusters: they may
// run different things, and one that does not answer is heard of when its turn
// comes.
func (d *Deployer) meant(ctx context.Context, s Selection) ([]*appmodel.Application, error) {
	to, err := d.reading(ctx, s.Application, s.Target)
	if err != nil {
		return nil, err
	}
	var out []*appmodel.Application
	var absent []error
	for _, name := range to.Clusters {
		here, err := d.presentOn(ctx, Source{Application: s.Application, Target: to}, name)
		switch {
		case err == nil:
			out = append(out, here.app)
		case errors.Is(err, appspan.ErrNotFound):
			absent = append(absent, fmt.Errorf("%s: %w", name, err))
		}
	}
	if len(absent) == len(to.Clusters) {
		return nil, errors.Join(absent...)
	}
	return out, nil
}

// waves are the applications that are under way at the same time. Those that
// need each other in a circle go together.
func (b *batch) waves() [][]int {
	if b.command.Kind != KindStart && b.command.Kind != KindStop && b.command.Kind != KindRestart {
		for i := range b.needs {
			b.needs[i] = nil
		}
	}
	var out [][]int
	done := make([]bool, len(b.results))
	for left := len(b.results); left > 0; {
		var wave, rest []int
		for i := range b.results {
			if done[i] {
				continue
			}
			waits := false
			for j := range b.needs[i] {
				waits = waits || !done[j]
			}
			if waits {
				rest = append(rest, i)
			} else {
				wave = append(wave, i)
			}
		}
		if len(wave) == 0 {
			wave = rest
		}
		for _, i := range wave {
			done[i] = true
		}
		left -= len(wave)
		out = append(out, wave)
	}
	return out
}

// run gives the command to the applications of a wave.
func (b *batch) run(ctx context.Context, wave []int) {
	b.each(len(wave), func(n int) {
		i := wave[n]
		r := &b.results[i]
		if r.err != nil {
			return
		}
		for j := range b.needs[i] {
			if b.results[j].err != nil {
				r.Skipped = true
				b.fail(i, fmt.Errorf("%w: %s, whose turn is before it, has failed", appspan.ErrPrecondition, b.results[j].Application))
				return
			}
		}
		apply := b.options.Apply
		if apply.Key != "" {
			apply.Key += fmt.Sprintf(" %s/%s", r.Target.Namespace, r.Application)
		}
		if tell := apply.OnEvent; tell != nil {
			apply.OnEvent = func(e appspan.Event) {
				b.events.Lock()
				defer b.events.Unlock()
				tell(e)
			}
		}
		result, err := b.d.Run(ctx, r.Application, r.Target, b.command, &apply)
		r.Result = result
		b.fail(i, err)
	})
}

// each calls do for 0 to n-1, several at a time.
func (b *batch) each(n int, do func(int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, b.options.Concurrency)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	wg.Wait()
}
