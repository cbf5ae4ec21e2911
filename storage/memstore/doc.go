// Package memstore keeps records in memory: for tests, and for programs that
// need not remember.
//
//	records := storage.NewRecords(memstore.NewRecords(), nil)
//
// # Errors
//
// As storage/driver says.
//
// # Concurrency
//
// Everything is safe for concurrent use.
package memstore
