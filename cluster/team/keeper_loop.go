package team

import (
	"context"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
)

// loop is what is looked at on one cluster.
type loop struct {
	cluster string
	stop    context.CancelFunc
	wake    chan struct{}

	mu    sync.Mutex
	teams map[string]bool // whether they have changed
}

func (l *loop) add(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.teams[id] = true
	l.poke()
}

// changed is add for a team that is there.
func (l *loop) changed(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.teams[id]; ok {
		l.teams[id] = true
		l.poke()
	}
}

func (l *loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// remove returns how many are left.
func (l *loop) remove(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.teams, id)
	return len(l.teams)
}

// take returns the teams that have changed, or all, sorted.
func (l *loop) take(all bool) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for id, changed := range l.teams {
		if changed || all {
			out = append(out, id)
			l.teams[id] = false
		}
	}
	slices.Sort(out)
	return out
}

// run looks at one cluster again and again.
func (k *keeper) run(ctx context.Context, l *loop) {
	var next time.Time // for all
	for n, failures := 0, 0; ctx.Err() == nil; {
		all := !time.Now().Before(next)
		ids := l.take(all)
		answered, done := k.look(ctx, l, ids)
		if all && answered {
			if k.opts.Reclaim && n%reclaimEvery == 0 {
				done = k.reclaim(ctx, l, ids) && done
			}
			n++
		}
		switch {
		case !done:
			retry := min(minRetry<<min(failures, 20), k.opts.Interval)
			failures++
			if soon := time.Now().Add(spread(retry)); all || soon.Before(next) {
				next = soon
			}
		case all:
			failures, next = 0, time.Now().Add(spread(k.opts.Interval))
		}
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// reclaim frees what was left behind by processes that ended in the middle.
func (k *keeper) reclaim(ctx context.Context, l *loop, ids []string) bool {
	done := true
	for _, id := range ids {
		freed, err := k.teams.ledger.Reclaim(ctx, id, k.teams, &ReclaimOptions{Cluster: l.cluster})
		if err == nil && len(freed) > 0 {
			err = k.teams.audit(ctx, appspan.VerbUpdate, "quota", id, l.cluster, nil)
		}
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			k.opts.Logger.Warn("freeing what is not used", "team", id, "cluster", l.cluster, "error", err)
			done = false
		}
	}
	return done
}

// spread is a time, more or less.
func spread(d time.Duration) time.Duration { return d - d/10 + mathrand.N(d/5+1) }

// look looks at teams on a cluster, one after the other, and reports whether
// the cluster answered and nothing is left to be tried again soon. When it does
// not answer it is unknown for all teams.
func (k *keeper) look(ctx context.Context, l *loop, ids []string) (answered, done bool) {
	done = true
	for i, id := range ids {
		p, err := k.check(ctx, id, l.cluster, nil)
		if ctx.Err() != nil {
			return false, false
		}
		if err != nil {
			k.opts.Logger.Warn("looking at a team", "team", id, "cluster", l.cluster, "error", err)
			done = false
		}
		if p.Unknown {
			for _, other := range l.take(true) {
				if slices.Contains(ids[:i+1], other) {
					continue
				}
				if _, err := k.check(ctx, other, l.cluster, &p); err != nil && ctx.Err() == nil {
					k.opts.Logger.Warn("noting that a cluster does not answer", "team", other, "cluster", l.cluster, "error", err)
				}
			}
			return false, false
		}
		done = done && (p.Error == "" || p.Gone) && len(p.Refused) == 0 && !slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Error != "" })
	}
	return true, done
}

// check looks at a team on a cluster, or is told what would be found, and does
// what its policy says.
func (k *keeper) check(ctx context.Context, id, clusterName string, told *ClusterPlan) (ClusterPlan, error) {
	d, err := load(ctx, k.teams.records, id)
	if errors.Is(err, appspan.ErrNotFound) || err == nil && d.Deleting != nil {
		return ClusterPlan{}, nil
	}
	if err != nil {
		return ClusterPlan{}, err
	}
	policy := d.Drift
	if policy == "" {
		policy = k.opts.Policy
	}
	var p ClusterPlan
	if told != nil {
		p = *told
	} else {
		p = k.teams.work(ctx, d, clusterName, job{write: policy == Repair, unattended: true})
		if undone, err := k.teams.undo(context.WithoutCancel(ctx), d, p); undone || err != nil {
			return ClusterPlan{}, err
		}
		if ctx.Err() != nil {
			return p, nil // nobody said anything of the cluster
		}
	}
	if policy == Repair {
		err = k.teams.left(ctx, d, Plan{Team: id, Clusters: []ClusterPlan{p}})
	}
	news, failed := k.teams.note(ctx, d, p)
	err = errors.Join(err, failed)
	if changed(Plan{Clusters: []ClusterPlan{p}}) {
		err = k.teams.audit(ctx, appspan.VerbUpdate, "team", id, clusterName, errors.Join(err, p.failure()))
	}
	if news {
		k.events.send(id, p)
	}
	return p, err
}

// failure is what could not be done, or nil.
func (p ClusterPlan) failure() error {
	for _, c := range p.Changes {
		if c.Error != "" {
			return fmt.Errorf("%s %s: %s", c.Action, c.Object, c.Error)
		}
	}
	if p.Error != "" {
		return errors.New(p.Error)
	}
	return nil
}
