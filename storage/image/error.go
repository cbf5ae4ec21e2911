package image

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"unicode"

	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/appspan-dev/appspan"
)

// Error says where a call failed: "copy docker.io/library/nginx:1.27: not
// found". Err wraps a sentinel of package appspan or a context error.
type Error struct {
	// Op is "resolve", "copy" or "relocate".
	Op string
	// Ref is the image, or empty.
	Ref string
	// Err is what went wrong.
	Err error
}

// Error is the operation, the image, and what went wrong.
func (e *Error) Error() string {
	return strings.TrimSuffix(e.Op+" "+e.Ref, " ") + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// wrap says where err happened, once, and gives it a category.
func wrap(op string, ref Ref, err error) error {
	var there *Error
	if err == nil || errors.As(err, &there) {
		return err
	}
	return &Error{Op: op, Ref: ref.String(), Err: categorise(err)}
}

// failure is an error of the library below with a category, which is nil where
// err has one. Its text is bounded, of one line, and without the queries of
// URLs, in which storage services put signatures.
type failure struct {
	kind error
	text string
	err  error
}

func (f *failure) Error() string {
	if f.kind == nil {
		return f.text
	}
	return f.kind.Error() + ": " + f.text
}

func (f *failure) Unwrap() []error {
	if f.kind == nil {
		return []error{f.err}
	}
	return []error{f.kind, f.err}
}

var urlQuery = regexp.MustCompile(`\?[^\s"]*`)

func fail(kind, err error) error {
	const longest = 600
	text := urlQuery.ReplaceAllString(err.Error(), "?…")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return &failure{kind: kind, text: text, err: err}
}

// categorise gives an error of the library below a category of package
// appspan; one that has a category, or is the context's, keeps it.
func categorise(err error) error {
	var answer *errcode.ErrorResponse
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), hasCategory(err):
		return fail(nil, err)
	case errors.As(err, &answer):
		return fail(categoryOf(answer.StatusCode), err)
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return fail(appspan.ErrDenied, errors.New("the registry wants a credential and there is none: give one by ClientOptions.Credentials"))
	case errors.Is(err, errdef.ErrNotFound):
		return fail(appspan.ErrNotFound, err)
	case errors.Is(err, errdef.ErrUnsupported), errors.Is(err, errdef.ErrUnsupportedVersion):
		return fail(appspan.ErrUnsupported, err)
	case errors.Is(err, errdef.ErrSizeExceedsLimit), errors.Is(err, errdef.ErrTooManyPages):
		return fail(appspan.ErrExhausted, err)
	case errors.Is(err, content.ErrMismatchedDigest), errors.Is(err, content.ErrTrailingData), errors.Is(err, content.ErrInvalidDescriptorSize):
		return fail(appspan.ErrCorrupt, err)
	case errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return appspan.MarkRetryable(fail(appspan.ErrUnavailable, err), 0)
	}
	return fail(appspan.ErrCorrupt, err) // an answer that is not what it has to be
}

func hasCategory(err error) bool {
	for _, kind := range []error{appspan.ErrInvalid, appspan.ErrNotFound, appspan.ErrExists, appspan.ErrConflict, appspan.ErrDenied,
		appspan.ErrPrecondition, appspan.ErrExhausted, appspan.ErrUnavailable, appspan.ErrUnsupported, appspan.ErrCorrupt} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// categoryOf is the category of an HTTP status that is a failure.
func categoryOf(status int) error {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return appspan.ErrDenied
	case status == http.StatusNotFound:
		return appspan.ErrNotFound
	case status == http.StatusMethodNotAllowed, status == http.StatusNotImplemented:
		return appspan.ErrUnsupported
	case status == http.StatusConflict:
		return appspan.ErrConflict
	case status == http.StatusRequestEntityTooLarge, status == http.StatusInsufficientStorage:
		return appspan.ErrExhausted
	case transientStatus(status):
		return appspan.ErrUnavailable
	}
	return appspan.ErrInvalid
}

// transientStatus reports whether the same request may succeed later.
func transientStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented, http.StatusInsufficientStorage:
		return false
	}
	return status >= 500
}
