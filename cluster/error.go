package cluster

import (
	"errors"
	"strings"

	"github.com/appspan-dev/appspan/cluster/driver"
)

// Error says where a call failed: "apply eu-1 Deployment shop/web: conflict:
// …". Err wraps a sentinel of package appspan or a context error.
type Error struct {
	// Op is the operation: "apply", "get", "list", "watch", "delete", "info",
	// "close".
	Op string
	// Cluster is the cluster's name.
	Cluster string
	// Ref is the object. For lists and watches it has no name, for "info" and
	// "close" it is empty.
	Ref driver.Ref
	// Err is what went wrong.
	Err error
}

// Error is the operation, the cluster, the object, and what went wrong.
func (e *Error) Error() string {
	words := []string{e.Op, e.Cluster}
	switch {
	case e.Ref.Name != "":
		words = append(words, e.Ref.String())
	case e.Ref.Kind != "":
		words = append(words, e.Ref.Kind)
		if e.Ref.Namespace != "" {
			words = append(words, "in", e.Ref.Namespace)
		}
	}
	return strings.Join(words, " ") + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// wrap says where err happened, once.
func (c *Cluster) wrap(op string, ref Ref, err error) error {
	var there *Error
	if err == nil || errors.As(err, &there) {
		return err
	}
	return &Error{Op: op, Cluster: c.name, Ref: ref, Err: err}
}
