package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// KeeperOptions shape a [Keeper]. The zero value, like nil, is the default.
type KeeperOptions struct {
	// Holder names this process among those that share the records, each time
	// that it starts another name; default: a random one.
	Holder string
	// TTL is after how long without a sign of life another process takes over;
	// default 15 s.
	TTL time.Duration
	// PerCluster is how many applications are looked at at once on one
	// cluster; default 4.
	PerCluster int
	// OnEvent hears what is news.
	OnEvent func(appspan.Event)
	// Logger hears what no caller is told; nil discards.
	Logger *slog.Logger
}

// Keeper keeps applications on their clusters as they were released: it looks
// for drift again and again, and does what the policy of each application says.
// What it keeps, and what it found and did, is in records, and holds no secret;
// several processes may share them. It is safe for concurrent use.
type Keeper struct {
	deployer *Deployer
	records  *storage.Records
	opts     KeeperOptions
}

// NewKeeper returns a Keeper that acts through a Deployer, as its subject. No
// Deployer or no records are appspan.ErrInvalid.
func NewKeeper(d *Deployer, records *storage.Records, opts *KeeperOptions) (*Keeper, error) {
	if d == nil || records == nil {
		return nil, fmt.Errorf("keeper: %w: pass a Deployer and records", appspan.ErrInvalid)
	}
	var o KeeperOptions
	if opts != nil {
		o = *opts
	}
	if o.TTL <= 0 {
		o.TTL = 15 * time.Second
	}
	if o.PerCluster <= 0 {
		o.PerCluster = 4
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Keeper{deployer: d, records: records, opts: o}, nil
}

// Kept is an application that is kept.
type Kept struct {
	Application string `json:"application"`
	// Target is where: clusters that are chosen by labels are chosen again at
	// each interval.
	Target Target      `json:"target"`
	Policy DriftPolicy `json:"policy"`
	// Interval is the time between two looks at a cluster, spread by a fifth.
	Interval time.Duration `json:"intervalNanoseconds"`
	// Since is when it was asked for last, By who asked.
	Since time.Time `json:"since"`
	By    string    `json:"by,omitempty"`
}

// KeepOptions shape a [Keeper.Keep].
type KeepOptions struct {
	// Interval is as in Kept; default 5 min, at least 10 s.
	Interval time.Duration
}

// minInterval is the shortest time between two looks.
const minInterval = 10 * time.Second

// Keep has an application kept on the clusters of a target, from now on by
// this policy and no other: an application is kept in a namespace by one
// policy at a time. The process that runs the Keeper looks at it at once. The
// subject needs the right to deploy it.
func (k *Keeper) Keep(ctx context.Context, application string, to Target, policy DriftPolicy, opts *KeepOptions) error {
	kept := Kept{Application: application, Target: to, Policy: policy, Interval: 5 * time.Minute, Since: time.Now().UTC(), By: k.deployer.subject.String()}
	if opts != nil && opts.Interval != 0 {
		kept.Interval = opts.Interval
	}
	if kept.Interval < minInterval {
		return fmt.Errorf("keep %s: %w: an interval of %v; at least %v", application, appspan.ErrInvalid, kept.Interval, minInterval)
	}
	if err := policy.Validate(); err != nil {
		return fmt.Errorf("keep %s: %w", application, err)
	}
	now, err := k.allowed(ctx, appspan.VerbDeploy, application, to)
	if err != nil {
		return err
	}
	kept.Target.Namespace, kept.Target.Team = now.Namespace, now.Team
	value, err := encodeStored(kept)
	if err != nil {
		return err
	}
	key := k.key(now.Namespace, application)
	_, err = k.records.Update(ctx, key, func(old []byte) ([]byte, error) {
		if old == nil {
			return value, nil
		}
		return value, k.mine(ctx, storage.Record{Key: key, Value: old}, now)
	})
	return errors.Join(err, k.audit(ctx, "keep", now, application, err))
}

// Release ends the keeping of an application; what was found is forgotten, and
// nothing on the clusters changes. One that is not kept is appspan.ErrNotFound.
func (k *Keeper) Release(ctx context.Context, application string, to Target) error {
	now, err := k.allowed(ctx, appspan.VerbDeploy, application, to)
	if err != nil {
		return err
	}
	rec, err := k.records.Get(ctx, k.key(now.Namespace, application))
	if err == nil {
		err = k.mine(ctx, rec, now)
	}
	if err == nil {
		err = k.records.Delete(ctx, rec.Key, rec.Revision)
	}
	if errors.Is(err, appspan.ErrNotFound) {
		return fmt.Errorf("%s in namespace %s is not kept: %w", application, now.Namespace, appspan.ErrNotFound)
	}
	if err == nil {
		err = k.forget(ctx, now.Namespace, application, nil)
	}
	return errors.Join(err, k.audit(ctx, "release", now, application, err))
}

// mine asks who would change what another team has kept for the right to do so:
// a namespace of this name may be one team's here and another's there. What
// cannot be read says nobody's name.
func (k *Keeper) mine(ctx context.Context, rec storage.Record, now Target) error {
	before, err := k.decode(rec)
	if err != nil || before.Target.Team == now.Team {
		return nil
	}
	names := before.Target.Clusters
	if len(names) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		if err := k.deployer.authorize(ctx, appspan.VerbDeploy, before.Application, before.Target, name); err != nil {
			return fmt.Errorf("it is kept for another team: %w", err)
		}
	}
	return nil
}

