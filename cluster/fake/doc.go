// Package fake has in-memory Kubernetes clusters with a real API server's
// semantics, for tests and demonstrations.
package fake
