package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/appspan-dev/appspan"
)

// guard is the way to one registry: the last word on where a request may go,
// and with what.
//
// The library below drops the Authorization header when a redirect leaves the
// origin and uploads nowhere else than to the registry's host. The guard does
// not rely on it: what carries a credential or a body goes to the registry, or
// to a token service that the program named. Anything else that a registry
// points to (storage of blobs, token services for anonymous access) gets GET
// and HEAD without credentials.
type guard struct {
	base     http.RoundTripper
	registry string          // host, or host:port, as it is dialled
	tokens   map[string]bool // hosts of its token services
	plain    map[string]bool // hosts that may be spoken to without TLS
	stall    time.Duration
	secrets  *secrets
}

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := g.check(req); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{ctx: ctx, stall: g.stall, cancel: cancel}
	w.timer = time.AfterFunc(g.stall, func() { cancel(errStalled) })
	req = req.Clone(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &watched{ReadCloser: req.Body, watch: w}
	}
	resp, err := g.base.RoundTrip(req)
	if err != nil {
		w.end()
		return nil, w.cause(err)
	}
	w.timer.Reset(g.stall)
	resp.Body = &watched{ReadCloser: resp.Body, watch: w, last: true}
	if resp.StatusCode >= http.StatusBadRequest {
		g.secrets.scrub(resp, req.Header.Get("Authorization"))
	}
	return resp, nil
}

func (g *guard) check(req *http.Request) error {
	host := hostOf(req.URL)
	if req.URL.Scheme != "https" && !(req.URL.Scheme == "http" && g.plain[host]) {
		return fmt.Errorf("%w: %s leads to %s://%s: only hosts named in ClientOptions.PlainHTTP are spoken to without TLS", appspan.ErrDenied, g.registry, req.URL.Scheme, host)
	}
	if host == g.registry || g.tokens[host] {
		return nil
	}
	if req.Header.Get("Authorization") != "" {
		return fmt.Errorf("%w: %s wants its credential sent to %s: if that is its token service, name it in ClientOptions.TokenHosts", appspan.ErrDenied, g.registry, host)
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return fmt.Errorf("%w: %s wants a %s sent to %s: if that is its token service, name it in ClientOptions.TokenHosts", appspan.ErrDenied, g.registry, req.Method, host)
	}
	return nil
}

// secrets are what a registry was given. An answer that tells of a failure
// ends up in errors, and may quote them.
type secrets struct {
	mu    sync.Mutex
	known []string
}

// add keeps the latest ones: credentials are renewed.
func (s *secrets) add(values ...string) {
	const most = 32
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		quoted, _ := json.Marshal(v) // a string always can be
		for _, form := range []string{v, strings.Trim(string(quoted), `"`), url.QueryEscape(v)} {
			if form != "" && !slices.Contains(s.known, form) {
				s.known = append(s.known, form)
			}
		}
	}
	s.known = s.known[max(len(s.known)-most, 0):]
}

// scrub takes the secrets, and the one of this request, out of a short answer.
func (s *secrets) scrub(resp *http.Response, authorization string) {
	const most = 8 << 10
	body := resp.Body
	data, _ := io.ReadAll(io.LimitReader(body, most)) // what came is what there is to say
	_, token, _ := strings.Cut(authorization, " ")
	s.mu.Lock()
	known := append([]string{token}, s.known...)
	s.mu.Unlock()
	slices.SortFunc(known, func(a, b string) int { return len(b) - len(a) })
	for _, secret := range known {
		if secret != "" {
			data = bytes.ReplaceAll(data, []byte(secret), []byte("…"))
		}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(data), body}
	resp.ContentLength = int64(len(data))
	resp.Header.Del("Content-Length")
}

// hostOf is the host of a URL, with its port where it is not the usual one.
func hostOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		return strings.TrimSuffix(host, ":443")
	case "http":
		return strings.TrimSuffix(host, ":80")
	}
	return host
}

var errStalled = errors.New("no byte came or went for too long")

// watch cancels a request over which nothing moves.
type watch struct {
	ctx    context.Context
	timer  *time.Timer
	stall  time.Duration
	cancel context.CancelCauseFunc
}

