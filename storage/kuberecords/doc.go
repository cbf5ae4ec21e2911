// Package kuberecords keeps records as Secrets in one namespace of a
// Kubernetes cluster, the hub: for programs of which several processes run,
// and for those that have no disk.
//
//	d, err := kuberecords.NewRecords(hub, kuberecords.Options{Namespace: "appspan"})
//	records := storage.NewRecords(d, nil)
//
// A record is one Secret of type appspan.dev/record, whose name is a hash of
// its key. The key is in an annotation, the value in data. The namespace has
// to exist; the identity of hub needs get, list, watch, create, patch and
// delete of secrets in it, and get of the namespace kube-system.
//
// A value has at most [MaxValue] bytes, as a Secret does, and a List or the
// beginning of a Watch reads all records of the store, the selector being one
// of labels: it holds their keys and the values of one page in memory.
// Thousands of records are fine, a hundred thousand are not. Anything that may
// read Secrets of the namespace can read the values: seal what is secret
// (storage/seal).
//
// # Errors
//
// As storage/driver says, and those of the cluster, marked as it marks them. A
// value that is too large is appspan.ErrInvalid, a Secret that has our labels
// and is no record appspan.ErrCorrupt.
//
// # Concurrency
//
// Everything is safe for concurrent use, by any number of processes.
package kuberecords
