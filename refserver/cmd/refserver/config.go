package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// config is everything that flags and the file of -config say.
type config struct {
	addr, data, basePath, hubURL, installation string
	demo, version, tokens                      bool
	config                                     string

	hub, hubContext, hubNamespace, keys string

	tlsCert, tlsKey string

	operators, operatorGroups, frameAncestors, allowOrigins list

	oidcIssuer, oidcClientID, oidcSecretFile, oidcSubject, oidcGroups, oidcTitle, publicURL string
	oidcScopes, oidcAudiences                                                               list

	trustedHeader, trustedGroups, trustedTeam string
	trustedFrom                               list
	trustedAmbient                            bool

	logLevel, logFormat string
	shutdown            time.Duration
}

// list is a flag that takes several values: given several times, or divided by
// commas.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }
func (l *list) Set(text string) error {
	for _, one := range strings.Split(text, ",") {
		if one = strings.TrimSpace(one); one != "" {
			*l = append(*l, one)
		}
	}
	return nil
}

const intro = `refserver is the reference server of Appspan: a console and an API for
applications on many Kubernetes clusters.

  refserver -demo                 look around: clusters in memory, nothing is kept
  refserver                       for yourself, on this machine; keeps ./appspan-data
  refserver token -subject ann    make a bearer token, the first one or a further one
  refserver keys appspan.key      make a key file, for -keys
  refserver -config server.yaml   for others: with TLS and a login, see docs/server.md

Without a login (-tokens, -oidc-issuer, -trusted-header) whoever is on this machine
is the operator, and nobody else gets in: -addr has to be an address of loopback.

Each flag is a key of the file that -config names, without the dash; a flag that is
given wins over the file.

`

// flags are those of the program, which fill c.
func (c *config) flags(name string, stderr io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&c.addr, "addr", "127.0.0.1:8080", "`address` to listen at; port 0 is any free one")
	f.StringVar(&c.data, "data", "./appspan-data", "`directory` with everything that is kept, if there is no -hub; back it up")
	f.BoolVar(&c.demo, "demo", false, "clusters in memory with sample applications; everything is gone at the end")
	f.StringVar(&c.config, "config", "", "YAML `file` with what flags say")
	f.StringVar(&c.basePath, "base-path", "", "serve below this `path`, like /cloud")
	f.StringVar(&c.publicURL, "public-url", "", "the `URL` that browsers see, without the base path; default http(s)://<-addr>")
	f.StringVar(&c.hubURL, "hub-url", "", "the `URL` at which agents of clusters reach this server, written into join tokens; default -public-url")
	f.StringVar(&c.installation, "installation", "appspan", "`name` that tells this server from others on the same clusters; keep it for ever")
	f.Var(&c.operators, "operators", "`IDs` of subjects that may do everything")
	f.Var(&c.operatorGroups, "operator-groups", "`groups` of such")
	f.Var(&c.frameAncestors, "frame-ancestors", "`origins` of pages that may show the console in a frame")
	f.Var(&c.allowOrigins, "allow-origins", "`origins` of pages that may call the API (CORS)")

	f.StringVar(&c.hub, "hub", "", "keep records in a Kubernetes cluster, so that several replicas share them: a kubeconfig `file`, or in-cluster")
	f.StringVar(&c.hubContext, "hub-context", "", "the `context` of the -hub kubeconfig; default its current one")
	f.StringVar(&c.hubNamespace, "hub-namespace", "appspan", "the `namespace` of the hub that holds the records; it has to exist")
	f.StringVar(&c.keys, "keys", "", "key `file` of all replicas; with -hub, required; default appspan.key in -data")

	f.StringVar(&c.tlsCert, "tls-cert", "", "PEM `file` with the certificate and its chain; read again when it changes")
	f.StringVar(&c.tlsKey, "tls-key", "", "PEM `file` with its key")

	f.BoolVar(&c.tokens, "tokens", false, "bearer tokens of this server are a login: make one with refserver token")
	f.StringVar(&c.oidcIssuer, "oidc-issuer", "", "issuer `URL` of an OpenID Connect provider to log in at")
	f.StringVar(&c.oidcClientID, "oidc-client-id", "", "client `ID` there")
	f.StringVar(&c.oidcSecretFile, "oidc-client-secret-file", "", "`file` with the client's secret; none for a public client")
	f.Var(&c.oidcScopes, "oidc-scopes", "`scopes` to ask for, beside openid")
	f.Var(&c.oidcAudiences, "oidc-audiences", "`audiences` that bearer tokens of the issuer may have; default the client's ID")
	f.StringVar(&c.oidcSubject, "oidc-subject-claim", "sub", "`claim` that says who somebody is; email only if it is verified")
	f.StringVar(&c.oidcGroups, "oidc-groups-claim", "groups", "`claim` with groups")
	f.StringVar(&c.oidcTitle, "oidc-title", "Single sign-on", "what is on the `button` of the console")

	f.StringVar(&c.trustedHeader, "trusted-header", "", "`header` in which a portal in front says who sends a request")
	f.StringVar(&c.trustedGroups, "trusted-header-groups", "", "`header` with groups, divided by commas")
	f.StringVar(&c.trustedTeam, "trusted-header-team", "", "`header` with the team to act for")
	f.Var(&c.trustedFrom, "trusted-header-from", "`networks` of the portal, like 10.1.2.0/24; required")
	f.BoolVar(&c.trustedAmbient, "trusted-header-cookies", true, "the portal knows browsers by cookies: refuse what pages of other origins send")

	f.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&c.logFormat, "log-format", "text", "text or json")
	f.DurationVar(&c.shutdown, "shutdown-timeout", 20*time.Second, "for how long requests may go on after SIGTERM")
	f.BoolVar(&c.version, "version", false, "print the version")
	f.Usage = func() {
		fmt.Fprint(stderr, intro)
		f.PrintDefaults()
	}
	return f
}

