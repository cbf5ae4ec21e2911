//go:build race

package deploy_test

// racing: the race detector watches.
const racing = true
