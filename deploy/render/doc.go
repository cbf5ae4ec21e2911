// Package render turns a resolved application and one cluster's abilities
// into typed Kubernetes objects. It is pure: no I/O, no clock, no randomness;
// the same input gives the same bytes. Package deploy plans and applies what
// it returns; vendors may call it to look at the objects.
//
// # Errors
//
// [Render] returns an error that wraps appspan.ErrInvalid when the application
// is not valid or refers to what the input does not have, and
// appspan.ErrUnsupported when the cluster cannot run it at all and no fallback
// exists. What has a fallback is a [Note].
//
// # Concurrency
//
// All functions are safe for concurrent use; inputs are not changed.
package render
