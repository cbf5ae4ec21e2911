package fake

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
)

// maxBody is the most that a request may hold, as in a real server.
const maxBody = 3 << 20

// apply is server-side apply: the API machinery merges, the server defaults,
// admits and validates. It reports whether the object is new.
func (c *Cluster) apply(ctx context.Context, q request, data []byte, force bool) (*record, bool, error) {
	if q.manager == "" {
		return nil, false, apierrors.NewInvalid(metav1.SchemeGroupVersion.WithKind("PatchOptions").GroupKind(), "", field.ErrorList{
			field.Required(field.NewPath("fieldManager"), "is required for apply patch")})
	}
	patch, err := decodeUntyped(data)
	if err != nil {
		return nil, false, err
	}
	if patch.GetName() != "" && patch.GetName() != q.key.name {
		return nil, false, apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", patch.GetName(), q.key.name))
	}
	if ns := patch.GetNamespace(); ns != "" && ns != q.key.namespace {
		return nil, false, apierrors.NewBadRequest(fmt.Sprintf("the namespace of the object (%s) does not match the namespace on the request (%s)", ns, q.key.namespace))
	}
	patch.SetName(q.key.name)
	if q.kind.namespaced {
		patch.SetNamespace(q.key.namespace)
	}
	for {
		live := c.store.get(q.kind, q.key)
		r, ok, err := c.applyTo(q, live, patch, force)
		if err != nil || ok {
			return r, live == nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
	}
}

func (c *Cluster) applyTo(q request, live *record, patch *unstructured.Unstructured, force bool) (*record, bool, error) {
	base := q.kind.new()
	if live != nil {
		base = shallow(live.obj)
		if err := q.preconditions(live, base); err != nil {
			return nil, false, err
		}
	}
	merged, err := q.kind.managers[q.sub].Apply(base, patch.DeepCopy(), q.manager, force)
	if err != nil {
		return nil, false, unknown(err)
	}
	if merged == nil { // the merge changed nothing at all
		merged = base
	}
	obj := merged.(object)
	if live != nil {
		return c.replace(q, live, obj, true)
	}
	if q.sub != "" {
		return nil, false, apierrors.NewNotFound(q.kind.groupResource(), q.key.name)
	}
	if uid := cmp.Or(q.uid, string(obj.GetUID())); uid != "" {
		return nil, false, apierrors.NewConflict(q.kind.groupResource(), q.key.name,
			fmt.Errorf("uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
	}
	if q.revision != "" { // one in the patch is ignored, as a real server does
		return nil, false, modified(q.kind, q.key.name)
	}
	q.initialize(obj)
	setDefaults(obj)
	r, err := c.insert(q, obj)
	if apierrors.IsAlreadyExists(err) {
		return nil, false, nil // somebody else was faster: merge into theirs
	}
	return r, err == nil, err
}

// decodeUntyped decodes JSON as the machinery wants it: int64 and float64.
func decodeUntyped(data []byte) (*unstructured.Unstructured, error) {
	if len(data) > maxBody {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBody))
	}
	u := &unstructured.Unstructured{Object: map[string]any{}}
	strict, err := kjson.UnmarshalStrict(data, &u.Object)
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
	}
	if len(strict) > 0 {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error strict decoding patch: %v", strict[0]))
	}
	return u, nil
}

// decode decodes JSON into an object of a kind. What a strict server would
// refuse (unknown and duplicate fields) comes back apart.
func decode(k *kind, data []byte) (object, []error, error) {
	if len(data) > maxBody {
		return nil, nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", maxBody))
	}
	obj := k.new()
	var target any = obj
	if u, ok := obj.(*unstructured.Unstructured); ok {
		u.Object = map[string]any{}
		target = &u.Object
	}
	strict, err := kjson.UnmarshalStrict(data, target)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", k.gvk.Kind, k.gvk.Version, k.gvk.Kind, err))
	}
	if gvk := obj.GetObjectKind().GroupVersionKind(); gvk != k.gvk && !gvk.Empty() {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: the object provided is unrecognized", gvk.Kind, gvk.Version, k.gvk.Kind))
	}
	obj.GetObjectKind().SetGroupVersionKind(k.gvk)
	return obj, strict, nil
}

// strictError is how a real server words what strict decoding found.
func strictError(k *kind, errs []error) error {
	var b bytes.Buffer
	for i, err := range errs {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(err.Error())
	}
	return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: strict decoding error: %s", k.gvk.Kind, k.gvk.Version, k.gvk.Kind, b.String()))
}

// Limits of what is stored.
const (
	maxStored = 3 << 19 // 1.5 MiB: what etcd takes
	maxData   = 1 << 20 // the data of a Secret or ConfigMap
)

// checkSize bounds what is stored. Only a big request can make a big object.
func checkSize(q request, obj object) error {
	if dataSize(obj) > maxData {
		return apierrors.NewInvalid(q.kind.gvk.GroupKind(), obj.GetName(), field.ErrorList{field.TooLong(field.NewPath("data"), "", maxData)})
	}
	if q.size < maxStored/4 {
		return nil
	}
	if data, err := json.Marshal(obj); err == nil && len(data) > maxStored {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("etcdserver: request is too large: %d bytes, limit is %d", len(data), maxStored))
	}
	return nil
}
