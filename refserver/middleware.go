package refserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
)

type contextKey int

const (
	keyRequestID contextKey = iota
	keyDenials
)

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(keyRequestID).(string)
	return id
}

var (
	givenID     = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9_.]{0,63}$`)
	traceParent = regexp.MustCompile(`^00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$`)
)

// identify gives a request its id: the one that it came with, the id of its
// trace (W3C Trace Context), or a new one.
func identify(w http.ResponseWriter, r *http.Request) *http.Request {
	id := r.Header.Get("X-Request-Id")
	if trace := traceParent.FindStringSubmatch(r.Header.Get("Traceparent")); !givenID.MatchString(id) && trace != nil {
		id = trace[1]
	}
	if !givenID.MatchString(id) {
		var b [12]byte
		_, _ = rand.Read(b[:])
		id = hex.EncodeToString(b[:])
	}
	w.Header().Set("X-Request-Id", id)
	if trace := r.Header.Get("Traceparent"); traceParent.MatchString(trace) {
		w.Header().Set("Traceparent", trace)
	}
	return r.WithContext(context.WithValue(r.Context(), keyRequestID, id))
}

// headers are those of every answer.
func (s *Server) headers(w http.ResponseWriter) {
	h := w.Header()
	ancestors := "'none'"
	if len(s.opts.FrameAncestors) > 0 {
		ancestors = strings.Join(s.opts.FrameAncestors, " ")
	} else {
		h.Set("X-Frame-Options", "DENY")
	}
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors "+ancestors)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
}

// recording notes what was answered.
type recording struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *recording) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recording) Write(data []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(data)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *recording) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r = identify(w, r)
	rec := &recording{ResponseWriter: w}
	began := time.Now()
	defer func() {
		if v := recover(); v != nil {
			s.logger.ErrorContext(r.Context(), "a handler panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()), "request", requestID(r.Context()))
			if rec.status == 0 {
				s.fail(rec, r, fmt.Errorf("panic: %v", v))
			}
		}
		s.metrics.observe(r.Pattern, r.Method, rec.status, time.Since(began))
		s.logger.DebugContext(r.Context(), "request", "method", r.Method, "path", r.URL.Path, "status", rec.status, "bytes", rec.bytes, "took", time.Since(began), "request", requestID(r.Context()))
	}()
	s.headers(rec)
	s.serve(rec, r)
}

// serve finds who answers.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if base := s.opts.BasePath; base != "" {
		path, ok := strings.CutPrefix(r.URL.Path, base)
		if !ok || path != "" && path[0] != '/' {
			s.fail(w, r, fmt.Errorf("%w: everything is below %s", appspan.ErrNotFound, base))
			return
		}
		if path == "" {
			http.Redirect(w, r, base+"/", http.StatusMovedPermanently)
			return
		}
		r2 := r.Clone(r.Context())
		r2.URL.Path, r2.URL.RawPath = path, strings.TrimPrefix(r.URL.RawPath, base)
		defer func() { r.Pattern = r2.Pattern }()
		r = r2
	}
	// The mux would lead to the path without these, which is another one.
	if strings.Contains(r.URL.Path, "//") || strings.Contains(r.URL.Path+"/", "/./") || strings.Contains(r.URL.Path+"/", "/../") {
		s.fail(w, r, fmt.Errorf("%w: nothing is at this path; a part of it is empty", appspan.ErrNotFound))
		return
	}
	handler, pattern := s.mux.Handler(r)
	if pattern == "" {
		s.nowhere(w, r, handler)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// nowhere answers what no route is for: the mux knows whether the method was
// wrong, or the path.
func (s *Server) nowhere(w http.ResponseWriter, r *http.Request, handler http.Handler) {
	probe := &probe{header: http.Header{}}
	handler.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed && probe.header.Get("Allow") != "OPTIONS" { // which all of the API has
		w.Header().Set("Allow", probe.header.Get("Allow"))
		s.fail(w, r, fmt.Errorf("%w: allowed are %s", errMethod, probe.header.Get("Allow")))
		return
	}
	s.fail(w, r, fmt.Errorf("%w: nothing is at this path; /openapi.json lists what is", appspan.ErrNotFound))
}

// probe hears what a handler would answer.
type probe struct {
	header http.Header
	status int
}

func (p *probe) Header() http.Header { return p.header }
func (p *probe) WriteHeader(status int) {
	if p.status == 0 {
		p.status = status
	}
}
func (p *probe) Write(data []byte) (int, error) { p.WriteHeader(http.StatusOK); return len(data), nil }
