package appspan

import (
	"context"
	"errors"
	"time"
)

// The categories of errors. A sentinel says what went wrong; the error that
// wraps it says where, and the next step.
var (
	// ErrInvalid: the input is wrong and will be wrong the next time too.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound: what was named does not exist.
	ErrNotFound = errors.New("not found")
	// ErrExists: what was to be created exists already.
	ErrExists = errors.New("already exists")
	// ErrConflict: another party owns or changed the same thing; read it
	// again, decide, and repeat.
	ErrConflict = errors.New("conflict")
	// ErrDenied: the subject, or the program's credentials, may not do this.
	ErrDenied = errors.New("denied")
	// ErrPrecondition: the world is not as the caller said it would be (a
	// stale plan, another UID, another revision).
	ErrPrecondition = errors.New("precondition failed")
	// ErrExhausted: a quota, a capacity or a bound of the SDK is used up.
	ErrExhausted = errors.New("exhausted")
	// ErrUnavailable: the other side did not answer, or asked to come later.
	ErrUnavailable = errors.New("unavailable")
	// ErrUnsupported: the driver, the cluster or this version can't do it.
	ErrUnsupported = errors.New("unsupported")
	// ErrCorrupt: stored data fails its checksum, its signature or its format.
	ErrCorrupt = errors.New("corrupt")
)

// retryError marks an error as worth repeating, after a time.
type retryError struct {
	err   error
	after time.Duration
}

func (e *retryError) Error() string { return e.err.Error() }
func (e *retryError) Unwrap() error { return e.err }

// MarkRetryable returns err marked as retryable after the given time; zero
// means that the other side named none. A nil err stays nil. Drivers call it;
// the text of the error does not change.
func MarkRetryable(err error, after time.Duration) error {
	if err == nil {
		return nil
	}
	return &retryError{err: err, after: max(after, 0)}
}

// Retryable reports whether the same call, unchanged, may succeed later. It
// promises nothing about side effects: a write that is Retryable is one that
// is safe to send again. Cancelled and expired contexts are not retryable.
func Retryable(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var marked *retryError
	return errors.As(err, &marked)
}

// RetryAfter is how long the other side asked to wait before the same call,
// zero when it did not say or when err is not [Retryable].
func RetryAfter(err error) time.Duration {
	var marked *retryError
	if !Retryable(err) || !errors.As(err, &marked) {
		return 0
	}
	return marked.after
}
