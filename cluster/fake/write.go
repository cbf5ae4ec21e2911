package fake

import (
	"context"
	"reflect"
	"strings"

	"github.com/appspan-dev/appspan/cluster/driver"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/uuid"
)

// request is one write as the server sees it, whoever sent it.
type request struct {
	kind    *kind
	key     key
	sub     string // subresource, or empty
	manager string
	dryRun  bool
	// uid and revision are preconditions; empty ones are not checked.
	uid, revision string
	warn          func(string) // may be nil
	size          int          // of the body
	user          *driver.Identity
	untracked     bool // leave managed fields as they are
}

func (q request) warning(s string) {
	if q.warn != nil {
		q.warn(s)
	}
}

// create stores a new object. obj is the caller's to give away.
func (c *Cluster) create(q request, obj object) (*record, error) {
	if obj.GetResourceVersion() != "" {
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	q.initialize(obj)
	setDefaults(obj)
	if q.untracked {
		return c.insert(q, obj)
	}
	managed, err := q.kind.managers[""].Update(q.kind.new(), obj, q.manager)
	if err != nil {
		return nil, unknown(err)
	}
	return c.insert(q, managed.(object))
}

// initialize fills in the metadata that only the server sets.
func (q request) initialize(obj object) {
	obj.GetObjectKind().SetGroupVersionKind(q.kind.gvk)
	obj.SetNamespace(q.key.namespace)
	if obj.GetName() == "" && obj.GetGenerateName() != "" {
		obj.SetName(obj.GetGenerateName() + rand.String(5))
	}
	obj.SetUID(uuid.NewUUID())
	obj.SetResourceVersion("")
	obj.SetSelfLink("")
	obj.SetCreationTimestamp(metav1.Now().Rfc3339Copy())
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	obj.SetGeneration(0)
	if q.kind.generation {
		obj.SetGeneration(1)
	}
	setField(obj, "Status", nil)
}

// insert admits, validates and stores an object whose defaults and managed
// fields are in place.
func (c *Cluster) insert(q request, obj object) (*record, error) {
	if c.store.get(q.kind, keyOf(obj)) != nil {
		return nil, apierrors.NewAlreadyExists(q.kind.groupResource(), obj.GetName())
	}
	if err := c.checkNamespace(q.kind, obj); err != nil {
		return nil, err
	}
	if err := c.prepareCreate(q, obj); err != nil {
		return nil, err
	}
	if errs := validate(q.kind, obj); len(errs) > 0 {
		return nil, apierrors.NewInvalid(q.kind.gvk.GroupKind(), obj.GetName(), errs)
	}
	if err := checkSize(q, obj); err != nil {
		return nil, err
	}
	release, err := c.admitQuota(q, nil, obj)
	if err != nil {
		return nil, err
	}
	defer release()
	if q.dryRun {
		return newRecord(q.kind, obj, 0), nil
	}
	r, ok := c.store.commit(q.kind, nil, obj)
	if !ok {
		return nil, apierrors.NewAlreadyExists(q.kind.groupResource(), obj.GetName())
	}
	if q.kind.is("Namespace") {
		c.furnish(r.key.name)
	}
	return r, nil
}

// update reads the object, lets edit make a new one of it, and stores that,
// again when somebody else was faster. edit gets a copy that it may change at
// its top and in its metadata (see shallow), and returns what to store.
func (c *Cluster) update(ctx context.Context, q request, edit func(live object) (object, error)) (*record, error) {
	for {
		live := c.store.get(q.kind, q.key)
		if live == nil {
			return nil, apierrors.NewNotFound(q.kind.groupResource(), q.key.name)
		}
		obj, err := edit(shallow(live.obj))
		if err != nil {
			return nil, err
		}
		r, ok, err := c.replace(q, live, obj, false)
		if err != nil || ok {
			return r, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// replace stores obj in place of live; it reports false when live is not the
// current state any more. Applied objects have their managed fields already.
func (c *Cluster) replace(q request, live *record, obj object, applied bool) (*record, bool, error) {
	if err := q.preconditions(live, obj); err != nil {
		return nil, false, err
	}
	obj.GetObjectKind().SetGroupVersionKind(q.kind.gvk)
	obj.SetNamespace(live.key.namespace)
	obj.SetUID(live.obj.GetUID())
	obj.SetCreationTimestamp(live.obj.GetCreationTimestamp())
	obj.SetDeletionTimestamp(live.obj.GetDeletionTimestamp())
	obj.SetDeletionGracePeriodSeconds(live.obj.GetDeletionGracePeriodSeconds())
	obj.SetGeneration(live.obj.GetGeneration())
	obj.SetSelfLink("")
	obj.SetResourceVersion(live.obj.GetResourceVersion())
	setDefaults(obj)
	if !applied && !q.untracked {
		managed, err := q.kind.managers[q.sub].Update(shallow(live.obj), obj, q.manager)
		if err != nil {
			return nil, false, unknown(err)
		}
		obj = managed.(object)
	}
	if q.sub == "status" {
		next := shallow(live.obj)
		setField(next, "Status", topField(obj, "Status"))
		next.SetManagedFields(obj.GetManagedFields())
		if q.kind.is("Deployment") { // its strategy lets annotations pass
			next.SetAnnotations(obj.GetAnnotations())
		}
		obj = next
	} else if q.kind.status && !q.untracked {
		setField(obj, "Status", topField(live.obj, "Status"))
	}
	prepareUpdate(live.obj, obj)
	if q.kind.generation && q.sub != "status" && !q.untracked && specChanged(q.kind, live.obj, obj) {
		obj.SetGeneration(obj.GetGeneration() + 1)
	}
	if unchanged(live.obj, obj) {
		return live, true, nil
	}
	if err := c.allocateService(q, live.obj, obj); err != nil {
		return nil, false, err
	}
	errs := validate(q.kind, obj)
	if errs = append(errs, c.validateUpdate(q, live.obj, obj)...); len(errs) > 0 {
		return nil, false, apierrors.NewInvalid(q.kind.gvk.GroupKind(), obj.GetName(), errs)
	}
	if err := checkSize(q, obj); err != nil {
		return nil, false, err
	}
	release, err := c.admitQuota(q, live.obj, obj)
	if err != nil {
		return nil, false, err
	}
	defer release()
	if q.dryRun {
		return newRecord(q.kind, obj, live.rev), true, nil
	}
	if finished(obj) {
		r, ok := c.store.commit(q.kind, live, nil)
		return r, ok, nil
	}
	r, ok := c.store.commit(q.kind, live, obj)
	return r, ok, nil
}

// preconditions compares what the request and the sent object say about the
// identity and the state of the stored one.
func (q request) preconditions(live *record, obj object) error {
	for _, uid := range []string{q.uid, string(obj.GetUID())} {
		if uid != "" && uid != string(live.obj.GetUID()) {
			return uidMismatch(q.kind, live.key.name, uid, string(live.obj.GetUID()))
		}
	}
	for _, revision := range []string{q.revision, obj.GetResourceVersion()} {
		if revision != "" && revision != live.obj.GetResourceVersion() {
			return modified(q.kind, live.key.name)
		}
	}
	return nil
}

// unchanged reports whether an update changes nothing but the times of
// managed fields; then nothing is written, as in a real server.
func unchanged(live, obj object) bool {
	a, b := live.GetManagedFields(), obj.GetManagedFields()
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		x.Time, y.Time = nil, nil
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	x, y := shallow(live), shallow(obj)
	x.SetManagedFields(nil)
	y.SetManagedFields(nil)
	return equality.Semantic.DeepEqual(x, y)
}

// specChanged reports whether anything but metadata and status differs.
func specChanged(k *kind, live, obj object) bool {
	if k.is("Deployment") && !equality.Semantic.DeepEqual(live.GetAnnotations(), obj.GetAnnotations()) {
		return true // as its strategy has it
	}
	if !k.custom && k.status {
		return !equality.Semantic.DeepEqual(topField(live, "Spec"), topField(obj, "Spec"))
	}
	strip := func(o object) object {
		o = shallow(o)
		if k.status {
			setField(o, "Status", nil)
		}
		setField(o, "ObjectMeta", nil)
		return o
	}
	return !equality.Semantic.DeepEqual(strip(live), strip(obj))
}

// finished reports whether a deleted object waits for nothing any more.
func finished(obj object) bool {
	if obj.GetDeletionTimestamp() == nil || len(obj.GetFinalizers()) > 0 {
		return false
	}
	grace := obj.GetDeletionGracePeriodSeconds()
	return (grace == nil || *grace == 0) && !namespaceHeld(obj)
}

// topField returns a top-level field, named as in Go, of an object.
func topField(o object, name string) any {
	if u, ok := o.(*unstructured.Unstructured); ok {
		return u.Object[jsonName(name)]
	}
	f := reflect.ValueOf(o).Elem().FieldByName(name)
	if !f.IsValid() {
		return nil
	}
	return f.Interface()
}

// setField sets a top-level field; nil is its zero value. An object without
// such a field stays as it is.
func setField(o object, name string, value any) {
	if u, ok := o.(*unstructured.Unstructured); ok {
		if value == nil {
			delete(u.Object, jsonName(name))
		} else {
			u.Object[jsonName(name)] = value
		}
		return
	}
	f := reflect.ValueOf(o).Elem().FieldByName(name)
	switch {
	case !f.IsValid():
	case value == nil:
		f.SetZero()
	default:
		f.Set(reflect.ValueOf(value))
	}
}

func jsonName(name string) string {
	if name == "ObjectMeta" {
		return "metadata"
	}
	return strings.ToLower(name)
}
