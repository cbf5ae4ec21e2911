//go:build !race

package leaktest_test

const racing = false
