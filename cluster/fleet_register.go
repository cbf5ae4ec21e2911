package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/storage"
)

// Registration is what makes a cluster a member of a fleet. It prints without
// its credentials.
type Registration struct {
	// Name is the cluster's name in the fleet: a DNS label.
	Name string `json:"name"`
	// Provider is one of FleetOptions.Providers.
	Provider string `json:"provider"`
	// Config is the provider's configuration, as a kubeconfig. It is sealed in
	// Records and never given back. In a [Fleet.Change], nil keeps it.
	Config []byte `json:"-"`
	// Context chooses an entry of Config where it has several.
	Context string `json:"context,omitempty"`
	// UID is the cluster's identity, set when it has first answered; a cluster
	// with another one is refused from then on.
	UID string `json:"uid,omitempty"`
	// Labels are for choosing clusters; Description is for people.
	Labels      map[string]string `json:"labels,omitempty"`
	Description string            `json:"description,omitempty"`
	// Maintenance, when not empty, says why nothing is expected of it now.
	Maintenance string `json:"maintenance,omitempty"`
	// Added is when it was registered; set by [Fleet.Add].
	Added time.Time `json:"added,omitzero"`
}

// String names the cluster and its provider.
func (r Registration) String() string { return r.Name + " (" + r.Provider + ")" }

// Format writes String for every verb.
func (r Registration) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, r.String()) }

// LogValue is String.
func (r Registration) LogValue() slog.Value { return slog.StringValue(r.String()) }

// Keys of Records.
const (
	clusterKeys   = "clusters/"
	identityKeys  = "cluster-uids/"
	forgottenKeys = "clusters-forgotten/"
	healthKeys    = "cluster-health/"
)

const clusterFormat = 1

// clusterRecord is a registration as it is stored.
type clusterRecord struct {
	storage.Envelope
	Registration
	Sealed []byte `json:"sealed"`
	// Forgotten is when it was forgotten, in the record of a forgotten one.
	Forgotten time.Time `json:"forgotten,omitzero"`
}

// check validates what somebody wants to register.
func (f *fleet) check(r *Registration) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("cluster %q: %w: %s", r.Name, appspan.ErrInvalid, fmt.Sprintf(format, args...))
	}
	if !clusterName.MatchString(r.Name) {
		return wrong("the name is not a DNS label: use up to 63 small letters, digits and dashes")
	}
	if f.opts.Providers[r.Provider] == nil {
		return wrong("there is no provider %q; use one of: %s", r.Provider, strings.Join(slices.Sorted(maps.Keys(f.opts.Providers)), ", "))
	}
	const most = 64
	if len(r.Labels) > most {
		return wrong("it has %d labels; at most %d are kept", len(r.Labels), most)
	}
	for k, v := range r.Labels {
		if k == "" || len(k) > 317 || len(v) > 63 || strings.ContainsAny(k+v, "=,!() \t\n") {
			return wrong("label %.80q=%.80q is not a label: use up to 317 characters for the key and 63 for the value, without = , ! ( ) and blanks", k, v)
		}
	}
	if len(r.Description) > 4096 || len(r.Maintenance) > 1024 || len(r.Config) > 512<<10 {
		return wrong("the description, the reason of maintenance or the configuration is too long (4096, 1024, 524288 bytes)")
	}
	return nil
}

func sealContext(name string) []byte { return []byte("cluster\x00" + name) }

// connect opens the cluster of a registration.
func (f *fleet) connect(ctx context.Context, r *Registration) (*Cluster, error) {
	d, err := f.dial(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("cluster %q: %w", r.Name, err)
	}
	return f.cluster(d, r), nil
}

func (f *fleet) dial(ctx context.Context, r *Registration) (driver.Cluster, error) {
	p := f.opts.Providers[r.Provider]
	if p == nil {
		return nil, fmt.Errorf("%w: there is no provider %q; set it in FleetOptions.Providers", appspan.ErrUnsupported, r.Provider)
	}
	return p.Open(ctx, driver.Spec{Name: r.Name, Config: r.Config, Context: r.Context})
}

func (f *fleet) cluster(d driver.Cluster, r *Registration) *Cluster {
	o := f.opts.Cluster
	o.UID, o.Labels = r.UID, r.Labels
	return New(r.Name, d, &o)
}

// AddOptions shape a [Fleet.Add].
type AddOptions struct {
	// Unverified registers a cluster that does not answer yet. Its identity is
	// then that of the first cluster that does.
	Unverified bool
	// DryRun checks everything, asks the cluster who it is, and registers nothing.
	DryRun bool
}

