package agent

import (
	"crypto/tls"
	"crypto/x509"
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

const maxFile = 1 << 20 // bytes of a token, a key or a file of authorities

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
	if a.tokenFile != "" {
		token, err := readFile(a.tokenFile)
		if err != nil {
			return nil, err
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	return a.Transport.RoundTrip(r)
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
