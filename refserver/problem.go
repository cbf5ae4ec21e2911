package refserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/appmodel"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/refserver/client"
)

// ProblemType is what the types of problems begin with; the category follows:
// "https://appspan.dev/problems/not-found". They are names, and lead nowhere.
const ProblemType = "https://appspan.dev/problems/"

// The errors that only HTTP has.
var (
	errUnauthenticated      = errors.New("nobody is logged in")
	errTooMany              = errors.New("too many requests")
	errTooLarge             = errors.New("the body is too large")
	errPreconditionRequired = errors.New("If-Match is missing")
	errUnsupportedMedia     = errors.New("unsupported media type")
	errMethod               = errors.New("it has no such method")
	errAnswered             = errors.New("it is answered already")
)

// category is how an error is told.
type category struct {
	err    error
	name   string
	title  string
	status int
}

// categories are tried in their order.
func categories() []category {
	return []category{
		{errUnauthenticated, "unauthenticated", "Log in first", http.StatusUnauthorized},
		{errTooMany, "too-many-requests", "Too many requests", http.StatusTooManyRequests},
		{errTooLarge, "too-large", "The body is too large", http.StatusRequestEntityTooLarge},
		{errPreconditionRequired, "precondition-required", "Say which version you changed", http.StatusPreconditionRequired},
		{errUnsupportedMedia, "unsupported-media-type", "The body is of a type that is not read here", http.StatusUnsupportedMediaType},
		{errMethod, "method-not-allowed", "This cannot be done with it", http.StatusMethodNotAllowed},
		{appspan.ErrInvalid, "invalid", "The request is not valid", http.StatusBadRequest},
		{appspan.ErrDenied, "denied", "You may not do this", http.StatusForbidden},
		{appspan.ErrNotFound, "not-found", "It does not exist", http.StatusNotFound},
		{appspan.ErrExists, "exists", "It exists already", http.StatusConflict},
		{appspan.ErrPrecondition, "precondition-failed", "It is not as you said", http.StatusPreconditionFailed},
		{appspan.ErrExhausted, "exhausted", "A quota or a bound is used up", http.StatusConflict},
		{appspan.ErrConflict, "conflict", "Somebody else has it, or changed it", http.StatusConflict},
		{appspan.ErrUnsupported, "unsupported", "This cannot be done here", http.StatusUnprocessableEntity},
		{appspan.ErrUnavailable, "unavailable", "The other side does not answer", http.StatusServiceUnavailable},
		{appspan.ErrCorrupt, "corrupt", "What is stored is damaged", http.StatusInternalServerError},
	}
}

// problemOf is an error as it is told. What has no category is told without its
// text, which is logged.
func problemOf(err error) client.Problem {
	p := client.Problem{Type: ProblemType + "internal", Title: "Something went wrong here", Status: http.StatusInternalServerError,
		Detail: "the server's log says more, under the request id"}
	for _, c := range categories() {
		if errors.Is(err, c.err) {
			p.Type, p.Title, p.Status, p.Detail = ProblemType+c.name, c.title, c.status, detail(err)
			break
		}
	}
	var invalid *appmodel.InvalidError
	if errors.As(err, &invalid) {
		for _, f := range invalid.Faults {
			p.Faults = append(p.Faults, client.Fault{Line: f.Line, Column: f.Column, Path: f.Path, Problem: f.Problem, Next: f.Next, Severity: fmt.Sprint(f.Severity)})
		}
	}
	var quota *team.QuotaError
	if errors.As(err, &quota) {
		p.Quota = &client.QuotaProblem{Team: quota.Team, Cluster: quota.Cluster, Resource: quota.Resource, Quota: quota.Quota, Asked: quota.Asked, Free: quota.Free}
	}
	return p
}

const maxDetail = 4096

// detail is the text of an error: printable, and bounded.
func detail(err error) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f {
			return ' '
		}
		return r
	}, err.Error())
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "…"
	}
	return text
}

// fail answers with a problem.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return // nobody listens
	}
	p := problemOf(err)
	p.Instance = requestID(r.Context())
	h := w.Header()
	if p.Status >= http.StatusInternalServerError && p.Status != http.StatusServiceUnavailable {
		s.logger.ErrorContext(r.Context(), "a request failed", "error", detail(err), "request", p.Instance, "method", r.Method, "path", r.URL.Path)
	}
	switch {
	case p.Status == http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="appspan"`)
	case p.Status == http.StatusTooManyRequests, p.Status == http.StatusServiceUnavailable, appspan.RetryAfter(err) > 0:
		h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(appspan.RetryAfter(err).Seconds())))))
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Del("ETag")
	h.Del("Location")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}
