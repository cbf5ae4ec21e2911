package driver

import (
	"errors"

	"github.com/appspan-dev/appspan"
)

// ErrClosed is what calls after Close fail with; it wraps
// appspan.ErrUnavailable.
var ErrClosed = errors.Join(appspan.ErrUnavailable, errors.New("the store is closed"))

// As finds the optional interface T on r or on what it decorates, walking
// Unwrap() Records.
func As[T any](r Records) (T, bool) {
	for r != nil {
		if t, ok := r.(T); ok {
			return t, true
		}
		u, ok := r.(interface{ Unwrap() Records })
		if !ok {
			break
		}
		r = u.Unwrap()
	}
	var none T
	return none, false
}
