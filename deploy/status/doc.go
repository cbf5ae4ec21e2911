// Package status says how applications do, with causes: pure functions from
// live Kubernetes objects to values that programs and people can act upon.
//
// Package deploy lists the objects and calls it; a program that holds objects
// from elsewhere, an informer for example, may call it too.
//
//	s := status.OfCluster(status.Input{Application: app, Name: "eu-1", Namespace: "shop",
//		Objects: objects, Expected: refs, Now: time.Now()})
//	fmt.Print(status.Of("shop", []status.Cluster{s}).Tree(nil))
//
// The rules: a component is as its worst workload, its replicas and its
// endpoints are; an application on a cluster is as its worst required
// component, and Degraded at worst for an optional one; on several clusters it
// has counts by value and no single one. What does not answer is Unknown,
// beside what was known and its age. What is missing or cannot be read is never
// Ready.
//
// # Errors
//
// There are none: what cannot be read is Unknown.
//
// # Concurrency
//
// All functions are pure and safe for concurrent use.
package status
