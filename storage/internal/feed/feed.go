package feed

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage/driver"
)

// How far a watcher may be behind, in changes and in the bytes of their values.
const (
	history      = 10_000
	historyBytes = 32 << 20
)

// Feed is the recent changes of one store, numbered without a gap. It is safe
// for concurrent use.
type Feed struct {
	// Position writes a change's number as a position, and Number reads it;
	// what is no position of this store is not ok.
	Position func(number uint64) string
	Number   func(position string) (number uint64, ok bool)

	mu     sync.Mutex
	next   chan struct{} // closed when something happens
	first  uint64        // number of changes[0]
	recent []driver.Change
	size   int // bytes of the values in recent
	closed bool
}

// New returns a feed whose next change has the number last+1.
func New(last uint64) *Feed { return &Feed{first: last + 1, next: make(chan struct{})} }

// Add tells of a change, the one after the last.
func (f *Feed) Add(c driver.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.Position = f.Position(f.first + uint64(len(f.recent)))
	c.Record.Value = bytes.Clone(c.Record.Value)
	f.recent = append(f.recent, c)
	f.size += len(c.Record.Value)
	for len(f.recent) > history || f.size > historyBytes {
		f.size -= len(f.recent[0].Record.Value)
		f.recent[0] = driver.Change{}
		f.recent = f.recent[1:]
		f.first++
	}
	close(f.next)
	f.next = make(chan struct{})
}

// Skip goes on after the change with the number last, if the store has changes
// that the feed was not told of: those who missed them are too far behind.
func (f *Feed) Skip(last uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if last < f.first+uint64(len(f.recent)) {
		return
	}
	f.first, f.recent, f.size = last+1, nil, 0
	close(f.next)
	f.next = make(chan struct{})
}

// Close ends every watch.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		close(f.next)
	}
}

// Watch opens a stream of what comes after a position.
func (f *Feed) Watch(ctx context.Context, prefix, position string) (driver.Watch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	number, ok := f.Number(position)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, driver.ErrClosed
	}
	if !ok || number+1 < f.first || number >= f.first+uint64(len(f.recent)) {
		return nil, fmt.Errorf("%w: position %q is too old, or of another store", appspan.ErrPrecondition, position)
	}
	ctx, cancel := context.WithCancel(ctx)
	return &watch{feed: f, ctx: ctx, stop: cancel, prefix: prefix, next: number + 1}, nil
}

type watch struct {
	feed   *Feed
	ctx    context.Context
	stop   context.CancelFunc
	prefix string
	next   uint64
}

func (w *watch) Stop() { w.stop() }

func (w *watch) Next() (driver.Change, error) {
	for {
		c, wait, err := w.take()
		if err != nil || wait == nil {
			return c, err
		}
		select {
		case <-wait:
		case <-w.ctx.Done():
			return driver.Change{}, io.EOF
		}
	}
}

// take is the next change, or what to wait for.
func (w *watch) take() (driver.Change, <-chan struct{}, error) {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.ctx.Err() != nil || f.closed {
		return driver.Change{}, nil, io.EOF
	}
	if w.next < f.first {
		return driver.Change{}, nil, fmt.Errorf("%w: the reader is too far behind", appspan.ErrPrecondition)
	}
	for ; w.next < f.first+uint64(len(f.recent)); w.next++ {
		if c := f.recent[w.next-f.first]; strings.HasPrefix(c.Record.Key, w.prefix) {
			w.next++
			c.Record.Value = bytes.Clone(c.Record.Value)
			return c, nil, nil
		}
	}
	return driver.Change{}, f.next, nil
}
