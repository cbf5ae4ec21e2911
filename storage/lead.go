package storage

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/appspan-dev/appspan"
)

// Lead does work whenever it holds the lease of a name, until ctx ends: then it
// returns nil once work has. Of several processes that lead under one name one
// works; when that one ends or falls silent, another begins.
//
// The context of work ends with the lease, and work then returns. An error of
// records that do not answer is logged and tried again when they do; any other
// error of work, or of the records, ends it. A nil logger discards.
func (l *Leases) Lead(ctx context.Context, name string, logger *slog.Logger, work func(context.Context) error) error {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	for {
		lease, err := l.Acquire(ctx, name)
		if err == nil {
			err = lease.during(ctx, work)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil: // the lease was lost
		case errors.Is(err, appspan.ErrUnavailable):
			logger.Warn("the records do not answer", "error", err)
			if !sleep(ctx, l.ttl-l.ttl/10+rand.N(l.ttl/5+1)) {
				return nil
			}
			if err := l.answers(ctx); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

// during works as long as the lease is held, and releases it.
func (l *Lease) during(ctx context.Context, work func(context.Context) error) error {
	held, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.ctx, func() { cancel(ErrLeaseLost) })()
	err := work(held)
	released, cancelRelease := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancelRelease()
	_ = l.Release(released) // else it ends by itself
	return err
}

// answers waits until the records answer, or ctx ends; the error is that of
// records which never will, because they are closed.
func (l *Leases) answers(ctx context.Context) error {
	for e, err := range l.records.Watch(ctx, leaseKeys, nil) {
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err != nil || e.Type != Stale {
			return nil
		}
	}
	return nil
}
