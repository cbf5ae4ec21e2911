package appspan

import "time"

// Event tells what a long call just did or saw. Events are delivered by one
// goroutine per call, never two at a time and never after the call returned;
// within one cluster they come in order. Of the events of one kind, cluster,
// phase and component that wait for a slow receiver only the latest is kept,
// so that it hears the last state of everything, and delays only events.
type Event struct {
	// Seq counts the events of one call from 1, without gaps in what is
	// delivered.
	Seq uint64 `json:"seq"`
	// Time is when it was seen, in UTC.
	Time time.Time `json:"time"`
	// Cluster is the cluster's name, empty for the call as a whole.
	Cluster string `json:"cluster,omitempty"`
	// Kind says what sort of event it is.
	Kind EventKind `json:"kind"`
	// Phase is the step of the call that it belongs to: "plan", "apply",
	// "prune", "ready", …; each call documents its own.
	Phase string `json:"phase,omitempty"`
	// Object is what it is about, as "Kind namespace/name", or empty.
	Object string `json:"object,omitempty"`
	// Component is the id of the component it is about, or empty.
	Component string `json:"component,omitempty"`
	// Message is one line for people. It never holds a secret value.
	Message string `json:"message"`
	// Done and Total count the phase's work when both are known; Total is
	// zero when it is not.
	Done  int `json:"done,omitempty"`
	Total int `json:"total,omitempty"`
}

// EventKind says what sort of event an [Event] is.
type EventKind string

const (
	// EventProgress: work goes on. May be coalesced.
	EventProgress EventKind = "progress"
	// EventState: something changed its state. The last one always comes.
	EventState EventKind = "state"
	// EventWarning: something a person should look at; the call goes on.
	EventWarning EventKind = "warning"
	// EventFailure: something failed; the call goes on elsewhere.
	EventFailure EventKind = "failure"
)
