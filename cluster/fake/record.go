package fake

import (
	"encoding/json"
	"reflect"
	"strconv"
	"sync"

	"github.com/appspan-dev/appspan/cluster/driver"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// record is one stored state of one object. It never changes; its encodings
// are made when first asked for.
type record struct {
	kind *kind
	key  key
	obj  object
	rev  uint64

	encoded [3]struct {
		once sync.Once
		json json.RawMessage
	}
}

func newRecord(k *kind, obj object, rev uint64) *record {
	return &record{kind: k, key: keyOf(obj), obj: obj, rev: rev}
}

// json is the object in one of the projections.
func (r *record) json(p driver.Projection) json.RawMessage {
	e := &r.encoded[p]
	e.once.Do(func() {
		// What is stored was decoded from JSON: it can be encoded.
		e.json, _ = json.Marshal(project(r.kind, r.obj, p))
	})
	return e.json
}

func project(k *kind, obj object, p driver.Projection) any {
	if p == driver.Whole {
		return obj
	}
	o := shallow(obj)
	o.SetManagedFields(nil)
	if p == driver.Metadata {
		partial := meta.AsPartialObjectMetadata(o)
		partial.TypeMeta = metav1.TypeMeta{APIVersion: k.apiVersion(), Kind: k.gvk.Kind}
		return partial
	}
	return o
}

// driverObject is the record as drivers hand it out.
func (r *record) driverObject(p driver.Projection) driver.Object {
	labels := map[string]string(nil)
	if l := r.obj.GetLabels(); len(l) > 0 {
		labels = make(map[string]string, len(l))
		for k, v := range l {
			labels[k] = v
		}
	}
	return driver.Object{
		Ref: driver.Ref{APIVersion: r.kind.apiVersion(), Kind: r.kind.gvk.Kind, Namespace: r.key.namespace, Name: r.key.name},
		UID: string(r.obj.GetUID()), Revision: strconv.FormatUint(r.rev, 10), Generation: r.obj.GetGeneration(),
		Deleting: r.obj.GetDeletionTimestamp() != nil, Labels: labels, JSON: r.json(p),
	}
}

// shallow copies the object and its metadata, but not what hangs below: the
// setters of metav1.Object may be used on the copy.
func shallow(o object) object {
	if u, ok := o.(*unstructured.Unstructured); ok {
		c := make(map[string]any, len(u.Object))
		for k, v := range u.Object {
			c[k] = v
		}
		if m, ok := u.Object["metadata"].(map[string]any); ok {
			d := make(map[string]any, len(m))
			for k, v := range m {
				d[k] = v
			}
			c["metadata"] = d
		}
		return &unstructured.Unstructured{Object: c}
	}
	c := reflect.New(reflect.TypeOf(o).Elem())
	c.Elem().Set(reflect.ValueOf(o).Elem())
	return c.Interface().(object)
}
