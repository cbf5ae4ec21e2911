package deploy

import "github.com/appspan-dev/appspan/cluster/driver"

// What is ours is what the signed record lists by UID. Labels alone say
// nothing: whoever may write in the namespace can set them. Two things are
// known by their labels, though: an object that the record lists without a
// UID, because the process that was to write it may have died before it could
// say so, or because the record is too large to hold UIDs, and a claim, which
// outlives its record.

// known is what the record says of an object.
func (l *live) known(ref driver.Ref) (item, bool) {
	if l.state == nil || l.state.record == nil {
		return item{}, false
	}
	known, listed := l.state.record.Inventory[inventoryKey(ref)]
	return known, listed
}

// labelled reports whether an object has the labels of our ApplySet.
func (l *live) labelled(obj driver.Object) bool {
	return l.scope.ours(obj.Labels) && obj.Labels[applySetPartOf] == l.scope.applySet()
}

// owns reports whether an object is ours.
func (l *live) owns(obj driver.Object) bool {
	known, listed := l.known(obj.Ref)
	if known.UID != "" {
		return known.UID == obj.UID
	}
	return (listed || obj.Kind == kindClaim.Kind) && l.labelled(obj)
}

// before is what the record says of an object while a release is applied. One
// that comes to exist only now is listed without a UID until it is known.
func before(w *work, o *desired, known item, action Action) item {
	switch obj, exists := w.live.find(o.Ref); {
	case action == ActionCreate, action == ActionReplace, action == ActionAdopt:
		known = item{}
	case action == "" && exists && known.UID == "": // a process died before it could say
		known = item{UID: obj.UID, Revision: obj.Revision, Generation: obj.Generation, Hash: o.hash}
	}
	known.Keep, known.Passing = o.Keep, passing(o)
	return known
}

// forgetGone drops from a record what is not desired any more and is not there:
// somebody deleted it, or a process that died before it could say so.
func (w *work) forgetGone(r *record) {
	l := w.live
	for key := range r.Inventory {
		ref := refOfKey(key, l.scope.namespace)
		kind, served := l.info.Lookup(ref.APIVersion, ref.Kind)
		if !served || !kind.Namespaced || l.partly[kindRef{ref.APIVersion, ref.Kind}] || w.byRef[ref] != nil {
			continue // it may be there and was not listed
		}
		if _, there := l.find(ref); !there {
			delete(r.Inventory, key)
		}
	}
}
