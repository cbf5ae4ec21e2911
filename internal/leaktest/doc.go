// Package leaktest finds credentials where none may be. It is for the tests of
// this repository: its own take every part of the SDK through its life with
// credentials that are used nowhere else, and then search what was stored,
// logged, told and returned for them.
//
//	f := leaktest.NewFinder()
//	f.Add("the database's password", []byte(password))
//	findings, err := f.Find(file)
//
// A credential is found in part too (twelve bytes in a row), and in whatever
// way it is written: base64 at any alignment, hexadecimal, percent-encoding,
// the escapes of JSON and Go, lists of byte values, gzip and zstd, and each of
// them within another.
//
// # Errors
//
// Data that cannot be searched in full, being nested too deep, is an error:
// what was not looked at is not clean.
//
// # Concurrency
//
// A Finder is safe for concurrent use.
package leaktest
