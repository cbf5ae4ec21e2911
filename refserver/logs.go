package refserver

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
)

func (s *Server) logRoutes() []*route {
	const path = "/applications/{namespace}/{application}/logs"
	return []*route{
		streaming("GET", path, "streamLogs", "applications", "Its logs, of all replicas and clusters in one order, as server-sent events, or as text for Accept: text/plain", "text/event-stream", s.streamLogs).asks("log", appspan.VerbRead),
		streaming("POST", path, "resumeLogs", "applications", "The same, after a cursor of any length", "text/event-stream", s.resumeLogs).asks("log", appspan.VerbRead),
	}
}

type logsIn struct {
	some
	Components    []string  `query:"component"`
	Containers    []string  `query:"container"`
	AllContainers bool      `query:"allContainers"`
	Follow        bool      `query:"follow"`
	Previous      bool      `query:"previous"`
	Since         time.Time `query:"since"`
	Tail          int       `query:"tail"`
	Cursor        string    `query:"cursor" doc:"the id of the last event that was heard; as Last-Event-ID"`
	Last          string    `header:"Last-Event-ID"`
	Accept        string    `header:"Accept"`
}

type resumeLogsIn struct {
	logsIn
	Body struct {
		// Cursor is a deploy.LogCursor.
		Cursor *deploy.LogCursor `json:"cursor"`
	}
}

// cursorOf reads the id of an event of a log.
func cursorOf(id string) (*deploy.LogCursor, error) {
	if id == "" {
		return nil, nil
	}
	cursor := &deploy.LogCursor{}
	data, err := base64.RawURLEncoding.DecodeString(id)
	if err == nil {
		err = json.Unmarshal(data, cursor)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %q is no cursor of ours; begin without", appspan.ErrInvalid, cutText(id, 50))
	}
	return cursor, nil
}

func (s *Server) streamLogs(ctx context.Context, c *call, in *logsIn) error {
	id := in.Last
	if id == "" {
		id = in.Cursor
	}
	cursor, err := cursorOf(id)
	if err != nil {
		return err
	}
	return s.logs(ctx, c, in, cursor)
}

func (s *Server) resumeLogs(ctx context.Context, c *call, in *resumeLogsIn) error {
	return s.logs(ctx, c, &in.logsIn, in.Body.Cursor)
}

// maxLogID bounds the cursor that stands in the id of each event. A longer one
// stands in every fiftieth: whoever resumes there hears up to as many lines twice,
// and knows them by cluster, pod, container, time and nth.
const (
	maxLogID   = 1024
	logIDEvery = 50
)

func (s *Server) logs(ctx context.Context, c *call, in *logsIn, cursor *deploy.LogCursor) error {
	to, err := c.at(ctx, in.one, in.Clusters)
	if err != nil {
		return err
	}
	own := &deploy.LogCursor{} // what was sent
	if cursor != nil {
		own = cursor
		data, err := json.Marshal(cursor)
		if err != nil {
			return err
		}
		cursor = &deploy.LogCursor{}
		if err := json.Unmarshal(data, cursor); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.untilClose(cancel)()
	lines := c.Deployer.Logs(ctx, in.Application, to, &deploy.LogOptions{Components: in.Components, Containers: in.Containers, AllContainers: in.AllContainers,
		Follow: in.Follow, Previous: in.Previous, Since: in.Since, Tail: in.Tail, Cursor: cursor})
	if strings.Contains(in.Accept, "text/plain") {
		return s.textLogs(c, lines)
	}
	if in.Follow { // whoever listens knows that somebody is there before the first line
		return s.followLogs(ctx, c, lines, own)
	}
	var out *stream
	n := 0
	for line, err := range lines {
		if err != nil {
			if out == nil && ctx.Err() == nil {
				return err // nothing was said yet: it is a plain error
			}
			if ctx.Err() == nil {
				_ = out.send("problem", "", problemOf(err))
			}
			return nil
		}
		if out == nil {
			out = newStream(c)
		}
		own.Note(line)
		n++
		if err := out.send("line", logID(own, n), line); err != nil {
			return nil
		}
	}
	if out == nil {
		out = newStream(c)
	}
	_ = out.send("end", "", struct{}{})
	return nil
}

// followLogs sends lines as they come, and a sign of life while none do.
func (s *Server) followLogs(ctx context.Context, c *call, lines iter.Seq2[deploy.LogLine, error], own *deploy.LogCursor) error {
	type said struct {
		line deploy.LogLine
		err  error
	}
	heard := make(chan said)
	var reading sync.WaitGroup
	defer reading.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reading.Go(func() {
		defer close(heard)
		for line, err := range lines {
			select {
			case heard <- said{line, err}:
			case <-ctx.Done():
				return
			}
		}
	})
	out := newStream(c)
	if err := out.comment("listening"); err != nil {
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			if s.loggedOut(c) {
				return nil
			}
			if err := out.comment("still here"); err != nil {
				return nil
			}
		case one, ok := <-heard:
			if !ok {
				_ = out.send("end", "", struct{}{})
				return nil
			}
			if one.err != nil {
				_ = out.send("problem", "", problemOf(one.err))
				return nil
			}
			own.Note(one.line)
			if err := out.send("line", logID(own, n), one.line); err != nil {
				return nil
			}
		}
	}
}

func logID(cursor *deploy.LogCursor, n int) string {
	data, err := json.Marshal(cursor)
	if err != nil || len(data) > maxLogID && n%logIDEvery != 0 {
		return ""
	}
	id := base64.RawURLEncoding.EncodeToString(data)
	if len(id) > maxParam { // browsers send it in a header
		return ""
	}
	return id
}

// textLogs writes lines for people.
func (s *Server) textLogs(c *call, lines iter.Seq2[deploy.LogLine, error]) error {
	control := http.NewResponseController(c.w)
	begun := false
	for line, err := range lines {
		if err != nil {
			if !begun {
				return err
			}
			return nil
		}
		if !begun {
			begun = true
			c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		}
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := fmt.Fprintf(c.w, "%s %s\n", line.Time.Format(time.RFC3339Nano), line); err != nil {
			return nil
		}
		_ = control.Flush()
	}
	return nil
}

// untilClose calls stop when the server is closed; what it returns ends that.
func (s *Server) untilClose(stop func()) func() {
	done := make(chan struct{})
	go func() {
		select {
		case <-s.ending:
			stop()
		case <-done:
		}
	}()
	return func() { close(done) }
}
