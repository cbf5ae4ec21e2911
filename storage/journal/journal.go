package journal

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// Handler executes operations of one kind, from the beginning or from where
// another process left off. It returns what stands in the way, or nil. When
// ctx ends it stops: the operation was cancelled, or this process may not
// execute it any more.
type Handler func(ctx context.Context, r *Run) error

// Options shape a [Journal].
type Options struct {
	// Handlers execute operations, by kind. Kinds without one here are left
	// to other processes.
	Handlers map[string]Handler
	// Holder names this process among those that share the records, each
	// time that it starts another name; default: a random one.
	Holder string
	// TTL is after how long without a sign of life an operation is taken over;
	// default 15 s.
	TTL time.Duration
	// Concurrency is how many operations this process executes at a time;
	// default 16.
	Concurrency int
	// Keep is for how long operations that are over are kept; default 30 days.
	Keep time.Duration
	// Logger hears what no caller is told; nil discards.
	Logger *slog.Logger
}

// Journal is the operations that are written down in Records.
type Journal struct {
	records *storage.Records
	leases  *storage.Leases
	opts    Options

	mu       sync.Mutex
	handlers map[string]Handler
	running  map[string]context.CancelCauseFunc // by operation
}

var word = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9_.@]{0,62}$`)

// New returns the journal in records.
func New(records *storage.Records, opts *Options) (*Journal, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if records == nil {
		return nil, fmt.Errorf("journal: %w: no records", appspan.ErrInvalid)
	}
	for kind := range o.Handlers {
		if !word.MatchString(kind) {
			return nil, fmt.Errorf("journal: %w: kind %q is no word of letters, digits and -_.@", appspan.ErrInvalid, kind)
		}
	}
	if o.Holder == "" {
		o.Holder = strings.ToLower(rand.Text()[:12])
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 16
	}
	if o.TTL <= 0 {
		o.TTL = 15 * time.Second
	}
	if o.Keep <= 0 {
		o.Keep = 30 * 24 * time.Hour
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	handlers := maps.Clone(o.Handlers)
	if handlers == nil {
		handlers = map[string]Handler{}
	}
	return &Journal{records: records, leases: records.Leases(o.Holder, &storage.LeaseOptions{TTL: o.TTL}), opts: o,
		handlers: handlers, running: map[string]context.CancelCauseFunc{}}, nil
}

// Handle adds a handler: before [Journal.Run], or operations of its kind that
// are there already wait for the next one. A kind that has one is
// appspan.ErrExists.
func (j *Journal) Handle(kind string, h Handler) error {
	if !word.MatchString(kind) {
		return fmt.Errorf("journal: %w: kind %q is no word of letters, digits and -_.@", appspan.ErrInvalid, kind)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.handlers[kind] != nil {
		return fmt.Errorf("journal: %w: a handler of %s", appspan.ErrExists, kind)
	}
	j.handlers[kind] = h
	return nil
}

func (j *Journal) handler(kind string) Handler {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.handlers[kind]
}

// Begin writes an operation down and returns it. Once it has returned, the
// operation will be executed, by whatever process runs the journal.
func (j *Journal) Begin(ctx context.Context, in Intent) (Operation, error) {
	wrong := func(format string, args ...any) (Operation, error) {
		return Operation{}, fmt.Errorf("operation of kind %q: %w: %s", in.Kind, appspan.ErrInvalid, fmt.Sprintf(format, args...))
	}
	switch {
	case !word.MatchString(in.Kind):
		return wrong("the kind is no word of letters, digits and -_.@")
	case len(in.Body) > MaxBody:
		return wrong("the body has %d bytes, at most %d are kept", len(in.Body), MaxBody)
	case len(in.Body) > 0 && !json.Valid(in.Body):
		return wrong("the body is no JSON")
	case len(in.Key) > 512 || len(in.About) > 32:
		return wrong("the key has more than 512 bytes, or it is about more than 32 things")
	}
	d := &document{Operation: Operation{ID: newID(), Kind: in.Kind, Key: in.Key, Subject: in.Subject, PlanHash: in.PlanHash,
		About: in.About, State: Pending, Created: time.Now().UTC()}}
	if err := j.putBody(ctx, d, in.Body); err != nil {
		return Operation{}, err
	}
	if in.Key != "" {
		first, err := j.index(ctx, in, d.ID)
		if err != nil || first.ID != "" {
			return first, errors.Join(err, j.dropBody(ctx, d))
		}
	}
	_, err := j.put(ctx, openKeys+d.ID, d, "")
	return d.Operation, err
}

// newID is an id that sorts by time.
func newID() string {
	return time.Now().UTC().Format("20060102t150405.000") + "-" + strings.ToLower(rand.Text()[:10])
}

// index makes an operation the one of its key, and returns the one that is
// already.
func (j *Journal) index(ctx context.Context, in Intent, id string) (Operation, error) {
	sum := sha256.Sum256([]byte(in.Kind + "\x00" + in.Key))
	key := indexKeys + hex.EncodeToString(sum[:16])
	var first Operation
	_, err := j.records.Update(ctx, key, func(old []byte) ([]byte, error) {
		first = Operation{}
		if old != nil {
			op, err := j.Get(ctx, string(old))
			if err == nil {
				first = op
				return old, nil
			}
			if !errors.Is(err, appspan.ErrNotFound) {
				return nil, err
			}
			if born, err := time.Parse("20060102t150405.000", string(old[:min(len(old), 19)])); err == nil && time.Since(born) < time.Minute {
				return nil, appspan.MarkRetryable(fmt.Errorf("%w: operation %s of the same key is just being written down; try again", appspan.ErrConflict, old), time.Second)
			}
		}
		return []byte(id), nil // or one that was never written down
	})
	return first, err
}

// put writes an operation.
func (j *Journal) put(ctx context.Context, key string, d *document, ifRevision string) (string, error) {
	d.Envelope = storage.Envelope{Format: format, MinReader: format}
	data, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	return j.records.Put(ctx, key, data, ifRevision)
}

// load reads an operation, wherever it is.
func (j *Journal) load(ctx context.Context, id string) (*document, storage.Record, error) {
	if !word.MatchString(id) {
		return nil, storage.Record{}, fmt.Errorf("operation %q: %w", id, appspan.ErrNotFound)
	}
	rec, err := j.records.Get(ctx, openKeys+id)
	if errors.Is(err, appspan.ErrNotFound) {
		rec, err = j.records.Get(ctx, overKeys+id)
	}
	if errors.Is(err, appspan.ErrNotFound) {
		err = fmt.Errorf("operation %q: %w", id, appspan.ErrNotFound)
	}
	if err != nil {
		return nil, rec, err
	}
	d, err := decode(rec)
	return d, rec, err
}

func decode(rec storage.Record) (*document, error) {
	d := &document{}
	if err := storage.Decode(rec.Value, format, d); err != nil {
		return nil, fmt.Errorf("record %s: %w", rec.Key, err)
	}
	return d, nil
}

// Get returns what is known of an operation.
func (j *Journal) Get(ctx context.Context, id string) (Operation, error) {
	d, _, err := j.load(ctx, id)
	if err != nil {
		return Operation{}, err
	}
	return d.Operation, nil
}

// List returns the operations, the oldest first: those that are not over, or
// all that are kept. An error comes last.
func (j *Journal) List(ctx context.Context, over bool) iter.Seq2[Operation, error] {
	prefixes := []string{openKeys}
	if over {
		prefixes = []string{overKeys, openKeys}
	}
	return func(yield func(Operation, error) bool) {
		seen := map[string]bool{}
		for _, prefix := range prefixes {
			for rec, err := range j.records.List(ctx, prefix) {
				var d *document
				if err == nil {
					d, err = decode(rec)
				}
				if err != nil {
					yield(Operation{}, err)
					return
				}
				if d.State.Over() && !over || seen[d.ID] {
					continue
				}
				seen[d.ID] = true
				if !yield(d.Operation, nil) {
					return
				}
			}
		}
	}
}

// Cancel asks for an operation to end. It returns at once; the operation is
// over when its handler has stopped, and says so. One that nobody has begun is
// over at once. One that is over is appspan.ErrConflict.
func (j *Journal) Cancel(ctx context.Context, id string) error {
	if _, err := j.Get(ctx, id); err != nil {
		return err
	}
	var over bool
	_, err := j.records.Update(ctx, openKeys+id, func(old []byte) ([]byte, error) {
		if old == nil {
			over = true
			return nil, nil
		}
		d, err := decode(storage.Record{Key: openKeys + id, Value: old})
		if err != nil {
			return nil, err
		}
		over = d.State.Over()
		if over {
			return old, nil
		}
		d.Cancelling = true
		if d.State == Pending && d.Attempts == 0 {
			d.State, d.Ended = Cancelled, time.Now().UTC()
		}
		return json.Marshal(d)
	})
	if err != nil {
		return err
	}
	if over {
		return fmt.Errorf("operation %q: %w: it is over", id, appspan.ErrConflict)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if stop := j.running[id]; stop != nil {
		stop(errCancelled)
	}
	return nil
}

// errCancelled is why the context of a handler ends whose operation somebody
// cancelled.
var errCancelled = errors.New("the operation was cancelled")

// Wait returns an operation once it is over. Its failure is in the operation,
// not the error.
func (j *Journal) Wait(ctx context.Context, id string) (Operation, error) {
	return j.follow(ctx, id, func(Operation) {})
}

// follow waits until an operation is over, and tells of each change that it
// sees.
func (j *Journal) follow(ctx context.Context, id string, changed func(Operation)) (Operation, error) {
	for {
		op, err := j.Get(ctx, id)
		if err == nil {
			changed(op)
		}
		if err != nil || op.State.Over() {
			return op, err
		}
		if err := j.awaitChange(ctx, id, changed); err != nil {
			return op, err
		}
	}
}

// awaitChange returns when an operation may have ended.
func (j *Journal) awaitChange(ctx context.Context, id string, changed func(Operation)) error {
	for e, err := range j.records.Watch(ctx, openKeys, nil) {
		switch {
		case err != nil:
			return err
		case e.Type == storage.Synced:
			op, err := j.Get(ctx, id) // it may have ended before the watch began
			if err != nil || op.State.Over() {
				return err
			}
		case e.Record.Key != openKeys+id:
		case e.Type == storage.Deleted:
			return nil
		default:
			d, err := decode(e.Record)
			if err != nil || d.State.Over() {
				return err
			}
			changed(d.Operation)
		}
	}
	return nil
}

// putBody stores a body, compressed, in as many records as it takes.
func (j *Journal) putBody(ctx context.Context, d *document, body []byte) error {
	if len(body) == 0 {
		return nil
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	defer enc.Close()
	for part := range slices.Chunk(enc.EncodeAll(body, nil), partSize) {
		if _, err := j.records.Put(ctx, j.bodyKey(d, d.Parts), part, ""); err != nil {
			return errors.Join(err, j.dropBody(ctx, d))
		}
		d.Parts++
	}
	return nil
}

// partSize is below what every store keeps, Secrets included.
const partSize = 512 << 10

func (j *Journal) bodyKey(d *document, part int) string {
	return bodyKeys + d.ID + "/" + strconv.Itoa(part)
}

// body reads a body.
func (j *Journal) body(ctx context.Context, d *document) (json.RawMessage, error) {
	if d.Parts == 0 {
		return nil, nil
	}
	var packed []byte
	for n := range d.Parts {
		rec, err := j.records.Get(ctx, j.bodyKey(d, n))
		if err != nil {
			return nil, fmt.Errorf("operation %s: its body: %w", d.ID, err)
		}
		packed = append(packed, rec.Value...)
	}
	dec, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderMaxMemory(MaxBody+1<<20), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("operation %s: its body: %w: %w", d.ID, appspan.ErrCorrupt, err)
	}
	defer dec.Close()
	var out bytes.Buffer
	if _, err := out.ReadFrom(dec); err != nil {
		return nil, fmt.Errorf("operation %s: its body: %w: %w", d.ID, appspan.ErrCorrupt, err)
	}
	return out.Bytes(), nil
}

// dropBody deletes the body of an operation that does not need it any more.
func (j *Journal) dropBody(ctx context.Context, d *document) error {
	var errs []error
	for n := range d.Parts {
		rec, err := j.records.Get(ctx, j.bodyKey(d, n))
		if err == nil {
			err = j.records.Delete(ctx, rec.Key, rec.Revision)
		}
		if err != nil && !errors.Is(err, appspan.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
