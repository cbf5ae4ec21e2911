package cluster

import "time"

// EventType says what an [Event] of a watch is.
type EventType string

// The types of the events of a watch.
const (
	// Added: an object that the reader has not seen.
	Added EventType = "added"
	// Modified: an object that the reader has seen, in another state.
	Modified EventType = "modified"
	// Deleted: an object that is gone, or no longer selected. When it went
	// while nobody watched, it is what was known of it, without JSON.
	Deleted EventType = "deleted"
	// Synced: what came so far is everything that there is. It comes after the
	// first list, after Reset, and when a watch that was Stale follows again.
	Synced EventType = "synced"
	// Stale: the cluster does not answer; what is known is getting old. The
	// watch goes on trying.
	Stale EventType = "stale"
	// Reset: the reader forgets what it knows; everything that there is
	// follows as Added, then Synced.
	Reset EventType = "reset"
)

// Event is one step of a watch.
type Event struct {
	Type EventType
	// Object is what was Added, Modified or Deleted.
	Object Object
	// Since is, for Stale, when the watch last heard of the cluster, zero if
	// never.
	Since time.Time
	// Cause is, for Stale, why.
	Cause error
}
