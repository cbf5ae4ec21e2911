package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/deploy"
)

// Event is something that happened. Kind is "application", "cluster", "operation"
// or "stage", and Data what it is now; or "resync": events were lost, and what the
// reader knows is to be read again.
type Event struct {
	ID   string
	Kind string
	Data json.RawMessage
}

// maxEvent bounds one event, in bytes.
const maxEvent = 16 << 20

// events reads a stream of server-sent events to its end.
func events(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		scan := bufio.NewScanner(r)
		scan.Buffer(make([]byte, 64<<10), maxEvent)
		var e Event
		var data []byte
		for scan.Scan() {
			line := scan.Bytes()
			name, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(name) {
			case "id":
				e.ID = string(value)
			case "event":
				e.Kind = string(value)
			case "data":
				data = append(append(data, value...), '\n')
			}
			if len(data) > maxEvent {
				yield(Event{}, errLong())
				return
			}
			if len(line) == 0 && (e.Kind != "" || len(data) > 0) {
				e.Data = bytes.Clone(bytes.TrimSuffix(data, []byte("\n")))
				if !yield(e, nil) {
					return
				}
				e, data = Event{}, nil
			}
		}
		err := scan.Err()
		switch {
		case err == nil:
			err = io.ErrUnexpectedEOF
		case errors.Is(err, bufio.ErrTooLong):
			err = errLong()
		}
		yield(Event{}, err)
	}
}

func errLong() error {
	return fmt.Errorf("%w: an event has more than %d bytes", appspan.ErrExhausted, maxEvent)
}

// stream opens a stream; its answer is to be closed.
func (c *Client) stream(ctx context.Context, r *request) (*http.Response, error) {
	resp, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, problem(resp)
	}
	return resp, nil
}

// again waits before a stream is opened again, longer each time.
func again(ctx context.Context, failures int, err error) bool {
	wait := max(appspan.RetryAfter(err), min(200*time.Millisecond<<min(failures, 8), 30*time.Second))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Events yields what happens from now on, until ctx ends, over any number of
// connections: after one is cut, it goes on where it was, or begins with a
// "resync". An error comes last: ctx's, or that of a server that refuses.
func (c *Client) Events(ctx context.Context, kinds ...string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		last := ""
		for failures := 0; ; failures++ {
			resp, err := c.stream(ctx, get("events").param("kind", kinds...).param("after", last))
			if err == nil {
				for e, broken := range events(resp.Body) {
					if broken != nil {
						if errors.Is(broken, appspan.ErrExhausted) {
							err = broken
						}
						break
					}
					failures = 0
					if e.ID != "" {
						last = e.ID
					}
					if !yield(e, nil) {
						_ = resp.Body.Close()
						return
					}
				}
				_ = resp.Body.Close()
				if last == "" && err == nil { // nothing was heard, and something may have happened since
					if ctx.Err() == nil && !yield(Event{Kind: "resync"}, nil) {
						return
					}
				}
			}
			if ctx.Err() != nil {
				yield(Event{}, context.Cause(ctx))
				return
			}
			if err != nil && !appspan.Retryable(err) {
				yield(Event{}, err)
				return
			}
			if !again(ctx, failures, err) {
				yield(Event{}, context.Cause(ctx))
				return
			}
		}
	}
}

// LogOptions choose lines, as deploy.LogOptions do.
type LogOptions struct {
	Clusters, Components, Containers []string
	AllContainers, Follow, Previous  bool
	Since                            time.Time
	Tail                             int
	// Cursor is where an earlier call left off, and is moved on by each line.
	Cursor *deploy.LogCursor
}

// Logs yields the lines of an application, of all replicas and clusters in one
// order: each once, also when the connection is cut meanwhile. An error comes
// last.
func (c *Client) Logs(ctx context.Context, namespace, name string, o *LogOptions) iter.Seq2[deploy.LogLine, error] {
	var opts LogOptions
	if o != nil {
		opts = *o
	}
	cursor, read := opts.Cursor, opts.Cursor != nil
	if cursor == nil {
		cursor = &deploy.LogCursor{}
	}
	return func(yield func(deploy.LogLine, error) bool) {
		fail := func(err error) { yield(deploy.LogLine{}, err) }
		for failures := 0; ; failures++ {
			r := get("applications", namespace, name, "logs")
			if read {
				r = post(map[string]any{"cursor": cursor}, "applications", namespace, name, "logs")
				r.idempotent = ""
			} else {
				r.number("tail", opts.Tail)
				if !opts.Since.IsZero() {
					r.param("since", opts.Since.UTC().Format(time.RFC3339))
				}
			}
			r.param("cluster", opts.Clusters...).param("component", opts.Components...).param("container", opts.Containers...).
				flag("allContainers", opts.AllContainers).flag("follow", opts.Follow).flag("previous", opts.Previous)
			resp, err := c.stream(ctx, r)
			ended := false
			if err == nil {
				for e, broken := range events(resp.Body) {
					if broken != nil {
						if errors.Is(broken, appspan.ErrExhausted) {
							err = broken
						}
						break
					}
					failures = 0
					if ended, err = heard(e, cursor, &read, yield); ended {
						break
					}
				}
				_ = resp.Body.Close()
			}
			switch {
			case ended && err == nil:
				return
			case ctx.Err() != nil:
				fail(context.Cause(ctx))
				return
			case err != nil && !appspan.Retryable(err), !again(ctx, failures, err):
				if err == nil {
					err = context.Cause(ctx)
				}
				fail(err)
				return
			}
		}
	}
}