// Add registers a cluster and returns its status. The name must be free, and
// the cluster itself must not be registered under another one
// (appspan.ErrExists). A cluster that does not answer is
// appspan.ErrUnavailable and not registered, unless Unverified is set. From a
// cluster that had been forgotten, what it still runs is pruned first.
func (f *Fleet) Add(ctx context.Context, r Registration, opts *AddOptions) (Status, error) {
	err := f.authorize(ctx, appspan.VerbCreate, r.Name)
	if err != nil {
		return Status{}, err
	}
	if err := f.check(&r); err != nil {
		return Status{}, err
	}
	if opts != nil && opts.DryRun {
		if err := f.add(ctx, &r, opts.Unverified, true); err != nil {
			return Status{}, err
		}
		return Status{Name: r.Name, UID: r.UID, Provider: r.Provider, Description: r.Description, Labels: r.Labels, Health: Connecting}, nil
	}
	if err := f.audit(ctx, appspan.VerbCreate, r.Name, f.add(ctx, &r, opts != nil && opts.Unverified, false)); err != nil {
		return Status{}, err
	}
	m, err := f.member(ctx, r.Name)
	if err != nil {
		return Status{}, err
	}
	return m.status(), nil
}

func (f *Fleet) add(ctx context.Context, r *Registration, unverified, dry bool) error {
	if _, err := f.records.Get(ctx, clusterKeys+r.Name); err == nil {
		return fmt.Errorf("cluster %q: %w: the name is taken; choose another one, or change the cluster that has it", r.Name, appspan.ErrExists)
	} else if !errors.Is(err, appspan.ErrNotFound) {
		return err
	}
	c, err := f.connect(ctx, r)
	if err != nil {
		return err
	}
	defer c.Close()
	info, err := f.verify(ctx, c)
	switch {
	case err == nil:
		if r.UID != "" && r.UID != info.UID {
			return fmt.Errorf("cluster %q: %w: its UID is %q, not %q", r.Name, appspan.ErrPrecondition, info.UID, r.UID)
		}
		r.UID = info.UID
		if dry {
			return nil
		}
		if err := f.prune(ctx, c, info.UID); err != nil {
			return err
		}
		if err := f.claim(ctx, info.UID, r.Name); err != nil {
			return err
		}
	case !unverified:
		return fmt.Errorf("cluster %q does not answer: %w; correct its configuration, or set AddOptions.Unverified to register it as it is", r.Name, err)
	}
	if dry {
		return nil
	}
	r.Added = time.Now().UTC()
	_, err = f.store(ctx, clusterKeys+r.Name, &clusterRecord{Registration: *r}, "")
	return err
}

// verify asks a cluster who it is, once.
func (f *fleet) verify(ctx context.Context, c *Cluster) (Info, error) {
	limited, cancel := context.WithTimeoutCause(ctx, f.opts.CheckTimeout, fmt.Errorf("%w: no answer within %v", appspan.ErrUnavailable, f.opts.CheckTimeout))
	defer cancel()
	info, err := c.Refresh(limited)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		err = context.Cause(limited)
	}
	return info, err
}

