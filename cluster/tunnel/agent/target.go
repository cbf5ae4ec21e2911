package agent

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
)

const (
	maxFile    = 1 << 20 // bytes of a token, a key or a file of authorities
	maxRefusal = 1 << 20 // bytes of what the API server says when it refuses
)

// Target is the API server that an agent passes requests on to.
type Target struct {
	// URL is its address; a path is the prefix of all paths.
	URL string
	// CAFile holds the authorities to trust, in PEM; empty is the system's. It
	// is read again for every tunnel.
	CAFile string
	// TokenFile holds the bearer token to send; empty sends none. It is read
	// again for every request, because such tokens expire and are replaced.
	TokenFile string
}

// InCluster is the API server of the cluster in which a pod runs. host and port
// are what Kubernetes sets KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT
// to.
func InCluster(host, port string) Target {
	const account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	return Target{URL: "https://" + net.JoinHostPort(host, port), CAFile: account + "ca.crt", TokenFile: account + "token"}
}

func (t Target) validate() error {
	address, err := url.Parse(t.URL)
	if err != nil || address.Host == "" || address.Scheme != "https" && address.Scheme != "http" ||
		address.User != nil || address.RawQuery != "" || address.Fragment != "" {
		return fmt.Errorf("%w: %.100q is no address of an API server; it is http or https, with a host", appspan.ErrInvalid, t.URL)
	}
	return nil
}

// authorized sends requests with the agent's own token.
type authorized struct {
	*http.Transport
	tokenFile string
}

// transport connects to the target. It speaks HTTP/1.1, because what upgrades
// its connection cannot do with anything later.
func (t Target) transport() (*authorized, error) {
	trip := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 64,
		MaxResponseHeaderBytes: maxHeader, DisableCompression: true,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if t.CAFile != "" {
		pem, err := readFile(t.CAFile)
		if err != nil {
			return nil, err
		}
		trip.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !trip.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: %s holds no certificate", appspan.ErrInvalid, t.CAFile)
		}
	}
	return &authorized{Transport: trip, tokenFile: t.TokenFile}, nil
}

// RoundTrip implements http.RoundTripper.
func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	if a.tokenFile == "" {
		return a.Transport.RoundTrip(r)
	}
	data, err := readFile(a.tokenFile)
	if err != nil {
		return nil, err
	}
	token := strings.TrimSpace(string(data))
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := a.Transport.RoundTrip(r)
	if token == "" || err == nil && answer.StatusCode < 300 { // 101 too
		return answer, err
	}
	return keep(token, answer, err)
}

// keep takes the token out of a refusal or an error, which is for the hub:
// some servers answer with what they were told.
func keep(token string, answer *http.Response, err error) (*http.Response, error) {
	const hidden = "(redacted)"
	secrets := strings.NewReplacer(token, hidden, url.QueryEscape(token), hidden, base64.StdEncoding.EncodeToString([]byte(token)), hidden)
	if err != nil {
		if text := secrets.Replace(err.Error()); text != err.Error() {
			err = errors.New(text)
		}
		return nil, err
	}
	for _, values := range answer.Header {
		for i := range values {
			values[i] = secrets.Replace(values[i])
		}
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxRefusal))
	answer.Body.Close()
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(strings.NewReader(secrets.Replace(string(data))))
	answer.ContentLength = -1
	answer.Header.Del("Content-Length")
	return answer, nil
}

// readFile reads a small file.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	}
	return data, nil
}
