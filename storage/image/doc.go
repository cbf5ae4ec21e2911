// Package image copies container images between registries by digest, and
// moves all images of an application to another registry: for a cluster that
// reaches only its own, for production that must not depend on other people's,
// for a copy of an application elsewhere.
//
//	client := image.NewClient(&image.ClientOptions{Credentials: credentials})
//	defer client.Close()
//	m, err := client.Relocate(ctx, app, "registry.example.com/mirror", nil)
//	plan, err := deployer.Plan(ctx, app, target, &deploy.PlanOptions{Images: m.References()})
//
// [Client.Relocate] finds the images ([Find]), resolves their tags, copies each
// once ([Client.Copy]) and returns a [Map], which is plain data to be kept with
// the release. The application stays its author's: rendering applies the map.
// [Map.Rewrite] gives a rewritten application where that is wanted, and for
// images in raw objects and patches.
//
// What a registry says is not trusted. Sizes and digests are verified, what is
// read is bounded, a credential goes to the registry that it is for and to the
// token services that the program names, and TLS is left out only for hosts
// that the program names.
//
// # Errors
//
// Errors are [*Error], say which image they are about, and wrap a sentinel of
// package appspan: ErrNotFound for an image that is not there, ErrDenied for
// what the registry or the rules above refuse, ErrUnavailable for a registry
// that did not answer after all retries (appspan.RetryAfter says how long it
// asked to wait), ErrCorrupt for an answer that is not what its digest says,
// ErrExhausted for what is beyond a bound, ErrUnsupported for an image of a
// kind that can't be copied. A cancelled context's error stays what it is. No
// error, event or map holds a credential.
//
// # Concurrency
//
// A [Client] is safe for concurrent use. A call that returned has finished;
// what it sent stays, and the same call again sends the rest. Idle connections
// are kept until Close.
package image
