package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/gorilla/websocket"
)

// The channels of an exec, which are the first byte of every message, and what
// ends one of them (KEP-4006).
const (
	execProtocol = "v5.channel.k8s.io"

	stdinChannel  = 0
	stdoutChannel = 1
	stderrChannel = 2
	statusChannel = 3
	closeChannel  = 255
)

const (
	pingPeriod = 5 * time.Second
	pongWait   = time.Minute     // without a word of the server
	afterWait  = 5 * time.Second // for the end of the connection after that of the command
)

// Exec implements driver.Execer, over a WebSocket. What cannot be read from
// Stdin or written to Stdout and Stderr fails, and so does a connection that
// ends without the command's status: the command may have run. A Read of Stdin
// that hangs may outlive the call.
func (c *Cluster) Exec(ctx context.Context, pod driver.Ref, opts driver.ExecOptions) error {
	path, err := c.object(ctx, pod, "exec")
	if err != nil {
		return err
	}
	if len(opts.Command) == 0 {
		return fmt.Errorf("%w: ExecOptions.Command is empty", appspan.ErrInvalid)
	}
	if opts.Stdout == nil {
		opts.Stdout = io.Discard
	}
	if opts.Stderr == nil {
		opts.Stderr = io.Discard
	}
	query := url.Values{
		"command": opts.Command, "stdin": {strconv.FormatBool(opts.Stdin != nil)}, "stdout": {"true"},
		"stderr": {strconv.FormatBool(!opts.TTY)}, "tty": {strconv.FormatBool(opts.TTY)}, // a terminal has one output
	}
	if opts.Container != "" {
		query.Set("container", opts.Container)
	}
	ctx, cancel := c.bind(ctx)
	defer cancel()
	conn, err := c.dial(ctx, path, query, execProtocol)
	if err != nil {
		return c.refusedUpgrade(ctx, err)
	}
	e := &execution{conn: conn, opts: opts}
	err = e.run(ctx)
	var exit *driver.ExitError
	var failed *streamError
	switch {
	case err == nil, ctx.Err() == nil && errors.As(err, &exit):
		return err
	case ctx.Err() == nil && errors.As(err, &failed):
		return err
	}
	return c.failed(ctx, err, false)
}

// streamError is a failure on the caller's side.
type streamError struct {
	stream string
	err    error
}

func (e *streamError) Error() string { return e.stream + ": " + e.err.Error() }
func (e *streamError) Unwrap() error { return e.err }

// execution is one running command.
type execution struct {
	conn *websocket.Conn
	opts driver.ExecOptions

	mu      sync.Mutex
	writing bool  // a message to the server is under way
	stdin   error // why Stdin could not be read
}

// run copies until the command has ended.
func (e *execution) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { e.conn.Close() })()
	e.conn.SetPongHandler(func(string) error { e.alive(); return nil })
	e.alive()
	done := make(chan struct{})
	var pings sync.WaitGroup
	pings.Go(func() { e.ping(done) })
	defer func() {
		close(done)
		e.conn.Close()
		pings.Wait()
	}()
	if e.opts.Stdin != nil {
		go e.send()
	}
	var verdict error
	ended := false
	buffer := make([]byte, 32<<10)
	for {
		channel, message, err := e.next()
		switch {
		case err != nil && ended:
			return verdict
		case err != nil:
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.stdin != nil {
				return &streamError{"stdin", e.stdin}
			}
			return fmt.Errorf("the connection ended without the command's status: %w", err)
		case channel == statusChannel:
			data, err := io.ReadAll(io.LimitReader(message, maxError))
			if err != nil {
				return err
			}
			if len(data) > 0 {
				verdict, ended = execStatus(data), true
				_ = e.conn.SetReadDeadline(time.Now().Add(afterWait))
			}
			continue
		}
		var out io.Writer
		stream := "stdout"
		switch channel {
		case stdoutChannel:
			out = e.opts.Stdout
		case stderrChannel:
			out, stream = e.opts.Stderr, "stderr"
		default:
			continue
		}
		for {
			n, err := message.Read(buffer)
			if n > 0 {
				if _, err := out.Write(buffer[:n]); err != nil {
					return &streamError{stream, err}
				}
				if !ended { // the writer may have taken its time
					e.alive()
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
		}
	}
}

// next waits for a message and reads which channel it is of.
func (e *execution) next() (channel byte, message io.Reader, err error) {
	kind, message, err := e.conn.NextReader()
	if err != nil {
		return 0, nil, err
	}
	var first [1]byte
	if _, err = io.ReadFull(message, first[:]); err != nil || kind != websocket.BinaryMessage {
		return 0, nil, fmt.Errorf("a message without a channel, of type %d", kind)
	}
	return first[0], message, nil
}

func (e *execution) alive() { _ = e.conn.SetReadDeadline(time.Now().Add(pongWait)) }

// ping asks for signs of life. While the server does not take what it is sent
// no ping can be sent either: the connection's own keep-alive has to do.
func (e *execution) ping(done <-chan struct{}) {
	ticker := time.NewTicker(pingPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
		}
		e.mu.Lock()
		if e.writing {
			e.alive()
		}
		e.mu.Unlock()
		_ = e.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(pingPeriod/5))
	}
}

// send copies Stdin. What it cannot read ends the execution: a command must
// not take a part for the whole.
func (e *execution) send() {
	message := make([]byte, 1+32<<10)
	message[0] = stdinChannel
	for {
		n, err := e.opts.Stdin.Read(message[1:])
		if n > 0 && e.write(message[:1+n]) != nil {
			return // the command has ended, or the connection: reading tells
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = e.write([]byte{closeChannel, stdinChannel})
			return
		case err != nil:
			e.mu.Lock()
			e.stdin = err
			e.mu.Unlock()
			e.conn.Close()
			return
		}
	}
}

func (e *execution) write(message []byte) error {
	busy := func(is bool) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.writing = is
	}
	busy(true)
	defer busy(false)
	return e.conn.WriteMessage(websocket.BinaryMessage, message)
}

// execStatus is how a command ended.
func execStatus(data []byte) error {
	var s struct {
		status
		Status string `json:"status"`
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return corrupt("status of a command", err)
	}
	if s.Status == "Success" {
		return nil
	}
	if s.Reason == "NonZeroExitCode" {
		for _, cause := range s.Details.Causes {
			if code, err := strconv.Atoi(cause.Message); err == nil && cause.Reason == "ExitCode" && code != 0 {
				return &driver.ExitError{Code: code}
			}
		}
	}
	return errors.New("the command could not be run: " + s.text())
}
