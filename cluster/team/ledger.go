package team

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/storage"
)

// MaxReservations is how many applications, counted once for each cluster, a
// team can have.
const MaxReservations = 4000

// Reservation is what one application holds of its team's quota on one
// cluster.
type Reservation struct {
	Application string          `json:"application"`
	Cluster     string          `json:"cluster"`
	Amounts     cluster.Amounts `json:"amounts"`
	// Open: it was raised for a change that has not been settled yet.
	Open bool `json:"open,omitempty"`
	// At is when it was last raised.
	At time.Time `json:"at"`
}

// QuotaError says which quota is used up. It wraps appspan.ErrExhausted.
type QuotaError struct {
	Team string
	// Cluster is the cluster whose quota it is; empty: over all clusters.
	Cluster  string
	Resource string
	// Quota is the bound, Free what is left of it, and Asked what was asked
	// for in its place or beside it.
	Quota, Free, Asked string
}

// Error names the quota, what is free and what was asked for.
func (e *QuotaError) Error() string {
	where := "over all clusters"
	if e.Cluster != "" {
		where = "on cluster " + e.Cluster
	}
	return fmt.Sprintf("team %s: %s: the quota of %s %s is %s, of which %s is free, and %s is asked for; remove or scale down what is not needed, or have the quota raised",
		e.Team, appspan.ErrExhausted, e.Resource, where, e.Quota, e.Free, e.Asked)
}

// Unwrap returns appspan.ErrExhausted.
func (e *QuotaError) Unwrap() error { return appspan.ErrExhausted }

// Ledger reserves quota for applications. All reservations of a team are one
// record, changed by compare-and-swap, so that no two processes give away the
// same CPU. It asks no Authorizer: the SDK calls it for what was authorized.
// It is safe for concurrent use.
//
// An application is known as "namespace/name": names are unique within a
// namespace only.
type Ledger struct {
	records *storage.Records
	turn    chan struct{} // callers of one process wait here rather than race
}

// NewLedger returns a ledger over records.
func NewLedger(records *storage.Records) *Ledger {
	return &Ledger{records: records, turn: make(chan struct{}, 1)}
}

// ledgerDoc is the stored form.
type ledgerDoc struct {
	storage.Envelope
	Reservations map[string]Reservation `json:"reservations"`
}

const ledgerFormat = 1

func ledgerKey(team string) string { return "team-quota/" + team }

func reservationKey(application, clusterName string) string { return clusterName + " " + application }

// Reserve holds want for an application on a cluster: the greater of that and
// of what it holds already, resource by resource, so that a change that is
// under way has room for both its sides, and one at the limit that asks for
// nothing more always goes on. It is idempotent. What the quota, of the team on
// that cluster or over all, does not have is a [*QuotaError]. A team that has
// nothing on the cluster is appspan.ErrDenied.
func (l *Ledger) Reserve(ctx context.Context, team, application, clusterName string, want cluster.Amounts) error {
	asked, err := parse("amounts", want)
	if err == nil && (application == "" || len(application) > maxText) {
		err = fmt.Errorf("%w: an application's name has 1 to %d bytes", appspan.ErrInvalid, maxText)
	}
	if err != nil {
		return fmt.Errorf("reserve for %s on %s: %w", cut(application, maxText), clusterName, err)
	}
	return l.change(ctx, team, func(d *ledgerDoc) error {
		t, err := load(ctx, l.records, team)
		if err != nil {
			return err
		}
		if _, ok := t.Clusters[clusterName]; !ok || t.Deleting != nil {
			return fmt.Errorf("team %s: %w: it has nothing on cluster %q; have a namespace there allocated", team, appspan.ErrDenied, clusterName)
		}
		key := reservationKey(application, clusterName)
		held, exists := d.Reservations[key]
		if !exists && len(d.Reservations) >= MaxReservations {
			return fmt.Errorf("team %s: %w: it has %d applications and clusters, which is the most; remove some", team, appspan.ErrExhausted, MaxReservations)
		}
		was := mustParse(held.Amounts)
		now := maps.Clone(was)
		now.max(asked)
		if err := d.fits(t.Team, clusterName, key, was, now); err != nil {
			return err
		}
		if exists && maps.Equal(now.amounts(), held.Amounts) && held.Open {
			return nil
		}
		d.Reservations[key] = Reservation{Application: application, Cluster: clusterName, Amounts: now.amounts(), Open: true, At: time.Now().UTC()}
		return nil
	})
}

