package fake

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// toDriver marks an error of the API server, in whose terms this package
// works, with the sentinel that a driver promises.
func toDriver(err error) error {
	var status *apierrors.StatusError
	if err == nil || !errors.As(err, &status) {
		return err
	}
	s := status.Status()
	mark := func(sentinel error) error { return fmt.Errorf("%w: %s", sentinel, s.Message) }
	switch s.Reason {
	case metav1.StatusReasonNotFound:
		return mark(appspan.ErrNotFound)
	case metav1.StatusReasonAlreadyExists:
		return mark(appspan.ErrExists)
	case metav1.StatusReasonConflict:
		if fields := fieldConflicts(s); len(fields) > 0 {
			return &driver.ConflictError{Fields: fields}
		}
		return mark(appspan.ErrPrecondition)
	case metav1.StatusReasonExpired, metav1.StatusReasonGone:
		return mark(appspan.ErrPrecondition)
	case metav1.StatusReasonForbidden, metav1.StatusReasonUnauthorized:
		if strings.Contains(s.Message, "exceeded quota") {
			return mark(appspan.ErrExhausted)
		}
		return mark(appspan.ErrDenied)
	case metav1.StatusReasonMethodNotAllowed:
		return mark(appspan.ErrUnsupported)
	case metav1.StatusReasonTooManyRequests, metav1.StatusReasonServerTimeout, metav1.StatusReasonServiceUnavailable:
		var after time.Duration
		if s.Details != nil {
			after = time.Duration(s.Details.RetryAfterSeconds) * time.Second
		}
		return appspan.MarkRetryable(mark(appspan.ErrUnavailable), after)
	}
	return mark(appspan.ErrInvalid)
}

// fieldConflicts reads the conflicts that the API machinery put into a status.
func fieldConflicts(s metav1.Status) []driver.FieldConflict {
	if s.Details == nil {
		return nil
	}
	var fields []driver.FieldConflict
	for _, cause := range s.Details.Causes {
		if cause.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		manager := strings.TrimPrefix(cause.Message, "conflict with ")
		if quoted, err := strconv.QuotedPrefix(manager); err == nil {
			manager, _ = strconv.Unquote(quoted)
		}
		fields = append(fields, driver.FieldConflict{Path: cause.Field, Manager: manager})
	}
	return fields
}

// unsupported is the error for a kind that the cluster does not serve.
func unsupported(apiVersion, kind string) error {
	return fmt.Errorf("%w: the cluster has no kind %s of %s", appspan.ErrUnsupported, kind, apiVersion)
}

// unknown is an error that a real server answers with status 500 and no
// reason, although it is the caller's fault.
func unknown(err error) error {
	var status *apierrors.StatusError
	if errors.As(err, &status) {
		return err
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: 500, Reason: metav1.StatusReasonUnknown, Message: err.Error(),
	}}
}

func modified(k *kind, name string) error {
	return apierrors.NewConflict(k.groupResource(), name,
		errors.New("the object has been modified; please apply your changes to the latest version and try again"))
}

func uidMismatch(k *kind, name, want, have string) error {
	return apierrors.NewConflict(k.groupResource(), name,
		fmt.Errorf("Precondition failed: UID in precondition: %s, UID in object meta: %s", want, have))
}

func namespaceGone(name string) error {
	return apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, name)
}
