// Package client is a Go client for the API of package refserver, and has the
// types of requests and responses that are not types of the SDK itself.
//
//	c, err := client.New("https://cloud.example.com/portal", &client.Options{Token: token})
//	if err != nil {
//		return err
//	}
//	for app, err := range c.Applications(ctx, nil) {
//		…
//	}
//
// # Errors
//
// What the server refuses is a *[Problem], which wraps the category of package
// appspan; what does not reach it is appspan.ErrUnavailable.
//
// # Concurrency
//
// A Client is safe for concurrent use.
package client
