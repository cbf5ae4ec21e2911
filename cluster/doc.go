// Package cluster holds one connected Kubernetes cluster as a value: [Cluster]
// applies, reads, lists, watches and deletes objects through a driver, and
// does for every driver alike what drivers do not: it validates, retries, pages,
// keeps watches alive, caches what the cluster can do, notices that a name
// suddenly means another cluster, and says in its errors what failed where.
//
// It is for programs that work on objects of clusters. Whole applications are
// the business of package deploy, which stands on this one.
//
//	c := cluster.New("eu-1", fake.New(nil), nil)
//	defer c.Close()
//	for object, err := range c.List(ctx, cluster.Query{APIVersion: "apps/v1", Kind: "Deployment"}) {
//		if err != nil {
//			return err
//		}
//		fmt.Println(object.Ref)
//	}
//
// Drivers are in the packages kube (any Kubernetes, through client-go), fake
// (in memory) and tunnel (clusters that dial in); driver says how to write one.
//
// # Errors
//
// Every error is an [*Error] that names the operation, the cluster and the
// object, and wraps one of the sentinels of package appspan, or the context's
// error when the caller's context ended. What appspan.Retryable reports has
// been repeated already, [Options].Attempts times. A call that got no answer
// within [Options].Timeout is appspan.ErrUnavailable; whether a write among
// them took effect is unknown.
//
// # Concurrency
//
// A [Cluster] and a [Set] are safe for concurrent use. The sequences of List
// and Watch belong to one goroutine and are read once. Nothing runs in the
// background: a call that has returned, and a loop that was left, have ended.
package cluster
