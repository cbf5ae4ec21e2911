// Package feed tells watchers of changes that were made in this process: for
// the stores that only one process opens at a time.
//
//	f := feed.New(last)
//	f.Position, f.Number = position, number
//	f.Add(change)
//	w, err := f.Watch(ctx, "teams/", position(last))
//
// # Errors
//
// A position that is too old or of another store is appspan.ErrPrecondition,
// as it is for a reader that falls too far behind; a closed feed is
// driver.ErrClosed.
//
// # Concurrency
//
// A Feed is safe for concurrent use; a watch is read by one goroutine.
package feed
