package cluster

import "github.com/appspan-dev/appspan/cluster/driver"

// The values that go to drivers and come from them, under the names that
// users of this package write. Their contracts are in package driver. An
// [Object] is read-only: its JSON and labels may be shared.
type (
	// Ref is the identity of an object within a cluster.
	Ref = driver.Ref
	// Object is one Kubernetes object: its identity and its JSON.
	Object = driver.Object
	// Query selects objects of one kind.
	Query = driver.Query
	// Projection says how much of each object a List or Watch returns.
	Projection = driver.Projection
	// ApplyOptions say how Apply writes.
	ApplyOptions = driver.ApplyOptions
	// DeleteOptions say how Delete deletes.
	DeleteOptions = driver.DeleteOptions
	// Propagation says what becomes of an object's dependents on Delete.
	Propagation = driver.Propagation
	// Info is what a cluster is and can do.
	Info = driver.Info
	// KindInfo is one API kind of an [Info].
	KindInfo = driver.KindInfo
	// FieldConflict is one field that another manager owns.
	FieldConflict = driver.FieldConflict
	// ConflictError lists the fields for which an Apply was refused.
	ConflictError = driver.ConflictError
)

// The projections of a [Query].
const (
	Whole    = driver.Whole
	Trimmed  = driver.Trimmed
	Metadata = driver.Metadata
)

// The propagation policies of [DeleteOptions].
const (
	Background = driver.Background
	Foreground = driver.Foreground
	Orphan     = driver.Orphan
)

// ParseObject reads an Object's fields from its JSON, see
// [driver.ParseObject].
func ParseObject(data []byte) (Object, error) { return driver.ParseObject(data) }

// NewObject encodes v, a whole Kubernetes object, see [driver.NewObject].
func NewObject(v any) (Object, error) { return driver.NewObject(v) }
