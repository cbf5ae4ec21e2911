package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/storage"
)

// fullEvery is how many checks there are to one that reads everything.
const fullEvery = 10

// join opens the cluster of a record. One that is open stays so, with all that
// is going on there, unless the way to it has changed. One that cannot be
// opened is a member too, for everybody to see why.
func (f *fleet) join(ctx context.Context, rec *storedRecord) (*member, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.joinLocked(ctx, rec)
}

// errOvertaken says that while a record was read another was joined, which may
// be newer.
var errOvertaken = errors.New("another record was joined meanwhile")

// joinAfter joins a record that was read when the one of revision before was
// joined. If that is not so any more it is errOvertaken.
func (f *fleet) joinAfter(ctx context.Context, before string, rec *storedRecord) (*member, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.revision(rec.Name); now != before && now != rec.revision {
		return nil, errOvertaken
	}
	return f.joinLocked(ctx, rec)
}

// revision is that of the record that a name was last joined by, empty for
// none. The caller holds the lock.
func (f *fleet) revision(name string) string {
	if m := f.members[name]; m != nil {
		return m.revision
	}
	return ""
}

func (f *fleet) joinLocked(ctx context.Context, rec *storedRecord) (*member, error) {
	if f.closed {
		return nil, errFleetClosed
	}
	old := f.members[rec.Name]
	if old != nil && (old.revision == rec.revision || old.follow(rec)) {
		return old, nil
	}
	d, err := f.opener(rec)(ctx)
	if err != nil {
		d = newReopener(err, f.opener(rec))
	}
	m := newMember(f.cluster(d, &rec.Registration), rec)
	if old != nil {
		m.inherit(old)
		if err := old.close(); err != nil {
			f.opts.Logger.Warn("closing a cluster", "cluster", rec.Name, "error", err)
		}
	}
	f.members[rec.Name] = m
	return m, nil
}

// opener opens the cluster of a record.
func (f *fleet) opener(rec *storedRecord) func(context.Context) (driver.Cluster, error) {
	r, broken := rec.Registration, rec.broken
	return func(ctx context.Context) (driver.Cluster, error) {
		if broken != nil {
			return nil, broken
		}
		return f.dial(ctx, &r)
	}
}

// leave closes a cluster that is not a member any more.
func (f *fleet) leave(name string) {
	f.mu.Lock()
	f.leaveUnlock(name)
}

// leaveAfter does so if no record has been joined since that of revision
// before.
func (f *fleet) leaveAfter(before, name string) {
	f.mu.Lock()
	if f.revision(name) != before {
		f.mu.Unlock()
		return
	}
	f.leaveUnlock(name)
}

// leaveUnlock gives the caller's lock back before it closes anything.
func (f *fleet) leaveUnlock(name string) {
	m := f.members[name]
	delete(f.members, name)
	f.mu.Unlock()
	if m != nil {
		if err := m.close(); err != nil {
			f.opts.Logger.Warn("closing a cluster", "cluster", name, "error", err)
		}
	}
}

// member is the open cluster of a name.
func (f *fleet) member(ctx context.Context, name string) (*member, error) {
	f.mu.Lock()
	m, synced, closed := f.members[name], f.synced, f.closed
	f.mu.Unlock()
	if closed {
		return nil, errFleetClosed
	}
	if synced && m != nil {
		return m, nil
	}
	return f.look(ctx, name)
}

// look reads the record of a name and joins it.
func (f *fleet) look(ctx context.Context, name string) (*member, error) {
	for {
		f.mu.Lock()
		before := f.revision(name)
		f.mu.Unlock()
		rec, err := f.records.Get(ctx, clusterKeys+name)
		if errors.Is(err, appspan.ErrNotFound) {
			f.leaveAfter(before, name)
		}
		if err != nil {
			return nil, unknownCluster(name, err)
		}
		if m, err := f.joinAfter(ctx, before, f.openAnyway(rec)); !errors.Is(err, errOvertaken) {
			return m, err
		}
	}
}

