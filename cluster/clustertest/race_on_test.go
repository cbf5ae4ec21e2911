//go:build race

package clustertest_test

// racing: the race detector watches.
const racing = true
