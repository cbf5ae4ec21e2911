package oidc

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/refserver"
)

// Options say where people log in.
type Options struct {
	// Issuer is the provider's URL, as in its discovery document. https, but for a
	// host of loopback. Required.
	Issuer string
	// ClientID is the server's there. Required.
	ClientID string
	// ClientSecret is empty for a public client, which PKCE is enough for.
	ClientSecret string
	// ServerURL is what browsers see of the server, base path included. Required.
	ServerURL string
	// Name is the login's place, below /login/; default "oidc". Title is what is on
	// the console's button; default "Single sign-on".
	Name, Title string
	// Scopes are asked for beside "openid".
	Scopes []string
	// Audiences are those of which a bearer token must have one; default: ClientID.
	Audiences []string
	// SubjectClaim says who somebody is; default "sub". With "email", the address
	// must be verified. GroupsClaim has their groups, one or a list; default "groups".
	SubjectClaim, GroupsClaim string
	// SessionLife is how long a login is good; default 12 hours.
	SessionLife time.Duration
	// Client sends requests to the provider; default: one with a timeout of 15 s.
	Client *http.Client
}

// Provider is one OpenID Connect provider. It is a refserver.Authenticator for
// bearer tokens, and Login is for browsers.
type Provider struct {
	o      Options
	secure bool   // browsers see https
	path   string // of the login as browsers see it, with a slash at its end

	mu    sync.Mutex
	found *discovered
}

// discovered is what the provider said of itself.
type discovered struct {
	flow   oauth2.Config
	login  *oidc.IDTokenVerifier // of ID tokens of the flow
	bearer *oidc.IDTokenVerifier // of bearer tokens, but for their audience
}

var _ refserver.Authenticator = (*Provider)(nil)

// New returns a provider. It does no I/O; options that contradict themselves are
// appspan.ErrInvalid.
func New(opts *Options) (*Provider, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	server, err := url.Parse(o.ServerURL)
	if err != nil || server.Host == "" || server.Scheme != "http" && server.Scheme != "https" || server.RawQuery != "" || server.Fragment != "" {
		return nil, fmt.Errorf("oidc: %w: server URL %q; give what browsers see, like https://portal.example.com", appspan.ErrInvalid, o.ServerURL)
	}
	issuer, err := url.Parse(o.Issuer)
	if err != nil || issuer.Host == "" || issuer.Scheme != "https" && !(issuer.Scheme == "http" && loopback(issuer.Hostname())) {
		return nil, fmt.Errorf("oidc: %w: issuer %q; give an https URL", appspan.ErrInvalid, o.Issuer)
	}
	if o.ClientID == "" {
		return nil, fmt.Errorf("oidc: %w: no client ID", appspan.ErrInvalid)
	}
	o.ServerURL = strings.TrimSuffix(o.ServerURL, "/")
	o.Name, o.Title = cmp.Or(o.Name, "oidc"), cmp.Or(o.Title, "Single sign-on")
	o.SubjectClaim, o.GroupsClaim = cmp.Or(o.SubjectClaim, "sub"), cmp.Or(o.GroupsClaim, "groups")
	o.Scopes = append([]string{oidc.ScopeOpenID}, o.Scopes...)
	if len(o.Audiences) == 0 {
		o.Audiences = []string{o.ClientID}
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 15 * time.Second}
	}
	return &Provider{o: o, secure: server.Scheme == "https", path: strings.TrimSuffix(server.Path, "/") + "/login/" + o.Name + "/"}, nil
}

func loopback(host string) bool {
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}

// Login is the login for refserver.HandlerOptions.
func (p *Provider) Login() refserver.LoginPage {
	return refserver.LoginPage{Name: p.o.Name, Title: p.o.Title, Handler: p.handler}
}

// discover asks the provider once what it is.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.o.Client), 15*time.Second)
	defer cancel()
	found, err := oidc.NewProvider(ctx, p.o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: the identity provider %s cannot be used: %w", appspan.ErrUnavailable, p.o.Issuer, err)
	}
	p.found = &discovered{
		flow: oauth2.Config{ClientID: p.o.ClientID, ClientSecret: p.o.ClientSecret, Endpoint: found.Endpoint(),
			RedirectURL: p.o.ServerURL + "/login/" + p.o.Name + "/callback", Scopes: p.o.Scopes},
		login:  found.Verifier(&oidc.Config{ClientID: p.o.ClientID}),
		bearer: found.Verifier(&oidc.Config{SkipClientIDCheck: true}),
	}
	return p.found, nil
}

// maxToken bounds a bearer token, in bytes.
const maxToken = 16 << 10

// Authenticate implements refserver.Authenticator, for JWTs of the issuer in the
// Authorization header. It knows nothing of other tokens.
func (p *Provider) Authenticate(r *http.Request) (*refserver.Login, error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(text) > maxToken || issuerOf(text) != p.o.Issuer {
		return nil, nil
	}
	if len(r.Header.Values("Authorization")) != 1 {
		return nil, fmt.Errorf("oidc: %w: more than one Authorization header", appspan.ErrDenied)
	}
	found, err := p.discover(r.Context())
	if err != nil {
		return nil, err
	}
	token, err := found.bearer.Verify(oidc.ClientContext(r.Context(), p.o.Client), text)
	if err != nil {
		return nil, fmt.Errorf("oidc: %w: %w", appspan.ErrDenied, err)
	}
	if !slices.ContainsFunc(token.Audience, func(a string) bool { return slices.Contains(p.o.Audiences, a) }) {
		return nil, fmt.Errorf("oidc: %w: the token is for %q, not for this server", appspan.ErrDenied, token.Audience)
	}
	subject, err := p.subject(token)
	if err != nil {
		return nil, err
	}
	return &refserver.Login{Subject: subject, Method: p.o.Name}, nil
}

// issuerOf is who a JWT says that it is of, before anything of it is checked.
func issuerOf(text string) string {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return ""
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err != nil || json.Unmarshal(data, &claims) != nil {
		return ""
	}
	return claims.Issuer
}

// maxGroups bounds the groups of one subject.
const maxGroups = 1000

// subject is who the claims of a token name.
func (p *Provider) subject(token *oidc.IDToken) (appspan.Subject, error) {
	var claims map[string]json.RawMessage
	if err := token.Claims(&claims); err != nil {
		return appspan.Subject{}, fmt.Errorf("oidc: %w: %w", appspan.ErrDenied, err)
	}
	var s appspan.Subject
	if err := json.Unmarshal(claims[p.o.SubjectClaim], &s.ID); err != nil || s.ID == "" || len(s.ID) > 256 {
		return s, fmt.Errorf("oidc: %w: the claim %s does not name anybody", appspan.ErrDenied, p.o.SubjectClaim)
	}
	if p.o.SubjectClaim == "email" && string(claims["email_verified"]) != "true" {
		return s, fmt.Errorf("oidc: %w: the address %s is not verified", appspan.ErrDenied, s.ID)
	}
	if raw, ok := claims[p.o.GroupsClaim]; ok && string(raw) != "null" {
		var one string
		if err := json.Unmarshal(raw, &one); err == nil {
			s.Groups = []string{one}
		} else if err := json.Unmarshal(raw, &s.Groups); err != nil {
			return s, errors.Join(fmt.Errorf("oidc: %w: the claim %s is no list of groups", appspan.ErrDenied, p.o.GroupsClaim), err)
		}
	}
	if len(s.Groups) > maxGroups {
		return s, fmt.Errorf("oidc: %w: %d groups; at most %d", appspan.ErrDenied, len(s.Groups), maxGroups)
	}
	return s, nil
}
