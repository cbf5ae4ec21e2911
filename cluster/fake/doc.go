// Package fake has in-memory Kubernetes clusters with a real API server's
// semantics, for tests, examples and demonstrations of programs that use
// Appspan, client-go or kubectl.
//
// A [Cluster] merges server-side applies with the API machinery's own code,
// defaults and validates the common kinds in the server's words, counts
// revisions and generations, keeps finalizers and owners, pages consistent
// snapshots, resumes watches, enforces quotas, limit ranges, pod security and
// the roles of impersonated identities. Small controllers make workloads run:
// Deployments roll, StatefulSets start in order, DaemonSets cover nodes, Jobs
// complete, CronJobs are due, claims are bound, Services get endpoints,
// autoscalers follow [Cluster.SetLoad]. A [Script] makes pods fail as real
// ones do, with a kubelet's reasons, messages and Events; images from a host
// that ends in ".invalid" can never be pulled.
//
//	c := fake.New(&fake.Options{ReadyAfter: 2 * time.Second})
//	defer c.Close()
//	remove := c.Script(fake.Script{Image: "shop/web:*", Failure: fake.CrashLoop})
//	// … deploy, see it break …
//	remove() // it recovers
//
// Time is package time's: under testing/synctest the cluster lives on the
// virtual clock, and synctest.Wait waits until everything has settled. There
// is no goroutine while nothing is to be done. [Cluster.Handler] serves the
// cluster as a Kubernetes API.
//
// Not simulated: pod affinity and topology spread, preemption, priorities,
// proportional scaling of a paused rollout, the windows of autoscalers, the
// projected token volume of pods, conversion between API versions (each kind
// has one), schemas of custom kinds (their lists are atomic), exec and port
// forwarding over HTTP, aggregation of ClusterRoles, real images and networks.
//
// # Errors
//
// As [github.com/appspan-dev/appspan/cluster/driver] promises. Over HTTP they
// are the Status objects of a real server.
//
// # Concurrency
//
// All methods may be called at the same time from several goroutines, also
// during Close; calls after Close fail with driver.ErrClosed. Components run
// one task after the other.
package fake
