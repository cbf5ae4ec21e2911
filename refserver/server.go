package refserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
)

// apiPrefix is where the API is below the base path.
const apiPrefix = "/api/v1"

// HandlerOptions shape a [Server].
type HandlerOptions struct {
	// Authenticators are asked one after the other who sends a request. Tokens of
	// the server are known without. None: only those.
	Authenticators []Authenticator
	// Logins are ways to log in with a browser, at /login/<name>/.
	Logins []LoginPage
	// BasePath is what stands before everything, without a slash at its end:
	// "/cloud". A program that strips it before gives it all the same if browsers
	// see it, with StripsBasePath.
	BasePath string
	// FrameAncestors are the origins of pages that may show the console in a frame;
	// none: no page may.
	FrameAncestors []string
	// HubURL is where agents of clusters reach this server, base path included; it
	// goes into join tokens.
	HubURL string
	// AllowOrigins are the origins of other pages that may call the API (CORS);
	// none: no page may.
	AllowOrigins []string
	// MaxBody bounds a request's body; default 8 MiB.
	MaxBody int64
	// BodyTimeout is for how long a body may take; default 30 s.
	BodyTimeout time.Duration
	// Rate is how many requests a second one subject may send, and Burst how many
	// at once; default 50 and 200; a negative Rate is no limit. As many may come
	// from one address of nobody who is known.
	Rate  float64
	Burst int
	// Apply is how plans are applied. Its OnEvent is not used: operations have their
	// events.
	Apply deploy.ApplyOptions
	// Version is what the server says of itself.
	Version string
	// Logger hears what no client is told; nil discards.
	Logger *slog.Logger
}

// Server is an http.Handler.
type Server struct {
	parts          *Parts
	opts           HandlerOptions
	tokens         *Tokens
	sessions       *Sessions
	drain          sync.Once
	pages          client.List[client.LoginPage]
	ending         chan struct{} // closed when streams are to end
	authenticators []Authenticator
	routes         []*route
	mux            *http.ServeMux
	logger         *slog.Logger
	metrics        *metrics
	rates          *limits
	strangers      *limits
	streams        *crowd
	refusals       *limits
	origin         *http.CrossOriginProtection
	openapi        []byte
	events         *hub
	runs           []func(context.Context) error
	closers        []io.Closer
	close          sync.Once
	closed         error
}

var basePath = regexp.MustCompile(`^(/[-A-Za-z0-9_.~]+)*$`)

// New returns a server over parts.
func New(parts *Parts, opts *HandlerOptions) (*Server, error) {
	var o HandlerOptions
	if opts != nil {
		o = *opts
	}
	wrong := func(format string, args ...any) (*Server, error) {
		return nil, fmt.Errorf("refserver: %w: %s", appspan.ErrInvalid, fmt.Sprintf(format, args...))
	}
	if !basePath.MatchString(o.BasePath) {
		return wrong("base path %q; give one like /cloud, without a slash at its end", o.BasePath)
	}
	for _, origin := range slices.Concat(o.FrameAncestors, o.AllowOrigins) {
		if u, err := url.Parse(origin); err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || strings.ContainsAny(origin, " ;,'\"") {
			return wrong("%q is no origin; give one like https://portal.example.com", origin)
		}
	}
	if parts == nil || parts.Records == nil || parts.Keys == nil || parts.Authorizer == nil || parts.Audit == nil || parts.Journal == nil || parts.Fleet == nil ||
		parts.Teams == nil || parts.Deployer == nil || parts.Environments == nil || parts.Pipeline == nil || parts.Keeper == nil || parts.Overview == nil {
		return wrong("a part is missing; only Tunnel and Members may be")
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 8 << 20
	}
	if o.BodyTimeout <= 0 {
		o.BodyTimeout = 30 * time.Second
	}
	if o.Rate == 0 {
		o.Rate = 50
	}
	if o.Burst <= 0 {
		o.Burst = 200
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{parts: parts, opts: o, tokens: NewTokens(parts.Records), sessions: NewSessions(parts.Records, o.BasePath), ending: make(chan struct{}), mux: http.NewServeMux(), logger: o.Logger,
		metrics:   &metrics{counts: map[[3]string]uint64{}, seconds: map[string]*histogram{}},
		rates:     &limits{each: rate.Limit(o.Rate), burst: o.Burst, known: map[string]*limited{}},
		strangers: &limits{each: rate.Limit(o.Rate), burst: o.Burst, known: map[string]*limited{}},
		streams:   &crowd{open: map[string]int{}},
		refusals:  refusals(),
		origin:    http.NewCrossOriginProtection(), events: newHub()}
	for _, origin := range o.AllowOrigins {
		if err := s.origin.AddTrustedOrigin(origin); err != nil {
			return wrong("%v", err)
		}
	}
	s.authenticators = append([]Authenticator{s.tokens, s.sessions}, o.Authenticators...)
	s.runs = append(s.runs, s.watchAll)
	s.routes = slices.Concat(s.sessionRoutes(), s.applicationRoutes(), s.environmentRoutes(), s.operationRoutes(), s.eventRoutes(), s.logRoutes(), s.reachRoutes(), s.driftRoutes(), s.recycleRoutes(), s.hookRoutes(), s.clusterRoutes(), s.teamRoutes(), s.auditRoutes())
	for _, r := range s.routes {
		s.mux.HandleFunc(r.method+" "+apiPrefix+r.path, func(w http.ResponseWriter, req *http.Request) { s.operation(w, req, r) })
	}
	var err error
	if s.openapi, err = s.document(); err != nil {
		return nil, err
	}
	s.plain()
	if err := s.console(); err != nil {
		return nil, err
	}
	if err := s.mountLogins(); err != nil {
		return nil, err
	}
	return s, nil
}

// operation serves one operation of the API.
func (s *Server) operation(w http.ResponseWriter, r *http.Request, rt *route) {
	denied := &denials{}
	r = r.WithContext(witnessed(r.Context(), denied))
	if err := s.call(w, r, rt, denied); err != nil && !errors.Is(err, errAnswered) {
		s.refused(r, rt, denied, err)
		s.fail(w, r, err)
	}
}

var teamName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func (s *Server) call(w http.ResponseWriter, r *http.Request, rt *route, denied *denials) error {
	s.cors(w, r)
	login, err := &Login{}, error(nil)
	if !rt.public {
		login, err = s.known(r)
	}
	if err != nil {
		return err
	}
	denied.subject = login.Subject
	if (login.Ambient || rt.public) && rt.mutates() {
		if err := s.origin.Check(r); err != nil {
			return fmt.Errorf("%w: a page of another origin sent this: %w", appspan.ErrDenied, err)
		}
	}
	if !rt.public {
		if err := s.rates.take(login.Subject.ID); err != nil {
			return err
		}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fmt.Errorf("%w: the query cannot be read", appspan.ErrInvalid)
	}
	err = act(login, query, r)
	denied.subject = login.Subject
	if err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, s.opts.MaxBody)
	if rt.in.body >= 0 { // a stream takes it away once it begins
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.opts.BodyTimeout)) // a test's recorder cannot
	}
	if rt.stream != "" {
		leave, err := s.streams.enter(login.Subject.ID)
		if err != nil {
			return err
		}
		defer leave()
	}
	c := &call{s: s, w: w, r: r, query: query, login: login, Parts: s.parts.For(login.Subject)}
	if rt.method == http.MethodPost && !rt.public && !rt.repeatable() && query.Get("dryRun") != "true" && r.Header.Get("Idempotency-Key") != "" {
		return s.once(c, rt)
	}
	err = rt.serve(c)
	if rt.public && errors.Is(err, errUnauthenticated) {
		if many := s.strangers.take(peer(r)); many != nil {
			return many
		}
	}
	return err
}

