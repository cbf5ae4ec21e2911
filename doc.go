// Package appspan is the vocabulary that every package of the SDK shares:
// the categories of errors, the events of a long call, who acts ([Subject]),
// who may ([Authorizer]), and what was done ([Auditor]).
//
// Appspan manages whole applications over many Kubernetes clusters, as a
// library. This package is its leaf: it imports nothing of the SDK and links
// nothing beyond the standard library. Programs mostly meet it when they ask
// what an error means:
//
//	result, err := deployer.Apply(ctx, plan, nil)
//	switch {
//	case errors.Is(err, appspan.ErrPrecondition): // the plan is stale: plan again
//	case appspan.Retryable(err):                  // the same call may succeed later
//		time.Sleep(appspan.RetryAfter(err))
//	}
//
// # Errors
//
// Every error that the SDK returns wraps one of the sentinels of this package,
// or a context error. Test with [errors.Is]; the text is for people and may
// change. Packages add a typed error that says where it happened, for example
// [github.com/appspan-dev/appspan/cluster.Error].
//
// # Concurrency
//
// The functions are pure. Implementations of [Authorizer] and [Auditor] are
// called from several goroutines at once.
package appspan