func (w *watch) end() {
	w.timer.Stop()
	w.cancel(context.Canceled)
}

func (w *watch) cause(err error) error {
	if errors.Is(context.Cause(w.ctx), errStalled) {
		return appspan.MarkRetryable(fmt.Errorf("%w: %w", appspan.ErrUnavailable, errStalled), 0)
	}
	return err
}

// watched is a body under watch; the last one ends it.
type watched struct {
	io.ReadCloser
	watch *watch
	last  bool
}

func (b *watched) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.watch.timer.Reset(b.watch.stall)
	}
	if err != nil && err != io.EOF {
		err = b.watch.cause(err)
	}
	return n, err
}

func (b *watched) Close() error {
	if b.last {
		b.watch.end()
	}
	return b.ReadCloser.Close()
}

// retrier repeats requests that can be sent again. What fails for the last
// time is an error that is marked with the time that the server asked for.
type retrier struct {
	base    http.RoundTripper
	retries int
	maxWait time.Duration
}

func (t *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		resp, err := t.base.RoundTrip(req)
		stream := req.Body != nil && req.Body != http.NoBody && req.GetBody == nil
		if err == nil {
			if stream && resp.StatusCode == http.StatusUnauthorized {
				// Its token ended while it was sent. The library would send it again,
				// which a stream can't be; whoever has the stream can.
				_ = resp.Body.Close()
				return nil, appspan.MarkRetryable(answered(appspan.ErrDenied, req, resp), 0)
			}
			if !transientStatus(resp.StatusCode) {
				return resp, nil
			}
			err = appspan.MarkRetryable(answered(appspan.ErrUnavailable, req, resp), retryAfter(resp))
			_ = resp.Body.Close()
		} else if err = transient(err); !appspan.Retryable(err) {
			return nil, err
		}
		if attempt >= t.retries {
			return nil, &spent{err}
		}
		if stream {
			return nil, err
		}
		if req.GetBody != nil {
			body, bodyErr := req.GetBody()
			if bodyErr != nil {
				return nil, err
			}
			req = req.Clone(req.Context())
			req.Body = body
		}
		if err := pause(req.Context(), attempt, err, t.maxWait); err != nil {
			return nil, err
		}
	}
}

func answered(kind error, req *http.Request, resp *http.Response) error {
	return fmt.Errorf("%w: %s answers %d %s", kind, req.URL.Host, resp.StatusCode, http.StatusText(resp.StatusCode))
}

// spent is an error of a request that was sent as often as it may be.
type spent struct{ error }

func (s *spent) Unwrap() error { return s.error }

// repeat does f again where a request can't be sent again on its own: because
// its body is a stream, or because it was the answer that broke off.
func (c *Client) repeat(ctx context.Context, f func(attempt int) error) error {
	for attempt := 0; ; attempt++ {
		err := transient(f(attempt))
		var over *spent
		if !appspan.Retryable(err) || errors.As(err, &over) || attempt >= c.opts.Retries {
			return err
		}
		if err := pause(ctx, attempt, err, c.opts.MaxWait); err != nil {
			return err
		}
	}
}

// pause waits until a request that failed with cause may be sent again. It
// returns cause when the server asked for more than maxWait.
func pause(ctx context.Context, attempt int, cause error, maxWait time.Duration) error {
	wait := min(250*time.Millisecond<<min(attempt, 20), maxWait)
	wait -= time.Duration(rand.Int64N(int64(wait)/2 + 1))
	if asked := appspan.RetryAfter(cause); asked > maxWait {
		return cause
	} else if asked > 0 {
		wait = asked
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// transient marks an error of the network as retryable, where it is.
func transient(err error) error {
	var network net.Error
	var name *net.DNSError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), appspan.Retryable(err):
		return err
	case errors.As(err, &name) && name.IsNotFound:
		return fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EPIPE):
		return appspan.MarkRetryable(fmt.Errorf("%w: %w", appspan.ErrUnavailable, err), 0)
	}
	return err
}

// retryAfter is the time that an answer asks to wait (RFC 9110, 10.2.3).
func retryAfter(resp *http.Response) time.Duration {
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}
