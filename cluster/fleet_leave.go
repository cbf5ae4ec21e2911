package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// RemoveOptions shape a [Fleet.Remove].
type RemoveOptions struct {
	// Force removes a cluster on which applications run, or of which that
	// cannot be known. They go on running.
	Force bool
	// DryRun says what stands in the way, and removes nothing.
	DryRun bool
}

// Remove ends a cluster's membership. While applications run there it is
// appspan.ErrPrecondition and names them; when the cluster does not answer it
// is appspan.ErrUnavailable, and [Fleet.Forget] is the way.
func (f *Fleet) Remove(ctx context.Context, name string, opts *RemoveOptions) error {
	if err := f.authorize(ctx, appspan.VerbDelete, name); err != nil {
		return err
	}
	var o RemoveOptions
	if opts != nil {
		o = *opts
	}
	if o.DryRun {
		return f.remove(ctx, name, o.Force, true)
	}
	return f.audit(ctx, appspan.VerbDelete, name, f.remove(ctx, name, o.Force, false))
}

func (f *Fleet) remove(ctx context.Context, name string, force, dry bool) error {
	stored, err := f.sealed(ctx, name)
	if err != nil && !(force && errors.Is(err, appspan.ErrCorrupt)) {
		return err
	}
	if !force {
		if err := f.idle(ctx, name); err != nil {
			return err
		}
	}
	if dry {
		return nil
	}
	return f.drop(ctx, stored)
}

// sealed reads a record without its credentials, which may be lost. Of one that
// cannot be read it is the name and the revision, beside the error.
func (f *fleet) sealed(ctx context.Context, name string) (*storedRecord, error) {
	rec, err := f.records.Get(ctx, clusterKeys+name)
	if err != nil {
		return nil, unknownCluster(name, err)
	}
	stored, err := decode(rec)
	if err != nil {
		stored = &storedRecord{revision: rec.Revision}
		stored.Name = name
	}
	return stored, err
}

// idle checks that nothing runs on a cluster.
func (f *Fleet) idle(ctx context.Context, name string) error {
	if f.opts.Applications == nil {
		return fmt.Errorf("cluster %q: %w: nobody says what runs there (FleetOptions.Applications); set RemoveOptions.Force to remove it all the same", name, appspan.ErrPrecondition)
	}
	m, err := f.member(ctx, name)
	if err != nil {
		return err
	}
	running, err := f.opts.Applications.Running(ctx, m.cluster)
	if err != nil {
		return fmt.Errorf("cluster %q: what runs there is not known: %w; forget it if it is gone for good, or set RemoveOptions.Force", name, err)
	}
	if len(running) > 0 {
		return fmt.Errorf("cluster %q: %w: %d applications run there: %s; remove or move them first, or set RemoveOptions.Force", name, appspan.ErrPrecondition, len(running), strings.Join(running, ", "))
	}
	return nil
}

// drop deletes what is recorded of a cluster.
func (f *Fleet) drop(ctx context.Context, stored *storedRecord) error {
	err := f.records.Delete(ctx, clusterKeys+stored.Name, stored.revision)
	if errors.Is(err, appspan.ErrPrecondition) {
		return fmt.Errorf("cluster %q: %w: somebody changed it meanwhile; try again", stored.Name, appspan.ErrConflict)
	}
	if err != nil {
		return unknownCluster(stored.Name, err)
	}
	f.leave(stored.Name)
	err = f.release(ctx, stored.UID, stored.Name)
	if health, failed := f.records.Get(ctx, healthKeys+stored.Name); failed == nil {
		err = errors.Join(err, f.records.Delete(ctx, healthKeys+stored.Name, health.Revision))
	}
	return err
}

// Forget ends the membership of a cluster that is gone, without asking it
// anything. What is left is a tombstone: should the cluster ever answer again,
// Run or a new Add prunes what it still runs, because somebody may have
// started it elsewhere since. Data stays.
func (f *Fleet) Forget(ctx context.Context, name string) error {
	if err := f.authorize(ctx, appspan.VerbDelete, name); err != nil {
		return err
	}
	return f.audit(ctx, appspan.VerbDelete, name, f.forget(ctx, name))
}

