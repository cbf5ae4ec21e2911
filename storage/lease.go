package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
)

const (
	leaseFormat = 1
	leaseKeys   = "leases/"
)

// LeaseOptions shape [Leases].
type LeaseOptions struct {
	// TTL is how long a holder that says nothing keeps a lease; default 15 s,
	// at least 1 s. A holder renews it three times as often.
	TTL time.Duration
}

// Leases takes leases for one holder: of several processes over the same
// records, one holds a lease of a name at a time.
//
// No clocks are compared. Whoever wants a lease watches its record, and takes
// it over once it has seen no change for a whole TTL by its own monotonic
// clock; a holder stops being one a TTL after it began its last renewal that
// succeeded. As long as clocks run equally fast, to a tenth, never two hold it
// (the rule of client-go's leader election). What outlives that, as a request
// already on its way, is for the receiver to refuse: see [Lease.Fence].
type Leases struct {
	records *Records
	holder  string
	ttl     time.Duration

	mu   sync.Mutex
	seen map[string]sighting
}

// sighting is when a lease was first seen as it is.
type sighting struct {
	revision string
	at       time.Time
}

// leaseRecord is a lease as it is stored.
type leaseRecord struct {
	Envelope
	// Holder is empty once the lease was released.
	Holder string        `json:"holder,omitempty"`
	TTL    time.Duration `json:"ttlNanoseconds"`
	// Fence is one more for each holder.
	Fence int64 `json:"fence"`
	// Renewals makes each renewal another value.
	Renewals int64 `json:"renewals"`
	// Renewed is for people.
	Renewed time.Time `json:"renewed"`
}

// Leases returns leases for a holder, whose name no other process has at the
// same time: the host's name with something random, for example.
func (r *Records) Leases(holder string, opts *LeaseOptions) *Leases {
	l := &Leases{records: r, holder: holder, ttl: 15 * time.Second, seen: map[string]sighting{}}
	if opts != nil && opts.TTL > 0 {
		l.ttl = max(opts.TTL, time.Second)
	}
	return l
}

// ErrLeaseLost is why the context of a [Lease] ends that could not be renewed
// in time, or that another holder has; it wraps appspan.ErrPrecondition.
var ErrLeaseLost = fmt.Errorf("%w: the lease is lost", appspan.ErrPrecondition)

// Try takes a lease if nobody holds it. Held by another it is
// appspan.ErrConflict; call again, and once its holder has been silent for its
// TTL since the first call, the lease is taken over. A holder that was killed
// and comes back under the same name waits like any other.
func (l *Leases) Try(ctx context.Context, name string) (*Lease, error) {
	key := leaseKeys + name
	rec, err := l.records.Get(ctx, key)
	var held leaseRecord
	switch {
	case errors.Is(err, appspan.ErrNotFound):
	case err != nil:
		return nil, err
	default:
		if err := Decode(rec.Value, leaseFormat, &held); err != nil {
			return nil, wrap("lease", name, err)
		}
		if !l.free(name, rec.Revision, &held, time.Now()) { // after the Get: a renewal it saw may be that young
			return nil, wrap("lease", name, fmt.Errorf("%w: %s holds it", appspan.ErrConflict, held.Holder))
		}
	}
	next := leaseRecord{Envelope: Envelope{Format: leaseFormat, MinReader: leaseFormat}, Holder: l.holder, TTL: l.ttl, Fence: held.Fence + 1, Renewed: time.Now().UTC()}
	value, err := json.Marshal(next)
	if err != nil {
		return nil, wrap("lease", name, err)
	}
	begun := time.Now()
	revision, err := l.records.Put(ctx, key, value, rec.Revision)
	if lostRace(err) {
		return nil, wrap("lease", name, fmt.Errorf("%w: another holder was faster", appspan.ErrConflict))
	}
	if err != nil {
		return nil, err // if it was written all the same, its TTL has to pass
	}
	l.mu.Lock()
	delete(l.seen, name)
	l.mu.Unlock()
	return l.hold(name, next, revision, begun), nil
}

// free reports whether nobody holds a lease any more.
func (l *Leases) free(name, revision string, held *leaseRecord, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held.Holder == "" {
		return true
	}
	s, ok := l.seen[name]
	if !ok || s.revision != revision {
		l.seen[name] = sighting{revision: revision, at: now}
		return false
	}
	return now.Sub(s.at) >= held.TTL+held.TTL/10
}