// allowed completes a target, and asks for a right on each of its clusters.
func (k *Keeper) allowed(ctx context.Context, verb appspan.Verb, application string, to Target) (Target, error) {
	now, err := k.deployer.reading(ctx, application, to)
	if err != nil {
		return now, err
	}
	for _, name := range now.Clusters {
		if err := k.deployer.authorize(ctx, verb, application, now, name); err != nil {
			return now, err
		}
	}
	return now, nil
}

func (k *Keeper) audit(ctx context.Context, what string, to Target, application string, outcome error) error {
	d := k.deployer
	if d.opts.Auditor == nil {
		return nil
	}
	var errs []error
	for _, name := range to.Clusters {
		entry := appspan.AuditEntry{Time: time.Now().UTC(), Subject: d.subject, Outcome: "ok", Access: appspan.Access{Verb: appspan.VerbDeploy,
			Resource: "application/" + what, Team: to.Team, Cluster: name, Namespace: to.Namespace, Application: application}}
		if outcome != nil {
			entry.Outcome = account(outcome, nil)
		}
		errs = append(errs, d.opts.Auditor.Audit(context.WithoutCancel(ctx), entry))
	}
	return errors.Join(errs...)
}

// List returns what is kept and the subject may read, by namespace and name.
// A record that cannot be read is in the error.
func (k *Keeper) List(ctx context.Context) ([]Kept, error) {
	var out []Kept
	var errs []error
	for rec, err := range k.records.List(ctx, k.key()) {
		if err != nil {
			return nil, err
		}
		kept, err := k.decode(rec)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if k.readable(ctx, kept) {
			out = append(out, kept)
		}
	}
	return out, errors.Join(errs...)
}

// readable reports whether the subject may read an application.
func (k *Keeper) readable(ctx context.Context, kept Kept) bool {
	names := kept.Target.Clusters
	if len(names) == 0 {
		names = []string{""}
	}
	return k.deployer.sameTeam(kept.Application, kept.Target) == nil && !slices.ContainsFunc(names, func(name string) bool {
		return k.deployer.authorize(ctx, appspan.VerbRead, kept.Application, kept.Target, name) != nil
	})
}

// Findings returns how an application was last found on each cluster of a
// target on which it was looked at, by cluster.
func (k *Keeper) Findings(ctx context.Context, application string, to Target) ([]Finding, error) {
	now, err := k.deployer.reading(ctx, application, to)
	if err != nil {
		return nil, err
	}
	var out []Finding
	for _, name := range now.Clusters {
		f, err := k.finding(ctx, now.Namespace, application, name)
		if err != nil {
			return nil, err
		}
		if f.Cluster != "" {
			out = append(out, f)
		}
	}
	return out, nil
}

const keepFormat = 1

// encodeStored writes a document with its envelope.
func encodeStored(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	head, err := json.Marshal(storage.Envelope{Format: keepFormat, MinReader: keepFormat})
	return append(append(head[:len(head)-1], ','), data[1:]...), err
}

// key is that of what is kept, or what all those keys begin with.
func (k *Keeper) key(rest ...string) string {
	return "drift/" + k.deployer.opts.Installation + "/" + strings.Join(rest, "/")
}

// foundKey is the key of a finding, or what those of an application begin with.
func (k *Keeper) foundKey(namespace, application, cluster string) string {
	return "drift-found/" + k.deployer.opts.Installation + "/" + namespace + "/" + application + "/" + cluster
}

// decode reads what is kept.
func (k *Keeper) decode(rec storage.Record) (Kept, error) {
	var kept Kept
	if err := storage.Decode(rec.Value, keepFormat, &kept); err != nil {
		return kept, fmt.Errorf("record %s: %w", rec.Key, err)
	}
	if rec.Key != k.key(kept.Target.Namespace, kept.Application) || kept.Interval < minInterval {
		return kept, fmt.Errorf("record %s: %w: it is about %s in namespace %s, every %v", rec.Key, appspan.ErrCorrupt, kept.Application, kept.Target.Namespace, kept.Interval)
	}
	if err := kept.Policy.Validate(); err != nil {
		return kept, fmt.Errorf("record %s: %w: %w", rec.Key, appspan.ErrCorrupt, err)
	}
	return kept, nil
}
