package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/appspan-dev/appspan"
)

// mergeAhead is how many lines of one container wait to be merged.
const mergeAhead = 8

// merge yields the lines up to now, ordered by time.
func (r *logReader) merge(ctx context.Context, yield func(LogLine, error) bool) {
	tails, notices := r.tails(ctx)
	if ctx.Err() != nil {
		yield(LogLine{}, context.Cause(ctx))
		return
	}
	if len(tails) > r.opts.Streams {
		yield(LogLine{}, fmt.Errorf("logs of %s: %w: %d containers, and LogOptions.Streams is %d; choose components or clusters, or raise it",
			r.application, appspan.ErrExhausted, len(tails), r.opts.Streams))
		return
	}
	for _, l := range notices {
		if !yield(l, nil) {
			return
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	heads := make([]*head, len(tails))
	for i, t := range tails {
		h := &head{lines: make(chan LogLine, mergeAhead)}
		heads[i] = h
		t.give = func(l LogLine) bool {
			select {
			case h.lines <- l:
				return true
			case <-ctx.Done():
				return false
			}
		}
		reading.Go(func() {
			defer close(h.lines)
			t.run(ctx)
		})
	}
	heads = slices.DeleteFunc(heads, func(h *head) bool { return !h.advance() })
	for len(heads) > 0 && ctx.Err() == nil {
		first := 0
		for i, h := range heads {
			if h.line.Time.Before(heads[first].line.Time) {
				first = i
			}
		}
		if !yield(heads[first].line, nil) {
			return
		}
		if !heads[first].advance() {
			heads = slices.Delete(heads, first, first+1)
		}
	}
	if ctx.Err() != nil {
		yield(LogLine{}, context.Cause(ctx))
	}
}

// head is the next line of one container.
type head struct {
	line  LogLine
	lines chan LogLine
}

func (h *head) advance() (ok bool) {
	h.line, ok = <-h.lines
	return ok
}

// tails are those of all containers, by cluster and name, and what there is to
// say about clusters that did not tell theirs.
func (r *logReader) tails(ctx context.Context) (tails []*tail, notices []LogLine) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, name := range r.to.Clusters {
		wg.Go(func() {
			found, err := r.tailsOn(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			tails = append(tails, found...)
			if err != nil {
				notices = append(notices, away(name, err))
			}
		})
	}
	wg.Wait()
	slices.SortFunc(tails, func(a, b *tail) int {
		return cmp.Or(cmp.Compare(a.cluster.Name(), b.cluster.Name()), cmp.Compare(a.pod.Name, b.pod.Name), compareSources(a.source(), b.source()))
	})
	slices.SortFunc(notices, func(a, b LogLine) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return tails, notices
}

func (r *logReader) tailsOn(ctx context.Context, name string) ([]*tail, error) {
	ctx, cancel := r.d.limit(ctx)
	defer cancel()
	c, err := r.d.clusters.Cluster(ctx, name)
	if err != nil {
		return nil, err
	}
	pods, err := r.d.podsOf(ctx, c, r.d.scopeOf(r.application, r.to))
	if err != nil {
		return nil, err
	}
	var tails []*tail
	for _, p := range pods {
		for _, container := range r.chosen(p) {
			tails = append(tails, r.tail(c, p, container, nil))
		}
	}
	return tails, nil
}

// chosen are the containers of a pod that are read.
func (r *logReader) chosen(p pod) []string {
	switch {
	case len(r.opts.Components) > 0 && !slices.Contains(r.opts.Components, p.component):
		return nil
	case r.opts.AllContainers:
		return p.containers()
	case len(r.opts.Containers) == 0:
		return []string{p.mainContainer()}
	}
	return slices.DeleteFunc(p.containers(), func(name string) bool { return !slices.Contains(r.opts.Containers, name) })
}