// claim makes a cluster's identity that of one name only.
func (f *fleet) claim(ctx context.Context, uid, name string) error {
	if uid == "" {
		return nil
	}
	for range 3 {
		_, err := f.records.Put(ctx, identityKeys+uid, []byte(name), "")
		if !errors.Is(err, appspan.ErrExists) && !errors.Is(err, appspan.ErrPrecondition) {
			return err
		}
		held, err := f.records.Get(ctx, identityKeys+uid)
		if errors.Is(err, appspan.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if string(held.Value) == name {
			return nil
		}
		other, err := f.load(ctx, clusterKeys+string(held.Value))
		if err == nil && other.UID == uid {
			return fmt.Errorf("cluster %q: %w: it is registered as %q", name, appspan.ErrExists, held.Value)
		}
		if err != nil && !errors.Is(err, appspan.ErrNotFound) {
			return err
		}
		_, err = f.records.Put(ctx, identityKeys+uid, []byte(name), held.Revision) // left behind by one that is gone
		if !errors.Is(err, appspan.ErrPrecondition) {
			return err
		}
	}
	return fmt.Errorf("cluster %q: %w: others register the same cluster now; try again", name, appspan.ErrConflict)
}

// release gives a cluster's identity back.
func (f *fleet) release(ctx context.Context, uid, name string) error {
	if uid == "" {
		return nil
	}
	held, err := f.records.Get(ctx, identityKeys+uid)
	if errors.Is(err, appspan.ErrNotFound) || err == nil && string(held.Value) != name {
		return nil
	}
	if err == nil {
		err = f.records.Delete(ctx, identityKeys+uid, held.Revision)
	}
	if errors.Is(err, appspan.ErrNotFound) {
		return nil
	}
	return err
}

// store seals and writes a record, and returns its revision.
func (f *fleet) store(ctx context.Context, key string, r *clusterRecord, ifRevision string) (string, error) {
	if r.Config != nil || r.Sealed == nil {
		sealed, err := f.opts.Keys.Seal(r.Config, sealContext(r.Name))
		if err != nil {
			return "", err
		}
		r.Sealed = sealed
	}
	r.Envelope = storage.Envelope{Format: clusterFormat, MinReader: clusterFormat}
	data, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	return f.records.Put(ctx, key, data, ifRevision)
}

// storedRecord is a record with the revision that it was read at.
type storedRecord struct {
	clusterRecord
	revision string
	broken   error // why its cluster cannot be opened, if that is in the record
}

// load reads a record and opens its seal.
func (f *fleet) load(ctx context.Context, key string) (*storedRecord, error) {
	rec, err := f.records.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return f.open(rec)
}

// open reads a record and opens its seal.
func (f *fleet) open(rec storage.Record) (*storedRecord, error) {
	out, err := decode(rec)
	if err != nil {
		return nil, err
	}
	config, err := f.opts.Keys.Open(out.Sealed, sealContext(out.Name))
	if err != nil {
		return nil, fmt.Errorf("record %s: its credentials: %w", rec.Key, err)
	}
	out.Config = config
	return out, nil
}

// decode reads a record and leaves it sealed.
func decode(rec storage.Record) (*storedRecord, error) {
	out := &storedRecord{revision: rec.Revision}
	if err := storage.Decode(rec.Value, clusterFormat, &out.clusterRecord); err != nil {
		return nil, fmt.Errorf("record %s: %w", rec.Key, err)
	}
	return out, nil
}

// openAnyway is open for who shows everything that is registered: what is
// wrong with a record is in the result.
func (f *fleet) openAnyway(rec storage.Record) *storedRecord {
	out, err := f.open(rec)
	if err == nil {
		return out
	}
	if out, _ = decode(rec); out == nil {
		out = &storedRecord{revision: rec.Revision}
		out.Name = strings.TrimPrefix(rec.Key, clusterKeys)
	}
	out.broken = err
	return out
}

// Change changes a cluster's registration: edit gets it without its
// configuration and may change everything but its name and UID. With another
// configuration the cluster must answer and be the same one, and is opened
// anew. It is atomic; edit may be called more than once.
func (f *Fleet) Change(ctx context.Context, name string, edit func(*Registration) error) error {
	if edit == nil {
		return fmt.Errorf("cluster %q: %w: edit is nil", name, appspan.ErrInvalid)
	}
	if err := f.authorize(ctx, appspan.VerbUpdate, name); err != nil {
		return err
	}
	return f.audit(ctx, appspan.VerbUpdate, name, f.change(ctx, name, edit))
}

func (f *Fleet) change(ctx context.Context, name string, edit func(*Registration) error) error {
	for range maxChangeAttempts {
		stored, err := f.load(ctx, clusterKeys+name)
		if err != nil {
			return unknownCluster(name, err)
		}
		before := stored.Registration
		r := before
		r.Config, r.Labels = nil, maps.Clone(r.Labels)
		if err := edit(&r); err != nil {
			return err
		}
		if r.Config == nil {
			r.Config = before.Config
		}
		r.Name, r.UID, r.Added = before.Name, before.UID, before.Added
		if err := f.check(&r); err != nil {
			return err
		}
		if !bytes.Equal(r.Config, before.Config) || r.Context != before.Context || r.Provider != before.Provider {
			if err := f.sameCluster(ctx, &r); err != nil {
				return err
			}
		}
		record := stored.clusterRecord
		record.Registration = r
		_, err = f.store(ctx, clusterKeys+name, &record, stored.revision)
		if err == nil {
			f.seen(ctx, name)
		}
		if !errors.Is(err, appspan.ErrPrecondition) {
			return err
		}
	}
	return fmt.Errorf("cluster %q: %w: others change it all the time; try again", name, appspan.ErrConflict)
}

const maxChangeAttempts = 10

// seen lets who changed a cluster see the change at once, without waiting for
// the watch of the registry, which brings it if this cannot.
func (f *Fleet) seen(ctx context.Context, name string) {
	_, _ = f.look(ctx, name)
}

// sameCluster checks that another configuration leads to the same cluster.
func (f *Fleet) sameCluster(ctx context.Context, r *Registration) error {
	c, err := f.connect(ctx, r)
	if err != nil {
		return err
	}
	defer c.Close()
	info, err := f.verify(ctx, c)
	if err != nil {
		return fmt.Errorf("cluster %q does not answer with this configuration, so it stays as it was: %w", r.Name, err)
	}
	if r.UID == "" {
		r.UID = info.UID
		return f.claim(ctx, info.UID, r.Name)
	}
	return nil // Refresh compares the UID
}

func unknownCluster(name string, err error) error {
	if errors.Is(err, appspan.ErrNotFound) {
		return fmt.Errorf("cluster %q: %w: it is not registered", name, appspan.ErrNotFound)
	}
	return err
}