// heard deals with one event of a log; it reports whether that was the last.
func heard(e Event, cursor *deploy.LogCursor, read *bool, yield func(deploy.LogLine, error) bool) (bool, error) {
	switch e.Kind {
	case "end":
		return true, nil
	case "problem":
		p := &Problem{}
		if err := json.Unmarshal(e.Data, p); err != nil {
			return true, fmt.Errorf("%w: %w", appspan.ErrCorrupt, err)
		}
		return true, p
	case "line":
		var line deploy.LogLine
		if err := json.Unmarshal(e.Data, &line); err != nil {
			return true, fmt.Errorf("%w: %w", appspan.ErrCorrupt, err)
		}
		cursor.Note(line)
		*read = true
		return !yield(line, nil), nil
	}
	return false, nil
}

// dial opens a WebSocket.
func (c *Client) dial(ctx context.Context, r *request) (*websocket.Conn, error) {
	u := *c.base
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	u.Path, u.RawPath = "", ""
	target := u.String() + strings.TrimRight(c.base.EscapedPath(), "/") + "/api/v1" + r.path + "?" + r.query.Encode()
	header := http.Header{}
	if c.opts.Token != "" {
		header.Set("Authorization", "Bearer "+c.opts.Token)
	}
	if c.opts.Team != "" {
		header.Set("Appspan-Team", c.opts.Team)
	}
	conn, resp, err := websocket.Dial(ctx, target, &websocket.DialOptions{HTTPClient: c.opts.HTTP, HTTPHeader: header})
	if err != nil && resp != nil && resp.Body != nil && resp.StatusCode >= 400 {
		defer resp.Body.Close()
		return nil, problem(resp)
	}
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, fmt.Errorf("%s: %w: %w", r.path, appspan.ErrUnavailable, err)
	}
	conn.SetReadLimit(maxEvent)
	return conn, nil
}

// ExecOptions say what is run, and where; see deploy.ExecOptions.
type ExecOptions struct {
	Cluster, Component, Pod, Container string
	Command                            []string
	Stdin                              io.Reader
	Stdout, Stderr                     io.Writer
	TTY                                bool
}

// Exec runs a command in a replica to its end. A command that ended with another
// status than zero is a *driver.ExitError.
func (c *Client) Exec(ctx context.Context, namespace, name string, o ExecOptions) error {
	r := get("applications", namespace, name, "exec").param("cluster", o.Cluster).param("component", o.Component).param("pod", o.Pod).param("container", o.Container).flag("tty", o.TTY)
	if r.query == nil {
		r.query = url.Values{}
	}
	for _, arg := range o.Command { // empty ones too
		r.query.Add("command", arg)
	}
	conn, err := c.dial(ctx, r)
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if o.Stdin != nil {
		go func() { // ends with the connection, or with what it reads
			buffer := make([]byte, 32<<10)
			for {
				n, err := o.Stdin.Read(buffer)
				if n > 0 && conn.Write(ctx, websocket.MessageBinary, append([]byte{0}, buffer[:n]...)) != nil {
					return
				}
				if err != nil {
					_ = conn.Write(ctx, websocket.MessageBinary, []byte{0})
					return
				}
			}
		}()
	} else if err := conn.Write(ctx, websocket.MessageBinary, []byte{0}); err != nil {
		return fmt.Errorf("exec: %w: %w", appspan.ErrUnavailable, err)
	}
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("exec: %w: it is not known how the command ended: %w", appspan.ErrUnavailable, err)
		}
		if len(data) == 0 {
			continue
		}
		var to io.Writer
		switch data[0] {
		case 1:
			to = o.Stdout
		case 2:
			to = o.Stderr
		case 3:
			var end ExecEnd
			if err := json.Unmarshal(data[1:], &end); err != nil {
				return fmt.Errorf("exec: %w: %w", appspan.ErrCorrupt, err)
			}
			if end.Problem != nil {
				return end.Problem
			}
			if end.Status != 0 {
				return &driver.ExitError{Code: end.Status}
			}
			return nil
		}
		if to != nil {
			if _, err := to.Write(data[1:]); err != nil {
				return err
			}
		}
	}
}

// Forward is a connection to a port of a replica, by its number or its name.
func (c *Client) Forward(ctx context.Context, namespace, name, cluster, component, port string) (io.ReadWriteCloser, error) {
	conn, err := c.dial(ctx, get("applications", namespace, name, "forward").param("cluster", cluster).param("component", component).param("port", port))
	if err != nil {
		return nil, err
	}
	return websocket.NetConn(context.WithoutCancel(ctx), conn, websocket.MessageBinary), nil
}
