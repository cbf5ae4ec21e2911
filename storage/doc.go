// Package storage keeps what an embedding program must not lose: small
// versioned records (clusters, teams, operations, audit) in a [Records].
//
// A Records is a struct over a driver, as a *sql.DB is: storage/memstore keeps
// records in memory, storage/boltrecords in one embedded file,
// storage/kuberecords in a Kubernetes cluster that several processes share.
// Package storage checks keys and sizes, says where errors happened, repeats
// what can be repeated, follows changes, and builds on compare-and-swap:
// [Records.Update], leases ([Leases]), [Records.Export] and [Records.Import].
//
//	records := storage.NewRecords(memstore.NewRecords(), nil)
//	revision, err := records.Put(ctx, "teams/blue", value, "") // must not exist
//	revision, err = records.Put(ctx, "teams/blue", other, revision)
//
// # Errors
//
// Errors are [*Error] and wrap a sentinel of package appspan: ErrNotFound,
// ErrExists and ErrPrecondition for what is not as the caller said,
// ErrUnavailable for a store that does not answer: a write that ends so may
// have been made.
//
// # Concurrency
//
// Everything is safe for concurrent use. No goroutine of ours outlives its
// call, but for that of a [Lease], until Release.
package storage
