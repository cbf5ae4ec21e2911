package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"flag"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/refserver/client"
)

// program is one that runs.
type program struct {
	t     *testing.T
	url   string
	stop  context.CancelFunc
	ended chan error
}

func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	p := &program{t: t, stop: stop, ended: make(chan error, 1)}
	out, in := io.Pipe()
	go func() {
		err := run(ctx, append([]string{"-addr", "127.0.0.1:0", "-log-level", "error"}, args...), in, t.Output())
		_ = in.CloseWithError(err)
		p.ended <- err
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, out) }()
	p.url = strings.TrimSuffix(strings.TrimSpace(strings.TrimPrefix(line, "Open ")), "/")
	t.Cleanup(func() {
		if p.stop != nil {
			p.end()
		}
	})
	return p
}

// end ends the program in good order.
func (p *program) end() {
	p.t.Helper()
	p.stop()
	p.stop = nil
	require.NoError(p.t, <-p.ended)
}

func (p *program) client(token string) *client.Client {
	p.t.Helper()
	c, err := client.New(p.url, &client.Options{Token: token})
	require.NoError(p.t, err)
	return c
}

func (p *program) get(path string, v any) int {
	p.t.Helper()
	resp, err := http.Get(p.url + path)
	require.NoError(p.t, err)
	defer resp.Body.Close()
	if v != nil {
		require.NoError(p.t, json.NewDecoder(resp.Body).Decode(v))
	}
	return resp.StatusCode
}

func TestTheDemonstrationHasSomethingForEveryView(t *testing.T) {
	t.Parallel()
	p := start(t, "-demo", "-base-path", "/cloud")
	c := p.client("")
	places := map[string]string{}
	for app, err := range c.Applications(t.Context(), nil) {
		require.NoError(t, err)
		places[app.Namespace] = app.Application
	}
	require.Equal(t, map[string]string{"shop-development": "shop", "shop-test": "shop", "shop": "shop", "website": "website", "reports": "reports", "telemetry": "telemetry"}, places)
	require.Eventually(t, func() bool {
		app, err := c.Application(t.Context(), "reports", "reports", true)
		return err == nil && app.Status.Worst == "Failed"
	}, 30*time.Second, 50*time.Millisecond)
	require.Eventually(t, func() bool {
		var stages client.List[struct{ Environment, State string }]
		p.get("/api/v1/stages", &stages)
		return len(stages.Items) == 1 && stages.Items[0].Environment == "production" && stages.Items[0].State == "waiting"
	}, 30*time.Second, 50*time.Millisecond)
	var drift struct {
		Clusters []struct{ Items []struct{ Author string } }
	}
	p.get("/api/v1/applications/website/website/drift", &drift)
	require.Equal(t, "kubectl-scale", drift.Clusters[1].Items[0].Author)
}

func TestWithoutALoginOnlyThisMachineGetsIn(t *testing.T) {
	t.Parallel()
	err := run(t.Context(), []string{"-addr", "0.0.0.0:0", "-data", t.TempDir()}, io.Discard, io.Discard)
	require.ErrorIs(t, err, appspan.ErrDenied)
	require.ErrorContains(t, err, "-tokens")
	p := start(t, "-data", t.TempDir())
	var me client.Me
	require.Equal(t, 200, p.get("/api/v1/me", &me))
	require.True(t, me.Operator)
	req, err := http.NewRequestWithContext(t.Context(), "GET", p.url+"/api/v1/me", nil)
	require.NoError(t, err)
	req.Host = "rebound.example.com"
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 401, resp.StatusCode, "a page that DNS led here")
}

func TestTheFirstTokenIsMadeWithoutALogin(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"token", "-data", dir, "-subject", "ann"}, &out, t.Output()))
	p := start(t, "-data", dir, "-tokens", "-operators", "ann")
	require.Equal(t, 401, p.get("/api/v1/me", nil), "being on this machine is no login any more")
	me, err := p.client(strings.TrimSpace(out.String())).Me(t.Context())
	require.NoError(t, err)
	require.Equal(t, "ann", me.Subject.ID)
	require.True(t, me.Operator)
	err = run(t.Context(), []string{"token", "-data", dir, "-subject", "ben"}, io.Discard, io.Discard)
	require.ErrorContains(t, err, "stop that one")
	require.ErrorContains(t, run(t.Context(), []string{"token", "-data", dir}, io.Discard, io.Discard), "-subject")
}

func TestAPortalInFrontSaysWhoSomebodyIs(t *testing.T) {
	t.Parallel()
	ask := func(url, user string) (int, client.Me) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", url+"/api/v1/me", nil)
		require.NoError(t, err)
		if user != "" {
			req.Header.Set("X-Remote-User", user)
			req.Header.Set("X-Remote-Groups", "platform, others")
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		var me client.Me
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&me))
		return resp.StatusCode, me
	}
	args := []string{"-trusted-header", "X-Remote-User", "-trusted-header-groups", "X-Remote-Groups", "-operator-groups", "platform"}
	p := start(t, append(args, "-data", t.TempDir(), "-trusted-header-from", "127.0.0.1,::1/128")...)
	status, me := ask(p.url, "ann")
	require.Equal(t, 200, status)
	require.Equal(t, "ann", me.Subject.ID)
	require.True(t, me.Operator)
	status, _ = ask(p.url, "")
	require.Equal(t, 401, status)
	elsewhere := start(t, append(args, "-data", t.TempDir(), "-trusted-header-from", "192.0.2.0/24")...)
	status, _ = ask(elsewhere.url, "ann")
	require.Equal(t, 401, status, "this machine is none of the portal's addresses")
	require.ErrorContains(t, run(t.Context(), append(args, "-data", t.TempDir(), "-addr", "127.0.0.1:0", "-trusted-header-from", "portal"), io.Discard, io.Discard), "10.1.2.0/24")
}

