package wire

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/coder/websocket"
	"github.com/hashicorp/yamux"
)

// Subprotocol is the WebSocket's.
const Subprotocol = "appspan-tunnel"

const (
	// Streams is how many streams are open at a time at most.
	Streams = 512
	// window is how much a stream may send ahead, in bytes: with Streams it
	// bounds what a peer can make the other hold.
	window = 1 << 20
	// patience is for one frame on a slow line: behind it may be a window of
	// every stream.
	patience = 30 * time.Second
	// closing is how long a stream that is closed here may stay open there.
	closing = time.Minute
)

// conn is a WebSocket as a stream of bytes that closes without ceremony.
type conn struct {
	net.Conn
	socket *websocket.Conn
}

// Conn returns the WebSocket as a connection. Closing it is abrupt: whoever is
// on it has said good-bye before, or has nobody to say it to.
func Conn(ctx context.Context, socket *websocket.Conn) net.Conn {
	return &conn{Conn: websocket.NetConn(ctx, socket, websocket.MessageBinary), socket: socket}
}

func (c *conn) Close() error { return c.socket.CloseNow() }

// Opener makes the end that opens streams: the hub's. The other end may open
// none.
func Opener(conn net.Conn) (*yamux.Session, error) {
	session, err := yamux.Client(abrupt{conn}, settings())
	if err != nil {
		return nil, err
	}
	if err := session.GoAway(); err != nil {
		_ = session.Close()
		return nil, err
	}
	return session, nil
}

// Accepter makes the end that accepts streams: the agent's.
func Accepter(conn net.Conn) (*yamux.Session, error) {
	return yamux.Server(abrupt{conn}, settings())
}

// Ping asks the other end for an answer, and returns how long it took. An end
// that does not answer in time loses the session.
func Ping(session *yamux.Session, within time.Duration) (time.Duration, error) {
	defer time.AfterFunc(within, func() { _ = session.Close() }).Stop()
	return session.Ping()
}

func settings() *yamux.Config {
	s := yamux.DefaultConfig()
	s.AcceptBacklog = Streams
	s.EnableKeepAlive = false
	s.ConnectionWriteTimeout = patience
	s.MaxStreamWindowSize = window
	s.StreamOpenTimeout = patience
	s.StreamCloseTimeout = closing
	s.LogOutput, s.Logger = nil, silent{}
	return s
}

// silent drops what yamux logs: the ends say themselves how a session ended.
type silent struct{}

func (silent) Print(...any)          {}
func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// abrupt closes what lies below TLS first, so that a line that takes nothing
// delays nobody.
type abrupt struct{ net.Conn }

func (a abrupt) Close() error {
	if secure, ok := a.Conn.(*tls.Conn); ok {
		_ = secure.NetConn().Close()
	}
	return a.Conn.Close()
}