func (f *Fleet) forget(ctx context.Context, name string) error {
	stored, err := f.sealed(ctx, name)
	if err != nil {
		return err
	}
	if stored.UID != "" { // one that never answered runs nothing of ours
		tombstone := stored.clusterRecord
		tombstone.Forgotten = time.Now().UTC()
		_, err := f.store(ctx, forgottenKeys+stored.UID, &tombstone, "")
		if err != nil && !errors.Is(err, appspan.ErrExists) && !errors.Is(err, appspan.ErrPrecondition) {
			return err
		}
	}
	return f.drop(ctx, stored)
}

// Tombstone is a cluster that was forgotten and has not come back.
type Tombstone struct {
	Name      string    `json:"name"`
	UID       string    `json:"uid"`
	Forgotten time.Time `json:"forgotten"`
}

// Forgotten lists the clusters that were forgotten and have not come back.
func (f *Fleet) Forgotten(ctx context.Context) ([]Tombstone, error) {
	if err := f.authorize(ctx, appspan.VerbRead, ""); err != nil {
		return nil, err
	}
	var out []Tombstone
	for rec, err := range f.records.List(ctx, forgottenKeys) {
		if err != nil {
			return nil, err
		}
		stored, err := decode(rec)
		if err != nil {
			return nil, err
		}
		out = append(out, Tombstone{Name: stored.Name, UID: stored.UID, Forgotten: stored.Forgotten})
	}
	return out, nil
}

// prune removes what a cluster runs that had been forgotten, and its
// tombstone.
func (f *fleet) prune(ctx context.Context, c *Cluster, uid string) error {
	tomb, err := f.records.Get(ctx, forgottenKeys+uid)
	if errors.Is(err, appspan.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if f.opts.Applications != nil {
		pruned, err := f.opts.Applications.Prune(ctx, c)
		if err != nil {
			return fmt.Errorf("cluster %q had been forgotten, and what it still runs cannot be pruned: %w", c.name, err)
		}
		f.opts.Logger.InfoContext(ctx, "a forgotten cluster came back", "cluster", c.name, "pruned", pruned)
	}
	return f.settle(ctx, tomb)
}

// settle deletes a tombstone.
func (f *fleet) settle(ctx context.Context, tomb storage.Record) error {
	err := f.records.Delete(ctx, tomb.Key, tomb.Revision)
	if errors.Is(err, appspan.ErrNotFound) || errors.Is(err, appspan.ErrPrecondition) {
		return nil
	}
	return err
}

// Reseal seals the credentials of every cluster, forgotten ones included, with
// the newest key, where they are not yet, and returns how many it sealed.
// After it, keys older than that are not needed for the fleet. What cannot be
// sealed again stays as it was, and is in the error; the others are done.
func (f *Fleet) Reseal(ctx context.Context) (int, error) {
	if err := f.authorize(ctx, appspan.VerbUpdate, ""); err != nil {
		return 0, err
	}
	n := 0
	var failed []error
	for _, prefix := range []string{clusterKeys, forgottenKeys} {
		for rec, err := range f.records.List(ctx, prefix) {
			if err != nil {
				return n, err
			}
			done, err := f.reseal(ctx, rec)
			if err != nil {
				failed = append(failed, err)
			}
			n += done
		}
	}
	return n, f.audit(ctx, appspan.VerbUpdate, "", errors.Join(failed...))
}

func (f *fleet) reseal(ctx context.Context, rec storage.Record) (int, error) {
	for range maxChangeAttempts {
		stored, err := f.open(rec)
		if err != nil {
			return 0, err
		}
		if !f.opts.Keys.Stale(stored.Sealed) {
			return 0, nil
		}
		stored.Sealed = nil
		_, err = f.store(ctx, rec.Key, &stored.clusterRecord, stored.revision)
		if err == nil {
			return 1, nil
		}
		if !errors.Is(err, appspan.ErrPrecondition) {
			return 0, err
		}
		if rec, err = f.records.Get(ctx, rec.Key); errors.Is(err, appspan.ErrNotFound) {
			return 0, nil
		} else if err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("%s: %w: others change it all the time; try again", rec.Key, appspan.ErrConflict)
}
