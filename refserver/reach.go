package refserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/coder/websocket"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/refserver/client"
)

// reachRoutes are commands in replicas, and connections to their ports: streams
// both ways, over WebSockets (RFC 6455).
func (s *Server) reachRoutes() []*route {
	const path = "/applications/{namespace}/{application}"
	return []*route{
		streaming("GET", path+"/exec", "exec", "applications", "Run a command in a replica, over a WebSocket: each message begins with the byte of its channel, 0 stdin, 1 stdout, 2 stderr, 3 how it ended; an empty message on 0 ends stdin", "application/octet-stream", s.exec).with(http.StatusSwitchingProtocols).asks("application", appspan.VerbExec),
		streaming("GET", path+"/forward", "forwardPort", "applications", "A connection to a port of a replica, over a WebSocket", "application/octet-stream", s.forward).with(http.StatusSwitchingProtocols).asks("application", appspan.VerbExec),
	}
}

// The channels of an exec.
const (
	channelStdin byte = iota
	channelStdout
	channelStderr
	channelEnd
)

// maxMessage bounds a message that a client sends, in bytes.
const maxMessage = 1 << 20

type execIn struct {
	one
	Cluster   string   `query:"cluster" doc:"which of its clusters, if there are several"`
	Component string   `query:"component"`
	Pod       string   `query:"pod"`
	Container string   `query:"container"`
	Command   []string `query:"command" doc:"the program, then its arguments, one each"`
	TTY       bool     `query:"tty"`
}

// upgrade makes a WebSocket of a request; a page of another origin is refused.
func (s *Server) upgrade(c *call) (*websocket.Conn, error) {
	var origins []string
	for _, origin := range s.opts.AllowOrigins {
		if u, err := url.Parse(origin); err == nil {
			origins = append(origins, u.Host)
		}
	}
	if c.r.Header.Get("Upgrade") == "" {
		return nil, fmt.Errorf("%w: this is a WebSocket; connect with one", appspan.ErrInvalid)
	}
	conn, err := websocket.Accept(c.w, c.r, &websocket.AcceptOptions{OriginPatterns: origins})
	if err != nil {
		return nil, errAnswered // it has answered itself
	}
	conn.SetReadLimit(maxMessage)
	return conn, nil
}

// onOne is the one cluster of an application, or the one that is named.
func (c *call) onOne(ctx context.Context, o one, name string) (deploy.Target, error) {
	var names []string
	if name != "" {
		names = []string{name}
	}
	to, err := c.at(ctx, o, names)
	if err == nil && len(to.Clusters) > 1 {
		err = fmt.Errorf("%w: it is on %v; say which in ?cluster", appspan.ErrInvalid, to.Clusters)
	}
	return to, err
}

func (s *Server) exec(ctx context.Context, c *call, in *execIn) error {
	to, err := c.onOne(ctx, in.one, in.Cluster)
	if err != nil {
		return err
	}
	if len(in.Command) == 0 {
		return fmt.Errorf("%w: no command; give ?command=…", appspan.ErrInvalid)
	}
	conn, err := s.upgrade(c)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.untilClose(cancel)()
	stdin, typed := io.Pipe()
	var reading sync.WaitGroup
	reading.Go(func() {
		defer cancel() // whoever asked is gone
		for {
			_, data, err := conn.Read(ctx)
			if err != nil {
				_ = typed.CloseWithError(err)
				return
			}
			switch {
			case len(data) == 1 && data[0] == channelStdin:
				_ = typed.Close()
			case len(data) > 1 && data[0] == channelStdin:
				if _, err := typed.Write(data[1:]); err != nil {
					continue // the command reads no more
				}
			}
		}
	})
	out := &channels{ctx: ctx, conn: conn}
	err = c.Deployer.Exec(ctx, in.Application, to, &deploy.ExecOptions{Component: in.Component, Pod: in.Pod, Container: in.Container, Command: in.Command,
		Stdin: stdin, Stdout: out.on(channelStdout), Stderr: out.on(channelStderr), TTY: in.TTY})
	_ = stdin.Close()
	end := client.ExecEnd{}
	var exit *driver.ExitError
	switch {
	case errors.As(err, &exit):
		end.Status = exit.Code
	case err != nil:
		p := problemOf(err)
		end.Problem = &p
	}
	data, err := json.Marshal(end)
	if err == nil {
		_, _ = out.on(channelEnd).Write(data)
	}
	_ = conn.Close(websocket.StatusNormalClosure, "")
	cancel()
	reading.Wait()
	return nil
}

// channels are streams over one WebSocket.
type channels struct {
	ctx  context.Context
	conn *websocket.Conn
}

type channel struct {
	*channels
	number byte
}

func (c *channels) on(number byte) io.Writer { return channel{c, number} }

func (c channel) Write(data []byte) (int, error) {
	return len(data), c.conn.Write(c.ctx, websocket.MessageBinary, append([]byte{c.number}, data...))
}

type forwardIn struct {
	one
	Cluster   string `query:"cluster"`
	Component string `query:"component"`
	Pod       string `query:"pod"`
	Port      string `query:"port" doc:"its number, or its name in the component"`
}

func (s *Server) forward(ctx context.Context, c *call, in *forwardIn) error {
	to, err := c.onOne(ctx, in.one, in.Cluster)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.untilClose(cancel)()
	there, err := c.Deployer.Forward(ctx, in.Application, to, &deploy.ForwardOptions{Component: in.Component, Pod: in.Pod, Port: in.Port})
	if err != nil {
		return err
	}
	defer there.Close()
	conn, err := s.upgrade(c)
	if err != nil {
		return err
	}
	conn.SetReadLimit(maxMessage)
	here := websocket.NetConn(ctx, conn, websocket.MessageBinary)
	defer here.Close()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(there, here); _ = there.Close(); _ = here.Close() })
	both.Go(func() { _, _ = io.Copy(here, there); _ = there.Close(); _ = here.Close() })
	both.Wait()
	return nil
}
