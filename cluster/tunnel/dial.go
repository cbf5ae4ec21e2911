package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/tunnel/internal/wire"
	"github.com/hashicorp/yamux"
)

// maxStreams is how many connections dials may have open to one cluster; the
// control stream is the one beyond them.
const maxStreams = wire.Streams - 1

// Dialer returns a function for the Dial field of a rest.Config, or the
// DialContext of an http.Transport: every connection that it makes ends at the
// cluster's API server, whatever the address. What goes over it is HTTP/1.1
// without TLS, which the tunnel has, and without credentials, which the agent
// adds.
//
// While no agent is connected a dial waits, up to Options.Wait; then it fails
// with ErrUnavailable. More than 511 connections at a time are ErrExhausted. A
// connection whose tunnel ends fails with ErrUnavailable. Errors of a dial are
// a *net.OpError whose Op is "dial": nothing has been sent.
func (s *Server) Dialer(cluster string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := s.dial(ctx, cluster)
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: "tunnel", Err: err}
		}
		return conn, nil
	}
}

func (s *Server) dial(ctx context.Context, cluster string) (net.Conn, error) {
	wait := time.NewTimer(max(s.opts.Wait, 0))
	defer wait.Stop()
	for {
		ses, changed, err := s.session(cluster)
		if err != nil {
			return nil, err
		}
		if ses != nil {
			conn, err := ses.dial(ctx)
			if err == nil || errors.Is(err, appspan.ErrExhausted) || ctx.Err() != nil {
				return conn, err
			}
			s.detach(ses)
			if !errors.Is(err, yamux.ErrRemoteGoAway) { // it is not even going
				_ = ses.mux.Close()
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.ctx.Done():
		case <-changed:
		case <-wait.C:
			return nil, s.absent(cluster)
		}
	}
}

// session is the current one of a cluster, or what tells of a change.
func (s *Server) session(cluster string) (*session, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, fmt.Errorf("cluster %s: %w: the hub is closed", cluster, appspan.ErrUnavailable)
	}
	if p := s.peers[cluster]; p != nil {
		return p.current, s.changed, nil
	}
	return nil, s.changed, nil
}

// absent says since when a cluster is not there.
func (s *Server) absent(cluster string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.peers[cluster]; p != nil && !p.last.Since.IsZero() {
		return fmt.Errorf("cluster %s: %w: its agent has not been connected since %s", cluster, appspan.ErrUnavailable, p.last.Since.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("cluster %s: %w: its agent has not connected since this hub began, at %s", cluster, appspan.ErrUnavailable, s.started.UTC().Format(time.RFC3339))
}

// dial opens a stream. On a line that takes nothing that waits for the end of
// the session, which the dial does not.
func (ses *session) dial(ctx context.Context) (net.Conn, error) {
	if ses.streams.Add(1) > maxStreams {
		ses.streams.Add(-1)
		return nil, fmt.Errorf("%w: %d connections to the cluster are open, which is the most", appspan.ErrExhausted, maxStreams)
	}
	type opened struct {
		conn net.Conn
		err  error
	}
	opening := make(chan opened)
	go func() {
		stream, err := ses.mux.OpenStream()
		c := &conn{Stream: stream, ses: ses}
		if err != nil {
			ses.streams.Add(-1)
		}
		select {
		case opening <- opened{c, err}:
		case <-ctx.Done():
			if err == nil {
				_ = c.Close()
			}
		}
	}()
	select {
	case o := <-opening:
		if o.err != nil {
			return nil, o.err
		}
		return o.conn, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// conn is a stream to a cluster.
type conn struct {
	*yamux.Stream
	ses    *session
	closed sync.Once
}

// Read implements net.Conn. A stream that the end of its tunnel cuts does not
// look like one that the cluster has ended.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Stream.Read(p)
	if errors.Is(err, io.EOF) && !c.ses.mux.IsClosed() {
		return n, err
	}
	return n, lost(err)
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Stream.Write(p)
	return n, lost(err)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.closed.Do(func() { c.ses.streams.Add(-1) })
	return c.Stream.Close()
}

// lost is the error of a stream, nil for none.
func lost(err error) error {
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		return err
	}
	return fmt.Errorf("%w: the tunnel was cut: %w", appspan.ErrUnavailable, err)
}
