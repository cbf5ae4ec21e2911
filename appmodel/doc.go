// Package appmodel is the unified model of an application: one document that
// says what an application is, whatever it came from and wherever it goes.
//
// It is for programs that read, write, compare or change such documents:
// importers produce them, package deploy renders them for a cluster, and
// overrides, copies, promotions and upgrades merge them. The package is pure:
// data in, data out; but for the names of time zones, which are looked up in the
// database of the machine where it has one, it does no I/O.
//
//	app, faults, err := appmodel.Decode(data, &appmodel.DecodeOptions{File: "shop.yaml"})
//	if err != nil {
//		return err // every fault at once: shop.yaml:41:9: components[api].needs[db]: no component "maria"; did you mean "mariadb"? …
//	}
//	for _, warning := range faults {
//		fmt.Println(warning)
//	}
//	production, _, err := appmodel.Apply(app, override)
//
// [Decode], [DecodeOverride] and [DecodeEnvironment] read strictly: what is
// unknown, doubled, ambiguous or too large is an error with its position, its
// path and the next step. [Validate] says the same of a document that a
// program built. [WithDefaults] fills in what the author left out, [Encode]
// writes a document in its author's order, [Canonical] in the one form that
// [Hash] stands for, [Redact] takes inline secret values out. [ParseTemplate]
// reads ${…}. [Schema] is the JSON Schema for editors.
//
// [Diff] finds the smallest [Override] between two states, [Apply] applies
// one, [Merge] merges two descendants of a common ancestor by identity and by
// the author's policies, [Resolve] puts answers in the place of parameters.
//
// # Secrets
//
// Secret values stand under secrets only, as [Sensitive], whose every printed
// or encoded form is "(redacted)". No fault, change or conflict holds one.
// [Encode] leaves them out unless asked; [Canonical] does not: [Redact] first.
//
// # Errors
//
// What is wrong with a document is an [*InvalidError], which wraps
// appspan.ErrInvalid and lists the [Faults]; at most 200 are listed and the
// others counted. Other errors wrap appspan.ErrInvalid too: nothing here can
// succeed by being tried again.
//
// # Concurrency
//
// All functions may be called concurrently. None keeps or changes what it is
// given; results share no memory with arguments. The documents themselves are
// plain data: guard them if one goroutine writes.
package appmodel
