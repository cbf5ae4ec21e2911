package team

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/driver"
)

// DriftPolicy says what [Teams.Run] does about what is not as it is recorded.
type DriftPolicy string

// The policies.
const (
	// Repair makes it so, as [Teams.Reconcile] does.
	Repair DriftPolicy = "repair"
	// Show changes nothing: [Teams.Drift] shows what Reconcile would do.
	Show DriftPolicy = "show"
)

// RunOptions shape [Teams.Run]. The zero value, like nil, is the default.
type RunOptions struct {
	// Interval is the time between two looks at a team on a cluster, spread by
	// a fifth; default 5 min.
	Interval time.Duration
	// Policy is for teams that have none of their own; default [Repair].
	Policy DriftPolicy
	// Holder names this process among those that share the records, each time
	// that it starts another name; default: a random one.
	Holder string
	// TTL is after how long without a sign of life another process takes over;
	// default 15 s.
	TTL time.Duration
	// OnEvent hears what is news: of each team on each cluster the latest, where
	// it is slow.
	OnEvent func(appspan.Event)
	// Logger hears what no caller is told; nil discards.
	Logger *slog.Logger
}

// minRetry is after how long a cluster that did not answer is asked again at
// first; each time twice as long, up to the interval.
const minRetry = 5 * time.Second

// Run keeps teams on their clusters as they are recorded, until ctx ends: it
// looks again and again, and at once when a team or its image pull credentials
// change, and repairs or only shows what it finds, as the team's policy says.
// What it finds and does is in [Teams.Drift], what it changes in the audit log.
//
// Of several processes that run it over the same records one does so; when
// that one ends or is silent for its TTL, another takes over. No cluster waits
// for another; one that does not answer is Unknown, and asked again with
// growing pauses.
//
// It never makes a namespace anew that was there and is gone with all that was
// in it: that is shown, and [Teams.Reconcile] does it, or [Teams.Update] takes
// it from the team. Teams that are being deleted are left to [Teams.Delete].
//
// The acting subject needs the right to update every team. The error is that
// of records which cannot be used.
func (t *Teams) Run(ctx context.Context, opts *RunOptions) error {
	var o RunOptions
	if opts != nil {
		o = *opts
	}
	if o.Interval <= 0 {
		o.Interval = 5 * time.Minute
	}
	if o.Policy == "" {
		o.Policy = Repair
	}
	if o.TTL <= 0 {
		o.TTL = 15 * time.Second
	}
	if o.Holder == "" {
		o.Holder = strings.ToLower(rand.Text()[:12])
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if !o.Policy.valid() {
		return fmt.Errorf("teams: %w: there is no drift policy %q; use repair or show", appspan.ErrInvalid, o.Policy)
	}
	if err := t.authorize(ctx, appspan.VerbUpdate, "team", "", ""); err != nil {
		return err
	}
	leases := t.records.Leases(o.Holder, &storage.LeaseOptions{TTL: o.TTL})
	for {
		lease, err := leases.Acquire(ctx, "teams."+t.opts.Installation)
		if err == nil {
			err = t.lead(ctx, lease, o)
			released, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			_ = lease.Release(released) // else it ends by itself
			cancel()
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil: // the lease was lost
		case errors.Is(err, appspan.ErrUnavailable) && !errors.Is(err, driver.ErrClosed):
			o.Logger.Warn("the records do not answer", "error", err)
			if !pause(ctx, spread(o.TTL)) {
				return nil
			}
		default:
			return fmt.Errorf("teams: %w", err)
		}
	}
}

// pause waits, and reports whether it did to the end.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (p DriftPolicy) valid() bool { return p == "" || p == Repair || p == Show }

// lead keeps teams as long as the lease is held.
func (t *Teams) lead(ctx context.Context, lease *storage.Lease, o RunOptions) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(lease.Context(), func() { cancel(storage.ErrLeaseLost) })()
	events := newTeller(o.OnEvent)
	k := &keeper{teams: t, opts: o, events: events, known: map[string][]string{}, loops: map[string]*loop{}}
	var followers sync.WaitGroup
	var errs [2]error
	for i, follow := range []func(context.Context) error{k.followTeams, k.followCredentials} {
		followers.Go(func() {
			errs[i] = follow(ctx)
			cancel(nil)
		})
	}
	followers.Wait()
	k.wg.Wait()
	events.close()
	return errors.Join(errs[:]...)
}

