package fake

import (
	"cmp"
	"slices"
	"strconv"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// key is the place of an object within its kind.
type key struct{ namespace, name string }

func compareKeys(a, b key) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
}

func keyOf(o object) key { return key{o.GetNamespace(), o.GetName()} }

// change is one commit: before is nil for a creation, after is nil for a
// removal. For a removal, last is the object as it was removed.
type change struct {
	rev           uint64
	before, after *record
	last          *record
}

func (ch change) kind() *kind {
	if ch.after != nil {
		return ch.after.kind
	}
	return ch.before.kind
}

// store holds the objects of one cluster. Its lock covers map work only:
// objects are immutable once they are in it, and are encoded outside of it.
type store struct {
	mu      sync.RWMutex
	rev     uint64
	objects map[*kind]map[string]map[string]*record // by namespace, by name
	byUID   map[types.UID]*record
	owned   map[types.UID]map[*record]struct{} // dependents of an owner
	orphans map[string]map[*record]struct{}    // what a controller may adopt, by namespace
	history []change
	bound   int
	watches map[*watch]struct{}
	changed func(change) // called in commit order, under the lock
}

func newStore(history int, changed func(change)) *store {
	return &store{
		objects: map[*kind]map[string]map[string]*record{}, byUID: map[types.UID]*record{}, owned: map[types.UID]map[*record]struct{}{},
		orphans: map[string]map[*record]struct{}{},
		bound:   history, watches: map[*watch]struct{}{}, changed: changed,
	}
}

// get returns the record of a key, nil when there is none.
func (s *store) get(k *kind, at key) *record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.objects[k][at.namespace][at.name]
}

// commit replaces before, which must still be the current record (nil: there
// must be none), by obj (nil: none). It reports false when it is not.
func (s *store) commit(k *kind, before *record, obj object) (*record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var at key
	if obj != nil {
		at = keyOf(obj)
	} else {
		at = before.key
	}
	if s.objects[k][at.namespace][at.name] != before {
		return nil, false
	}
	s.rev++
	ch := change{rev: s.rev, before: before}
	if before != nil {
		s.index(before, false)
	}
	if obj != nil {
		obj.SetResourceVersion(strconv.FormatUint(s.rev, 10))
		ch.after = newRecord(k, obj, s.rev)
		s.index(ch.after, true)
	} else {
		last := shallow(before.obj)
		last.SetResourceVersion(strconv.FormatUint(s.rev, 10))
		ch.last = newRecord(k, last, s.rev)
	}
	s.history = append(s.history, ch)
	if len(s.history) > 2*s.bound { // trimmed in bulk: a move per commit would be quadratic
		s.history = slices.Clone(s.history[len(s.history)-s.bound:])
	}
	for w := range s.watches {
		w.offer(ch)
	}
	s.changed(ch)
	if ch.after == nil {
		return ch.last, true
	}
	return ch.after, true
}

// index adds a record to the maps, or takes it out.
func (s *store) index(r *record, add bool) {
	spaces := s.objects[r.kind]
	if !add {
		delete(spaces[r.key.namespace], r.key.name)
		if len(spaces[r.key.namespace]) == 0 {
			delete(spaces, r.key.namespace)
		}
		delete(s.byUID, r.obj.GetUID())
	} else {
		if spaces == nil {
			spaces = map[string]map[string]*record{}
			s.objects[r.kind] = spaces
		}
		if spaces[r.key.namespace] == nil {
			spaces[r.key.namespace] = map[string]*record{}
		}
		spaces[r.key.namespace][r.key.name] = r
		s.byUID[r.obj.GetUID()] = r
	}
	if orphan(r.obj) {
		if add {
			link(s.orphans, r.key.namespace, r)
		} else {
			unlink(s.orphans, r.key.namespace, r)
		}
	}
	for _, o := range r.obj.GetOwnerReferences() {
		if add {
			link(s.owned, o.UID, r)
		} else {
			unlink(s.owned, o.UID, r)
		}
	}
}

func link[K comparable](index map[K]map[*record]struct{}, at K, r *record) {
	if index[at] == nil {
		index[at] = map[*record]struct{}{}
	}
	index[at][r] = struct{}{}
}

func unlink[K comparable](index map[K]map[*record]struct{}, at K, r *record) {
	delete(index[at], r)
	if len(index[at]) == 0 {
		delete(index, at)
	}
}

// list returns the records of a kind in a namespace ("" is all), in the order
// of their keys, and the revision at which that is true.
func (s *store) list(k *kind, namespace string) ([]*record, uint64) {
	s.mu.RLock()
	records := s.collect(k, namespace)
	rev := s.rev
	s.mu.RUnlock()
	sortRecords(records)
	return records, rev
}

// find returns the records of a namespace that match, in the order of their
// keys. match is called under the lock.
func (s *store) find(k *kind, namespace string, match func(*record) bool) []*record {
	s.mu.RLock()
	var records []*record
	for _, r := range s.objects[k][namespace] {
		if match(r) {
			records = append(records, r)
		}
	}
	s.mu.RUnlock()
	sortRecords(records)
	return records
}

func (s *store) collect(k *kind, namespace string) []*record {
	var records []*record
	for ns, byName := range s.objects[k] {
		if namespace != "" && ns != namespace {
			continue
		}
		records = slices.Grow(records, len(byName))
		for _, r := range byName {
			records = append(records, r)
		}
	}
	return records
}

// listAt is list as of an earlier revision: it undoes the changes since. It
// reports false when the history does not go back that far.
func (s *store) listAt(k *kind, namespace string, rev uint64) ([]*record, bool) {
	s.mu.RLock()
	records := map[key]*record{}
	for _, r := range s.collect(k, namespace) {
		records[r.key] = r
	}
	since, ok := s.since(rev)
	s.mu.RUnlock()
	if !ok {
		return nil, false
	}
	for _, ch := range slices.Backward(since) {
		if ch.kind() != k {
			continue
		}
		if ch.before != nil {
			records[ch.before.key] = ch.before
		} else {
			delete(records, ch.after.key)
		}
	}
	sorted := make([]*record, 0, len(records))
	for _, r := range records {
		if namespace == "" || r.key.namespace == namespace {
			sorted = append(sorted, r)
		}
	}
	sortRecords(sorted)
	return sorted, true
}

// forget ends the history before now: nobody can go back to the cluster's
// making.
func (s *store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history = nil
}

// since returns the changes after rev, false when some are forgotten or rev
// has not been yet. The lock is held.
func (s *store) since(rev uint64) ([]change, bool) {
	if rev > s.rev {
		return nil, false
	}
	kept := s.history[max(0, len(s.history)-s.bound):]
	if len(kept) == 0 {
		return nil, rev == s.rev
	}
	if rev+1 < kept[0].rev {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(kept, rev+1, func(ch change, rev uint64) int { return cmp.Compare(ch.rev, rev) })
	return kept[i:len(kept):len(kept)], true
}

// dependents returns what names uid as an owner, in the order of keys.
func (s *store) dependents(uid types.UID) []*record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var records []*record
	for r := range s.owned[uid] {
		records = append(records, r)
	}
	slices.SortFunc(records, func(a, b *record) int {
		return cmp.Or(cmp.Compare(a.kind.gvk.Kind, b.kind.gvk.Kind), compareKeys(a.key, b.key))
	})
	return records
}

// owner returns the record of an UID, nil when there is none.
func (s *store) withUID(uid types.UID) *record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byUID[uid]
}

func (s *store) revision() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.rev
}

func sortRecords(records []*record) {
	slices.SortFunc(records, func(a, b *record) int { return compareKeys(a.key, b.key) })
}
