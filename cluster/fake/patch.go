package fake

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/appspan-dev/appspan/cluster/driver"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// maxOperations bounds a JSON patch, as a real server does.
const maxOperations = 10000

// strictness says what becomes of unknown and duplicate fields.
type strictness string

// check applies the strictness to what a strict decoder found.
func (s strictness) check(q request, found []error) error {
	if len(found) == 0 {
		return nil
	}
	switch s {
	case "Strict":
		return strictError(q.kind, found)
	case "Ignore":
		return nil
	}
	for _, err := range found {
		q.warning(err.Error())
	}
	return nil
}

// patchJSON applies a patch of one of the three kinds that are no apply.
// example is the Go type of what is patched; nil has none.
func patchJSON(kind types.PatchType, original, patch []byte, example any) ([]byte, error) {
	var out []byte
	var err error
	switch kind {
	case types.JSONPatchType:
		var ops jsonpatch.Patch
		if ops, err = jsonpatch.DecodePatch(patch); err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
		}
		if len(ops) > maxOperations {
			return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("The allowed maximum operations in a JSON patch is %d, got %d", maxOperations, len(ops)))
		}
		if out, err = ops.Apply(original); err != nil {
			return nil, apierrors.NewGenericServerResponse(422, "", metav1.SchemeGroupVersion.WithResource("").GroupResource(), "", err.Error(), 0, false)
		}
		return out, nil
	case types.MergePatchType:
		out, err = jsonpatch.MergePatch(original, patch)
	case types.StrategicMergePatchType:
		if example == nil {
			return nil, unsupportedMedia()
		}
		out, err = strategicpatch.StrategicMergePatch(original, patch, example)
	default:
		return nil, unsupportedMedia()
	}
	if err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
	}
	return out, nil
}

func unsupportedMedia() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 415, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
	}}
}

// example is an empty value of the kind's Go type, nil when it has none.
func (k *kind) example() any {
	if k.custom {
		return nil
	}
	return reflect.New(k.typ).Interface()
}

// patch changes an object, or its status, by a patch.
func (c *Cluster) patch(ctx context.Context, q request, kind types.PatchType, patch []byte, strict strictness) (*record, error) {
	return c.update(ctx, q, func(live object) (object, error) {
		original, err := json.Marshal(live)
		if err != nil {
			return nil, apierrors.NewInternalError(err)
		}
		patched, err := patchJSON(kind, original, patch, q.kind.example())
		if err != nil {
			return nil, err
		}
		obj, found, err := decode(q.kind, patched)
		if err != nil {
			return nil, err
		}
		return obj, strict.check(q, found)
	})
}

// replaceWith is a PUT: obj is all of the new state.
func (c *Cluster) replaceWith(ctx context.Context, q request, obj object) (*record, error) {
	if obj.GetName() != q.key.name {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", obj.GetName(), q.key.name))
	}
	if ns := obj.GetNamespace(); ns != "" && ns != q.key.namespace {
		return nil, apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	return c.update(ctx, q, func(live object) (object, error) {
		o := obj.DeepCopyObject().(object)
		if o.GetUID() == "" {
			o.SetUID(live.GetUID())
		}
		return o, nil
	})
}

// Update replaces an object by a whole new state, as a PUT of a person does:
// manager owns what changed with the operation Update. A revision in obj is a
// precondition. It fails with appspan.ErrNotFound when the object is missing.
func (cl client) Update(ctx context.Context, obj driver.Object, manager string) (result driver.Object, err error) {
	k, err := cl.find(obj.APIVersion, obj.Kind)
	if err != nil {
		return result, err
	}
	at, err := place(k, obj.Ref)
	if err != nil {
		return result, err
	}
	done, err := cl.begin(ctx, access{verb: "update", kind: k, key: at, manager: manager})
	if err != nil {
		return result, err
	}
	defer done(&err)
	q := request{kind: k, key: at, manager: manager, size: len(obj.JSON), user: cl.id}
	decoded, strict, err := decode(k, obj.JSON)
	if err != nil {
		return result, err
	}
	if len(strict) > 0 {
		return result, strictError(k, strict)
	}
	r, err := cl.c.replaceWith(ctx, q, decoded)
	if err != nil {
		return result, err
	}
	return r.driverObject(driver.Whole), nil
}
