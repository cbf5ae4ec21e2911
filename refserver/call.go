package refserver

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/appspan-dev/appspan"
)

// call is one request on its way through an operation.
type call struct {
	s      *Server
	w      http.ResponseWriter
	r      *http.Request
	query  url.Values
	login  *Login
	status int // of success, if it is not the route's
	*Parts     // as the subject sees them
}

// subject is who acts.
func (c *call) subject() appspan.Subject { return c.login.Subject }

func (c *call) write(status int, contentType string, data []byte) error {
	h := c.w.Header()
	h.Set("Content-Type", contentType)
	c.w.WriteHeader(status)
	_, err := c.w.Write(data)
	if err != nil {
		return nil // nobody listens
	}
	return nil
}

// etag is the entity tag of a value: a digest of its JSON.
func etag(v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, nil
}

// tagged sets the ETag of what is answered with, and reports whether the client
// has it already (If-None-Match): then 304 is the answer.
func (c *call) tagged(v any) error {
	tag, err := etag(v)
	if err != nil {
		return err
	}
	c.w.Header().Set("ETag", tag)
	c.w.Header().Set("Cache-Control", "private, no-cache")
	return nil
}

// Match is the precondition of a change: the ETag of what was changed.
type match struct {
	IfMatch string `header:"If-Match" doc:"the ETag of what you changed; * is whatever is there"`
}

// of checks that what is there is what the client has changed: without If-Match
// it is refused, so that nobody overwrites what they have not seen.
func (m match) of(v any) error {
	if m.IfMatch == "" {
		return fmt.Errorf("%w: send the ETag that you read", errPreconditionRequired)
	}
	tag, err := etag(v)
	if err != nil {
		return err
	}
	for _, one := range strings.Split(m.IfMatch, ",") {
		if one = strings.TrimSpace(one); one == "*" || one == tag {
			return nil
		}
	}
	return fmt.Errorf("%w: it was changed since you read it; read it again", appspan.ErrPrecondition)
}

// dry is the wish to see what would happen.
type dry struct {
	DryRun bool `query:"dryRun" doc:"check everything and change nothing"`
}

// page is which part of a list is wanted.
type page struct {
	Cursor string `query:"cursor" doc:"where the page before said that this one begins"`
	Limit  int    `query:"limit" doc:"how many at most, 1 to 1000; default 100"`
}

func (p *page) limit() (int, error) {
	switch {
	case p.Limit == 0:
		return 100, nil
	case p.Limit < 1 || p.Limit > 1000:
		return 0, fmt.Errorf("%w: limit %d; give 1 to 1000", appspan.ErrInvalid, p.Limit)
	}
	return p.Limit, nil
}

// after is the key behind which the page begins. A cursor is its key, and says
// nothing else; whoever makes one up begins somewhere.
func (p *page) after() (string, error) {
	if p.Cursor == "" {
		return "", nil
	}
	data, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return "", fmt.Errorf("%w: cursor %q is none of ours; begin without", appspan.ErrInvalid, cutText(p.Cursor, 50))
	}
	return string(data), nil
}

func cursorAt(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

// location says where what was made is.
func (c *call) location(format string, args ...any) {
	c.w.Header().Set("Location", c.s.opts.BasePath+apiPrefix+fmt.Sprintf(format, args...))
}
