package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/gorilla/websocket"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	constants "k8s.io/apimachinery/pkg/util/portforward"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// handshakeTime bounds the opening of a connection to a pod.
const handshakeTime = 30 * time.Second

// dial opens a WebSocket. The dialer does not notice that a context is
// cancelled, only that its deadline has passed: what comes late is closed.
func (c *Cluster) dial(ctx context.Context, path string, query url.Values, protocol string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeTime, errSilent)
	defer cancel()
	address := c.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	socket, trip, err := newSocket(c.config, protocol)
	if err != nil {
		return nil, err
	}
	type opened struct {
		conn *websocket.Conn
		err  error
	}
	opening := make(chan opened)
	go func() {
		_, err := trip.RoundTrip(request)
		select {
		case opening <- opened{socket.conn, err}:
		case <-ctx.Done():
			if socket.conn != nil {
				socket.conn.Close()
			}
		}
	}()
	select {
	case o := <-opening:
		return o.conn, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// refusedUpgrade says why a connection to a pod failed.
func (c *Cluster) refusedUpgrade(ctx context.Context, err error) error {
	var failure *httpstream.UpgradeFailureError
	if ctx.Err() != nil || !errors.As(err, &failure) {
		return c.failed(ctx, err, false)
	}
	var refused apierrors.APIStatus
	if errors.As(failure.Cause, &refused) {
		s := refused.Status()
		return status{Code: int(s.Code), Message: s.Message, Reason: string(s.Reason)}.err(false)
	}
	return fmt.Errorf("%w: the cluster refuses a WebSocket to the pod: %w", appspan.ErrUnsupported, failure.Cause)
}

const portForwardProtocol = "portforward.k8s.io"

// Forward implements driver.PortForwarder, tunnelled through a WebSocket
// (KEP-4006). The context bounds the opening; the connection lives until it is
// closed, or the cluster is.
func (c *Cluster) Forward(ctx context.Context, pod driver.Ref, port int) (io.ReadWriteCloser, error) {
	path, err := c.object(ctx, pod, "portforward")
	if err != nil {
		return nil, err
	}
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("%w: %d is no port", appspan.ErrInvalid, port)
	}
	bound, cancel := c.bind(ctx)
	defer cancel()
	socket, err := c.dial(bound, path, nil, constants.WebsocketsSPDYTunnelingPrefix+portForwardProtocol)
	if err != nil {
		return nil, c.refusedUpgrade(bound, err)
	}
	streams, err := spdy.NewClientConnectionWithPings(portforward.NewTunnelingConnection("forward", socket), portforward.PingPeriod)
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
	}
	conn := tunnel{streams, socket}
	defer context.AfterFunc(bound, func() { conn.Close() })()
	return c.forward(conn, port)
}

// tunnel is a connection of streams and the socket below it.
type tunnel struct {
	httpstream.Connection
	socket io.Closer
}

// Close takes leave of the other side, if that listens.
func (t tunnel) Close() error {
	timer := time.AfterFunc(reasonWait, func() { t.socket.Close() })
	defer timer.Stop()
	return t.Connection.Close()
}

// forward opens the two streams of one connection to a port: errors and data.
func (c *Cluster) forward(conn httpstream.Connection, port int) (io.ReadWriteCloser, error) {
	header := http.Header{}
	header.Set("port", strconv.Itoa(port))
	header.Set("requestID", "0")
	header.Set("streamType", "error")
	failures, err := conn.CreateStream(header)
	if err == nil {
		failures.Close() // nothing is written to it
		header.Set("streamType", "data")
		var data httpstream.Stream
		if data, err = conn.CreateStream(header); err == nil {
			f := &forward{Stream: data, conn: conn, ended: make(chan struct{})}
			f.stop = context.AfterFunc(c.ctx, func() { conn.Close() })
			go f.listen(failures)
			return f, nil
		}
	}
	conn.Close()
	return nil, fmt.Errorf("%w: %w", appspan.ErrUnavailable, err)
}

// forward is one open connection to a port of a pod.
type forward struct {
	httpstream.Stream
	conn    httpstream.Connection
	ended   chan struct{} // closed when the server has said what went wrong, or that nothing will
	failure error         // what went wrong; read after ended
	stop    func() bool
	once    sync.Once
}

// listen waits for what goes wrong on the pod's side; it ends with the
// connection.
func (f *forward) listen(failures io.Reader) {
	message, _ := io.ReadAll(io.LimitReader(failures, maxMessage))
	text := strings.TrimSpace(string(message))
	if text != "" {
		f.failure = fmt.Errorf("%w: %s", appspan.ErrUnavailable, status{Message: text}.text())
	}
	close(f.ended)
	if text != "" {
		f.conn.Close()
	}
}

// reasonWait is how long the end of the data waits for its reason, which
// travels on a stream of its own.
const reasonWait = time.Second

// Read reads what the port sends. A port that could not be reached fails here.
func (f *forward) Read(p []byte) (int, error) {
	n, err := f.Stream.Read(p)
	if n > 0 || err == nil {
		return n, err
	}
	timer := time.NewTimer(reasonWait)
	defer timer.Stop()
	select {
	case <-f.ended:
		if f.failure != nil {
			return 0, f.failure
		}
	case <-timer.C:
	}
	return 0, err
}

// CloseWrite tells the port that nothing more is sent; Read goes on.
func (f *forward) CloseWrite() error { return f.Stream.Close() }

// Close ends the connection.
func (f *forward) Close() error {
	var err error
	f.once.Do(func() {
		f.stop()
		err = f.conn.Close() // which resets the streams
	})
	return err
}
