// Package journal makes long work durable: an operation is written down before
// anything happens, each of its steps when it begins and when it has ended,
// and how it ended. When the process dies, another one, or the same one later,
// takes the operation up at the step that had not ended.
//
//	j, err := journal.New(records, &journal.Options{Handlers: map[string]journal.Handler{
//		"backup": func(ctx context.Context, r *journal.Run) error {
//			if err := r.Step(ctx, "freeze", freeze); err != nil {
//				return err
//			}
//			return r.Step(ctx, "copy", copyAll)
//		},
//	}})
//	go j.Run(ctx)                                      // executes what is begun, here or elsewhere
//	op, err := j.Begin(ctx, journal.Intent{Kind: "backup", Body: body})
//	op, err = j.Wait(ctx, op.ID)
//
// Any number of processes may run a journal over the same records: an
// operation is executed by one of them at a time, under a lease
// (storage.Leases). A process that cannot renew its lease stops before another
// one takes over. A step that was begun and whose end was not recorded runs
// again, never at the same time: steps are idempotent.
//
// # Errors
//
// Those of storage, and appspan.ErrNotFound for an operation that is not
// there, appspan.ErrConflict for one that is over, appspan.ErrUnsupported of Execute for
// a kind that has no handler here.
//
// # Concurrency
//
// Everything is safe for concurrent use, but for a [Run], which is its
// handler's; its methods may be called from several goroutines.
package journal
