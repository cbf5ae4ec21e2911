package refserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

const (
	onceKeys    = "idempotency/"
	onceFormat  = 1
	onceKept    = 24 * time.Hour
	oncePending = 5 * time.Minute // after which whoever was at it has died
	maxOnce     = 512 << 10       // bytes of an answer that is kept
)

var onceKey = regexp.MustCompile(`^[!-~]{1,128}$`)

// onceRecord is a request that was sent with an Idempotency-Key, and how it was
// answered. The answer is sealed: it may hold a token.
type onceRecord struct {
	storage.Envelope
	Request string    `json:"request"` // digest
	Begun   time.Time `json:"begun"`
	Done    bool      `json:"done,omitempty"`
	Sealed  []byte    `json:"sealed,omitempty"`
}

type onceAnswer struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

// once serves a request whose key makes it the same as an earlier one: that is
// answered again, with what it was answered then. What failed is not kept, and
// tried again.
func (s *Server) once(c *call, rt *route) error {
	keys := c.r.Header.Values("Idempotency-Key")
	if len(keys) != 1 || !onceKey.MatchString(keys[0]) {
		return fmt.Errorf("%w: an Idempotency-Key is 1 to 128 printable characters without spaces", appspan.ErrInvalid)
	}
	body, err := io.ReadAll(c.r.Body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return fmt.Errorf("%w: at most %d bytes are read", errTooLarge, tooLarge.Limit)
		}
		return fmt.Errorf("%w: the body cannot be read", appspan.ErrInvalid)
	}
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{}) // what follows may take longer
	c.r.Body = io.NopCloser(bytes.NewReader(body))
	ctx := c.r.Context()
	name := sha256.Sum256([]byte(strings.Join([]string{c.subject().ID, c.subject().Team, keys[0]}, "\x00")))
	key := onceKeys + hex.EncodeToString(name[:])
	request := sha256.Sum256([]byte(strings.Join([]string{c.r.Method, c.r.URL.Path, c.r.URL.RawQuery, string(body)}, "\x00")))
	mine := onceRecord{Envelope: storage.Envelope{Format: onceFormat, MinReader: onceFormat}, Request: hex.EncodeToString(request[:]), Begun: time.Now().UTC()}
	var before *onceRecord
	rec, err := s.parts.Records.Update(ctx, key, func(old []byte) ([]byte, error) {
		before = nil
		if old != nil {
			before = &onceRecord{}
			if err := storage.Decode(old, onceFormat, before); err != nil {
				return nil, err
			}
			if since := time.Since(before.Begun); before.Done && since < onceKept || !before.Done && since < oncePending {
				return old, nil
			}
			before = nil
		}
		return json.Marshal(mine)
	})
	if err != nil {
		return err
	}
	switch {
	case before == nil:
	case before.Request != mine.Request:
		return fmt.Errorf("%w: this Idempotency-Key was sent with another request", appspan.ErrConflict)
	case !before.Done:
		return appspan.MarkRetryable(fmt.Errorf("%w: the same request is under way", appspan.ErrConflict), time.Second)
	default:
		return s.again(c, key, before)
	}
	answer := &capture{header: c.w.Header().Clone()}
	w := c.w
	c.w = answer
	err = rt.serve(c)
	c.w = w
	keep, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err != nil || answer.status >= 300 || answer.body.Len() > maxOnce {
		_ = s.parts.Records.Delete(keep, key, rec.Revision) // else it is pending for some minutes
		if err != nil {
			return err
		}
	} else {
		data, err := json.Marshal(onceAnswer{Status: answer.status, Header: answer.own(), Body: answer.body.Bytes()})
		if err == nil {
			mine.Sealed, err = s.parts.Keys.Seal(data, []byte(key))
		}
		if err != nil {
			return err
		}
		mine.Done = true
		if data, err = json.Marshal(mine); err == nil {
			_, err = s.parts.Records.Put(keep, key, data, rec.Revision)
		}
		if err != nil {
			s.logger.WarnContext(ctx, "an answer could not be kept for its Idempotency-Key", "error", err, "request", requestID(ctx))
		}
	}
	return answer.send(w)
}

// again answers as before.
func (s *Server) again(c *call, key string, r *onceRecord) error {
	data, err := s.parts.Keys.Open(r.Sealed, []byte(key))
	if err != nil {
		return err
	}
	var a onceAnswer
	if err := json.Unmarshal(data, &a); err != nil {
		return fmt.Errorf("%w: a kept answer: %w", appspan.ErrCorrupt, err)
	}
	for name, values := range a.Header {
		c.w.Header()[name] = values
	}
	c.w.Header().Set("Idempotency-Replayed", "true")
	c.w.WriteHeader(a.Status)
	_, _ = c.w.Write(a.Body)
	return nil
}

// capture holds an answer back.
type capture struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *capture) Header() http.Header { return w.header }
func (w *capture) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}
func (w *capture) Write(data []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(data)
}

// own are the headers that belong to the answer, and not to one request.
func (w *capture) own() http.Header {
	out := http.Header{}
	for _, name := range []string{"Content-Type", "Location", "Etag", "Cache-Control"} {
		if values := w.header[name]; values != nil {
			out[name] = values
		}
	}
	return out
}

func (w *capture) send(to http.ResponseWriter) error {
	for name, values := range w.header {
		to.Header()[name] = values
	}
	to.WriteHeader(max(w.status, http.StatusOK))
	_, _ = to.Write(w.body.Bytes())
	return nil
}

// tidy removes what was kept long enough, until ctx ends.
func (s *Server) tidy(ctx context.Context) error {
	for {
		for rec, err := range s.parts.Records.List(ctx, onceKeys) {
			if err != nil {
				break
			}
			var r onceRecord
			if storage.Decode(rec.Value, onceFormat, &r) == nil && time.Since(r.Begun) > onceKept {
				_ = s.parts.Records.Delete(ctx, rec.Key, rec.Revision)
			}
		}
		s.sessions.forget(ctx)
		s.forgetSeen(ctx)
		timer := time.NewTimer(time.Hour)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}
