package deploy

import (
	"github.com/appspan-dev/appspan"
)

// ErrNotReady is what an Apply fails with when everything was written and the
// application did not become ready. It wraps appspan.ErrPrecondition; the text
// names the causes.
var ErrNotReady error = &notReadyError{}

type notReadyError struct{}

func (*notReadyError) Error() string { return "the application is not ready" }
func (*notReadyError) Unwrap() error { return appspan.ErrPrecondition }
