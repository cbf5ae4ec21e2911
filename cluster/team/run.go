package team

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
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
	// Reclaim also frees, every tenth time, what is reserved for applications
	// that do not run, see [Ledger.Reclaim]. It is for programs in which only
	// deploy reserves, as the same Installation.
	Reclaim bool
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

// minRetry is after how long a cluster that did not answer, or where something
// could not be done, is asked again at first; each time twice as long, up to
// the interval.
const minRetry = 5 * time.Second

// reclaimEvery is how many looks at all teams there are to one that frees.
const reclaimEvery = 10

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
	err := leases.Lead(ctx, "teams."+t.opts.Installation, o.Logger, func(ctx context.Context) error { return t.lead(ctx, o) })
	if err != nil {
		return fmt.Errorf("teams: %w", err)
	}
	return nil
}

func (p DriftPolicy) valid() bool { return p == "" || p == Repair || p == Show }

// lead keeps teams, until ctx ends.
func (t *Teams) lead(ctx context.Context, o RunOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := newTeller(o.OnEvent)
	k := &keeper{teams: t, opts: o, events: events, known: map[string][]string{}, loops: map[string]*loop{}}
	var followers sync.WaitGroup
	var errs [2]error
	for i, follow := range []func(context.Context) error{k.followTeams, k.followCredentials} {
		followers.Go(func() {
			errs[i] = follow(ctx)
			cancel()
		})
	}
	followers.Wait()
	k.wg.Wait()
	events.close()
	return errors.Join(errs[:]...)
}