// all are the open clusters, sorted by name.
func (f *fleet) all(ctx context.Context) ([]*member, error) {
	f.mu.Lock()
	synced, closed, before := f.synced, f.closed, map[string]string{}
	for name, m := range f.members {
		before[name] = m.revision
	}
	f.mu.Unlock()
	if closed {
		return nil, errFleetClosed
	}
	if !synced {
		seen := map[string]bool{}
		for rec, err := range f.records.List(ctx, clusterKeys) {
			if err != nil {
				return nil, err
			}
			r := f.openAnyway(rec)
			seen[r.Name] = true
			_, err := f.joinAfter(ctx, before[r.Name], r)
			if errors.Is(err, errOvertaken) {
				_, err = f.look(ctx, r.Name)
			}
			if err != nil && !errors.Is(err, appspan.ErrNotFound) {
				return nil, err
			}
		}
		for name, revision := range before {
			if !seen[name] {
				f.leaveAfter(revision, name)
			}
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]*member, 0, len(f.members))
	for _, m := range f.members {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *member) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

func (f *fleet) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]string, 0, len(f.members))
	for name := range f.members {
		out = append(out, name)
	}
	return out
}

// Refresh checks the clusters that sel chooses now, all at the same time, with
// everything that there is to read, and returns when each has answered or used
// up its CheckTimeout. How they do is in [Fleet.Clusters]; the error is that
// of reading the registry.
func (f *Fleet) Refresh(ctx context.Context, sel Selector) error {
	members, err := f.all(ctx)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for _, m := range members {
		st := m.status()
		if !sel.matches(&st) || f.authorize(ctx, appspan.VerbRead, m.name) != nil {
			continue
		}
		wg.Go(func() { f.checkOne(ctx, m, true) })
	}
	wg.Wait()
	return ctx.Err()
}

// checkOne checks one cluster and notes how it does.
func (f *fleet) checkOne(ctx context.Context, m *member, full bool) {
	limited, cancel := context.WithTimeoutCause(ctx, f.opts.CheckTimeout, fmt.Errorf("no answer within %v", f.opts.CheckTimeout))
	defer cancel()
	begun := time.Now()
	j := m.check(limited, full)
	if ctx.Err() != nil {
		return // nobody said anything of the cluster
	}
	if j.health != Unreachable {
		if err := f.recognise(ctx, m); err != nil {
			j = judgement{health: Degraded, reasons: []string{reason(err)}}
		}
	}
	change, changed := m.set(j, time.Now().UTC())
	if f.opts.Metrics != nil {
		f.opts.Metrics.Checked(m.name, j.health, time.Since(begun))
	}
	if changed {
		if err := f.remember(ctx, m.name, change); err != nil {
			f.opts.Logger.Warn("recording the health of a cluster", "cluster", m.name, "error", err)
		}
	}
}

// recognise records the identity of a cluster that was registered before it
// first answered.
func (f *fleet) recognise(ctx context.Context, m *member) error {
	m.mu.Lock()
	known, info := m.reg.UID, m.info
	m.mu.Unlock()
	if known != "" || info == nil {
		return nil
	}
	if err := f.prune(ctx, m.cluster, info.UID); err != nil {
		return err
	}
	if err := f.claim(ctx, info.UID, m.name); err != nil {
		return err
	}
	for range maxChangeAttempts {
		stored, err := f.load(ctx, clusterKeys+m.name)
		if err != nil {
			return unknownCluster(m.name, err)
		}
		if stored.UID == "" {
			stored.UID = info.UID
			if _, err = f.store(ctx, clusterKeys+m.name, &stored.clusterRecord, stored.revision); errors.Is(err, appspan.ErrPrecondition) {
				continue
			}
			if err != nil {
				return err
			}
		}
		m.mu.Lock()
		m.reg.UID = stored.UID
		m.mu.Unlock()
		return nil
	}
	return nil // the next check tries again
}

// healthRecord is the history of a cluster's health as it is stored.
type healthRecord struct {
	storage.Envelope
	Transitions []Transition `json:"transitions"`
}

// remember adds a change to the history of a cluster's health. Of the same
// change that several processes see, one is kept.
func (f *fleet) remember(ctx context.Context, name string, change Transition) error {
	_, err := f.records.Update(ctx, healthKeys+name, func(old []byte) ([]byte, error) {
		var r healthRecord
		if old != nil {
			if err := storage.Decode(old, clusterFormat, &r); err != nil {
				return nil, err
			}
		}
		if n := len(r.Transitions); n > 0 && r.Transitions[n-1].Health == change.Health && slices.Equal(r.Transitions[n-1].Reasons, change.Reasons) {
			return old, nil
		}
		r.Transitions = append(r.Transitions, change)
		if n := len(r.Transitions) - maxTransitions; n > 0 {
			r.Transitions = slices.Delete(r.Transitions, 0, n)
		}
		r.Envelope = storage.Envelope{Format: clusterFormat, MinReader: clusterFormat}
		return json.Marshal(r)
	})
	return err
}

