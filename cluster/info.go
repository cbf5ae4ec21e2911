package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
)

// infoCache is the last answer of Info, and whose turn it is to ask.
type infoCache struct {
	turn chan struct{} // holds one token while somebody asks

	mu    sync.Mutex
	uid   string // the cluster's identity, empty until known
	info  Info
	at    time.Time // when info was read, zero if it was not
	asked int       // how often the server was asked
	err   error     // of the last time
	other error     // not nil while another cluster answers
}

// foreign is why the cluster is not the one that it was, or nil.
func (i *infoCache) foreign() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.other
}

// is reports whether the cluster is the one with this UID. One that is not
// known yet is from now on.
func (i *infoCache) is(uid string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.uid == "" {
		i.uid = uid
	}
	return i.uid == uid
}

// Info reads what the cluster is and can do. The answer is cached for
// [Options].InfoTTL; callers at the same time share one question. Another UID
// than before is appspan.ErrPrecondition: the name has come to mean another
// cluster, and every other call is refused until the old one answers again. The
// answer is shared: do not change what is in it.
func (c *Cluster) Info(ctx context.Context) (Info, error) {
	i := c.info
	i.mu.Lock()
	if !i.at.IsZero() && time.Since(i.at) < c.opts.InfoTTL {
		defer i.mu.Unlock()
		return i.info, nil
	}
	i.mu.Unlock()
	return c.Refresh(ctx)
}

// Refresh is Info without the cache.
func (c *Cluster) Refresh(ctx context.Context) (Info, error) {
	info, err := c.refresh(ctx)
	return info, c.wrap("info", Ref{}, err)
}

func (c *Cluster) refresh(ctx context.Context) (Info, error) {
	i := c.info
	i.mu.Lock()
	before := i.asked
	i.mu.Unlock()
	select {
	case i.turn <- struct{}{}:
		defer func() { <-i.turn }()
	case <-ctx.Done():
		return Info{}, ended(ctx)
	}
	i.mu.Lock()
	shared, info, err := i.asked > before, i.info, i.err
	i.mu.Unlock()
	if shared && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return info, err
	}
	err = c.attempt(ctx, true, func(ctx context.Context) (err error) {
		info, err = c.driver.Info(ctx)
		return err
	})
	return i.set(info, err)
}

// set keeps an answer of the driver, if it is of the same cluster as before.
func (i *infoCache) set(info Info, err error) (Info, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked++
	if err == nil {
		if i.uid == "" {
			i.uid = info.UID
		}
		i.other = nil
		if info.UID != i.uid {
			i.other = fmt.Errorf("%w: another cluster answers: its UID is %q, it was %q; connect it under a name of its own",
				appspan.ErrPrecondition, info.UID, i.uid)
			err = i.other
		}
	}
	i.err = err
	if err != nil {
		if i.other != nil {
			i.info, i.at = Info{}, time.Time{}
		}
		return Info{}, err
	}
	i.info, i.at = info, time.Now()
	return info, nil
}
