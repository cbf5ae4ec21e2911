// Package boltrecords keeps records in one embedded file (bbolt): the default
// for a program of which one process runs.
//
//	d, err := boltrecords.Open("appspan.db", nil)
//	records := storage.NewRecords(d, nil)
//
// Every write is on the disk when it returns: it survives the death of the
// process and of the machine. Writes that come at the same time share one
// flush.
//
// # Errors
//
// A file that another process has open is appspan.ErrUnavailable, one of a
// newer format appspan.ErrUnsupported, and one that is damaged or no such file
// appspan.ErrCorrupt. Otherwise as storage/driver says.
//
// # Concurrency
//
// Everything is safe for concurrent use. One process opens a file at a time.
package boltrecords
