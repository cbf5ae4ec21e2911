// Package driver defines what a provider of clusters implements. Users hold
// a [github.com/appspan-dev/appspan/cluster.Cluster]; this package is for the
// authors of providers, and for pure code that works on [Object] values.
//
// A driver does I/O and nothing else: validation, the wrapping of errors,
// retries and paging are written once, in package cluster. A driver that
// passes [github.com/appspan-dev/appspan/cluster/clustertest] is a good one.
// Further abilities are optional interfaces ([Watcher], [Subresourcer], …),
// found through [As], which walks Unwrap, so that decorators need not repeat
// them.
//
// # Errors
//
// A driver marks every error with a sentinel of package appspan: ErrNotFound,
// ErrExists (IfAbsent), ErrConflict (another field manager), ErrPrecondition
// (UID or Revision), ErrInvalid, ErrDenied, ErrExhausted (quota),
// ErrUnavailable, ErrUnsupported. What may be repeated as it is, is marked
// with appspan.MarkRetryable. It does not say where: the struct adds that.
//
// # Concurrency
//
// All methods may be called at the same time from several goroutines, also
// during Close; calls after Close fail with ErrUnavailable.
package driver
