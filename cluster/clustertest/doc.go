// Package clustertest is the conformance suite of cluster drivers, for the
// authors of providers: every promise of package driver, and every behaviour
// of a Kubernetes API server that Appspan relies on, is one named subtest.
//
//	func TestConformance(t *testing.T) {
//		open := func(t *testing.T) driver.Cluster { return fake.New(nil) }
//		clustertest.Run(t, open, &clustertest.Options{Workloads: true})
//	}
//
// A real kube-apiserver passes it; where the suite and a real server
// disagree, the server is right. The suite needs no more than an API server;
// with [Options.Workloads] it also states what the controllers of a cluster
// do, as far as deployments depend on it, and with [Options.Logs] and
// [Options.Exec] how containers are reached.
//
// # Errors
//
// A failing promise says what was expected and where the expectation comes
// from: the contract of the driver, the Kubernetes API reference, or a KEP.
//
// # Concurrency
//
// Promises run in parallel, each on a connection and in a namespace of its
// own, so that several suites may run on one cluster. What a promise makes
// outside of its namespace has a unique name and is removed.
package clustertest
