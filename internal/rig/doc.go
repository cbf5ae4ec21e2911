// Package rig starts real Kubernetes control planes for tests, without a container engine and without anything
// installed but Go: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok (which plays the kubelets)
// are built once from their Go modules, kept in the user's cache directory, and started as ordinary processes on free
// loopback ports. Several control planes run side by side.
//
// It is for tests and benches that must not trust a fake. Tests of the main module do not import it: they run under
// the program cmd/rig, which hands them a kubeconfig in APPSPAN_RIG_KUBECONFIG.
//
//	bin, err := rig.Build(ctx, nil)
//	...
//	cp, err := rig.Start(ctx, bin, rig.Options{Name: "eu-1"})
//	...
//	defer cp.Stop()
//	run("kubectl", "--kubeconfig", cp.Kubeconfig(), "get", "nodes")
//
// # Errors
//
// Build reports the program that could not be built. Start reports the process that ended or did not become ready,
// with the tail of its log; nothing that it started is left then.
//
// # Concurrency
//
// Build may run in several processes at once: one builds, the others wait. Start may be called concurrently. The
// methods of a ControlPlane may be called from any goroutine. Processes are started by one thread that lives as long
// as the control plane; on Linux they die with the program that started them, however it ends.
package rig
