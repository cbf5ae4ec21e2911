package deploy

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Reseal seals and signs with the active key what the installation keeps on the
// clusters of a target, in its namespace or in all if it names none: records,
// releases, generated secrets, and those that were kept with data. It returns
// how many applications and kept claims it sealed. After it, older keys are not
// needed to read any of it; what was not reached is in the error, and the rest
// is done. It may be interrupted and called again at any time. An application
// that somebody deploys meanwhile is appspan.ErrConflict, and left. The subject
// must be allowed to update applications in the namespace; in all of them, those
// of no team.
//
// Hashes by which unchanged objects are known are made with the oldest key of
// the keyring: without that key, the next deployment writes everything once,
// and pods whose files or secrets are hashed restart.
func (d *Deployer) Reseal(ctx context.Context, to Target) (int, error) {
	to, err := d.choose(ctx, "reseal", to)
	if err != nil {
		return 0, err
	}
	if to.Team = cmp.Or(to.Team, d.subject.Team); to.Namespace == "" {
		to.Team = "" // all namespaces are no team's
	} else if err := d.sameTeam("reseal", to); err != nil {
		return 0, err
	}
	for _, name := range to.Clusters {
		if err := d.authorize(ctx, appspan.VerbUpdate, "", to, name); err != nil {
			return 0, err
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	total, errs := 0, []error(nil)
	for _, name := range to.Clusters {
		wg.Go(func() {
			n, err := d.resealOn(ctx, to.Namespace, name)
			mu.Lock()
			defer mu.Unlock()
			total += n
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	wg.Wait()
	return total, errors.Join(errs...)
}

func (d *Deployer) resealOn(ctx context.Context, namespace, name string) (int, error) {
	c, err := d.clusters.Cluster(ctx, name)
	if err != nil {
		return 0, err
	}
	limited, cancel := d.limit(ctx)
	defer cancel()
	info, err := c.Info(limited)
	if err != nil {
		return 0, err
	}
	all := appmodel.LabelInstallation
	apps, err := d.parents(limited, c, namespace, all)
	if err != nil {
		return 0, err
	}
	n, errs := 0, []error(nil)
	for _, app := range apps {
		s := scope{installation: d.opts.Installation, application: app.name, namespace: app.namespace, clusterUID: info.UID}
		done, err := d.resealOne(ctx, c, s)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s/%s: %w", app.namespace, app.name, err))
		}
		n += done
	}
	kept, err := d.resealKept(ctx, c, namespace, info.UID)
	return n + kept, errors.Join(append(errs, err)...)
}

// keyMark is the beginning of the id of the active key.
func (d *Deployer) keyMark() string { return d.opts.Keys.Keys()[0].ID()[:8] }

// resealOne seals one application: first the releases beside the old ones, then
// the record, which names them, and then the old ones go.
func (d *Deployer) resealOne(ctx context.Context, c *cluster.Cluster, s scope) (int, error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	parent, err := c.Get(ctx, s.parentRef())
	if errors.Is(err, appspan.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	st, err := d.openState(s, parent)
	if err != nil {
		return 0, err
	}
	if last := st.record.newest(); st.record.Removing || last != nil && last.State == ReleaseApplying {
		return 0, fmt.Errorf("%w: a change of it is under way, or was interrupted; finish that, then reseal", appspan.ErrConflict)
	}
	next := st.record.clone()
	for i := range next.Releases {
		if err := d.resealRelease(ctx, c, s, st.record, &next.Releases[i]); err != nil {
			return 0, fmt.Errorf("release %d: %w", next.Releases[i].Revision, err)
		}
	}
	changed, err := d.resealRecord(ctx, c, s, st, next)
	if err != nil {
		return 0, err
	}
	return changed, d.forgetResealed(ctx, c, s, next)
}

// resealRelease writes a release again, if its key is not the active one.
func (d *Deployer) resealRelease(ctx context.Context, c *cluster.Cluster, s scope, r *record, release *Release) error {
	first, err := c.Get(ctx, s.releaseRef(r.id(release.Revision), 0))
	if errors.Is(err, appspan.ErrNotFound) {
		return nil // its process died before it was written
	}
	if err != nil {
		return err
	}
	var secret corev1.Secret
	if err := json.Unmarshal(first.JSON, &secret); err != nil {
		return fmt.Errorf("%w: %w", appspan.ErrCorrupt, err)
	}
	if !d.opts.Keys.Stale(secret.Data["part"]) && !d.opts.Keys.Stale(secret.Data["mac"]) {
		return nil
	}
	body, err := d.readRelease(ctx, c, s, r.id(release.Revision))
	if err != nil {
		return err
	}
	id := releaseID{release.Revision, d.keyMark()}
	objects, err := d.releaseObjects(s, id, body)
	if err != nil {
		return err
	}
	for _, obj := range objects {
		_, err := c.Apply(ctx, obj, driver.ApplyOptions{Manager: s.manager(), IfAbsent: true})
		if errors.Is(err, appspan.ErrExists) { // of an attempt that was interrupted: its parts would not fit these
			err = replace(ctx, c, obj, s.manager())
		}
		if err != nil {
			return err
		}
	}
	release.Resealed = id.resealed
	return nil
}

// replace puts an immutable object in the place of one of its name.
func replace(ctx context.Context, c *cluster.Cluster, obj driver.Object, manager string) error {
	if err := c.Delete(ctx, obj.Ref, driver.DeleteOptions{}); err != nil && !errors.Is(err, appspan.ErrNotFound) {
		return err
	}
	_, err := c.Apply(ctx, obj, driver.ApplyOptions{Manager: manager, IfAbsent: true})
	return err
}

// resealRecord writes the record, if it is not signed with the active key or
// its releases have moved.
func (d *Deployer) resealRecord(ctx context.Context, c *cluster.Cluster, s scope, st *state, next *record) (int, error) {
	var secret corev1.Secret
	if err := json.Unmarshal(st.parent.JSON, &secret); err != nil {
		return 0, fmt.Errorf("%w: %w", appspan.ErrCorrupt, err)
	}
	moved := false
	for i := range next.Releases {
		moved = moved || next.Releases[i].Resealed != st.record.Releases[i].Resealed
	}
	secrets := secret.Data["secrets"]
	if !moved && !d.opts.Keys.Stale(secret.Data["mac"]) && (len(secrets) == 0 || !d.opts.Keys.Stale(secrets)) {
		return 0, nil
	}
	obj, err := d.parentObject(s, next, st.generated)
	if err != nil {
		return 0, err
	}
	_, err = c.Apply(ctx, obj, driver.ApplyOptions{Manager: s.manager(), Force: true, IfRevision: st.parent.Revision, IfUID: st.parent.UID})
	if errors.Is(err, appspan.ErrPrecondition) {
		return 0, fmt.Errorf("%w: it was changed meanwhile; reseal again", appspan.ErrConflict)
	}
	return 1, err
}

// forgetResealed deletes Secrets of releases that the record does not name.
func (d *Deployer) forgetResealed(ctx context.Context, c *cluster.Cluster, s scope, r *record) error {
	named := map[int]string{} // the beginning of the names, by revision
	for _, release := range r.Releases {
		named[release.Revision] = s.releaseRef(r.id(release.Revision), 0).Name
	}
	q := cluster.Query{APIVersion: "v1", Kind: "Secret", Namespace: s.namespace, Projection: cluster.Metadata, Labels: releaseSelector(s)}
	for obj, err := range c.List(ctx, q) {
		if err != nil {
			return err
		}
		revision, err := strconv.Atoi(obj.Labels[labelRevision])
		name, living := named[revision]
		if err != nil || !living || obj.Name == name || strings.HasPrefix(obj.Name, name+"-p") {
			continue
		}
		if err := c.Delete(ctx, obj.Ref, driver.DeleteOptions{UID: obj.UID}); err != nil && !errors.Is(err, appspan.ErrNotFound) {
			return err
		}
	}
	return nil
}

// resealKept seals the secrets that were kept with data.
func (d *Deployer) resealKept(ctx context.Context, c *cluster.Cluster, namespace, uid string) (int, error) {
	ctx, cancel := d.limit(ctx)
	defer cancel()
	n := 0
	var errs []error
	q := cluster.Query{APIVersion: kindClaim.APIVersion, Kind: kindClaim.Kind, Namespace: namespace, Labels: appmodel.LabelInstallation + "=" + d.opts.Installation}
	for claim, err := range c.List(ctx, q) {
		if err != nil {
			return n, errors.Join(append(errs, err)...)
		}
		var m objectMeta
		if json.Unmarshal(claim.JSON, &m) != nil || m.Metadata.Annotations[appmodel.AnnotationKept] == "" {
			continue
		}
		s := scope{installation: d.opts.Installation, application: claim.Labels[appmodel.LabelApplication], namespace: claim.Namespace, clusterUID: uid}
		done, err := d.resealClaim(ctx, c, s, claim, m.Metadata.Annotations[appmodel.AnnotationKept])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", claim.Ref, err))
		}
		n += done
	}
	return n, errors.Join(errs...)
}

func (d *Deployer) resealClaim(ctx context.Context, c *cluster.Cluster, s scope, claim driver.Object, text string) (int, error) {
	sealed, err := base64.StdEncoding.DecodeString(text)
	if err == nil && !d.opts.Keys.Stale(sealed) {
		return 0, nil
	}
	values, err := d.openKept(s, text)
	if err != nil {
		return 0, err
	}
	return 1, d.keepWith(ctx, c, s, claim.Ref, claim.UID, values)
}
