// Package driver is what a storage provider implements, as database/sql/driver
// is to database/sql. Programs use package storage; whoever writes a provider
// implements [Records] and runs the suite of storage/storagetest.
//
// # Errors
//
// Errors wrap the sentinels of package appspan. A driver marks what may be
// sent again, unchanged and without harm, by appspan.MarkRetryable; package
// storage says where an error happened.
//
// # Concurrency
//
// Everything is safe for concurrent use, but for a [Watch], which one
// goroutine reads.
package driver
