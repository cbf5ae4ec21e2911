package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/refserver"
	"github.com/appspan-dev/appspan/refserver/oidc"
)

// logins says who gets in. Tokens of the server always do.
func (c *config) logins(o *refserver.Options, address string) error {
	if !c.login() {
		o.Authenticators = append(o.Authenticators, refserver.Loopback{Subject: appspan.Subject{ID: localOperator}})
		o.Operators = append(o.Operators, localOperator)
		return nil
	}
	if c.trustedHeader != "" {
		header := refserver.TrustedHeader{Subject: c.trustedHeader, Groups: c.trustedGroups, Team: c.trustedTeam, Ambient: c.trustedAmbient}
		for _, text := range c.trustedFrom {
			prefix, err := netip.ParsePrefix(text)
			if addr, one := netip.ParseAddr(text); one == nil {
				prefix, err = addr.Prefix(addr.BitLen())
			}
			if err != nil {
				return fmt.Errorf("-trusted-header-from: %w; give networks like 10.1.2.0/24", err)
			}
			header.From = append(header.From, prefix)
		}
		o.Authenticators = append(o.Authenticators, header)
	}
	if c.oidcIssuer != "" {
		secret := ""
		if c.oidcSecretFile != "" {
			data, err := os.ReadFile(c.oidcSecretFile)
			if err != nil {
				return fmt.Errorf("-oidc-client-secret-file: %w", err)
			}
			secret = strings.TrimSpace(string(data))
		}
		p, err := oidc.New(&oidc.Options{Issuer: c.oidcIssuer, ClientID: c.oidcClientID, ClientSecret: secret, ServerURL: address + c.basePath,
			Title: c.oidcTitle, Scopes: c.oidcScopes, Audiences: c.oidcAudiences, SubjectClaim: c.oidcSubject, GroupsClaim: c.oidcGroups})
		if err != nil {
			return err
		}
		o.Authenticators = append(o.Authenticators, p)
		o.Logins = append(o.Logins, p.Login())
	}
	return nil
}
