//go:build race

package leaktest_test

// racing: the race detector watches.
const racing = true
