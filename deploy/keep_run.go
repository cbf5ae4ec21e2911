package deploy

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// minRetry is after how long a cluster that did not answer, or where something
// could not be done, is asked again at first; each time twice as long, up to
// the interval.
const minRetry = 5 * time.Second

// Run keeps what is to be kept, until ctx ends; then it returns nil once what
// was under way has ended. Of several processes that run a Keeper over the same
// records one does so; when that one ends or is silent for its TTL, another
// takes over where it was. No cluster waits for another, and one that does not
// answer is asked again with growing pauses.
//
// A heal waits for nothing but that it is written. The error is that of records
// which cannot be used.
func (k *Keeper) Run(ctx context.Context) error {
	leases := k.records.Leases(cmp.Or(k.opts.Holder, strings.ToLower(rand.Text()[:12])), &storage.LeaseOptions{TTL: k.opts.TTL})
	if err := leases.Lead(ctx, "drift."+k.deployer.opts.Installation, k.opts.Logger, k.lead); err != nil {
		return fmt.Errorf("keeper: %w", err)
	}
	return nil
}

// sleepFor waits, and reports whether it did to the end.
func sleepFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// spread is a time, more or less.
func spread(d time.Duration) time.Duration { return d - d/10 + mathrand.N(d/5+1) }

// lead keeps applications, until ctx ends.
func (k *Keeper) lead(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &rounds{keeper: k, events: newDispatcher(k.opts.OnEvent), turns: map[string]chan struct{}{}, current: map[string]round{}}
	defer r.events.close()
	defer r.wg.Wait()
	defer cancel()
	for e, err := range k.records.Watch(ctx, k.key(), nil) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		switch e.Type {
		case storage.Added, storage.Modified:
			kept, err := k.decode(e.Record)
			if err != nil { // others go on
				k.opts.Logger.Error("what is kept cannot be read", "record", e.Record.Key, "error", err)
				r.end(e.Record.Key)
				continue
			}
			r.begin(ctx, e.Record.Key, kept)
		case storage.Deleted:
			ended := r.end(e.Record.Key)
			namespace, application, _ := strings.Cut(strings.TrimPrefix(e.Record.Key, k.key()), "/")
			r.wg.Go(func() {
				<-ended
				if err := k.forget(ctx, namespace, application, nil); err != nil && ctx.Err() == nil {
					k.opts.Logger.Warn("forgetting what was found", "application", application, "error", err)
				}
			})
		case storage.Reset:
			for _, key := range r.all() {
				r.end(key)
			}
		}
	}
	return nil
}

// rounds are the loops over what is kept.
type rounds struct {
	keeper *Keeper
	events *dispatcher
	wg     sync.WaitGroup

	mu      sync.Mutex
	turns   map[string]chan struct{} // by cluster: who looks at it
	current map[string]round         // by record
}

// round is the loop over one application.
type round struct {
	stop  context.CancelFunc
	ended chan struct{}
}

// begin begins a loop once the one before it has ended.
func (r *rounds) begin(ctx context.Context, key string, kept Kept) {
	before := r.end(key)
	ctx, cancel := context.WithCancel(ctx)
	now := round{stop: cancel, ended: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current[key] = now
	r.wg.Go(func() {
		defer close(now.ended)
		<-before
		r.application(ctx, kept)
	})
}

// end ends a loop; what it returns is closed when it has ended.
func (r *rounds) end(key string) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, ok := r.current[key]
	if !ok {
		none := make(chan struct{})
		close(none)
		return none
	}
	now.stop()
	delete(r.current, key)
	return now.ended
}

func (r *rounds) all() (keys []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range r.current {
		keys = append(keys, key)
	}
	return keys
}

// turn waits until there is room on a cluster.
func (r *rounds) turn(ctx context.Context, cluster string) (done func(), ok bool) {
	r.mu.Lock()
	turns := r.turns[cluster]
	if turns == nil {
		turns = make(chan struct{}, r.keeper.opts.PerCluster)
		r.turns[cluster] = turns
	}
	r.mu.Unlock()
	select {
	case turns <- struct{}{}:
		return func() { <-turns }, ctx.Err() == nil
	case <-ctx.Done():
		return nil, false
	}
}

