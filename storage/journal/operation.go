package journal

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// Intent is what somebody wants done.
type Intent struct {
	// Kind names the handler.
	Kind string
	// Key, when not empty, makes Begin idempotent: of two operations of one
	// kind and key, the second Begin returns the first operation, over or not and
	// whatever its Body, as long as that is kept: see Options.Keep.
	Key string
	// Subject is on whose behalf it is done.
	Subject appspan.Subject
	// PlanHash is the hash of the plan that was approved, if there is one.
	PlanHash string
	// About says what it is about, for lists: {"application": "shop"}.
	About map[string]string
	// Body is what the handler needs, JSON of at most [MaxBody] bytes. Secrets
	// in it are sealed.
	Body json.RawMessage
}

// State says how far an operation or a step has come.
type State string

// The states.
const (
	Pending   State = "pending"   // not begun, or waiting to be taken up again
	Running   State = "running"   // begun; see Operation.Holder, which may have died a moment ago
	Done      State = "done"      // ended well
	Failed    State = "failed"    // ended with an error
	Cancelled State = "cancelled" // ended because somebody cancelled it
)

// Over reports whether nothing more happens.
func (s State) Over() bool { return s == Done || s == Failed || s == Cancelled }

// Step is one step of an operation.
type Step struct {
	Name  string    `json:"name"`
	State State     `json:"state"`
	Begun time.Time `json:"begun"`
	Ended time.Time `json:"ended,omitzero"`
	// Attempts is how often it was begun: more than one after a crash.
	Attempts int `json:"attempts"`
	// Result is what it left for later steps and for whoever asks.
	Result json.RawMessage `json:"result,omitempty"`
	// Error is why it failed.
	Error string `json:"error,omitempty"`
}

// Operation is what is known of one operation.
type Operation struct {
	ID       string            `json:"id"`
	Kind     string            `json:"kind"`
	Key      string            `json:"key,omitempty"`
	Subject  appspan.Subject   `json:"subject,omitzero"`
	PlanHash string            `json:"planHash,omitempty"`
	About    map[string]string `json:"about,omitempty"`

	State State `json:"state"`
	// Cancelling: somebody asked for it to end.
	Cancelling bool `json:"cancelling,omitempty"`
	// Holder is the process that executes it, or did last; Attempts is how
	// often it was taken up.
	Holder   string    `json:"holder,omitempty"`
	Attempts int       `json:"attempts"`
	Created  time.Time `json:"created"`
	Begun    time.Time `json:"begun,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	Steps    []Step    `json:"steps,omitempty"`
	// Events are the last ones, at most a hundred.
	Events []appspan.Event `json:"events,omitempty"`
	// Outcome is what it came to: the handler's result.
	Outcome json.RawMessage `json:"outcome,omitempty"`
	// Error is why it failed, in words, and Category which of the errors of
	// package appspan that is, by its text, if any: "corrupt".
	Error    string `json:"error,omitempty"`
	Category string `json:"category,omitempty"`
}

// Err is why an operation failed, in its category, whoever executed it; nil if
// it did not fail.
func (o Operation) Err() error {
	if o.State != Failed {
		return nil
	}
	for _, category := range categories() {
		if category.Error() == o.Category {
			return &failure{text: o.Error, category: category}
		}
	}
	return errors.New(o.Error)
}

// failure is an error that was read back.
type failure struct {
	text     string
	category error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.category }

func categories() []error {
	return []error{appspan.ErrCorrupt, appspan.ErrInvalid, appspan.ErrDenied, appspan.ErrNotFound, appspan.ErrExists, appspan.ErrConflict,
		appspan.ErrPrecondition, appspan.ErrExhausted, appspan.ErrUnavailable, appspan.ErrUnsupported}
}

// failed writes down why an operation failed.
func (o *Operation) failed(err error) {
	o.State, o.Error = Failed, text(err)
	for _, category := range categories() {
		if errors.Is(err, category) {
			o.Category = category.Error()
			return
		}
	}
}

// Bounds of operations.
const (
	MaxBody   = 64 << 20 // bytes of Intent.Body
	maxSteps  = 2000
	maxEvents = 100
	maxText   = 2000 // bytes of an error
	maxResult = 64 << 10
)

const format = 1

// document is an operation as it is stored.
type document struct {
	storage.Envelope
	Operation
	// Fence is that of the lease under which it was written last: a smaller
	// one is refused.
	Fence int64 `json:"fence"`
	// Parts is how many records hold the body.
	Parts int `json:"parts"`
}

// Keys of Records. Operations that are over move, so that looking for work
// does not read them.
const (
	openKeys  = "operations/open/"
	overKeys  = "operations/over/"
	bodyKeys  = "operations/body/"
	indexKeys = "operations/key/"
)
