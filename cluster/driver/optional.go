package driver

import (
	"context"
	"encoding/json"
	"io"
	"strconv"
)

// Watcher is implemented by drivers that can follow changes.
type Watcher interface {
	// Watch follows what q selects from q.Revision on, until the context
	// ends or Stop is called. A revision that is too old is
	// appspan.ErrPrecondition, at once or as the watch's error.
	Watch(ctx context.Context, q Query) (Watch, error)
}

// Watch is one open watch.
type Watch interface {
	// Next blocks for the next event. After the first error it returns the
	// same error for ever: io.EOF when the server closed the stream in good
	// order (watch again from the last revision), appspan.ErrPrecondition
	// when the revision is too old (list again).
	Next() (WatchEvent, error)
	// Stop ends the watch and unblocks Next. It is idempotent.
	Stop()
}

// WatchEventType says what happened.
type WatchEventType string

// The types of watch events.
const (
	Added    WatchEventType = "ADDED"
	Modified WatchEventType = "MODIFIED"
	Deleted  WatchEventType = "DELETED"
	// Bookmark carries only a revision to resume from.
	Bookmark WatchEventType = "BOOKMARK"
)

// WatchEvent is one change. For Deleted the object is the last known one.
type WatchEvent struct {
	Type   WatchEventType
	Object Object
}

// Subresourcer reaches subresources: "scale", "status", "eviction" (create),
// "token" (create).
type Subresourcer interface {
	// GetSub reads the subresource sub of ref.
	GetSub(ctx context.Context, ref Ref, sub string) (json.RawMessage, error)
	// UpdateSub merges patch (RFC 7386) into the subresource.
	UpdateSub(ctx context.Context, ref Ref, sub string, patch json.RawMessage) (json.RawMessage, error)
	// CreateSub posts body to the subresource.
	CreateSub(ctx context.Context, ref Ref, sub string, body json.RawMessage) (json.RawMessage, error)
}

// UsageReader reads what nodes use, where the cluster measures it.
type UsageReader interface {
	Usage(ctx context.Context) ([]Usage, error)
}

// LogOptions choose what of a container's log is read.
type LogOptions struct {
	Container  string
	Follow     bool
	Previous   bool
	Timestamps bool
	SinceTime  string // RFC 3339; empty is from the beginning
	TailLines  int64  // zero is all
	LimitBytes int64  // zero is all
}

// LogStreamer reads logs of pods.
type LogStreamer interface {
	// Logs opens the log of a pod's container; the caller closes it.
	Logs(ctx context.Context, pod Ref, opts LogOptions) (io.ReadCloser, error)
}

// ExecOptions say what is executed and with which streams.
type ExecOptions struct {
	Container      string
	Command        []string
	Stdin          io.Reader // nil: none
	Stdout, Stderr io.Writer // nil: discarded
	TTY            bool
}

// Execer runs commands in containers.
type Execer interface {
	// Exec runs the command to its end. A non-zero exit is an [ExitError].
	Exec(ctx context.Context, pod Ref, opts ExecOptions) error
}

// ExitError is the exit status of a command that ended on its own.
type ExitError struct{ Code int }

// Error names the code.
func (e *ExitError) Error() string { return "command ended with exit code " + strconv.Itoa(e.Code) }

// PortForwarder connects to ports of pods.
type PortForwarder interface {
	// Forward opens one connection to a port of a pod; the caller closes it.
	Forward(ctx context.Context, pod Ref, port int) (io.ReadWriteCloser, error)
}

// Impersonator gives a view of the cluster that acts as somebody else.
type Impersonator interface {
	// As returns a cluster whose calls the server judges as id's. Closing it
	// does not close the cluster it came from.
	As(id Identity) (Cluster, error)
}
