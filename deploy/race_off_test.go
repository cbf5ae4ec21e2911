//go:build !race

package deploy_test

const racing = false
