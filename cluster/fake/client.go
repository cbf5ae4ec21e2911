package fake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
)

// client is the cluster as one identity sees it; nil is its administrator.
type client struct {
	c  *Cluster
	id *driver.Identity
}

// defaultLimit is the size of a page that a caller leaves to the driver.
const defaultLimit = 500

// As returns a view of the cluster that acts as id: every call is judged by
// the roles and bindings in the cluster. It fails with appspan.ErrInvalid
// when id names nobody.
func (cl client) As(id driver.Identity) (driver.Cluster, error) {
	if id.User == "" {
		return nil, fmt.Errorf("%w: impersonation needs a user", appspan.ErrInvalid)
	}
	id.Groups = append(append([]string(nil), id.Groups...), "system:authenticated")
	return impersonated{client{cl.c, &id}}, nil
}

// impersonated is a view that does not own the cluster.
type impersonated struct{ client }

// Close does nothing: the cluster belongs to somebody else.
func (impersonated) Close() error { return nil }

// begin admits a call: it waits for the latency, refuses it after Close, and
// asks for the identity's permission. The returned function records the call.
func (cl client) begin(ctx context.Context, a access) (func(*error), error) {
	c := cl.c
	start := time.Now()
	done := func(err *error) {
		*err = toDriver(*err)
		c.count(Call{Verb: a.verb, Kind: a.kindName(), Ref: a.ref(), Subresource: a.sub, Manager: a.manager, User: cl.user(), Took: time.Since(start), Err: *err})
	}
	err := c.delay(ctx)
	if err == nil {
		err = c.authorize(cl.id, a)
	}
	if err != nil {
		done(&err)
	}
	return done, err
}

func (cl client) user() string {
	if cl.id == nil {
		return ""
	}
	return cl.id.User
}

// delay waits for the latency of a call.
func (c *Cluster) delay(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.opts.Latency > 0 {
		timer := time.NewTimer(c.opts.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.ctx.Done():
		}
	}
	if c.ctx.Err() != nil {
		return driver.ErrClosed
	}
	return nil
}

// find resolves a kind.
func (cl client) find(apiVersion, name string) (*kind, error) {
	if k := cl.c.kinds.find(apiVersion, name); k != nil {
		return k, nil
	}
	return nil, unsupported(apiVersion, name)
}

// place checks that a ref names a place where the kind can be.
func place(k *kind, ref driver.Ref) (key, error) {
	switch {
	case ref.Name == "":
		return key{}, fmt.Errorf("%w: %s without a name", appspan.ErrInvalid, k.gvk.Kind)
	case k.namespaced && ref.Namespace == "":
		return key{}, fmt.Errorf("%w: %s is namespaced; name its namespace", appspan.ErrInvalid, k.gvk.Kind)
	case !k.namespaced && ref.Namespace != "":
		return key{}, fmt.Errorf("%w: %s is cluster-scoped; it has no namespace", appspan.ErrInvalid, k.gvk.Kind)
	}
	return key{ref.Namespace, ref.Name}, nil
}

// Get implements driver.Cluster.
func (cl client) Get(ctx context.Context, ref driver.Ref) (obj driver.Object, err error) {
	k, err := cl.find(ref.APIVersion, ref.Kind)
	if err != nil {
		return obj, err
	}
	at, err := place(k, ref)
	if err != nil {
		return obj, err
	}
	done, err := cl.begin(ctx, access{verb: "get", kind: k, key: at})
	if err != nil {
		return obj, err
	}
	defer done(&err)
	r := cl.c.store.get(k, at)
	if r == nil {
		return obj, apierrors.NewNotFound(k.groupResource(), at.name)
	}
	return r.driverObject(driver.Whole), nil
}

// List implements driver.Cluster.
func (cl client) List(ctx context.Context, q driver.Query) (result driver.Page, err error) {
	k, err := cl.find(q.APIVersion, q.Kind)
	if err != nil {
		return result, err
	}
	done, err := cl.begin(ctx, access{verb: "list", kind: k, key: key{namespace: q.Namespace}})
	if err != nil {
		return result, err
	}
	defer done(&err)
	sel, err := newSelection(k, q.Namespace, q.Labels, q.Fields)
	if err != nil {
		return result, err
	}
	limit := q.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	p, err := cl.c.list(sel, limit, q.Continue)
	if err != nil {
		return result, err
	}
	result = driver.Page{Continue: p.more, Revision: strconv.FormatUint(p.rev, 10), Items: make([]driver.Object, len(p.records))}
	for i, r := range p.records {
		result.Items[i] = r.driverObject(q.Projection)
	}
	return result, nil
}

