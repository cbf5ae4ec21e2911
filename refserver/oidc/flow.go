package oidc

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/refserver"
)

// flight is a login on its way, as the browser's cookie has it.
type flight struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	To       string `json:"t"`
}

// flightLife is for how long one may be on one's way, in seconds.
const flightLife = 600

func (p *Provider) cookie(value string, age int) *http.Cookie {
	return &http.Cookie{Name: "appspan_login_" + p.o.Name, Value: value, Path: p.path, MaxAge: age, HttpOnly: true, Secure: p.secure,
		SameSite: http.SameSiteLaxMode} // not strict: who comes back comes from the provider's page
}

// handler serves the beginning of a login and its end.
func (p *Provider) handler(sessions *refserver.Sessions) http.Handler {
	mux := http.NewServeMux()
	place := "/login/" + p.o.Name + "/"
	mux.HandleFunc("GET "+place+"{$}", func(w http.ResponseWriter, r *http.Request) {
		if err := p.begin(w, r); err != nil {
			p.fail(w, err)
		}
	})
	mux.HandleFunc("GET "+place+"callback", func(w http.ResponseWriter, r *http.Request) {
		if err := p.end(w, r, sessions); err != nil {
			p.fail(w, err)
		}
	})
	return mux
}

// begin sends a browser to the provider.
func (p *Provider) begin(w http.ResponseWriter, r *http.Request) error {
	found, err := p.discover(r.Context())
	if err != nil {
		return err
	}
	f := flight{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), To: p.inside(r.URL.Query().Get("to"))}
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	http.SetCookie(w, p.cookie(base64.RawURLEncoding.EncodeToString(data), flightLife))
	http.Redirect(w, r, found.flow.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), http.StatusFound)
	return nil
}

// inside is a path of the server, to come out at; anything else is its first page.
func (p *Provider) inside(to string) string {
	first := strings.TrimSuffix(p.path, "login/"+p.o.Name+"/")
	u, err := url.Parse(to)
	if err != nil || len(to) > 1024 || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(to, first) || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return first
	}
	return to
}

// end takes what the provider gave a browser, and begins a session.
func (p *Provider) end(w http.ResponseWriter, r *http.Request, sessions *refserver.Sessions) error {
	cookie, err := r.Cookie(p.cookie("", 0).Name)
	http.SetCookie(w, p.cookie("", -1)) // good once
	var f flight
	if err == nil {
		var data []byte
		if data, err = base64.RawURLEncoding.DecodeString(cookie.Value); err == nil {
			err = json.Unmarshal(data, &f)
		}
	}
	query := r.URL.Query()
	if err != nil || f.State == "" || f.Nonce == "" || f.Verifier == "" || subtle.ConstantTimeCompare([]byte(f.State), []byte(query.Get("state"))) != 1 {
		return fmt.Errorf("%w: this login was not begun in this browser, or too long ago; begin it again", appspan.ErrDenied)
	}
	if query.Get("error") != "" || query.Get("code") == "" {
		return fmt.Errorf("%w: the identity provider did not let you in: %s", appspan.ErrDenied, cut(query.Get("error")+" "+query.Get("error_description"), 300))
	}
	found, err := p.discover(r.Context())
	if err != nil {
		return err
	}
	ctx := oidc.ClientContext(r.Context(), p.o.Client)
	answer, err := found.flow.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(f.Verifier))
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.Response.StatusCode < 500 {
		return fmt.Errorf("%w: the identity provider refused the login: %s", appspan.ErrDenied, cut(refused.ErrorCode, 100))
	}
	if err != nil {
		return fmt.Errorf("%w: the identity provider: %w", appspan.ErrUnavailable, err)
	}
	text, _ := answer.Extra("id_token").(string)
	token, err := found.login.Verify(ctx, text)
	if err != nil {
		return fmt.Errorf("%w: the identity provider's token: %w", appspan.ErrDenied, err)
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(f.Nonce)) != 1 {
		return fmt.Errorf("%w: the identity provider's token is of another login", appspan.ErrDenied)
	}
	subject, err := p.subject(token)
	if err != nil {
		return err
	}
	if err := sessions.Begin(w, r, subject, p.o.Name, p.o.SessionLife); err != nil {
		return err
	}
	// Not a redirect: the session's cookie would not go with it, as the provider's
	// page began it.
	page(w, http.StatusOK, `<meta http-equiv="refresh" content="0;url=%[1]s"><title>Logged in</title><p>Logged in. <a href="%[1]s">Go on</a></p>`, p.inside(f.To))
	return nil
}

func cut(text string, most int) string {
	text = strings.ToValidUTF8(text, "")
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.TrimSpace(text)
}

// page writes a page; its parts are escaped.
func page(w http.ResponseWriter, status int, text string, parts ...any) {
	for i, part := range parts {
		parts[i] = html.EscapeString(fmt.Sprint(part))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"+text+"</html>\n", parts...)
}

// fail tells a person why they are not logged in.
func (p *Provider) fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, appspan.ErrDenied):
		status = http.StatusForbidden
	case errors.Is(err, appspan.ErrUnavailable):
		status = http.StatusServiceUnavailable
	}
	page(w, status, `<title>Not logged in</title><h1>Not logged in</h1><p>%s</p><p><a href="%s">Try again</a></p>`, cut(err.Error(), 500), p.path)
}
