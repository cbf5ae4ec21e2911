package client

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/appspan-dev/appspan"
)

// Problem is an error as the API tells it: problem details (RFC 9457). It is an
// error whose category is that of package appspan.
type Problem struct {
	// Type is stable: "https://appspan.dev/problems/not-found".
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail says what went wrong and what to do about it.
	Detail string `json:"detail,omitempty"`
	// Instance is the id of the request, under which the server's log has it.
	Instance string `json:"instance,omitempty"`
	// Faults are those of an application document.
	Faults []Fault `json:"faults,omitempty"`
	// Quota is, for a quota that is used up, which.
	Quota *QuotaProblem `json:"quota,omitempty"`
	// Conflicts are those of a promotion that nobody has decided.
	Promotion any `json:"promotion,omitempty"`
}

// Fault is one fault of an application document.
type Fault struct {
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Path     string `json:"path,omitempty"`
	Problem  string `json:"problem"`
	Next     string `json:"next,omitempty"`
	Severity string `json:"severity"`
}

// QuotaProblem is a quota that is used up.
type QuotaProblem struct {
	Team     string `json:"team"`
	Cluster  string `json:"cluster,omitempty"`
	Resource string `json:"resource"`
	Quota    string `json:"quota"`
	Asked    string `json:"asked"`
	Free     string `json:"free"`
}

// Error is the title and the detail.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("%s (%d)", p.Title, p.Status)
	}
	return p.Detail
}

// Unwrap is the category of package appspan, if it is one of these.
func (p *Problem) Unwrap() error {
	_, name, _ := strings.Cut(p.Type, "/problems/")
	switch name {
	case "invalid", "unsupported-media-type":
		return appspan.ErrInvalid
	case "not-found":
		return appspan.ErrNotFound
	case "exists":
		return appspan.ErrExists
	case "conflict":
		return appspan.ErrConflict
	case "denied", "unauthenticated":
		return appspan.ErrDenied
	case "precondition-failed", "precondition-required":
		return appspan.ErrPrecondition
	case "exhausted", "too-large":
		return appspan.ErrExhausted
	case "unavailable", "too-many-requests":
		return appspan.ErrUnavailable
	case "unsupported", "method-not-allowed":
		return appspan.ErrUnsupported
	case "corrupt":
		return appspan.ErrCorrupt
	case "": // of somebody in between
		switch p.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return appspan.ErrDenied
		case http.StatusNotFound:
			return appspan.ErrNotFound
		case http.StatusRequestEntityTooLarge:
			return appspan.ErrExhausted
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return appspan.ErrUnavailable
		}
	}
	return nil
}
