// Package kube is the driver for Kubernetes clusters that a program can reach:
// through a kubeconfig, from inside the cluster, or with any rest.Config of
// client-go.
//
//	d, err := kube.FromKubeconfig(kubeconfig, "production", nil)
//	if err != nil {
//		return err
//	}
//	c := cluster.New("eu-1", d, nil)
//	defer c.Close()
//
// Objects travel as the JSON that the server sends: lists are split, not
// decoded. There is no client-side rate limit; the number of calls at a time
// follows what the server's priority and fairness lets through, between 1 and
// 64, shared by everything that goes to one cluster, watches apart.
// An answer is bounded in size, and without a deadline of the caller's in time:
// two minutes, a stream of a watch ten and a half.
//
// A [Cluster] is also a driver.Watcher, driver.Subresourcer,
// driver.LogStreamer, driver.Execer, driver.PortForwarder, driver.UsageReader
// and driver.Impersonator. Exec and Forward need a server that speaks
// WebSockets to pods: Kubernetes 1.30 and 1.31, respectively, or later.
//
// # Kubeconfigs of strangers
//
// [FromKubeconfig] and [Provider] read a kubeconfig as data. What would make
// this program run commands, read its files or send its traffic elsewhere
// (exec and auth-provider plug-ins, paths, proxies) is refused unless [Options]
// allow it. A server's redirect is refused too, because the credentials would
// follow it. That a kubeconfig does without the check of the server's
// certificate is left to it. Paths of a kubeconfig are taken as they are, relative to the working
// directory.
//
// # Identity
//
// A cluster's UID is that of its namespace kube-system. Credentials that may
// not read it get a hash of the server's URL and CA instead, with the prefix
// "host:": stable, but it changes with the address. Other parts of Info that
// the credentials may not list (nodes, storage classes, …) are empty.
//
// # Errors
//
// As package driver asks. What the server refused as too much, and whatever
// got no answer though it is safe to repeat (reads, server-side applies without
// IfRevision, deletes with a UID), is marked retryable; a create without an
// answer is not, because it may have happened.
//
// # Concurrency
//
// All methods may be called at the same time. The only goroutines that outlive
// a call belong to net/http, for connections that are kept, and to open
// watches, logs and forwards; a Read of ExecOptions.Stdin that hangs is not
// waited for.
package kube
