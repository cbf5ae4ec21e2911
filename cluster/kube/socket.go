package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
	"k8s.io/streaming/pkg/httpstream"
)

const socketBuffer = 33 << 10 // bytes

// socket opens one WebSocket as an http.RoundTripper, so that the credentials
// of a config can be wrapped around it. It is client-go's
// (transport/websocket), but for Dial, which that one passes over.
type socket struct {
	dialer websocket.Dialer
	conn   *websocket.Conn
}

// newSocket returns it, and what it is to be used through.
func newSocket(config *rest.Config, protocol string) (*socket, http.RoundTripper, error) {
	wrappers, err := config.TransportConfig()
	if err != nil {
		return nil, nil, err
	}
	secure, err := transport.TLSConfigFor(wrappers)
	if err != nil {
		return nil, nil, err
	}
	s := &socket{dialer: websocket.Dialer{
		NetDialContext: config.Dial, Proxy: proxyOf(config), TLSClientConfig: secure, Subprotocols: []string{protocol},
		ReadBufferSize: socketBuffer, WriteBufferSize: socketBuffer,
	}}
	trip, err := transport.HTTPWrappersForConfig(wrappers, s)
	return s, trip, err
}

// proxyOf chooses the proxy of a request, as client-go does.
func proxyOf(config *rest.Config) func(*http.Request) (*url.URL, error) {
	if config.Proxy != nil {
		return config.Proxy
	}
	return utilnet.NewProxierWithNoProxyCIDR(http.ProxyFromEnvironment)
}

// RoundTrip implements http.RoundTripper.
func (s *socket) RoundTrip(r *http.Request) (*http.Response, error) {
	address := *r.URL
	address.Scheme = strings.Replace(address.Scheme, "http", "ws", 1)
	conn, answer, err := s.dialer.DialContext(r.Context(), address.String(), r.Header)
	switch {
	case errors.Is(err, websocket.ErrBadHandshake) && answer != nil:
		defer answer.Body.Close()
		hide(answer, secretsOf(r, s.dialer.Proxy))
		return nil, &httpstream.UpgradeFailureError{Cause: cause(answer)}
	case err != nil:
		return nil, err
	case conn.Subprotocol() != s.dialer.Subprotocols[0]:
		conn.Close()
		return nil, &httpstream.UpgradeFailureError{Cause: fmt.Errorf("the server speaks %.100q, not %q", conn.Subprotocol(), s.dialer.Subprotocols[0])}
	}
	s.conn = conn
	return answer, nil
}

// cause is why a server does not upgrade a connection.
func cause(answer *http.Response) error {
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxError))
	var refused metav1.Status
	if err == nil && json.Unmarshal(text, &refused) == nil && refused.Kind == "Status" {
		return &apierrors.StatusError{ErrStatus: refused}
	}
	return fmt.Errorf("%s: %.1000s", answer.Status, strings.TrimSpace(string(text)))
}
