package leaktest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/stretchr/testify/require"
)

// api serves a handler over TLS to whoever is let in.
type api struct {
	*httptest.Server
	ca []byte // PEM
}

// serve serves a handler to requests that let admits.
func (w *world) serve(h http.Handler, let func(r *http.Request) bool) *api {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if let != nil && !let(r) {
			http.Error(out, "who are you?", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(out, r)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.Config.ErrorLog = log.New(w.at("the test's own servers"), "", 0)
	s.StartTLS()
	w.t.Cleanup(s.Close)
	return &api{s, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})}
}

// fake serves a cluster in memory.
func (w *world) fake(name string, let func(r *http.Request) bool) (*fake.Cluster, *api) {
	c := fake.New(&fake.Options{Name: name})
	w.t.Cleanup(func() { _ = c.Close() })
	return c, w.serve(refusing(c.Handler()), let)
}

// refusing refuses Secrets named "refused", and tells what is in them.
func refusing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPatch || !strings.HasSuffix(r.URL.Path, "/secrets/refused") {
			next.ServeHTTP(out, r)
			return
		}
		var secret struct {
			Data       map[string]string `json:"data"`
			StringData map[string]string `json:"stringData"`
		}
		_ = json.NewDecoder(r.Body).Decode(&secret)
		out.Header().Set("Content-Type", "application/json")
		out.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(out).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 422, "reason": "Invalid",
			"message": "not with " + secret.Data["password"] + secret.StringData["password"]})
	})
}

// bearer lets a token in.
func bearer(token string) func(r *http.Request) bool {
	return func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+token }
}

// kubeconfig is one of a server, for a user.
func kubeconfig(server string, ca []byte, user map[string]any, extra map[string]any) []byte {
	c := map[string]any{"server": server}
	if ca != nil {
		c["certificate-authority-data"] = ca
	}
	for k, v := range extra {
		c[k] = v
	}
	return must(json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "it",
		"contexts": []any{map[string]any{"name": "it", "context": map[string]any{"cluster": "it", "user": "it"}}},
		"clusters": []any{map[string]any{"name": "it", "cluster": c}},
		"users":    []any{map[string]any{"name": "it", "user": user}},
	}))
}

// certificate makes a client's certificate and key, the number of which is a
// credential.
func (w *world) certificate(name string) (certificate, key []byte) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(w.t, err)
	secret, err := private.Bytes()
	require.NoError(w.t, err)
	w.finder.Add(name, secret)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(w.t, err)
	keyDER, err := x509.MarshalECPrivateKey(private)
	require.NoError(w.t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

// echoes are servers that tell what they were told, in every place of an
// answer that somebody reads.
func (w *world) echoes() map[string]http.HandlerFunc {
	told := func(r *http.Request) string {
		text := r.Header.Get("Authorization")
		if user, password, ok := r.BasicAuth(); ok {
			text += " which is " + user + " with " + password
		}
		return text
	}
	status := func(code int) http.HandlerFunc {
		return func(out http.ResponseWriter, r *http.Request) {
			out.Header().Set("Content-Type", "application/json")
			out.WriteHeader(code)
			_ = json.NewEncoder(out).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
				"reason": "Invalid", "message": "not accepted: " + told(r),
				"details": map[string]any{"name": told(r), "causes": []any{map[string]any{"field": "the.header", "message": "is " + told(r)}}}})
		}
	}
	text := func(code int) http.HandlerFunc {
		return func(out http.ResponseWriter, r *http.Request) { http.Error(out, "<pre>"+told(r)+"</pre>", code) }
	}
	elsewhere := w.plain(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w.at("what a redirect sends elsewhere"), "%v %v\n", r.URL, r.Header)
	}))
	handlers := map[string]http.HandlerFunc{
		"redirect-on": func(out http.ResponseWriter, r *http.Request) {
			http.Redirect(out, r, "http://"+elsewhere+r.URL.Path, http.StatusTemporaryRedirect)
		},
		"redirect": func(out http.ResponseWriter, r *http.Request) {
			out.Header().Set("Location", "https://elsewhere.example.org/?token="+url.QueryEscape(told(r))+"&"+strings.ReplaceAll(told(r), "\n", ""))
			out.WriteHeader(http.StatusTemporaryRedirect)
		},
		"status-line": func(out http.ResponseWriter, r *http.Request) {
			conn, _, err := out.(http.Hijacker).Hijack()
			if err == nil {
				_, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
				fmt.Fprintf(conn, "HELLO-%s\r\n\r\n", credentials)
				_ = conn.Close()
			}
		},
		"header": func(out http.ResponseWriter, r *http.Request) {
			conn, _, err := out.(http.Hijacker).Hijack()
			if err == nil {
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n", told(r))
				_ = conn.Close()
			}
		},
		"nonsense": func(out http.ResponseWriter, r *http.Request) { fmt.Fprintf(out, "%s", told(r)) },
		"wrong": func(out http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(out).Encode(map[string]any{"kind": "List", "items": told(r), "gitVersion": []any{told(r)}, "metadata": told(r)})
		},
	}
	// Those that answer well until somebody asks for pods.
	for name, handler := range map[string]http.HandlerFunc{
		"pods-status": status(http.StatusForbidden), "pods-text": text(http.StatusBadRequest), "pods-line": handlers["status-line"],
		"pods-event": func(out http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(out).Encode(map[string]any{"type": "ERROR", "object": map[string]any{"kind": "Status", "code": 403, "message": "not " + told(r)}})
		},
		"pods-odd-event": func(out http.ResponseWriter, r *http.Request) {
			_ = json.NewEncoder(out).Encode(map[string]any{"type": told(r), "object": []any{told(r)}})
		},
	} {
		behind, _ := w.fake(name, nil)
		handlers[name] = func(out http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/pods") {
				handler(out, r)
				return
			}
			behind.Handler().ServeHTTP(out, r)
		}
	}
	for _, code := range []int{400, 401, 403, 404, 407, 409, 410, 422, 429, 500, 503} {
		handlers[fmt.Sprintf("status-%d", code)] = status(code)
		handlers[fmt.Sprintf("text-%d", code)] = text(code)
	}
	return handlers
}

// plain serves a handler without TLS, and returns its address.
func (w *world) plain(h http.Handler) string {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(w.at("the test's own servers"), "", 0)
	s.Start()
	w.t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}
