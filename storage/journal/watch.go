package journal

import (
	"context"
	"errors"
	"iter"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// Watch yields each operation that is not over, and then each change of an
// operation, up to how it ended, until ctx ends. Changes that follow each other
// quickly may be one. What cannot be read is passed over. An error comes last: of
// records that cannot be used any more, or ctx's.
func (j *Journal) Watch(ctx context.Context) iter.Seq2[Operation, error] {
	return func(yield func(Operation, error) bool) {
		for e, err := range j.records.Watch(ctx, openKeys, nil) {
			if err != nil {
				yield(Operation{}, err)
				return
			}
			switch e.Type {
			case storage.Added, storage.Modified:
				d, err := decode(e.Record)
				if err == nil && !yield(d.Operation, nil) {
					return
				}
			case storage.Deleted: // it is over, and kept elsewhere
				op, err := j.Get(ctx, strings.TrimPrefix(e.Record.Key, openKeys))
				if errors.Is(err, appspan.ErrNotFound) || errors.Is(err, appspan.ErrCorrupt) || errors.Is(err, appspan.ErrUnsupported) {
					continue
				}
				if err != nil {
					if ctx.Err() != nil {
						yield(Operation{}, err)
						return
					}
					continue
				}
				if !yield(op, nil) {
					return
				}
			}
		}
	}
}
