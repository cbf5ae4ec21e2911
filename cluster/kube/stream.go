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

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"
)

// Exec implements driver.Execer, over a WebSocket.
func (c *Cluster) Exec(ctx context.Context, pod driver.Ref, opts driver.ExecOptions) error {
	path, err := c.object(ctx, pod, "exec")
	if err != nil {
		return err
	}
	if len(opts.Command) == 0 {
		return fmt.Errorf("%w: ExecOptions.Command is empty", appspan.ErrInvalid)
	}
	streams := remotecommand.StreamOptions{Stdin: opts.Stdin, Stdout: opts.Stdout, Stderr: opts.Stderr, Tty: opts.TTY}
	if streams.Stdout == nil {
		streams.Stdout = io.Discard
	}
	if streams.Stderr == nil {
		streams.Stderr = io.Discard
	}
	if opts.TTY {
		streams.Stderr = nil // a terminal has one output
	}
	query := url.Values{
		"command": opts.Command,
		"stdin":   {strconv.FormatBool(streams.Stdin != nil)}, "stdout": {"true"},
		"stderr": {strconv.FormatBool(streams.Stderr != nil)}, "tty": {strconv.FormatBool(opts.TTY)},
	}
	if opts.Container != "" {
		query.Set("container", opts.Container)
	}
	executor, err := remotecommand.NewWebSocketExecutor(c.config, http.MethodGet, c.base+path+"?"+query.Encode())
	if err != nil {
		return fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	ctx, cancel := c.bind(ctx)
	defer cancel()
	err = executor.StreamWithContext(ctx, streams)
	var exit exec.CodeExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return &driver.ExitError{Code: exit.Code}
	}
	return c.upgrade(ctx, err)
}

// upgrade says why a connection to a pod failed.
func (c *Cluster) upgrade(ctx context.Context, err error) error {
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
	address, err := url.Parse(c.base + path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	dialer, err := portforward.NewSPDYOverWebsocketDialerForStreaming(address, c.config)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	type dialed struct {
		conn httpstream.Connection
		err  error
	}
	opening := make(chan dialed, 1)
	go func() { // the dialer takes no context: what comes late is closed
		conn, _, err := dialer.Dial(portForwardProtocol)
		opening <- dialed{conn, err}
	}()
	bound, cancel := c.bind(ctx)
	defer cancel()
	select {
	case d := <-opening:
		if d.err != nil {
			return nil, c.upgrade(bound, d.err)
		}
		return c.forward(d.conn, port)
	case <-bound.Done():
		go func() {
			if d := <-opening; d.conn != nil {
				d.conn.Close()
			}
		}()
		return nil, c.failed(bound, bound.Err(), false)
	}
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
			f := &forward{Stream: data, conn: conn, failure: make(chan error, 1)}
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
	failure chan error // what the server said went wrong, or closed
	stop    func() bool
	once    sync.Once
}

// listen waits for what goes wrong on the pod's side; it ends with the
// connection.
func (f *forward) listen(failures io.Reader) {
	defer close(f.failure)
	message, _ := io.ReadAll(io.LimitReader(failures, maxMessage))
	if text := strings.TrimSpace(string(message)); text != "" {
		f.failure <- fmt.Errorf("%w: %s", appspan.ErrUnavailable, text)
		f.conn.Close()
	}
}

// Read reads what the port sends. A port that could not be reached fails here.
func (f *forward) Read(p []byte) (int, error) {
	n, err := f.Stream.Read(p)
	if err != nil {
		select {
		case failure := <-f.failure:
			if failure != nil {
				err = failure
			}
		default:
		}
	}
	return n, err
}

// Close ends the connection.
func (f *forward) Close() error {
	var err error
	f.once.Do(func() {
		f.stop()
		f.Stream.Reset()
		err = f.conn.Close()
	})
	return err
}
