// Package oidc logs people in at an OpenID Connect provider, and takes the
// provider's tokens as bearer tokens, for package refserver.
//
//	p, err := oidc.New(&oidc.Options{Issuer: "https://id.example.com", ClientID: "appspan", ServerURL: "https://portal.example.com/cloud"})
//	if err != nil {
//		return err
//	}
//	options.Logins = append(options.Logins, p.Login())
//	options.Authenticators = append(options.Authenticators, p)
//
// People log in by the authorization code flow with PKCE (RFC 7636), state and
// nonce, all three bound to the browser by a cookie that lives for ten minutes; the
// redirect URL to register is ServerURL + "/login/oidc/callback". What the provider
// says of them then becomes a session of the server. Programs send a JWT of the
// provider's, an ID token or an access token, as a bearer token; its signature,
// issuer, audience and time are checked.
//
// The provider is asked when it is first needed: a server starts without it.
//
// # Errors
//
// Credentials that are wrong or expired wrap appspan.ErrDenied; a provider that
// does not answer appspan.ErrUnavailable.
//
// # Concurrency
//
// A Provider is safe for concurrent use.
package oidc
