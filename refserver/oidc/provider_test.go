package oidc_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/refserver"
	"github.com/appspan-dev/appspan/refserver/client"
	"github.com/appspan-dev/appspan/refserver/oidc"
)

// provider is a small OpenID Connect provider: it lets everybody in as ann at
// once, and changes what it says by edit.
type provider struct {
	*httptest.Server
	t     *testing.T
	key   *rsa.PrivateKey
	edit  func(claims map[string]any)
	codes map[string]url.Values // what was asked for, by code
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	p := &provider{t: t, key: key, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token",
			"jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "one", Algorithm: "RS256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		code := rand.Text()
		p.codes[code] = q
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		q, ok := p.codes[r.PostFormValue("code")]
		delete(p.codes, r.PostFormValue("code"))
		if !ok || q.Get("code_challenge_method") != "S256" || oauth2.S256ChallengeFromVerifier(r.PostFormValue("code_verifier")) != q.Get("code_challenge") {
			w.WriteHeader(http.StatusBadRequest)
			answer(w, map[string]any{"error": "invalid_grant"})
			return
		}
		answer(w, map[string]any{"access_token": "opaque", "token_type": "Bearer", "id_token": p.token(map[string]any{"nonce": q.Get("nonce")})})
	})
	return p
}

// token signs claims, beside the usual ones.
func (p *provider) token(more map[string]any) string {
	p.t.Helper()
	claims := map[string]any{"iss": p.URL, "aud": "appspan", "sub": "ann", "groups": []string{"platform"}, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(claims, more)
	if p.edit != nil {
		p.edit(claims)
	}
	return sign(p.t, p.key, claims)
}

func sign(t *testing.T, key *rsa.PrivateKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", "one"))
	require.NoError(t, err)
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	require.NoError(t, err)
	return text
}

// portal is a server that people log in to at a provider.
type portal struct {
	*httptest.Server
	t *testing.T
}

func newPortal(t *testing.T, idp *provider, change func(*oidc.Options)) *portal {
	t.Helper()
	p := &portal{t: t}
	var server *refserver.Server
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { server.ServeHTTP(w, r) }))
	o := &oidc.Options{Issuer: idp.URL, ClientID: "appspan", ServerURL: p.URL + "/cloud", Scopes: []string{"groups"}}
	if change != nil {
		change(o)
	}
	login, err := oidc.New(o)
	require.NoError(t, err)
	server, err = refserver.Open(t.Context(), &refserver.Options{Dir: t.TempDir(), OperatorGroups: []string{"platform"},
		HandlerOptions: refserver.HandlerOptions{BasePath: "/cloud", Authenticators: []refserver.Authenticator{login}, Logins: []refserver.LoginPage{login.Login()}}})
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Close()
		require.NoError(t, server.Close())
	})
	return p
}

// browser keeps cookies; hold makes it stop before a redirect.
func browser(t *testing.T, hold func(*http.Request) bool) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if hold != nil && hold(r) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

func read(t *testing.T, c *http.Client, address, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(data)
}

func TestSomebodyLogsIn(t *testing.T) {
	t.Parallel()
	idp := newProvider(t)
	p := newPortal(t, idp, nil)
	_, logins := read(t, http.DefaultClient, p.URL+"/cloud/api/v1/logins", "")
	require.JSONEq(t, `{"items":[{"name":"oidc","title":"Single sign-on","path":"/cloud/login/oidc/"}]}`, logins)
	b := browser(t, nil)
	status, page := read(t, b, p.URL+"/cloud/login/oidc/?to=/cloud/teams", "")
	require.Equal(t, 200, status, page)
	require.Contains(t, page, `content="0;url=/cloud/teams"`)
	status, body := read(t, b, p.URL+"/cloud/api/v1/me", "")
	require.Equal(t, 200, status, body)
	var me client.Me
	require.NoError(t, json.Unmarshal([]byte(body), &me))
	require.Equal(t, "ann", me.Subject.ID)
	require.Equal(t, []string{"platform"}, me.Subject.Groups)
	require.True(t, me.Operator)
	require.Equal(t, "oidc", me.Method)
}

func TestOnesWayBackLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	p := newPortal(t, newProvider(t), nil)
	for _, to := range []string{"https://evil.example.com/", "//evil.example.com/cloud/", "/other", `/cloud/"><script>`, "/cloud/\\evil", "javascript:alert(1)"} {
		status, page := read(t, browser(t, nil), p.URL+"/cloud/login/oidc/?to="+url.QueryEscape(to), "")
		require.Equal(t, 200, status, page)
		require.NotContains(t, page, "evil")
		require.NotContains(t, page, "<script>")
		require.NotContains(t, page, "javascript")
	}
}

func TestALoginIsRefused(t *testing.T) {
	t.Parallel()
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for name, edit := range map[string]func(map[string]any){
		"with the nonce of another login": func(c map[string]any) { c["nonce"] = "another" },
		"without a nonce":                 func(c map[string]any) { delete(c, "nonce") },
		"with a token for another client": func(c map[string]any) { c["aud"] = "other" },
		"with a token that has expired":   func(c map[string]any) { c["exp"] = time.Now().Add(-time.Minute).Unix() },
		"with a token of another issuer":  func(c map[string]any) { c["iss"] = "https://evil.example.com" },
		"without a subject":               func(c map[string]any) { c["sub"] = "" },
		"with groups that are none":       func(c map[string]any) { c["groups"] = map[string]any{"a": 1} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			idp := newProvider(t)
			idp.edit = edit
			p := newPortal(t, idp, nil)
			b := browser(t, nil)
			status, page := read(t, b, p.URL+"/cloud/login/oidc/", "")
			require.Equal(t, 403, status, page)
			status, _ = read(t, b, p.URL+"/cloud/api/v1/me", "")
			require.Equal(t, 401, status)
		})
	}
	t.Run("with a token that another key signed", func(t *testing.T) {
		t.Parallel()
		idp := newProvider(t)
		p := newPortal(t, idp, nil)
		idp.key = other
		status, page := read(t, browser(t, nil), p.URL+"/cloud/login/oidc/", "")
		require.Equal(t, 403, status, page)
	})
}

func TestAStateIsOfOneBrowserAndOneLogin(t *testing.T) {
	t.Parallel()
	p := newPortal(t, newProvider(t), nil)
	// a login that stops before it comes back
	var back string
	b := browser(t, func(r *http.Request) bool {
		if r.URL.Path != "/cloud/login/oidc/callback" {
			return false
		}
		back = r.URL.String()
		return true
	})
	read(t, b, p.URL+"/cloud/login/oidc/", "")
	require.NotEmpty(t, back)
	status, page := read(t, browser(t, nil), back, "")
	require.Equal(t, 403, status, "in another browser")
	require.Contains(t, page, "was not begun in this browser")
	place, err := url.Parse(p.URL + "/cloud/login/oidc/callback")
	require.NoError(t, err)
	kept := b.Jar.Cookies(place)
	require.Len(t, kept, 1)
	status, _ = read(t, b, p.URL+"/cloud/login/oidc/callback?state=guessed&code=x", "")
	require.Equal(t, 403, status, "another state")
	status, _ = read(t, b, back, "")
	require.Equal(t, 403, status, "the cookie is good for one attempt")
	b.Jar.SetCookies(place, kept)
	status, page = read(t, b, back, "")
	require.Equal(t, 200, status, page)
	status, _ = read(t, b, back, "")
	require.Equal(t, 403, status, "replayed")
	b.Jar.SetCookies(place, kept)
	status, _ = read(t, b, back, "")
	require.Equal(t, 403, status, "replayed with the cookie that was kept")
	status, page = read(t, browser(t, nil), p.URL+"/cloud/login/oidc/callback?error=access_denied&state=x", "")
	require.Equal(t, 403, status, page)
}