// Watch implements driver.Watcher. Without a revision it begins with what
// there is, as additions.
func (cl client) Watch(ctx context.Context, q driver.Query) (w driver.Watch, err error) {
	k, err := cl.find(q.APIVersion, q.Kind)
	if err != nil {
		return nil, err
	}
	done, err := cl.begin(ctx, access{verb: "watch", kind: k, key: key{namespace: q.Namespace}})
	if err != nil {
		return nil, err
	}
	defer done(&err)
	sel, err := newSelection(k, q.Namespace, q.Labels, q.Fields)
	if err != nil {
		return nil, err
	}
	opened, err := cl.c.openWatch(ctx, sel, q.Projection, q.Revision, true)
	if err != nil {
		return nil, err
	}
	return opened, nil
}

// Apply implements driver.Cluster.
func (cl client) Apply(ctx context.Context, obj driver.Object, opts driver.ApplyOptions) (result driver.Object, err error) {
	if err := driver.CheckApply(obj, opts); err != nil {
		return result, err
	}
	k, err := cl.find(obj.APIVersion, obj.Kind)
	if err != nil {
		return result, err
	}
	at, err := place(k, obj.Ref)
	if err != nil {
		return result, err
	}
	verb := "patch"
	if opts.IfAbsent {
		verb = "create"
	}
	done, err := cl.begin(ctx, access{verb: verb, kind: k, key: at, manager: opts.Manager})
	if err != nil {
		return result, err
	}
	defer done(&err)
	q := request{kind: k, key: at, manager: opts.Manager, dryRun: opts.DryRun, uid: opts.IfUID, revision: opts.IfRevision, size: len(obj.JSON), user: cl.id}
	var r *record
	if opts.IfAbsent {
		decoded, strict, err := decode(k, obj.JSON)
		if err != nil {
			return result, err
		}
		if len(strict) > 0 {
			return result, strictError(k, strict)
		}
		if r, err = cl.c.create(q, decoded); err != nil {
			return result, err
		}
	} else if r, err = cl.c.applyAsDriver(ctx, q, obj.JSON, opts.Force); err != nil {
		return result, err
	}
	return r.driverObject(driver.Whole), nil
}

// applyAsDriver is apply, except that what a manager created (operation
// Update) is not another manager's than what it applies (operation Apply): a
// driver takes that over, as kubectl does.
func (c *Cluster) applyAsDriver(ctx context.Context, q request, data []byte, force bool) (*record, error) {
	r, _, err := c.apply(ctx, q, data, force)
	var conflict *driver.ConflictError
	if err == nil || !errors.As(toDriver(err), &conflict) {
		return r, err
	}
	others := slices.DeleteFunc(conflict.Fields, func(f driver.FieldConflict) bool { return f.Manager == q.manager })
	if len(others) > 0 {
		return nil, &driver.ConflictError{Fields: others}
	}
	if !q.dryRun {
		own := q
		own.untracked = true
		if _, err := c.update(ctx, own, func(live object) (object, error) {
			return live, csaupgrade.UpgradeManagedFields(live, sets.New(q.manager), q.manager)
		}); err != nil {
			return nil, err
		}
		q.revision = "" // it was just checked, and changed
	}
	r, _, err = c.apply(ctx, q, data, force || q.dryRun)
	return r, err
}

// Delete implements driver.Cluster.
func (cl client) Delete(ctx context.Context, ref driver.Ref, opts driver.DeleteOptions) (err error) {
	k, err := cl.find(ref.APIVersion, ref.Kind)
	if err != nil {
		return err
	}
	at, err := place(k, ref)
	if err != nil {
		return err
	}
	done, err := cl.begin(ctx, access{verb: "delete", kind: k, key: at})
	if err != nil {
		return err
	}
	defer done(&err)
	policy := metav1.DeletePropagationBackground
	if opts.Propagation != driver.Background {
		policy = metav1.DeletionPropagation(opts.Propagation)
	}
	deletion := metav1.DeleteOptions{PropagationPolicy: &policy, Preconditions: &metav1.Preconditions{}}
	if opts.UID != "" {
		uid := types.UID(opts.UID)
		deletion.Preconditions.UID = &uid
	}
	if opts.Revision != "" {
		deletion.Preconditions.ResourceVersion = &opts.Revision
	}
	_, err = cl.c.remove(ctx, request{kind: k, key: at, dryRun: opts.DryRun}, deletion)
	return err
}
