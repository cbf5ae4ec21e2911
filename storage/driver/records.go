package driver

import "context"

// Record is one small versioned document.
type Record struct {
	// Key is a path of segments: "clusters/eu-1". See storage.CheckKey.
	Key string
	// Value is at most storage.MaxValue bytes. It is a copy: of what was put,
	// and for each reader.
	Value []byte
	// Revision is opaque; each write of a key gives it another one, also when
	// the key was deleted meanwhile.
	Revision string
}

// Records is a store of records. It has five methods at most, for ever; a new
// ability is a new optional interface.
//
// What a call that returned nil wrote is there for every later call of every
// process, and after a crash of any of them.
type Records interface {
	// Get reads one record; a missing one is appspan.ErrNotFound.
	Get(ctx context.Context, key string) (Record, error)
	// Put writes a record and returns its new revision, if its revision is
	// still ifRevision; "" means that it must not exist. A key that exists is
	// then appspan.ErrExists; another revision, or none, is
	// appspan.ErrPrecondition. Of several that put at one time onto one
	// revision, one succeeds.
	Put(ctx context.Context, key string, value []byte, ifRevision string) (revision string, err error)
	// Delete removes a record, if its revision is still ifRevision, which is
	// not empty. A missing one is appspan.ErrNotFound, another revision is
	// appspan.ErrPrecondition.
	Delete(ctx context.Context, key, ifRevision string) error
	// List reads records in the byte order of their keys. A record that is
	// there from before the first page until after the last is on exactly one
	// page.
	List(ctx context.Context, q Query) (Page, error)
	// Close ends watches and frees what is open. It is idempotent; calls that
	// follow fail with [ErrClosed].
	Close() error
}

// Query selects records.
type Query struct {
	// Prefix is what keys begin with: whole segments, "clusters/", or "".
	Prefix string
	// After is the key after which to begin; empty is the first.
	After string
	// Limit bounds a page; zero leaves it to the driver. A page may have
	// fewer records than that.
	Limit int
}

// Page is one page of a List.
type Page struct {
	Records []Record
	// More: there are further pages, after the last record of this one.
	More bool
	// Position is where a watch has to begin to miss nothing that happens
	// after this page was read; "" if the driver cannot watch.
	Position string
}

// Watcher is a store that tells of changes.
type Watcher interface {
	// Watch opens a stream of the changes after position of records whose keys
	// begin with prefix. A position that is too old, or of another store, is
	// appspan.ErrPrecondition.
	Watch(ctx context.Context, prefix, position string) (Watch, error)
}

// Watch is an open stream of changes.
type Watch interface {
	// Next waits for the next change, in the order in which they were made.
	// io.EOF is an end in good order: resume from the last position. A reader
	// that falls too far behind gets appspan.ErrPrecondition.
	Next() (Change, error)
	// Stop ends the stream, also while Next waits. It is idempotent.
	Stop()
}

// Change is one change of a record.
type Change struct {
	// Record is the record as it was written. For a deletion it has a key and
	// no value; its revision is the last one or that of the deletion.
	Record Record
	// Deleted tells a deletion from a write.
	Deleted bool
	// Position is where a watch has to begin to go on after this change.
	Position string
}
