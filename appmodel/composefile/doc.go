// Package composefile reads docker compose files into applications, for
// programs whose users come from one machine and go to clusters.
//
//	root, err := os.OpenRoot(".") // what it opens stays below, whatever links say
//	if err != nil {
//		return err
//	}
//	defer root.Close()
//	app, report, err := composefile.Import(ctx, data, &composefile.Options{
//		File:   "shop.compose.yaml",
//		Files:  root.FS(),
//		Images: map[string]string{"api": "registry.example.com/shop/api:3.2.0"},
//	})
//	if err != nil {
//		return err // says file:line:column, what is wrong, and the next step
//	}
//	fmt.Print(report) // what of the file was mapped, degraded, or has no place
//
// The file is checked and merged by compose-go. Nothing but [Options.Files] is
// read, neither the process's environment nor the network. Inputs, aliases,
// variables, companions and port ranges are bounded before compose-go sees
// them.
//
// # What is inferred
//
// A known database image with a named volume is stateful, mode: global a
// daemon, a service for whose completion another one waits a job. Variables
// that are called like passwords become secret items; an unset ${NAME} that is
// one is generated, once for all services that use it. A value that names
// another service (db, db:3306, http://api:8000, jdbc:mysql://db/shop) becomes
// a need with a template, and credentials that a known database declares lead
// to what it provides. The main published web port (80, 443, 8080, 8000 or 3000
// of the machine, else the first that usually serves pages) becomes an http
// route, which takes every host; the others become tcp or udp routes. Each
// service keeps its compose names as aliases, since images and configuration
// files hold them: two applications in one namespace may both claim "db", which
// the plan refuses.
//
// # The report
//
// Every leaf of the file appears in the [Report] exactly once.
//
// # Errors
//
// A file that can't be read is an [*appmodel.InvalidError] with all faults
// that were found; it wraps appspan.ErrInvalid. Errors of ctx are returned as
// they are. No report holds a value of a secret.
//
// # Concurrency
//
// Import may be called concurrently; it keeps nothing.
package composefile
