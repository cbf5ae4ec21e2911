package refserver

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/refserver/client"
	"github.com/appspan-dev/appspan/storage"
)

// Sessions are logins of browsers, by a cookie that scripts do not see and that
// other sites do not send. Records hold digests of cookies. It is an
// Authenticator, and safe for concurrent use.
type Sessions struct {
	records *storage.Records
	path    string
}

// NewSessions returns the sessions in records of a server below a base path.
func NewSessions(records *storage.Records, basePath string) *Sessions {
	return &Sessions{records: records, path: basePath + "/"}
}

const (
	sessionCookie  = "appspan_session"
	sessionKeys    = "sessions/"
	sessionFormat  = 1
	sessionLife    = 12 * time.Hour
	maxSessionLife = 30 * 24 * time.Hour
)

var sessionText = regexp.MustCompile(`^[A-Z2-7]{52}$`)

type sessionRecord struct {
	storage.Envelope
	Subject appspan.Subject `json:"subject"`
	Method  string          `json:"method"`
	Expires time.Time       `json:"expires"`
	// Token is the ID of the token that it was begun with: it ends with that.
	Token string `json:"token,omitempty"`
}

// Begin logs a browser in as subject, for life; zero is 12 hours, more than 30
// days is 30 days. method says how it was found out who it is.
func (s *Sessions) Begin(w http.ResponseWriter, r *http.Request, subject appspan.Subject, method string, life time.Duration) error {
	return s.begin(w, r, sessionRecord{Subject: subject, Method: method}, life)
}

func (s *Sessions) begin(w http.ResponseWriter, r *http.Request, session sessionRecord, life time.Duration) error {
	if session.Subject.ID == "" {
		return fmt.Errorf("session: %w: the subject has no ID", appspan.ErrInvalid)
	}
	if life <= 0 {
		life = sessionLife
	}
	life = min(life, maxSessionLife)
	text := rand.Text() + rand.Text()
	session.Envelope, session.Expires = storage.Envelope{Format: sessionFormat, MinReader: sessionFormat}, time.Now().UTC().Add(life)
	data, err := json.Marshal(session)
	if err != nil {
		return err
	}
	if _, err := s.records.Put(r.Context(), sessionKeys+digestOf(text), data, ""); err != nil {
		return err
	}
	http.SetCookie(w, s.cookie(r, text, int(life.Seconds())))
	return nil
}

