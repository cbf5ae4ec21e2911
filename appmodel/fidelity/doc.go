// Package fidelity says how much of a foreign document an application keeps:
// what became of every leaf of it. Importers return it, programs show it to
// whoever moves an application:
//
//	app, report, err := manifests.Import(ctx, data, nil)
//	if err != nil {
//		return err
//	}
//	fmt.Print(report) // the counts, then what is degraded or unsupported, and the notes
//	if report.Fidelity() < 0.95 {
//		return errors.New("look at the report first")
//	}
//
// # Errors
//
// There are none.
//
// # Concurrency
//
// A report may be read concurrently.
package fidelity