func TestOpenIDConnectIsALoginOfTheProgram(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("hush\n"), 0o600))
	p := start(t, "-data", t.TempDir(), "-base-path", "/cloud", "-oidc-issuer", "https://id.invalid", "-oidc-client-id", "appspan", "-oidc-client-secret-file", secret, "-oidc-title", "Example account")
	var logins client.List[client.LoginPage]
	require.Equal(t, 200, p.get("/api/v1/logins", &logins))
	require.Equal(t, []client.LoginPage{{Name: "oidc", Title: "Example account", Path: "/cloud/login/oidc/"}}, logins.Items)
	require.Equal(t, 401, p.get("/api/v1/me", nil))
	require.Equal(t, 503, p.get("/login/oidc/", nil), "its provider does not answer")
	require.Equal(t, 200, p.get("/readyz", nil), "and the server is ready all the same")
}

func TestTheFileSaysWhatFlagsSay(t *testing.T) {
	t.Parallel()
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "server.yaml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	c, err := parse([]string{"-config", file("addr: 0.0.0.0:80\ndata: /srv\ntokens: true\noperators: [ann, ben]\nshutdown-timeout: 5s\n"), "-data", "/mine"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, "0.0.0.0:80", c.addr)
	require.Equal(t, "/mine", c.data, "a flag wins")
	require.Equal(t, list{"ann", "ben"}, c.operators)
	require.Equal(t, 5*time.Second, c.shutdown)
	for text, want := range map[string]string{
		"adr: x":               `no key is named "adr"`,
		"config: other.yaml":   `no key is named "config"`,
		"tokens: perhaps":      "tokens",
		"data: [a, b]":         "data takes one value",
		"data: {a: b}":         "data takes one value",
		"addr: a\naddr: b":     "already defined",
		"addr: a\n---\nx: y":   "one document",
		"hub: in-cluster":      "-keys",
		"oidc-issuer: https:x": "-oidc-client-id",
		"tls-cert: x":          "-tls-key",
		"trusted-header: X-U":  "-trusted-header-from",
	} {
		_, err := parse([]string{"-config", file(text)}, io.Discard)
		require.ErrorContains(t, err, want, text)
	}
	var help bytes.Buffer
	_, err = parse([]string{"-help"}, &help)
	require.ErrorIs(t, err, flag.ErrHelp)
	require.Contains(t, help.String(), "refserver -demo")
}

func TestTheExampleOfTheFileIsRead(t *testing.T) {
	t.Parallel()
	_, err := parse([]string{"-config", "example.yaml"}, io.Discard)
	require.NoError(t, err)
}

func TestStreamsEndWhenTheProgramEnds(t *testing.T) {
	t.Parallel()
	p := start(t, "-data", t.TempDir())
	resp, err := http.Get(p.url + "/api/v1/events")
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	_, err = lines.ReadString('\n')
	require.NoError(t, err)
	p.end()
	_, err = io.ReadAll(lines)
	require.NoError(t, err, "it ends in good order")
	_, err = http.Get(p.url + "/healthz")
	require.Error(t, err)
}

func TestWhoSendsAHeaderForEverIsCutOff(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := newHTTP(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	require.NotZero(t, h.ReadHeaderTimeout)
	h.ReadHeaderTimeout = 50 * time.Millisecond
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
	require.NoError(t, err)
	_, err = io.ReadAll(conn) // until it is closed from there
	require.NoError(t, err)
	require.NoError(t, h.Close())
	require.ErrorIs(t, <-ended, http.ErrServerClosed)
}

// certificate writes a self-signed pair.
func certificate(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, secret.Public(), secret)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(secret)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	at := time.Unix(1_700_000_000+serial, 0)
	require.NoError(t, os.Chtimes(cert, at, at))
	require.NoError(t, os.Chtimes(key, at, at))
}

func TestACertificateThatChangesIsReadAgain(t *testing.T) {
	t.Parallel()
	cert, key := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	certificate(t, cert, key, 1)
	c, err := loadCertificates(cert, key, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	serial := func() int64 {
		c.asked = time.Time{}
		pair, err := c.get(nil)
		require.NoError(t, err)
		parsed, err := x509.ParseCertificate(pair.Certificate[0])
		require.NoError(t, err)
		return parsed.SerialNumber.Int64()
	}
	require.EqualValues(t, 1, serial())
	certificate(t, cert, key, 2)
	require.EqualValues(t, 2, serial())
	require.NoError(t, os.WriteFile(cert, []byte("half of one"), 0o600))
	require.EqualValues(t, 2, serial(), "one that cannot be read leaves the one before")
}

func TestItServesTLS(t *testing.T) {
	t.Parallel()
	cert, key := filepath.Join(t.TempDir(), "tls.crt"), filepath.Join(t.TempDir(), "tls.key")
	certificate(t, cert, key, 1)
	p := start(t, "-data", t.TempDir(), "-tls-cert", cert, "-tls-key", key)
	require.True(t, strings.HasPrefix(p.url, "https://"))
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(p.url + "/healthz")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, 2, resp.ProtoMajor)
}
