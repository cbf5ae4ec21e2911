package kuberecords

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/appspan-dev/appspan"
	cluster "github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/storage/driver"
)

// position is a revision of the hub as a position of this store.
func (r *Records) position(ctx context.Context, revision string) (string, error) {
	name, err := r.storeName(ctx)
	return name + "-" + revision, err
}

// storeName tells stores apart, also those of other hubs.
func (r *Records) storeName(ctx context.Context) (string, error) {
	r.mu.Lock()
	name := r.name
	r.mu.Unlock()
	if name != "" {
		return name, nil
	}
	system, err := r.hub.Get(ctx, cluster.Ref{APIVersion: "v1", Kind: "Namespace", Name: "kube-system"})
	if err != nil {
		return "", fmt.Errorf("which cluster the hub is: %w", err)
	}
	sum := sha256.Sum256([]byte(system.UID + "\x00" + r.opts.Namespace + "\x00" + r.opts.Store))
	name = hex.EncodeToString(sum[:8])
	r.mu.Lock()
	defer r.mu.Unlock()
	r.name = name
	return name, nil
}

// watchable is a store whose hub can watch.
type watchable struct {
	*Records
	watcher cluster.Watcher
}

var _ driver.Watcher = (*watchable)(nil)

// Watch implements driver.Watcher.
func (r *watchable) Watch(ctx context.Context, prefix, position string) (driver.Watch, error) {
	inside, leave, err := r.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	name, err := r.storeName(inside)
	if err != nil {
		return nil, r.failed(err)
	}
	revision, ok := strings.CutPrefix(position, name+"-")
	if !ok || revision == "" {
		return nil, fmt.Errorf("%w: position %q is of another store", appspan.ErrPrecondition, position)
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(r.life, cancel)
	stream, err := r.watcher.Watch(ctx, cluster.Query{
		APIVersion: "v1", Kind: "Secret", Namespace: r.opts.Namespace, Labels: r.selector, Projection: cluster.Trimmed, Revision: revision,
	})
	if err != nil {
		stop()
		cancel()
		return nil, r.failed(err)
	}
	return &watch{records: r.Records, ctx: ctx, stream: stream, name: name, prefix: prefix, stop: sync.OnceFunc(func() { stop(); cancel(); stream.Stop() })}, nil
}

type watch struct {
	records *Records
	ctx     context.Context
	stream  cluster.Watch
	name    string
	prefix  string
	stop    func()
}

func (w *watch) Stop() { w.stop() }

func (w *watch) Next() (driver.Change, error) {
	for {
		event, err := w.stream.Next()
		if err != nil {
			if w.ctx.Err() != nil || errors.Is(err, io.EOF) {
				err = io.EOF
			}
			return driver.Change{}, err
		}
		if event.Type == cluster.Bookmark {
			continue
		}
		rec, err := w.records.decode(event.Object)
		if err != nil {
			return driver.Change{}, err
		}
		if !strings.HasPrefix(rec.Key, w.prefix) {
			continue
		}
		c := driver.Change{Record: rec, Deleted: event.Type == cluster.Deleted, Position: w.name + "-" + rec.Revision}
		if c.Deleted {
			c.Record.Value = nil
		}
		return c, nil
	}
}