// fits reports whether what grows from was to now is within the quotas.
func (d *ledgerDoc) fits(t Team, clusterName, key string, was, now quantities) error {
	all, here := d.used(key)
	bounds := []struct {
		cluster string
		quota   cluster.Amounts
		used    quantities
	}{{clusterName, t.Clusters[clusterName].Quota, here[clusterName]}, {"", t.Quota, all}}
	for _, b := range bounds {
		quota := mustParse(b.quota)
		free := quota.minus(b.used)
		for _, name := range slices.Sorted(maps.Keys(quota)) {
			before, after, left := was[name], now[name], free[name]
			if after.Cmp(before) > 0 && after.Cmp(left) > 0 {
				bound := quota[name]
				return &QuotaError{Team: t.ID, Cluster: b.cluster, Resource: name, Quota: bound.String(), Free: left.String(), Asked: after.String()}
			}
		}
	}
	return nil
}

// used sums up reservations other than that of a key: over all clusters, and
// for each.
func (d *ledgerDoc) used(except string) (quantities, map[string]quantities) {
	all, each := quantities{}, map[string]quantities{}
	for key, r := range d.Reservations {
		if key == except {
			continue
		}
		if each[r.Cluster] == nil {
			each[r.Cluster] = quantities{}
		}
		amounts := mustParse(r.Amounts)
		all.add(amounts, 1)
		each[r.Cluster].add(amounts, 1)
	}
	return all, each
}

// Settle says that a change has ended and that the application asks for now
// from here on, which frees what the change held beside it. It raises nothing:
// of a resource for which more is asked than is held, what is held stays. An
// application without a reservation is left so.
func (l *Ledger) Settle(ctx context.Context, team, application, clusterName string, now cluster.Amounts) error {
	asked, err := parse("amounts", now)
	if err != nil {
		return fmt.Errorf("settle %s on %s: %w", application, clusterName, err)
	}
	return l.change(ctx, team, func(d *ledgerDoc) error {
		key := reservationKey(application, clusterName)
		if held, ok := d.Reservations[key]; ok {
			d.Reservations[key] = held.settled(asked)
		}
		return nil
	})
}

// settled is the reservation with no more than what is asked for.
func (r Reservation) settled(asked quantities) Reservation {
	held := mustParse(r.Amounts)
	kept := quantities{}
	for name, have := range held {
		want, ok := asked[name]
		if !ok {
			continue
		}
		if want.Cmp(have) > 0 {
			want = have
		}
		kept[name] = want
	}
	r.Amounts, r.Open = kept.amounts(), false
	return r
}

// Release frees what an application holds on a cluster. It is idempotent.
func (l *Ledger) Release(ctx context.Context, team, application, clusterName string) error {
	return l.change(ctx, team, func(d *ledgerDoc) error {
		delete(d.Reservations, reservationKey(application, clusterName))
		return nil
	})
}

// Reservations returns what the applications of a team hold, sorted by cluster
// and application.
func (l *Ledger) Reservations(ctx context.Context, team string) ([]Reservation, error) {
	d, err := l.read(ctx, team)
	if err != nil {
		return nil, err
	}
	var out []Reservation
	for _, key := range slices.Sorted(maps.Keys(d.Reservations)) {
		out = append(out, d.Reservations[key])
	}
	return out, nil
}

func (l *Ledger) read(ctx context.Context, team string) (ledgerDoc, error) {
	rec, err := l.records.Get(ctx, ledgerKey(team))
	if errors.Is(err, appspan.ErrNotFound) {
		return ledgerDoc{}, nil
	}
	if err != nil {
		return ledgerDoc{}, fmt.Errorf("reservations of team %s: %w", team, err)
	}
	d, err := decodeLedger(rec.Value)
	if err != nil {
		return ledgerDoc{}, fmt.Errorf("reservations of team %s: %w", team, err)
	}
	return d, nil
}

