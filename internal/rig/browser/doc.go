// Package browser uses the console of the reference server as a person does, in
// a headless Chromium: it holds tests alone. They pass over themselves where no
// Chromium is installed; `-args` has nothing to set, `go test -artifacts` keeps
// the screenshots.
//
//	go test -v -artifacts -outputdir /tmp/console ./browser
//
// testdata/axe-core is a copy of axe-core under its own licence (MPL-2.0), by
// which pages are judged; it is part of nothing that is released.
//
// # Errors
//
// It exports nothing.
//
// # Concurrency
//
// It exports nothing.
package browser
