package main

import (
	"context"
	"net/http"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/refserver"
)

// cloud is Appspan below /cloud of a portal, for whoever is logged in there: all
// that the portal has to add.
func cloud(ctx context.Context, dir string, whois func(*http.Request) (user string, groups []string)) (*refserver.Server, error) {
	login := refserver.AuthenticatorFunc(func(r *http.Request) (*refserver.Login, error) {
		user, groups := whois(r)
		if user == "" {
			return nil, nil
		}
		// Ambient: the portal knows browsers by a cookie
		return &refserver.Login{Subject: appspan.Subject{ID: user, Groups: groups}, Method: "portal", Ambient: true}, nil
	})
	return refserver.Open(ctx, &refserver.Options{
		Dir:            dir,
		OperatorGroups: []string{"platform"},
		HandlerOptions: refserver.HandlerOptions{BasePath: "/cloud", Authenticators: []refserver.Authenticator{login}},
	})
}
