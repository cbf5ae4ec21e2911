package kube

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

const (
	maxEvent = 32 << 20 // bytes

	// A stream is asked to end after five to ten minutes, and is ended a little
	// later where the server does not: one that is silent for ever, behind a
	// proxy that keeps the connection, is not waited for.
	shortWatch = 5 * time.Minute
	watchGrace = 30 * time.Second
)

// Watch implements driver.Watcher. It is not counted in the window of calls.
func (c *Cluster) Watch(ctx context.Context, q driver.Query) (driver.Watch, error) {
	path, query, err := c.selection(ctx, q)
	if err != nil {
		return nil, err
	}
	query.Set("watch", "1")
	query.Set("allowWatchBookmarks", "true")
	life := shortWatch + rand.N(shortWatch)
	query.Set("timeoutSeconds", strconv.Itoa(int(life.Seconds())))
	if q.Revision != "" {
		query.Set("resourceVersion", q.Revision)
	}
	r := request{method: http.MethodGet, path: path, query: query, safe: true}
	if q.Projection == driver.Metadata {
		r.accept = acceptMeta
	}
	bound, unbind := c.bind(ctx)
	ctx, end := context.WithTimeoutCause(bound, life+watchGrace, errSilent)
	cancel := func() { end(); unbind() }
	answer, err := c.send(ctx, r)
	if err != nil {
		cancel()
		return nil, c.forget(driver.Ref{APIVersion: q.APIVersion, Kind: q.Kind}, err)
	}
	return &watch{c: c, q: q, ctx: ctx, cancel: cancel, body: answer.Body,
		secrets: secretsOf(answer.Request, proxyOf(c.config)), in: bufio.NewReaderSize(answer.Body, 32<<10)}, nil
}

// watch is an open watch: a stream of lines of JSON.
type watch struct {
	c      *Cluster
	q      driver.Query
	ctx    context.Context
	cancel context.CancelFunc
	body   io.Closer
	// secrets takes them out of an event that is an error.
	secrets *strings.Replacer

	reading sync.Mutex
	in      *bufio.Reader
	err     error

	mu      sync.Mutex
	stopped bool
}

// Stop implements driver.Watch.
func (w *watch) Stop() {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	w.cancel()
	w.body.Close()
}

func (w *watch) isStopped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopped
}

// Next implements driver.Watch.
func (w *watch) Next() (driver.WatchEvent, error) {
	w.reading.Lock()
	defer w.reading.Unlock()
	if w.err != nil {
		return driver.WatchEvent{}, w.err
	}
	event, err := w.next()
	if err == nil {
		return event, nil
	}
	switch {
	case w.isStopped():
		err = io.EOF
	case w.ctx.Err() != nil:
		err = w.c.failed(w.ctx, err, true)
	}
	w.err = err
	w.cancel()
	w.body.Close()
	return driver.WatchEvent{}, err
}

func (w *watch) next() (driver.WatchEvent, error) {
	line, err := readLine(w.in, maxEvent)
	switch {
	case errors.Is(err, io.EOF):
		return driver.WatchEvent{}, io.EOF
	case errors.Is(err, appspan.ErrExhausted):
		return driver.WatchEvent{}, err
	case err != nil:
		return driver.WatchEvent{}, w.c.failed(w.ctx, err, true)
	}
	event, err := parseEvent(line, w.q)
	if err != nil {
		_, err = parseEvent([]byte(w.secrets.Replace(string(line))), w.q)
	}
	return event, err
}

// readLine reads a line that is not blank, into memory of its own. A stream
// that ends within a line is io.ErrUnexpectedEOF.
func readLine(in *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > most {
			return nil, fmt.Errorf("%w: an event is larger than %d bytes", appspan.ErrExhausted, most)
		}
		line = append(line, part...)
		switch {
		case err == nil && len(bytes.TrimSpace(line)) > 0:
			return line, nil
		case err == nil:
			line = line[:0]
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(bytes.TrimSpace(line)) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

// parseEvent reads one event; one of type ERROR is an error.
func parseEvent(line []byte, q driver.Query) (driver.WatchEvent, error) {
	var kind string
	var object []byte
	err := members(line, func(key, value []byte) (err error) {
		switch string(key) {
		case `"type"`:
			kind, err = decoded(value)
		case `"object"`:
			object = value
		}
		return err
	})
	if err != nil {
		return driver.WatchEvent{}, corrupt("watch of "+q.Kind, err)
	}
	e := driver.WatchEvent{Type: driver.WatchEventType(kind)}
	switch e.Type {
	case driver.Added, driver.Modified, driver.Deleted:
		if e.Object, err = parse(object, q.APIVersion, q.Kind, q.Projection); err != nil {
			return driver.WatchEvent{}, err
		}
		return e, nil
	case driver.Bookmark:
		var o struct {
			Metadata struct {
				ResourceVersion string `json:"resourceVersion"`
			} `json:"metadata"`
		}
		if err := json.Unmarshal(object, &o); err != nil {
			return driver.WatchEvent{}, corrupt("watch of "+q.Kind, err)
		}
		e.Object = driver.Object{Ref: driver.Ref{APIVersion: q.APIVersion, Kind: q.Kind}, Revision: o.Metadata.ResourceVersion}
		return e, nil
	case "ERROR":
		var s status
		if err := json.Unmarshal(object, &s); err != nil {
			return driver.WatchEvent{}, corrupt("watch of "+q.Kind, err)
		}
		if s.Code == 0 { // no refusal of what was asked
			s.Code = http.StatusInternalServerError
		}
		return driver.WatchEvent{}, s.err(true)
	}
	return driver.WatchEvent{}, corrupt("watch of "+q.Kind, fmt.Errorf("an event of type %q", kind))
}
