package client

import (
	"bytes"
	"context"
	cryptorand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
)

// Options shape a [Client]. The zero value, like nil, is the default.
type Options struct {
	// Token is a bearer token of the server, or one that it accepts.
	Token string
	// Team is the one to act for; empty: none, or the token's own.
	Team string
	// HTTP sends the requests; default: a client of its own. Unless it says
	// otherwise (CheckRedirect), no redirect to another host is followed.
	HTTP *http.Client
	// Attempts is how often a request is sent at most that is safe to send again;
	// default 4.
	Attempts int
	// Timeout bounds one request that is no stream, with its repetitions; default
	// 1 min.
	Timeout time.Duration
}

// Client talks to one server.
type Client struct {
	base *url.URL
	opts Options
	of   string // whose environments
}

// Format writes the options without the token, for every verb.
func (o Options) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "{team %q}", o.Team)
}

// Format writes the address of the server, for every verb.
func (c Client) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "client of %s %v", c.base, c.opts)
}

// maxAnswer bounds an answer that is no stream, in bytes.
const maxAnswer = 64 << 20

// New returns a client of the server at an address, its base path included:
// "https://cloud.example.com/portal". Nothing is sent by it.
func New(address string, opts *Options) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("client: %w: address %q; give one like https://cloud.example.com/portal", appspan.ErrInvalid, redactedAddress(address))
	}
	c := &Client{base: u}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Attempts <= 0 {
		c.opts.Attempts = 4
	}
	if c.opts.Timeout <= 0 {
		c.opts.Timeout = time.Minute
	}
	web := http.Client{}
	if c.opts.HTTP != nil {
		web = *c.opts.HTTP
	}
	if web.CheckRedirect == nil {
		web.CheckRedirect = func(r *http.Request, via []*http.Request) error {
			if len(via) >= 5 || r.URL.Host != u.Host || r.URL.Scheme != u.Scheme {
				return fmt.Errorf("%w: the server leads to %s", appspan.ErrDenied, r.URL.Host)
			}
			return nil
		}
	}
	c.opts.HTTP = &web
	return c, nil
}

// redactedAddress is an address without what may be a password in it.
func redactedAddress(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return "(unreadable)"
}

// ForTeam returns a client that acts for another team.
func (c *Client) ForTeam(team string) *Client {
	view := *c
	view.opts.Team = team
	return &view
}

// Of returns a client whose calls about an environment mean that of a team, where
// several teams have one of that name.
func (c *Client) Of(team string) *Client {
	view := *c
	view.of = team
	return &view
}

// request is one to be sent.
type request struct {
	method, path string // below /api/v1
	query        url.Values
	body         any
	header       http.Header
	idempotent   string // the key of a POST
}

// param adds query parameters; empty ones are left out.
func (r *request) param(name string, values ...string) *request {
	for _, v := range values {
		if v != "" {
			if r.query == nil {
				r.query = url.Values{}
			}
			r.query.Add(name, v)
		}
	}
	return r
}

func (r *request) flag(name string, set bool) *request {
	if set {
		r.param(name, "true")
	}
	return r
}

func (r *request) number(name string, n int) *request {
	if n != 0 {
		r.param(name, strconv.Itoa(n))
	}
	return r
}

// match makes a change one of what has the entity tag.
func (r *request) match(etag string) *request {
	if etag != "" {
		if r.header == nil {
			r.header = http.Header{}
		}
		r.header.Set("If-Match", etag)
	}
	return r
}

func get(path ...string) *request { return &request{method: http.MethodGet, path: join(path)} }
func del(path ...string) *request { return &request{method: http.MethodDelete, path: join(path)} }
func put(body any, path ...string) *request {
	return &request{method: http.MethodPut, path: join(path), body: body}
}
func patch(body any, path ...string) *request {
	return &request{method: http.MethodPatch, path: join(path), body: body}
}

// post is a request that is done once, however often it is sent.
func post(body any, path ...string) *request {
	return &request{method: http.MethodPost, path: join(path), body: body, idempotent: strings.ToLower(cryptorand.Text())}
}

// join makes a path of segments, whatever is in them.
func join(segments []string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
}

// do sends a request, and reads the answer into out unless that is nil.
func (c *Client) do(ctx context.Context, r *request, out any) (answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.Timeout, fmt.Errorf("%w: no answer within %v", appspan.ErrUnavailable, c.opts.Timeout))
	defer cancel()
	safe := r.method == http.MethodGet || r.idempotent != ""
	for attempt := 1; ; attempt++ {
		resp, err := c.send(ctx, r)
		if err == nil {
			var a answer
			if a, err = read(resp, out); err == nil {
				return a, nil
			}
		}
		if !safe || attempt >= c.opts.Attempts || !appspan.Retryable(err) {
			return answer{}, err
		}
		wait := max(appspan.RetryAfter(err), 100*time.Millisecond<<min(attempt, 6)+time.Duration(rand.N(100))*time.Millisecond)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return answer{}, err
		case <-timer.C:
		}
	}
}

// send sends a request once.
func (c *Client) send(ctx context.Context, r *request) (*http.Response, error) {
	u := *c.base
	u.Path, u.RawPath = "", ""
	target := u.String() + strings.TrimRight(c.base.EscapedPath(), "/") + "/api/v1" + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		data, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w: %w", r.method, r.path, appspan.ErrInvalid, err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %w", r.method, r.path, appspan.ErrInvalid, err)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.idempotent != "" {
		req.Header.Set("Idempotency-Key", r.idempotent)
	}
	if c.opts.Team != "" {
		req.Header.Set("Appspan-Team", c.opts.Team)
	}
	if c.opts.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.opts.Token)
	}
	resp, err := c.opts.HTTP.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, fmt.Errorf("%s %s: %w", r.method, r.path, cause)
		}
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		if errors.Is(err, appspan.ErrDenied) {
			return nil, fmt.Errorf("%s %s: %w", r.method, r.path, err)
		}
		return nil, appspan.MarkRetryable(fmt.Errorf("%s %s: %w: %w", r.method, r.path, appspan.ErrUnavailable, err), 0)
	}
	return resp, nil
}

// read reads an answer and closes it.
func read(resp *http.Response, out any) (answer, error) {
	defer resp.Body.Close()
	a := answer{resp.StatusCode, resp.Header}
	if resp.StatusCode >= 400 {
		return a, problem(resp)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return a, appspan.MarkRetryable(fmt.Errorf("%w: the answer was cut off: %w", appspan.ErrUnavailable, err), 0)
	case len(data) > maxAnswer:
		return a, fmt.Errorf("%w: the answer has more than %d bytes", appspan.ErrExhausted, maxAnswer)
	case out == nil || len(data) == 0:
		return a, nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return a, fmt.Errorf("%w: the answer is not what was asked for: %w", appspan.ErrCorrupt, err)
	}
	return a, nil
}

// problem is the error that an answer tells.
func problem(resp *http.Response) error {
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	p := &Problem{Status: resp.StatusCode, Title: http.StatusText(resp.StatusCode)}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media == "application/problem+json" {
		_ = json.Unmarshal(data, p) // what cannot be read is told by its status
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return appspan.MarkRetryable(p, time.Duration(min(max(seconds, 0), 60))*time.Second)
	case http.StatusConflict:
		if after := resp.Header.Get("Retry-After"); after != "" { // the same request is under way
			seconds, _ := strconv.Atoi(after)
			return appspan.MarkRetryable(p, time.Duration(min(max(seconds, 1), 60))*time.Second)
		}
	}
	return p
}
