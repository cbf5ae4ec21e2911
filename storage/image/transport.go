package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
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
