package kube

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// status is a refusal as the API machinery writes it (metav1.Status), as far
// as it is looked at.
type status struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Reason  string `json:"reason"`
	Code    int    `json:"code"`
	Details struct {
		Name              string `json:"name"`
		RetryAfterSeconds int    `json:"retryAfterSeconds"`
		Causes            []struct {
			Reason  string `json:"reason"`
			Message string `json:"message"`
			Field   string `json:"field"`
		} `json:"causes"`
	} `json:"details"`
}

const (
	maxMessage    = 2 << 10
	maxRetryAfter = 10 * 60 // seconds
)

// refusal is the error that an HTTP answer stands for. A safe request may be
// sent again after a failure on the way.
func refusal(code int, header http.Header, body []byte, safe bool) error {
	var s status
	if json.Unmarshal(body, &s) != nil || s.Kind != "Status" {
		s = status{Message: strings.TrimSpace(string(body))}
		if code == http.StatusNotFound { // a path that the server does not know
			return unserved(s)
		}
	}
	s.Code = code
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil && seconds > 0 {
		s.Details.RetryAfterSeconds = seconds
	}
	return s.err(safe)
}

// unserved is the refusal of what the cluster does not have at all.
func unserved(s status) error { return s.mark(appspan.ErrUnsupported) }

// err marks a refusal with the sentinel that a driver promises.
func (s status) err(safe bool) error {
	switch s.Code {
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: the cluster does not accept the credentials; renew them: %s", appspan.ErrDenied, s.text())
	case http.StatusForbidden:
		if strings.Contains(s.Message, "exceeded quota") {
			return s.mark(appspan.ErrExhausted)
		}
		return s.mark(appspan.ErrDenied)
	case http.StatusNotFound:
		if s.Details.Name == "" && strings.Contains(s.Message, "could not find the requested resource") {
			return unserved(s)
		}
		return s.mark(appspan.ErrNotFound)
	case http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnsupportedMediaType, http.StatusNotImplemented:
		return unserved(s)
	case http.StatusConflict:
		return s.conflict()
	case http.StatusGone:
		return s.mark(appspan.ErrPrecondition)
	case http.StatusTooManyRequests:
		if s.caused("DisruptionBudget") { // of an eviction: the server is not busy
			return s.later(appspan.ErrUnavailable, true)
		}
		return s.later(errOverload, true)
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if s.caused("ResourceVersionTooLarge") { // the server was set back in time
			return s.mark(appspan.ErrPrecondition)
		}
		return s.later(errOverload, safe)
	}
	if s.Code >= 500 && !s.asked() {
		return s.later(appspan.ErrUnavailable, safe)
	}
	for _, cause := range s.Details.Causes {
		if cause.Field == "metadata.uid" { // the object there has another UID than was demanded
			return s.mark(appspan.ErrPrecondition)
		}
	}
	return s.mark(appspan.ErrInvalid)
}

// asked reports whether a 500 is the caller's fault: what server-side apply
// cannot merge is answered so, without a reason.
func (s status) asked() bool {
	return s.Code == http.StatusInternalServerError && (s.Reason == "" || s.Reason == "Unknown") &&
		(strings.Contains(s.Message, "typed patch object") || strings.Contains(s.Message, "failed to convert") ||
			strings.Contains(s.Message, "unable to convert") || strings.Contains(s.Message, ": Invalid value: ") || strings.Contains(s.Message, "cannot unmarshal"))
}

// caused reports whether the server names a reason among the causes.
func (s status) caused(reason string) bool {
	for _, cause := range s.Details.Causes {
		if cause.Reason == reason {
			return true
		}
	}
	return false
}

// conflict tells apart what the API answers with 409.
func (s status) conflict() error {
	if s.Reason == "AlreadyExists" {
		return s.mark(appspan.ErrExists)
	}
	var fields []driver.FieldConflict
	for _, cause := range s.Details.Causes {
		if cause.Reason != "FieldManagerConflict" {
			continue
		}
		manager := strings.TrimPrefix(cause.Message, "conflict with ")
		if quoted, err := strconv.QuotedPrefix(manager); err == nil {
			manager, _ = strconv.Unquote(quoted)
		}
		fields = append(fields, driver.FieldConflict{Path: cause.Field, Manager: manager})
	}
	if len(fields) > 0 {
		return &driver.ConflictError{Fields: fields}
	}
	return s.mark(appspan.ErrPrecondition)
}

// later is the refusal of a server that asks to come again, or has failed.
func (s status) later(sentinel error, safe bool) error {
	err := s.mark(sentinel)
	if !safe {
		return err
	}
	return appspan.MarkRetryable(err, time.Duration(min(max(s.Details.RetryAfterSeconds, 0), maxRetryAfter))*time.Second)
}

func (s status) mark(sentinel error) error { return fmt.Errorf("%w: %s", sentinel, s.text()) }

// text is the message, bounded, with the fields that it may lack. What would
// steer a terminal is left out of it.
func (s status) text() string {
	message := s.Message
	if message == "" {
		message = "the server says " + strconv.Itoa(s.Code) + " " + http.StatusText(s.Code)
	}
	for _, cause := range s.Details.Causes {
		if cause.Field != "" && !strings.Contains(message, cause.Field) && len(message) < maxMessage {
			message += "; " + cause.Field + ": " + cause.Message
		}
	}
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, message)
}