// Acquire waits until it holds a lease, or ctx ends.
func (l *Leases) Acquire(ctx context.Context, name string) (*Lease, error) {
	for {
		lease, err := l.Try(ctx, name)
		if err == nil || !errors.Is(err, appspan.ErrConflict) && !appspan.Retryable(err) {
			return lease, err
		}
		if !sleep(ctx, l.ttl/10+rand.N(l.ttl/10)) {
			return nil, wrap("lease", name, context.Cause(ctx))
		}
	}
}

// Lease is a lease that is held. It renews itself until Release.
type Lease struct {
	leases *Leases
	name   string
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}

	mu       sync.Mutex
	record   leaseRecord
	revision string
	renewed  time.Time // when the last renewal that succeeded began
}

// hold begins to renew.
func (l *Leases) hold(name string, record leaseRecord, revision string, begun time.Time) *Lease {
	lease := &Lease{leases: l, name: name, done: make(chan struct{}), record: record, revision: revision, renewed: begun}
	lease.ctx, lease.cancel = context.WithCancelCause(context.Background())
	go lease.keep()
	return lease
}

// Context ends when the lease is lost, with [ErrLeaseLost] as its cause, or
// released. What only the holder may do runs under it.
func (l *Lease) Context() context.Context { return l.ctx }

// Fence is a number that grows with each holder of the lease. Who stores it
// with what the holder writes, and refuses a smaller one, is safe also from a
// holder that was asleep when it lost the lease.
func (l *Lease) Fence() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.record.Fence
}

// keep renews the lease until it is lost or released.
func (l *Lease) keep() {
	defer close(l.done)
	ttl := l.leases.ttl
	for {
		l.mu.Lock()
		end := l.renewed.Add(ttl)
		l.mu.Unlock()
		if !sleep(l.ctx, min(ttl/3, time.Until(end))) {
			return
		}
		limited, cancel := context.WithDeadlineCause(l.ctx, end, ErrLeaseLost)
		err := l.renew(limited)
		cancel()
		switch {
		case l.ctx.Err() != nil:
			return
		case lostRace(err), errors.Is(err, appspan.ErrConflict), !time.Now().Before(end) && err != nil:
			l.cancel(ErrLeaseLost)
			return
		case err != nil:
			if !sleep(l.ctx, min(ttl/20, max(0, time.Until(end)))) {
				return
			}
		}
	}
}

// renew writes the lease once more.
func (l *Lease) renew(ctx context.Context) error {
	l.mu.Lock()
	record, revision := l.record, l.revision
	l.mu.Unlock()
	record.Renewals++
	record.Renewed = time.Now().UTC()
	value, err := json.Marshal(record)
	if err != nil {
		return err
	}
	begun := time.Now()
	key := leaseKeys + l.name
	next, err := l.leases.records.Put(ctx, key, value, revision)
	if errors.Is(err, appspan.ErrPrecondition) { // was it a renewal of ours that nobody answered?
		rec, failed := l.leases.records.Get(ctx, key)
		var found leaseRecord
		if failed == nil && Decode(rec.Value, leaseFormat, &found) == nil && found.Holder == record.Holder && found.Fence == record.Fence {
			next, err, record = rec.Revision, nil, found
			begun = l.lastRenewed() // it is as old as that, at least
		}
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.record, l.revision, l.renewed = record, next, begun
	return nil
}

func (l *Lease) lastRenewed() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.renewed
}

// Release gives the lease back, so that another can have it at once, and ends
// its context. A lease that is lost is released. It is idempotent.
func (l *Lease) Release(ctx context.Context) error {
	l.cancel(context.Canceled)
	<-l.done
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.revision == "" {
		return nil
	}
	record := l.record
	record.Holder = ""
	value, err := json.Marshal(record)
	if err != nil {
		return wrap("lease", l.name, err)
	}
	_, err = l.leases.records.Put(ctx, leaseKeys+l.name, value, l.revision)
	if lostRace(err) {
		err = nil // somebody else has it
	}
	if err == nil {
		l.revision = ""
	}
	return err
}
