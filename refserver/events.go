package refserver

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/refserver/client"
)

// hub is what has happened of late, for those who listen.
type hub struct {
	epoch string // of this process: ids of another one mean nothing here

	mu        sync.Mutex
	next      uint64
	ring      []happening // the last ones
	listeners map[*listener]bool
}

// happening is one event, and who may hear of it.
type happening struct {
	seq    uint64
	kind   string
	access appspan.Access
	data   json.RawMessage
}

// listener is one stream.
type listener struct {
	wake chan struct{}
	at   uint64 // the next that it hears
}

// maxRing bounds the events that are remembered.
const maxRing = 4096

func newHub() *hub {
	return &hub{epoch: strings.ToLower(rand.Text()[:10]), next: 1, listeners: map[*listener]bool{}}
}

// publish tells all listeners of something. access is what one must be allowed
// to hear of it.
func (h *hub) publish(kind string, access appspan.Access, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring = append(h.ring, happening{seq: h.next, kind: kind, access: access, data: data})
	h.next++
	if len(h.ring) > maxRing {
		h.ring = append([]happening(nil), h.ring[len(h.ring)-maxRing/2:]...)
	}
	for l := range h.listeners {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// listen begins a stream after an event, or now; resync says that what came
// between is not known any more.
func (h *hub) listen(after string) (l *listener, resync bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l = &listener{wake: make(chan struct{}, 1), at: h.next}
	h.listeners[l] = true
	if after == "" {
		return l, false
	}
	epoch, text, _ := strings.Cut(after, "-")
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil || epoch != h.epoch || seq >= h.next || len(h.ring) > 0 && seq+1 < h.ring[0].seq || len(h.ring) == 0 && seq+1 < h.next {
		return l, true
	}
	l.at = seq + 1
	return l, false
}

func (h *hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, l)
}

// pending is what a listener has not heard; lost says that it was too slow.
func (h *hub) pending(l *listener) (out []happening, lost bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.ring) > 0 && l.at < h.ring[0].seq {
		l.at, lost = h.next, true
		return nil, lost
	}
	for _, e := range h.ring {
		if e.seq >= l.at {
			out = append(out, e)
		}
	}
	l.at = h.next
	return out, false
}

// last is the id of the newest event.
func (h *hub) last() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.id(h.next - 1)
}

func (h *hub) id(seq uint64) string { return h.epoch + "-" + strconv.FormatUint(seq, 10) }

type eventsIn struct {
	After string   `query:"after" doc:"the id of the last event that was heard; as Last-Event-ID"`
	Last  string   `header:"Last-Event-ID"`
	Kinds []string `query:"kind" doc:"only events of these kinds: application, cluster, operation, stage"`
}

const heartbeat = 15 * time.Second

// eventRoutes are the stream of everything.
func (s *Server) eventRoutes() []*route {
	return []*route{
		streaming("GET", "/events", "streamEvents", "events", "What happens, as server-sent events: one stream for a whole page", "text/event-stream", s.streamEvents),
	}
}

func (s *Server) streamEvents(ctx context.Context, c *call, in *eventsIn) error {
	after := in.Last
	if after == "" {
		after = in.After
	}
	out := newStream(c)
	l, resync := s.events.listen(after)
	defer s.events.leave(l)
	if resync {
		if err := out.send("resync", s.events.last(), client.Resync{Reason: "what came between is not known any more; read everything again"}); err != nil {
			return nil
		}
	} else if err := out.comment("listening"); err != nil {
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		events, lost := s.events.pending(l)
		if lost {
			if err := out.send("resync", s.events.last(), client.Resync{Reason: "the stream was read too slowly; read everything again"}); err != nil {
				return nil
			}
		}
		for _, e := range events {
			access := e.access
			if access.Resource == "cluster" {
				access.Team = c.subject().Team // who has something there may see how it does
			}
			if len(in.Kinds) > 0 && !contains(in.Kinds, e.kind) || appspan.Authorize(ctx, s.parts.Authorizer, c.subject(), access) != nil {
				continue
			}
			if err := out.send(e.kind, s.events.id(e.seq), e.data); err != nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.ending:
			return nil
		case <-l.wake:
		case <-beat.C:
			if s.loggedOut(c) {
				return nil
			}
			if err := out.comment("still here"); err != nil {
				return nil
			}
		}
	}
}

func contains(list []string, one string) bool {
	for _, x := range list {
		if x == one {
			return true
		}
	}
	return false
}

// stream writes server-sent events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func newStream(c *call) *stream {
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	st := &stream{w: c.w, control: http.NewResponseController(c.w)}
	_ = st.control.SetReadDeadline(time.Time{})
	c.w.WriteHeader(http.StatusOK)
	return st
}

const writeTimeout = 30 * time.Second

// send writes one event; its data is one line of JSON.
func (s *stream) send(kind, id string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if id != "" {
		id = "id: " + id + "\n"
	}
	if _, err := fmt.Fprintf(s.w, "%sevent: %s\ndata: %s\n\n", id, kind, data); err != nil {
		return err
	}
	return s.control.Flush()
}

func (s *stream) comment(text string) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := fmt.Fprintf(s.w, ": %s\n\n", text); err != nil {
		return err
	}
	return s.control.Flush()
}