func decodeLedger(data []byte) (ledgerDoc, error) {
	d := ledgerDoc{Reservations: map[string]Reservation{}}
	if data == nil {
		return d, nil
	}
	err := storage.Decode(data, ledgerFormat, &d)
	if d.Reservations == nil {
		d.Reservations = map[string]Reservation{}
	}
	return d, err
}

// change edits the reservations of a team; edit may be called several times. A
// team without reservations has no record.
func (l *Ledger) change(ctx context.Context, team string, edit func(*ledgerDoc) error) error {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	_, err := l.records.Update(ctx, ledgerKey(team), func(old []byte) ([]byte, error) {
		d, err := decodeLedger(old)
		if err == nil {
			err = edit(&d)
		}
		if err != nil || len(d.Reservations) == 0 {
			return nil, err
		}
		d.Envelope = storage.Envelope{Format: ledgerFormat, MinReader: ledgerFormat}
		return json.Marshal(d)
	})
	return err
}

// Running tells what runs, for [Ledger.Reclaim]. [Teams] does.
type Running interface {
	// Running returns the applications of a team on a cluster and what each
	// asks for, or nil amounts where that is not known. An error says that it
	// cannot be told, which frees nothing.
	Running(ctx context.Context, team, clusterName string) (map[string]cluster.Amounts, error)
}

// ReclaimOptions shape [Ledger.Reclaim]. The zero value is the default.
type ReclaimOptions struct {
	// Grace is how long a raised reservation is left alone, as its application
	// may be on its way; default 15 min.
	Grace time.Duration
	// Cluster, if any, is the only one that is looked at.
	Cluster string
}

// Reclaim frees what was left behind by processes that ended in the middle: it
// releases reservations whose application does not run, and settles open ones
// whose application runs and tells what it asks for. It returns what it freed,
// as it was, and the clusters that could not tell, as errors.
func (l *Ledger) Reclaim(ctx context.Context, team string, running Running, opts *ReclaimOptions) ([]Reservation, error) {
	var o ReclaimOptions
	if opts != nil {
		o = *opts
	}
	if o.Grace <= 0 {
		o.Grace = 15 * time.Minute
	}
	list, err := l.Reservations(ctx, team)
	if err != nil {
		return nil, err
	}
	before := time.Now().Add(-o.Grace)
	list = slices.DeleteFunc(list, func(r Reservation) bool {
		return r.At.After(before) || o.Cluster != "" && r.Cluster != o.Cluster
	})
	what, failed := map[string]map[string]cluster.Amounts{}, map[string]error{}
	for _, r := range list {
		if _, asked := what[r.Cluster]; asked || failed[r.Cluster] != nil {
			continue
		}
		found, err := running.Running(ctx, team, r.Cluster)
		if err != nil {
			failed[r.Cluster] = fmt.Errorf("what runs of team %s on %s: %w", team, r.Cluster, err)
			continue
		}
		what[r.Cluster] = found
	}
	var freed []Reservation
	err = l.change(ctx, team, func(d *ledgerDoc) error {
		freed = nil
		for _, seen := range list {
			key := reservationKey(seen.Application, seen.Cluster)
			now, ok := d.Reservations[key]
			if !ok || !now.At.Equal(seen.At) || failed[seen.Cluster] != nil {
				continue // changed meanwhile, or unknown
			}
			amounts, runs := what[seen.Cluster][seen.Application]
			switch {
			case !runs:
				delete(d.Reservations, key)
			case now.Open && amounts != nil:
				d.Reservations[key] = now.settled(mustParse(amounts))
			default:
				continue
			}
			freed = append(freed, seen)
		}
		return nil
	})
	var errs []error
	for _, name := range slices.SortedFunc(maps.Keys(failed), strings.Compare) {
		errs = append(errs, failed[name])
	}
	return freed, errors.Join(append(errs, err)...)
}
