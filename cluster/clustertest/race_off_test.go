//go:build !race

package clustertest_test

const racing = false