func TestATokenOfTheIssuerIsABearerToken(t *testing.T) {
	t.Parallel()
	idp := newProvider(t)
	p := newPortal(t, idp, func(o *oidc.Options) { o.Audiences = []string{"appspan", "appspan-api"} })
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	hour := time.Hour
	claims := func(iss, aud string, exp time.Duration) map[string]any {
		return map[string]any{"iss": iss, "aud": aud, "sub": "robot", "exp": time.Now().Add(exp).Unix(), "iat": time.Now().Unix()}
	}
	for name, c := range map[string]struct {
		token string
		want  int
	}{
		"of this client":        {sign(t, idp.key, claims(idp.URL, "appspan", hour)), 200},
		"of the API":            {sign(t, idp.key, claims(idp.URL, "appspan-api", hour)), 200},
		"of another audience":   {sign(t, idp.key, claims(idp.URL, "other", hour)), 401},
		"that has expired":      {sign(t, idp.key, claims(idp.URL, "appspan", -hour)), 401},
		"of another issuer":     {sign(t, idp.key, claims("https://evil.example.com", "appspan", hour)), 401},
		"that another signed":   {sign(t, other, claims(idp.URL, "appspan", hour)), 401},
		"that nobody signed":    {"eyJhbGciOiJub25lIn0." + sign(t, idp.key, claims(idp.URL, "appspan", hour))[37:], 401},
		"that is no JWT at all": {"a.b.c", 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body := read(t, http.DefaultClient, p.URL+"/cloud/api/v1/me", c.token)
			require.Equal(t, c.want, status, body)
		})
	}
}

func TestAnAddressNamesSomebodyOnceItIsVerified(t *testing.T) {
	t.Parallel()
	idp := newProvider(t)
	p := newPortal(t, idp, func(o *oidc.Options) { o.SubjectClaim = "email" })
	token := func(verified any) string {
		return sign(t, idp.key, map[string]any{"iss": idp.URL, "aud": "appspan", "sub": "1", "email": "ann@example.com", "email_verified": verified, "groups": "one", "exp": time.Now().Add(time.Hour).Unix()})
	}
	status, _ := read(t, http.DefaultClient, p.URL+"/cloud/api/v1/me", token(false))
	require.Equal(t, 401, status)
	status, body := read(t, http.DefaultClient, p.URL+"/cloud/api/v1/me", token(true))
	require.Equal(t, 200, status)
	require.Contains(t, body, "ann@example.com")
}

func TestAServerStartsWithoutItsProvider(t *testing.T) {
	t.Parallel()
	idp := newProvider(t)
	p := newPortal(t, idp, nil)
	idp.Close()
	status, page := read(t, http.DefaultClient, p.URL+"/cloud/login/oidc/", "")
	require.Equal(t, 503, status, page)
}

func TestOptionsThatContradictThemselvesAreRefused(t *testing.T) {
	t.Parallel()
	for _, o := range []*oidc.Options{
		nil,
		{Issuer: "http://id.example.com", ClientID: "a", ServerURL: "https://a.example.com"},
		{Issuer: "https://id.example.com", ServerURL: "https://a.example.com"},
		{Issuer: "https://id.example.com", ClientID: "a", ServerURL: "a.example.com"},
	} {
		_, err := oidc.New(o)
		require.ErrorIs(t, err, appspan.ErrInvalid)
	}
}

func ExampleNew() {
	p, err := oidc.New(&oidc.Options{Issuer: "https://id.example.com", ClientID: "appspan", ServerURL: "https://portal.example.com/cloud"})
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := refserver.Open(context.Background(), &refserver.Options{Dir: "data", HandlerOptions: refserver.HandlerOptions{
		BasePath: "/cloud", Authenticators: []refserver.Authenticator{p}, Logins: []refserver.LoginPage{p.Login()}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	fmt.Println(p.Login().Title)
}