func (s *Sessions) cookie(r *http.Request, text string, age int) *http.Cookie {
	return &http.Cookie{Name: sessionCookie, Value: text, Path: s.path, MaxAge: age, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"}
}

// End logs a browser out.
func (s *Sessions) End(w http.ResponseWriter, r *http.Request) error {
	http.SetCookie(w, s.cookie(r, "", -1))
	rec, err := s.find(r)
	if rec == nil || err != nil {
		return err
	}
	err = s.records.Delete(r.Context(), rec.Key, rec.Revision)
	if errors.Is(err, appspan.ErrNotFound) || errors.Is(err, appspan.ErrPrecondition) {
		return nil
	}
	return err
}

func (s *Sessions) find(r *http.Request) (*storage.Record, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || !sessionText.MatchString(cookie.Value) {
		return nil, nil
	}
	rec, err := s.records.Get(r.Context(), sessionKeys+digestOf(cookie.Value))
	if errors.Is(err, appspan.ErrNotFound) {
		return nil, nil
	}
	return &rec, err
}

// Authenticate implements Authenticator. A cookie that is not known any more is
// none.
func (s *Sessions) Authenticate(r *http.Request) (*Login, error) {
	rec, err := s.find(r)
	if rec == nil || err != nil {
		return nil, err
	}
	var found sessionRecord
	if err := storage.Decode(rec.Value, sessionFormat, &found); err != nil {
		return nil, err
	}
	if time.Now().After(found.Expires) {
		return nil, nil
	}
	if found.Token != "" {
		t, err := NewTokens(s.records).Get(r.Context(), found.Token)
		if errors.Is(err, appspan.ErrNotFound) || err == nil && time.Now().After(t.Expires) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return &Login{Subject: found.Subject, Method: found.Method, Ambient: true}, nil
}

// forget removes sessions that have expired.
func (s *Sessions) forget(ctx context.Context) {
	for rec, err := range s.records.List(ctx, sessionKeys) {
		if err != nil {
			return
		}
		var found sessionRecord
		if storage.Decode(rec.Value, sessionFormat, &found) == nil && time.Now().After(found.Expires) {
			_ = s.records.Delete(ctx, rec.Key, rec.Revision)
		}
	}
}

type tokenIn struct {
	ID string `path:"token"`
}

// sessionRoutes are who one is, logins and tokens.
func (s *Server) sessionRoutes() []*route {
	return []*route{
		op("GET", "/me", "getMe", "session", "Who the server thinks that you are", s.getMe),
		op("GET", "/logins", "listLogins", "session", "The ways to log in, beside a token", s.listLogins).open(),
		op("POST", "/session", "beginSession", "session", "Change a bearer token into a session of this browser", s.beginSession).open(),
		op("DELETE", "/session", "endSession", "session", "Log out", s.endSession),
		op("GET", "/tokens", "listTokens", "session", "Your bearer tokens, without their texts", s.listTokens),
		op("POST", "/tokens", "createToken", "session", "Make a bearer token for yourself; its text is shown once", s.createToken).with(http.StatusCreated),
		op("DELETE", "/tokens/{token}", "revokeToken", "session", "End a token", s.revokeToken),
	}
}

func (s *Server) getMe(ctx context.Context, c *call, _ *struct{}) (client.Me, error) {
	me := client.Me{Subject: c.subject(), Method: c.login.Method, Version: s.opts.Version}
	me.Operator = appspan.Authorize(asking(ctx), s.parts.Authorizer, appspan.Subject{ID: c.subject().ID, Groups: c.subject().Groups}, appspan.Access{Verb: appspan.VerbCreate, Resource: "team"}) == nil
	for t, err := range s.parts.Teams.List(ctx) { // the server's own view: of it, what they are a member of is told
		if err != nil {
			return me, err
		}
		m, ok := t.Member(c.subject().ID)
		if !ok || c.subject().Team != "" && c.subject().Team != t.ID {
			continue
		}
		one := client.Membership{Team: t.ID, DisplayName: t.DisplayName, Role: m.Role}
		if role, ok := t.Role(m.Role); ok {
			for _, p := range role.Permissions {
				one.Permissions = append(one.Permissions, string(p))
			}
		}
		me.Teams = append(me.Teams, one)
	}
	return me, nil
}

func (s *Server) endSession(_ context.Context, c *call, _ *dry) (empty, error) {
	return empty{}, s.sessions.End(c.w, c.r)
}

func (s *Server) listTokens(ctx context.Context, c *call, _ *struct{}) (client.List[client.Token], error) {
	out := client.List[client.Token]{Items: []client.Token{}}
	for t, err := range s.tokens.List(ctx, c.subject().ID) {
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, t)
	}
	return out, nil
}

type createTokenIn struct {
	dry
	Body client.CreateToken
}

func (s *Server) createToken(ctx context.Context, c *call, in *createTokenIn) (client.NewToken, error) {
	tokens := s.tokens
	if in.DryRun {
		overlay := storage.Overlay(s.parts.Records)
		defer overlay.Close()
		tokens = NewTokens(overlay)
	}
	subject := c.subject()
	if in.Body.Team != "" {
		if subject.Team != "" && subject.Team != in.Body.Team {
			return client.NewToken{}, fmt.Errorf("token: %w: you act for team %s", appspan.ErrDenied, subject.Team)
		}
		subject.Team = in.Body.Team
	}
	if most := int64(maxTokenLife / time.Second); int64(in.Body.Seconds) < 0 || int64(in.Body.Seconds) > most {
		return client.NewToken{}, fmt.Errorf("token: %w: %d seconds; give 60 to %d", appspan.ErrInvalid, in.Body.Seconds, most)
	}
	made, err := tokens.Create(ctx, subject, in.Body.Description, time.Duration(in.Body.Seconds)*time.Second)
	if err != nil {
		return made, err
	}
	if in.DryRun {
		made.Text = ""
		return made, nil
	}
	return made, s.audit(ctx, c, appspan.VerbCreate, "token", "token "+made.ID)
}

type revokeTokenIn struct {
	dry
	tokenIn
}

func (s *Server) revokeToken(ctx context.Context, c *call, in *revokeTokenIn) (empty, error) {
	t, err := s.tokens.Get(ctx, in.ID)
	if err == nil && t.Subject != c.subject().ID {
		err = fmt.Errorf("token %s: %w", in.ID, appspan.ErrNotFound)
	}
	if err != nil || in.DryRun {
		return empty{}, err
	}
	if err := s.tokens.Revoke(ctx, in.ID); err != nil {
		return empty{}, err
	}
	return empty{}, s.audit(ctx, c, appspan.VerbDelete, "token", "token "+in.ID)
}

// audit records what the server itself did, as the SDK does for the rest.
func (s *Server) audit(ctx context.Context, c *call, verb appspan.Verb, resource, what string) error {
	return s.parts.Audit.Audit(context.WithoutCancel(ctx), appspan.AuditEntry{Time: time.Now().UTC(), Subject: c.subject(), Outcome: "ok: " + what,
		Access: appspan.Access{Verb: verb, Resource: resource, Team: c.subject().Team}})
}

type beginSessionIn struct {
	dry
	Body client.Login
}

// beginSession changes a bearer token into a session: a page that is given a
// token by a person need not keep it.
func (s *Server) beginSession(ctx context.Context, c *call, in *beginSessionIn) (empty, error) {
	probe := &http.Request{Header: http.Header{"Authorization": {"Bearer " + in.Body.Token}}}
	login, err := s.tokens.Authenticate(probe.WithContext(ctx))
	if err == nil && login == nil {
		err = fmt.Errorf("%w: that is no token of this server", appspan.ErrDenied)
	}
	if err != nil {
		return empty{}, refused(err)
	}
	if in.DryRun {
		return empty{}, nil
	}
	return empty{}, s.sessions.begin(c.w, c.r, sessionRecord{Subject: login.Subject, Method: "session", Token: digestOf(in.Body.Token)[:16]}, 0)
}
