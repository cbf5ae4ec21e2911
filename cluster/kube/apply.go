package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
)

const mediaApply = "application/apply-patch+yaml"

// Apply implements driver.Cluster: a server-side apply (KEP-555), or with
// IfAbsent a create. Unknown and duplicate fields are refused. IfRevision
// without IfUID costs a read more.
func (c *Cluster) Apply(ctx context.Context, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
	if opts.IfAbsent {
		return c.write(ctx, obj, opts, request{method: http.MethodPost, body: obj.JSON}, "")
	}
	if opts.IfRevision != "" && opts.IfUID == "" {
		// The server would create in spite of a revision, but not in spite of
		// a UID.
		live, err := c.demanded(ctx, obj.Ref, opts)
		if err != nil {
			return driver.Object{}, err
		}
		opts.IfUID = live.UID
	}
	result, err := c.patch(ctx, obj, opts)
	var conflict *driver.ConflictError
	if errors.As(err, &conflict) {
		return c.resolve(ctx, obj, opts, conflict)
	}
	return result, err
}

// patch is one server-side apply.
func (c *Cluster) patch(ctx context.Context, obj driver.Object, opts driver.ApplyOptions) (driver.Object, error) {
	body, err := withPreconditions(obj.JSON, opts.IfUID, opts.IfRevision)
	if err != nil {
		return driver.Object{}, err
	}
	result, err := c.write(ctx, obj, opts, request{
		method: http.MethodPatch, body: body, media: mediaApply, safe: opts.IfRevision == "",
	}, obj.Name)
	if errors.Is(err, appspan.ErrPrecondition) && opts.IfUID == "" {
		// Somebody else wrote at the same time, and nothing was demanded.
		err = appspan.MarkRetryable(fmt.Errorf("%w: %w", appspan.ErrConflict, err), 0)
	}
	return result, err
}

// write sends an object to its collection, or to its name.
func (c *Cluster) write(ctx context.Context, obj driver.Object, opts driver.ApplyOptions, r request, name string) (driver.Object, error) {
	r.query = url.Values{"fieldManager": {opts.Manager}, "fieldValidation": {"Strict"}}
	if r.media == mediaApply {
		r.query.Set("force", strconv.FormatBool(opts.Force))
	}
	if opts.DryRun {
		r.query.Set("dryRun", "All")
	}
	var err error
	if r.path, err = c.path(ctx, obj.Ref, name); err != nil {
		return driver.Object{}, err
	}
	data, err := c.do(ctx, r)
	if err != nil {
		return driver.Object{}, c.forget(obj.Ref, err)
	}
	return parse(data, obj.APIVersion, obj.Kind, driver.Whole)
}

// resolve looks at a conflict again. The server checks fields before it checks
// UID and revision, and takes what a manager created for another manager's
// than what it applies (operation Update, not Apply).
func (c *Cluster) resolve(ctx context.Context, obj driver.Object, opts driver.ApplyOptions, conflict *driver.ConflictError) (driver.Object, error) {
	others := slices.DeleteFunc(slices.Clone(conflict.Fields), func(f driver.FieldConflict) bool { return f.Manager == opts.Manager })
	if len(others) > 0 && opts.IfUID == "" {
		return driver.Object{}, &driver.ConflictError{Fields: others}
	}
	live, err := c.demanded(ctx, obj.Ref, opts)
	switch {
	case err != nil:
		return driver.Object{}, err
	case len(others) > 0:
		return driver.Object{}, &driver.ConflictError{Fields: others}
	case opts.DryRun:
		opts.Force = true // nothing is stored
		return c.patch(ctx, obj, opts)
	}
	var metadata metav1.PartialObjectMetadata
	if err := json.Unmarshal(live.JSON, &metadata); err != nil {
		return driver.Object{}, corrupt(obj.Kind, err)
	}
	upgrade, err := csaupgrade.UpgradeManagedFieldsPatch(&metadata, sets.New(opts.Manager), opts.Manager)
	if err != nil || upgrade == nil {
		return driver.Object{}, conflict
	}
	upgraded, err := c.write(ctx, obj, opts, request{method: http.MethodPatch, body: upgrade, media: "application/json-patch+json"}, obj.Name)
	if errors.Is(err, appspan.ErrPrecondition) && opts.IfRevision == "" {
		err = appspan.MarkRetryable(fmt.Errorf("%w: %w", appspan.ErrConflict, err), 0)
	}
	if err != nil {
		return driver.Object{}, err
	}
	if opts.IfRevision != "" {
		opts.IfRevision = upgraded.Revision
	}
	return c.patch(ctx, obj, opts)
}

// demanded reads the live object and checks it against what a write demands.
func (c *Cluster) demanded(ctx context.Context, ref driver.Ref, opts driver.ApplyOptions) (driver.Object, error) {
	live, err := c.Get(ctx, ref)
	switch {
	case errors.Is(err, appspan.ErrNotFound):
		return live, fmt.Errorf("%w: it does not exist", appspan.ErrPrecondition)
	case err != nil:
		return live, err
	case opts.IfUID != "" && live.UID != opts.IfUID:
		return live, fmt.Errorf("%w: its UID is %s, not %s", appspan.ErrPrecondition, live.UID, opts.IfUID)
	case opts.IfRevision != "" && live.Revision != opts.IfRevision:
		return live, fmt.Errorf("%w: its revision is %s, not %s; read it again", appspan.ErrPrecondition, live.Revision, opts.IfRevision)
	}
	return live, nil
}