// History is how a cluster's health changed, the newest last, at most the last
// hundred changes.
func (f *Fleet) History(ctx context.Context, name string) ([]Transition, error) {
	if err := f.authorize(ctx, appspan.VerbRead, name); err != nil {
		return nil, err
	}
	rec, err := f.records.Get(ctx, healthKeys+name)
	if errors.Is(err, appspan.ErrNotFound) {
		_, err := f.member(ctx, name)
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	var r healthRecord
	if err := storage.Decode(rec.Value, clusterFormat, &r); err != nil {
		return nil, fmt.Errorf("record %s: %w", rec.Key, err)
	}
	return r.Transitions, nil
}

// Run keeps the fleet as it is registered, checks every cluster again and
// again, and prunes forgotten clusters that come back, until ctx ends. No
// cluster waits for another.
func (f *Fleet) Run(ctx context.Context) error {
	f.mu.Lock()
	closed := f.closed
	f.mu.Unlock()
	if closed {
		return errFleetClosed
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &runner{fleet: f.fleet, loops: map[string]loop{}}
	r.wg.Go(func() { f.tombstones(ctx) })
	err := r.follow(ctx)
	cancel()
	r.wg.Wait()
	f.mu.Lock()
	f.synced = false
	f.mu.Unlock()
	return err
}

// runner is one Run.
type runner struct {
	*fleet
	wg    sync.WaitGroup
	loops map[string]loop // by cluster
}

// loop is the checks of one member.
type loop struct {
	member *member
	cancel context.CancelFunc
}

// follow keeps members as they are registered.
func (r *runner) follow(ctx context.Context) error {
	for e, err := range r.records.Watch(ctx, clusterKeys, nil) {
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		name := strings.TrimPrefix(e.Record.Key, clusterKeys)
		switch e.Type {
		case storage.Added, storage.Modified:
			r.admit(ctx, e.Record)
		case storage.Deleted:
			r.stop(name)
			r.leave(name)
		case storage.Reset:
			r.setSynced(false)
			for _, name := range r.names() {
				r.stop(name)
				r.leave(name)
			}
		case storage.Synced:
			r.setSynced(true)
		}
	}
	return nil
}

func (f *fleet) setSynced(v bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.synced = v
}

// admit opens a cluster and begins to check it.
func (r *runner) admit(ctx context.Context, rec storage.Record) {
	m, err := r.join(ctx, r.openAnyway(rec))
	if err != nil {
		return // the fleet is closed
	}
	if r.loops[m.name].member == m {
		return
	}
	r.stop(m.name)
	checking, cancel := context.WithCancel(ctx)
	r.loops[m.name] = loop{m, cancel}
	r.wg.Go(func() { r.keepChecking(checking, m) })
}

func (r *runner) stop(name string) {
	if l, ok := r.loops[name]; ok {
		l.cancel()
		delete(r.loops, name)
	}
}

// keepChecking checks one cluster again and again.
func (f *fleet) keepChecking(ctx context.Context, m *member) {
	interval := f.opts.CheckInterval
	for n := 0; ; n++ {
		f.checkOne(ctx, m, n%fullEvery == 0)
		if !sleep(ctx, interval-interval/10+rand.N(interval/5+1)) {
			return
		}
	}
}

// tombstones looks now and then whether a forgotten cluster has come back.
func (f *Fleet) tombstones(ctx context.Context) {
	for sleep(ctx, 10*f.opts.CheckInterval) {
		var wg sync.WaitGroup
		for rec, err := range f.records.List(ctx, forgottenKeys) {
			if err != nil {
				f.missed(ctx, "reading the forgotten clusters", err)
				break
			}
			wg.Go(func() { f.missed(ctx, "pruning a forgotten cluster", f.revisit(ctx, rec)) })
		}
		wg.Wait()
	}
}

// missed logs what the next turn tries again.
func (f *fleet) missed(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		f.opts.Logger.Warn(what, "error", err)
	}
}

// revisit prunes a forgotten cluster if it answers.
func (f *fleet) revisit(ctx context.Context, rec storage.Record) error {
	stored, err := f.open(rec)
	if err != nil {
		return err
	}
	c, err := f.connect(ctx, &stored.Registration)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := f.verify(ctx, c); err != nil {
		return nil // it is still gone
	}
	return f.prune(ctx, c, stored.UID)
}
