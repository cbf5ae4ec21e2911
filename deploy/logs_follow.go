package deploy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/appspan-dev/appspan/cluster"
)

const (
	// logWindow is how long lines are gathered to be put in order, and
	// mostWindow how many bytes of them at most.
	logWindow  = 100 * time.Millisecond
	mostWindow = 4 << 20
)

// following is one followed reading of logs.
type following struct {
	r       *logReader
	lines   chan LogLine
	streams chan struct{} // a token for each container that is read
	wg      sync.WaitGroup
}

// follow yields lines as they come.
func (r *logReader) follow(ctx context.Context, yield func(LogLine, error) bool) {
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	f := &following{r: r, lines: make(chan LogLine), streams: make(chan struct{}, r.opts.Streams)}
	ended := make(chan struct{})
	defer func() { <-ended }()
	defer cancel()
	for _, name := range r.to.Clusters {
		f.wg.Go(func() { f.follow(ctx, name) })
	}
	go func() {
		f.wg.Wait()
		close(ended)
	}()
	for {
		batch, more := f.gather(outer, ended)
		for _, l := range batch {
			if !yield(l, nil) {
				return
			}
		}
		switch {
		case outer.Err() != nil:
			yield(LogLine{}, context.Cause(outer))
			return
		case !more:
			return
		}
	}
}

// gather waits for a line, and then for more for a moment: lines that come
// together are ordered by time, and those of one container stay in their order.
func (f *following) gather(ctx context.Context, ended <-chan struct{}) (batch []LogLine, more bool) {
	var window <-chan time.Time
	for size := 0; size < mostWindow; {
		select {
		case l := <-f.lines:
			if batch = append(batch, l); window == nil {
				timer := time.NewTimer(logWindow)
				defer timer.Stop()
				window = timer.C
			}
			size += len(l.Text) + 256
			continue
		case <-window:
			more = true
		case <-ctx.Done():
		case <-ended:
		}
		break
	}
	slices.SortStableFunc(batch, func(a, b LogLine) int { return a.Time.Compare(b.Time) })
	return batch, more || len(batch) > 0 && ctx.Err() == nil
}

// give hands a line to the reader.
func (f *following) give(ctx context.Context, l LogLine) bool {
	select {
	case f.lines <- l:
		return true
	case <-ctx.Done():
		return false
	}
}

// follow reads the containers of one cluster.
func (f *following) follow(ctx context.Context, name string) {
	o := &onCluster{following: f, name: name, tails: map[string][]*tail{}}
	for n := 1; ctx.Err() == nil; n++ {
		c, queries, comes, err := o.open(ctx)
		if err == nil {
			var watches sync.WaitGroup
			for _, q := range queries {
				watches.Go(func() { o.watch(ctx, c, q) })
			}
			if comes {
				watches.Go(func() { o.watchJobs(ctx, c, queries) })
			}
			watches.Wait()
			return
		}
		o.went(ctx, err)
		if hopeless(err) {
			return
		}
		d := min(firstLogWait<<min(n, 10), longestLogWait)
		select {
		case <-time.After(d/2 + rand.N(d/2)):
		case <-ctx.Done():
		}
	}
}

// onCluster is what is known of one cluster.
type onCluster struct {
	*following
	name  string
	mu    sync.Mutex
	away  int // watches that do not hear the cluster
	tails map[string][]*tail
}

func (o *onCluster) open(ctx context.Context) (*cluster.Cluster, []podQuery, bool, error) {
	ctx, cancel := o.r.d.limit(ctx)
	defer cancel()
	c, err := o.r.d.clusters.Cluster(ctx, o.name)
	if err != nil {
		return nil, nil, false, err
	}
	queries, comes, err := o.r.d.podQueries(ctx, c, o.r.d.scopeOf(o.r.application, o.r.to))
	return c, queries, comes, err
}

// went says once that the cluster is away.
func (o *onCluster) went(ctx context.Context, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away++; o.away == 1 && ctx.Err() == nil {
		o.give(ctx, away(o.name, err))
	}
}

// back says that it answers again.
func (o *onCluster) back(ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away > 0 {
		o.give(ctx, LogLine{Kind: LogBack, Cluster: o.name, Time: time.Now().UTC()})
	}
	o.away = 0
}

// watch begins to read containers as pods come.
func (o *onCluster) watch(ctx context.Context, c *cluster.Cluster, q podQuery) {
	for e, err := range c.Watch(ctx, q.query("v1", "Pod", o.r.to.Namespace)) {
		switch {
		case err != nil:
			if ctx.Err() == nil {
				o.went(ctx, fmt.Errorf("pods that come are not seen any more: %w", err))
			}
			return
		case e.Type == cluster.Stale:
			o.went(ctx, e.Cause)
		case e.Type == cluster.Synced:
			o.back(ctx)
		case e.Type == cluster.Added || e.Type == cluster.Modified:
			if p, ok := q.read(e.Object); ok {
				o.saw(ctx, c, p)
			}
		case e.Type == cluster.Deleted:
			o.mu.Lock()
			o.wake(e.Object.UID)
			delete(o.tails, e.Object.UID)
			o.mu.Unlock()
		}
	}
}

// wake has who waits for a pod look at it again.
func (o *onCluster) wake(uid string) {
	for _, t := range o.tails[uid] {
		select {
		case t.nudge <- struct{}{}:
		default:
		}
	}
}

// saw begins to read a pod that is new.
func (o *onCluster) saw(ctx context.Context, c *cluster.Cluster, p pod) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, known := o.tails[p.uid]; known {
		o.wake(p.uid)
		return
	}
	tails := []*tail{}
	for _, container := range o.r.chosen(p) {
		t := o.r.tail(c, p, container, func(l LogLine) bool { return o.give(ctx, l) })
		tails = append(tails, t)
		o.wg.Go(func() {
			select {
			case o.streams <- struct{}{}:
			default:
				t.send(LogWaiting, "")
				select {
				case o.streams <- struct{}{}:
				case <-ctx.Done():
					return
				}
			}
			defer func() { <-o.streams }()
			t.run(ctx)
		})
	}
	o.tails[p.uid] = tails
}