// act says which team the subject acts for: its own, or the one that the request
// names.
func act(login *Login, query url.Values, r *http.Request) error {
	name := query.Get("team")
	if name == "" {
		name = r.Header.Get("Appspan-Team")
	}
	switch {
	case name == "":
		return nil
	case !teamName.MatchString(name) || len(query["team"]) > 1:
		return fmt.Errorf("%w: team %q is no name of one", appspan.ErrInvalid, cutText(name, 100))
	case login.Subject.Team != "" && login.Subject.Team != name:
		return fmt.Errorf("%w: this login acts for team %s alone", appspan.ErrDenied, login.Subject.Team)
	}
	login.Subject.Team = name
	return nil
}

// cors lets pages of other origins read answers, where that is allowed.
func (s *Server) cors(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if len(s.opts.AllowOrigins) > 0 {
		w.Header().Add("Vary", "Origin")
	}
	if origin == "" || !slices.Contains(s.opts.AllowOrigins, origin) {
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Expose-Headers", "ETag, Location, X-Request-Id, Retry-After")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

// plain are the routes that need no login.
func (s *Server) plain() {
	s.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=300")
		_, _ = w.Write(s.openapi)
	})
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
	s.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		if s.draining() {
			s.fail(w, r, fmt.Errorf("%w: the server is about to end", appspan.ErrUnavailable))
			return
		}
		if _, err := s.parts.Records.Get(ctx, "ready/asked"); err != nil && !errors.Is(err, appspan.ErrNotFound) {
			s.fail(w, r, fmt.Errorf("%w: the records do not answer: %w", appspan.ErrUnavailable, err))
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
	s.mux.HandleFunc("OPTIONS "+apiPrefix+"/", func(w http.ResponseWriter, r *http.Request) {
		s.cors(w, r)
		if w.Header().Get("Access-Control-Allow-Origin") != "" {
			w.Header().Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
			w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Appspan-Team, Last-Event-ID, Traceparent, X-Request-Id")
			w.Header().Set("Access-Control-Max-Age", "600")
		}
		w.WriteHeader(http.StatusNoContent)
	})
	s.mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.known(r); err != nil {
			s.fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		s.metrics.write(w)
	})
	if s.parts.Tunnel != nil {
		s.mux.Handle("GET /tunnel", s.parts.Tunnel)
	}
}

// Run does what goes on in the background: health of clusters, the journal's
// operations, pipelines, drift, teams, statuses. It returns nil when ctx ends and
// everything has stopped. Of several servers over the same records all run.
func (s *Server) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range s.runs {
		g.Go(func() error { return run(ctx) })
	}
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Close closes what Open opened. Run must have returned.
func (s *Server) Close() error {
	s.close.Do(func() {
		s.Drain()
		var errs []error
		for _, c := range slices.Backward(s.closers) {
			errs = append(errs, c.Close())
		}
		s.closed = errors.Join(errs...)
	})
	return s.closed
}

// Parts are the parts that the server serves, as the server itself sees them.
func (s *Server) Parts() *Parts { return s.parts }
