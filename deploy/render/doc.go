// Package render turns a resolved application and one cluster's abilities
// into typed Kubernetes objects. It is pure: no I/O, no clock, no randomness;
// the same input gives the same bytes. Package deploy plans and applies what
// it returns; vendors may call it to look at the objects:
//
//	out, err := render.Render(render.Input{Application: app, Namespace: "shop", Installation: "i1"})
//
// Secret values stand in the data of Secrets and nowhere else: variables refer
// to them, composed ones through helper variables, and files with a secret in
// them go to a Secret. Pods restart when what they read changes, through a
// keyed hash in their template.
//
// Patches edit what was rendered, and leave pods as confined as they were: what
// a pod template says of its security stays, and what a patch adds passes the
// checks of Pod Security at the component's level, in the words of the newest
// Kubernetes. A container that is itself confined may be added. A volume that
// projects a token of the service account is refused where the pods have none,
// and allowed where they have it anyway, as a token for another audience is no
// further right within the cluster. Certificates of pods need level privileged.
//
// # Errors
//
// [Render] returns an error that wraps appspan.ErrInvalid when the application
// is not valid or refers to what the input does not have, and
// appspan.ErrUnsupported when the cluster cannot run it at all and no fallback
// exists. What has a fallback is a [Note].
//
// # Concurrency
//
// All functions are safe for concurrent use; inputs are not changed.
package render
