package refserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/appspan-dev/appspan"
)

// witness is an Authorizer that remembers what was denied, for the request that
// asked for it.
type witness struct{ appspan.Authorizer }

// Authorize implements appspan.Authorizer.
func (w witness) Authorize(ctx context.Context, subject appspan.Subject, access appspan.Access) error {
	err := w.Authorizer.Authorize(ctx, subject, access)
	if d, ok := ctx.Value(keyDenials).(*denials); ok && errors.Is(err, appspan.ErrDenied) {
		d.add(access)
	}
	return err
}

// denials are what was denied to one request.
type denials struct {
	subject appspan.Subject // who sent it; nobody, until that is known

	mu    sync.Mutex
	first *appspan.Access
}

func (d *denials) add(access appspan.Access) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.first == nil {
		d.first = &access
	}
}

func witnessed(ctx context.Context, d *denials) context.Context {
	return context.WithValue(ctx, keyDenials, d)
}

// asking is a context in which somebody only wants to know what a subject may do.
func asking(ctx context.Context) context.Context {
	return context.WithValue(ctx, keyDenials, nil)
}

// refusals bound what is written down of refused requests: of each subject, and
// of those that are nobody together, some at once and then one every ten
// seconds, so that nobody fills the audit.
func refusals() *limits {
	return &limits{each: rate.Every(10 * time.Second), burst: 50, known: map[string]*limited{}}
}

// refused writes down that a request was refused: who asked for what they may
// not, also where the answer is that it does not exist.
func (s *Server) refused(r *http.Request, rt *route, d *denials, err error) {
	d.mu.Lock()
	access := d.first
	d.mu.Unlock()
	subject, outcome := d.subject, detail(err)
	switch status := problemOf(err).Status; {
	case status == http.StatusUnauthorized:
		subject, outcome = appspan.Subject{}, fmt.Sprintf("%s; from %s", outcome, peer(r))
	case status == http.StatusForbidden:
	case access != nil && (status == http.StatusNotFound || status == http.StatusConflict):
		outcome = "denied: " + outcome
	default:
		return
	}
	if access == nil {
		access = &appspan.Access{Verb: appspan.VerbRead, Resource: "operation " + rt.id}
		if rt.mutates() {
			access.Verb = appspan.VerbUpdate
		}
	}
	if s.refusals.take(subject.ID) != nil {
		return
	}
	entry := appspan.AuditEntry{Time: time.Now().UTC(), Subject: subject, Access: *access, Outcome: outcome}
	if err := s.parts.Audit.Audit(context.WithoutCancel(r.Context()), entry); err != nil { // it is refused all the same
		s.logger.Warn("writing down a refusal", "error", err, "request", requestID(r.Context()))
	}
}