// application keeps one application: on the clusters that it is on, which are
// chosen again and again.
func (r *rounds) application(ctx context.Context, kept Kept) {
	k := r.keeper
	loops := map[string]context.CancelFunc{}
	var all sync.WaitGroup
	defer all.Wait()
	for ctx.Err() == nil {
		now, err := k.deployer.choose(ctx, kept.Application, kept.Target)
		if errors.Is(err, appspan.ErrNotFound) {
			now.Clusters, err = nil, nil // no cluster has these labels any more
		}
		if err != nil {
			k.opts.Logger.Warn("choosing clusters", "application", kept.Application, "error", err)
		} else {
			for name, stop := range loops {
				if !slices.Contains(now.Clusters, name) {
					stop()
					delete(loops, name)
				}
			}
			for _, name := range now.Clusters {
				if loops[name] == nil {
					limited, stop := context.WithCancel(ctx)
					loops[name] = stop
					all.Go(func() { r.cluster(limited, kept, name) })
				}
			}
			if err := k.forget(ctx, kept.Target.Namespace, kept.Application, now.Clusters); err != nil && ctx.Err() == nil {
				k.opts.Logger.Warn("forgetting what was found", "application", kept.Application, "error", err)
			}
		}
		sleepFor(ctx, spread(kept.Interval))
	}
	for _, stop := range loops {
		stop()
	}
}

// cluster looks at an application on one cluster again and again, and goes on
// where another process left off.
func (r *rounds) cluster(ctx context.Context, kept Kept, name string) {
	k := r.keeper
	last, err := k.finding(ctx, kept.Target.Namespace, kept.Application, name)
	if err != nil && ctx.Err() == nil {
		k.opts.Logger.Warn("reading what was found", "application", kept.Application, "cluster", name, "error", err)
	}
	if last.Checked.After(kept.Since) && !sleepFor(ctx, min(time.Until(last.Next), kept.Interval)) {
		return
	}
	for {
		done, ok := r.turn(ctx, name)
		if ok {
			last = r.look(ctx, kept, name, last)
		}
		if done != nil {
			done()
		}
		if !sleepFor(ctx, time.Until(last.Next)) {
			return
		}
	}
}

// look looks once and does what the policy says.
func (r *rounds) look(ctx context.Context, kept Kept, name string, last Finding) Finding {
	k := r.keeper
	to := Target{Clusters: []string{name}, Namespace: kept.Target.Namespace, Team: kept.Target.Team}
	c := &ClusterDrift{Cluster: name, part: &ClusterPlan{}}
	var result *ClusterResult
	var h *Healing
	err := k.foreign(ctx, kept, name)
	if err == nil {
		h, err = k.deployer.PlanHeal(ctx, kept.Application, to, kept.Policy, nil)
	}
	if err == nil {
		c = h.Drift.Cluster(name)
		if h.Plan != nil {
			var done *Result
			if done, err = k.deployer.Apply(ctx, h.Plan, &ApplyOptions{Wait: WaitWritten}); done != nil {
				result, err = done.Cluster(name), nil
			}
		}
	}
	if ctx.Err() != nil && result == nil {
		last.Next = time.Now() // nobody said anything of the cluster
		return last
	}
	if err != nil {
		c.err, c.Error, c.Unknown = err, err.Error(), errors.Is(err, appspan.ErrUnavailable)
	}
	now := time.Now().UTC()
	found, news := last.next(c, result, now)
	wait := kept.Interval
	if found.Error != "" {
		found.Failures = last.Failures + 1
		wait = min(minRetry<<min(last.Failures, 20), kept.Interval)
	}
	found.Next = now.Add(spread(wait))
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := k.save(write, kept.Target.Namespace, kept.Application, found); err != nil {
		k.opts.Logger.Warn("writing down what was found", "application", kept.Application, "cluster", name, "error", err)
	}
	if news != nil {
		e := appspan.Event{Cluster: name, Kind: appspan.EventState, Phase: PhaseDrift, Object: "Application " + kept.Target.Namespace + "/" + kept.Application, Message: cut(printable(news.String()), maxAccount)}
		switch {
		case news.Error != "":
			e.Kind = appspan.EventFailure
		case len(found.Items) > 0:
			e.Kind = appspan.EventWarning
		}
		r.events.send(e)
	}
	return found
}

// foreign refuses a namespace of another team: labels choose clusters later that
// who asked for it had no say about, and the Keeper may do more than they.
func (k *Keeper) foreign(ctx context.Context, kept Kept, name string) error {
	c, err := k.deployer.clusters.Cluster(ctx, name)
	if kept.Target.Team == "" || err != nil { // which the look says
		return nil
	}
	team, err := k.deployer.teamOf(ctx, c, kept.Target.Namespace)
	if err == nil && team != "" && team != kept.Target.Team {
		return fmt.Errorf("namespace %s on %s: %w: it is another team's", kept.Target.Namespace, name, appspan.ErrDenied)
	}
	return nil
}

// PhaseDrift is the phase of a Keeper's events.
const PhaseDrift = "drift"