// parse reads flags, and the file that they name.
func parse(args []string, stderr io.Writer) (*config, error) {
	c := &config{}
	f := c.flags("refserver", stderr)
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("%q is no flag; refserver -help lists them", f.Arg(0))
	}
	if c.config != "" {
		if err := fromFile(f, c.config); err != nil {
			return nil, err
		}
	}
	return c, c.validate()
}

const maxConfig = 1 << 20

// fromFile sets the flags that were not given from a file.
func fromFile(f *flag.FlagSet, path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if len(data) > maxConfig {
		return fmt.Errorf("%s: %d bytes; at most %d", path, len(data), maxConfig)
	}
	given := map[string]bool{}
	f.Visit(func(fl *flag.Flag) { given[fl.Name] = true })
	var doc map[string]yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := d.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: one document is wanted, there are more", path)
	}
	for key, node := range doc {
		fl := f.Lookup(key)
		if fl == nil || key == "config" || key == "version" {
			return fmt.Errorf("%s:%d: no key is named %q; refserver -help lists them", path, node.Line, key)
		}
		values := []*yaml.Node{&node}
		if _, many := fl.Value.(*list); many && node.Kind == yaml.SequenceNode {
			values = node.Content
		}
		for _, v := range values {
			if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
				return fmt.Errorf("%s:%d: %s takes one value", path, node.Line, key)
			}
			if given[key] {
				continue
			}
			if err := fl.Value.Set(v.Value); err != nil {
				return fmt.Errorf("%s:%d: %s: %w", path, node.Line, key, err)
			}
		}
	}
	return nil
}

// login reports whether anything says who somebody is.
func (c *config) login() bool { return c.tokens || c.oidcIssuer != "" || c.trustedHeader != "" }

func (c *config) validate() error {
	switch {
	case (c.tlsCert == "") != (c.tlsKey == ""):
		return errors.New("-tls-cert and -tls-key go together")
	case c.demo && c.hub != "":
		return errors.New("-demo keeps nothing, -hub does: give one of them")
	case c.hub != "" && c.keys == "":
		return errors.New("-hub needs -keys, a file that all replicas have: make one with: refserver keys appspan.key")
	case c.oidcIssuer != "" && c.oidcClientID == "":
		return errors.New("-oidc-issuer needs -oidc-client-id")
	case c.oidcIssuer == "" && (c.oidcClientID != "" || c.oidcSecretFile != ""):
		return errors.New("-oidc-client-id needs -oidc-issuer")
	case c.trustedHeader != "" && len(c.trustedFrom) == 0:
		return errors.New("-trusted-header needs -trusted-header-from: whoever else reaches the server could be anybody")
	}
	return nil
}
