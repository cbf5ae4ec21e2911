package storage

import "errors"

// Error says where a call failed: "put clusters/eu-1: precondition failed".
// Err wraps a sentinel of package appspan or a context error.
type Error struct {
	// Op is the operation: "get", "put", "delete", "list", "watch", "update",
	// "lease", "export", "import", "close".
	Op string
	// Key is the key, the prefix or the lease; empty for "close".
	Key string
	// Err is what went wrong.
	Err error
}

// Error is the operation, the key, and what went wrong.
func (e *Error) Error() string {
	if e.Key == "" {
		return e.Op + ": " + e.Err.Error()
	}
	return e.Op + " " + e.Key + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// wrap says where err happened, once.
func wrap(op, key string, err error) error {
	var there *Error
	if err == nil || errors.As(err, &there) {
		return err
	}
	return &Error{Op: op, Key: key, Err: err}
}
