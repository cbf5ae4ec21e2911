package refserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/appspan-dev/appspan"
)

// Login is who sends a request.
type Login struct {
	// Subject acts. A Subject that acts for a team acts for no other one; else the
	// request names the team.
	Subject appspan.Subject
	// Method is how they logged in, for the audit and for people: "token".
	Method string
	// Ambient: the browser says who it is by itself, by a cookie or by where it
	// runs, so that other sites must be kept from sending requests.
	Ambient bool
}

// Authenticator says who sends a request. It returns nil and no error for a
// request of which it knows nothing, so that the next one is asked, and an error
// that wraps appspan.ErrDenied for credentials that are wrong or expired. It is
// safe for concurrent use.
type Authenticator interface {
	Authenticate(r *http.Request) (*Login, error)
}

// AuthenticatorFunc is an Authenticator.
type AuthenticatorFunc func(r *http.Request) (*Login, error)

// Authenticate calls f.
func (f AuthenticatorFunc) Authenticate(r *http.Request) (*Login, error) { return f(r) }

// authenticate asks the authenticators one after the other.
func (s *Server) authenticate(r *http.Request) (*Login, error) {
	for _, a := range s.authenticators {
		login, err := a.Authenticate(r)
		if err != nil {
			return nil, refused(err)
		}
		if login != nil {
			if id := login.Subject.ID; id == "" || strings.HasPrefix(id, reserved) {
				return nil, fmt.Errorf("%w: no subject has the ID %q", errUnauthenticated, cutText(id, 100))
			}
			return login, nil
		}
	}
	return nil, fmt.Errorf("%w: send a bearer token, or log in", errUnauthenticated)
}

// refused is why nobody is logged in. What keeps the server from finding out who
// it is, is no refusal.
func refused(err error) error {
	if errors.Is(err, appspan.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: who this is cannot be found out now; try again", appspan.ErrUnavailable)
	}
	return fmt.Errorf("%w: %w", errUnauthenticated, err)
}

// known is authenticate for a request from anywhere: of an address from which many
// come that nobody knows, only those are heard for a while whom somebody knows,
// so that nobody shuts others out who come the same way. Whoever is known is
// bounded by who they are.
func (s *Server) known(r *http.Request) (*Login, error) {
	login, err := s.authenticate(r)
	if errors.Is(err, errUnauthenticated) {
		if many := s.strangers.take(peer(r)); many != nil {
			return nil, many
		}
	}
	return login, err
}

// loggedOut reports whether who listens to a stream is nobody any more: their token
// was revoked, or their session has ended.
func (s *Server) loggedOut(c *call) bool {
	login, err := s.authenticate(c.r)
	return errors.Is(err, errUnauthenticated) || err == nil && login.Subject.ID != c.subject().ID
}

// reserved is what IDs begin with that nobody logs in by: the server's own.
const reserved = "appspan:"

// Loopback lets whoever is on the same machine act as Subject without a login:
// requests from a loopback address, to a loopback host name, so that no page that
// a browser was led to by DNS gets in. Behind a proxy on the same machine every
// request is one from there: do not use it there.
type Loopback struct{ Subject appspan.Subject }

// Authenticate implements Authenticator.
func (l Loopback) Authenticate(r *http.Request) (*Login, error) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() || !loopbackHost(r.Host) {
		return nil, nil
	}
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"} {
		if r.Header.Get(h) != "" { // somebody else's request
			return nil, nil
		}
	}
	return &Login{Subject: l.Subject, Method: "local", Ambient: true}, nil
}

func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// TrustedHeader takes who acts from headers that a portal or a proxy in front
// sets, and removes from what clients send: a request must come from one of From.
type TrustedHeader struct {
	// Subject, Groups and Team are names of headers. Subject is required; groups
	// are divided by commas; Team may be empty.
	Subject, Groups, Team string
	// From are the addresses of the proxy. None: no request is trusted.
	From []netip.Prefix
	// Ambient: the proxy knows browsers by a cookie.
	Ambient bool
}

// Authenticate implements Authenticator.
func (t TrustedHeader) Authenticate(r *http.Request) (*Login, error) {
	values := r.Header.Values(t.Subject)
	if t.Subject == "" || len(values) == 0 {
		return nil, nil
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	trusted := false
	for _, prefix := range t.From {
		trusted = trusted || err == nil && prefix.Contains(peer.Addr().Unmap())
	}
	if !trusted {
		return nil, fmt.Errorf("%w: header %s from %s, which is none of the trusted addresses", appspan.ErrDenied, t.Subject, r.RemoteAddr)
	}
	if len(values) != 1 || values[0] == "" || len(values[0]) > 256 {
		return nil, fmt.Errorf("%w: header %s does not name one subject", appspan.ErrDenied, t.Subject)
	}
	login := &Login{Subject: appspan.Subject{ID: values[0]}, Method: "header", Ambient: t.Ambient}
	if t.Team != "" {
		login.Subject.Team = r.Header.Get(t.Team)
	}
	if t.Groups != "" {
		for _, group := range strings.Split(r.Header.Get(t.Groups), ",") {
			if group = strings.TrimSpace(group); group != "" {
				login.Subject.Groups = append(login.Subject.Groups, group)
			}
		}
	}
	return login, nil
}
