// Package manifests reads Kubernetes manifests into applications, for programs
// whose users have YAML already: a file, a directory, or what `helm template`
// and `kustomize build` print. Nothing is executed and no cluster is asked.
//
//	app, report, err := manifests.Import(ctx, data, &manifests.Options{File: "shop.yaml"})
//	if err != nil {
//		return err // says file:line:column, what is wrong, and the next step
//	}
//	fmt.Print(report) // what was mapped, kept raw, degraded, or has no place
//
// # What becomes of an object
//
// Workloads become components, Services ports, Ingresses and routes of the
// Gateway API routes, ConfigMaps and Secrets groups, claims volumes,
// HorizontalPodAutoscalers and PodDisruptionBudgets fields of the components.
// Names, selectors and pod templates are pinned, so that rendering gives the
// same objects again: what no typed field says becomes a patch of the object,
// and an object that no field knows stands under kind: objects. Names of
// Services in variables become needs.
//
// # The report
//
// Every leaf of every object appears in the [fidelity.Report] exactly once.
// Reading a leaf is what accounts for it: what nobody read is kept raw, or
// reported as unsupported. Leaves that only repeat a default of Kubernetes, and
// what servers write into objects, are implied.
//
// # Errors
//
// A file that can't be read is an [*appmodel.InvalidError] with all faults that
// were found; it wraps appspan.ErrInvalid. Errors of ctx and of a file system
// are returned as they are. No report and no error holds a value of a Secret.
//
// # Concurrency
//
// Import and ImportFS may be called concurrently; they keep nothing.
package manifests
