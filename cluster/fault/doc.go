// Package fault breaks a cluster driver on purpose, for tests of what stands
// above it: calls that fail, answers that are lost, servers that are slow or
// say nothing, streams that are cut, lists that lie.
//
//	broken := fault.New(fake.New(nil),
//		fault.Rule{Op: fault.Apply, Kind: "Deployment", Nth: 3, When: fault.After, Err: fault.Lost},
//		fault.Rule{Op: fault.List, Probability: 0.1, Seed: 7, Delay: time.Second})
//
// The third apply of a Deployment happens, but its caller hears that the
// cluster is unavailable; every tenth list takes a second longer.
//
// # Errors
//
// What rules say, as they say it; otherwise the driver's own. A hanging call
// fails with its context's error. An optional interface that the driver does
// not have fails with appspan.ErrUnsupported.
//
// # Concurrency
//
// Everything may be called at the same time; rules can be added and removed
// while calls run. Chance is drawn per object and call from the rule's seed,
// so that it does not depend on how goroutines are scheduled. Time is taken
// from package time: a testing/synctest bubble makes delays virtual.
package fault
