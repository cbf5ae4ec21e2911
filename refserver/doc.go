// Package refserver is the reference server: an http.Handler over the packages of
// Appspan, and what a vendor embeds in a portal.
//
//	server, err := refserver.Open(ctx, &refserver.Options{Dir: "data", Authenticators: []refserver.Authenticator{login}})
//	if err != nil {
//		return err
//	}
//	defer server.Close()
//	go server.Run(ctx)
//	mux.Handle("/cloud/", http.StripPrefix("/cloud", server)) // or Options.BasePath: "/cloud"
//
// It has an API under /api/v1, described by the OpenAPI document at
// /openapi.json, a console at /, and /healthz, /readyz and /metrics. Package
// refserver/client is a client for the API and has the types that are not the
// SDK's own; refserver/cmd/refserver is a program.
//
// The handlers decide nothing: every call goes through the SDK's Authorizer, quota
// and audit, on behalf of the appspan.Subject that an [Authenticator] found.
//
// # Errors
//
// Responses that are errors are problem details (RFC 9457) of stable types, one for
// each category of package appspan; see [ProblemType].
//
// # Concurrency
//
// A Server is safe for concurrent use. Several may share the same records: each
// operation is executed by one of them at a time.
package refserver