// keeper keeps teams.
type keeper struct {
	teams  *Teams
	opts   RunOptions
	events *teller
	wg     sync.WaitGroup // of loops

	mu    sync.Mutex
	known map[string][]string // clusters by team
	loops map[string]*loop    // by cluster
}

// followTeams keeps known and loops as teams are recorded.
func (k *keeper) followTeams(ctx context.Context) error {
	return k.follow(ctx, teamPrefix, func(e storage.Event) {
		id := strings.TrimPrefix(e.Record.Key, teamPrefix)
		switch e.Type {
		case storage.Added, storage.Modified:
			d, err := decodeTeam(e.Record)
			if err != nil { // others go on
				k.opts.Logger.Error("a team cannot be read", "record", e.Record.Key, "error", err)
				return
			}
			k.set(ctx, id, d.involved())
		case storage.Deleted:
			k.set(ctx, id, nil)
			if err := k.teams.forgetConditions(ctx, id); err != nil && ctx.Err() == nil {
				k.opts.Logger.Warn("forgetting a team", "team", id, "error", err)
			}
		case storage.Reset:
			for _, id := range k.all() {
				k.set(ctx, id, nil)
			}
		}
	})
}

// followCredentials looks at teams whose image pull credentials change.
func (k *keeper) followCredentials(ctx context.Context) error {
	synced := false
	return k.follow(ctx, credentialsPrefix, func(e storage.Event) {
		switch {
		case e.Type == storage.Synced:
			synced = true
		case e.Record.Key != "" && synced:
			id, clusterName := splitPlace(strings.TrimPrefix(e.Record.Key, credentialsPrefix))
			k.mu.Lock()
			defer k.mu.Unlock()
			if l := k.loops[clusterName]; l != nil {
				l.changed(id)
			}
		}
	})
}

func (k *keeper) follow(ctx context.Context, prefix string, handle func(storage.Event)) error {
	for e, err := range k.teams.records.Watch(ctx, prefix, nil) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		handle(e)
	}
	return nil
}

func (k *keeper) all() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for id := range k.known {
		out = append(out, id)
	}
	return out
}

// set says on which clusters a team has something, or may have: each is looked
// at, and those that it is not on any more are left.
func (k *keeper) set(ctx context.Context, id string, clusters []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range k.known[id] {
		if !slices.Contains(clusters, name) && k.loops[name].remove(id) == 0 {
			k.loops[name].stop()
			delete(k.loops, name)
		}
	}
	for _, name := range clusters {
		l := k.loops[name]
		if l == nil {
			limited, stop := context.WithCancel(ctx)
			l = &loop{cluster: name, stop: stop, teams: map[string]bool{}, wake: make(chan struct{}, 1)}
			k.loops[name] = l
			k.wg.Go(func() { k.run(limited, l) })
		}
		l.add(id)
	}
	if k.known[id] = clusters; len(clusters) == 0 {
		delete(k.known, id)
	}
}

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
	for failures := 0; ctx.Err() == nil; {
		all := !time.Now().Before(next)
		done := k.look(ctx, l, l.take(all))
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

// spread is a time, more or less.
func spread(d time.Duration) time.Duration { return d - d/10 + mathrand.N(d/5+1) }

// look looks at teams on a cluster, one after the other, and reports whether
// all was done. When the cluster does not answer it is unknown for all teams.
func (k *keeper) look(ctx context.Context, l *loop, ids []string) bool {
	done := true
	for i, id := range ids {
		p, err := k.check(ctx, id, l.cluster, nil)
		if ctx.Err() != nil {
			return false
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
			return false
		}
		done = done && (p.Error == "" || p.Gone) && !slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Error != "" })
	}
	return done
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
	} else if p = k.teams.work(ctx, d, clusterName, job{write: policy == Repair, unattended: true}); ctx.Err() != nil {
		return p, nil // nobody said anything of the cluster
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
