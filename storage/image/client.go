package image

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/appspan-dev/appspan"
)

// maxManifest bounds each manifest, index and list that is read: 4 MiB, which
// is what registries accept at most.
const maxManifest = 4 << 20

// ClientOptions shape a [Client]. The zero value, like nil, is the default:
// anonymous, over TLS.
type ClientOptions struct {
	// Credentials are asked when a registry wants to know who asks.
	Credentials Credentials
	// TokenHosts names, for a registry's host, the further hosts that may be
	// given its credential: those of its token service, where that is not the
	// registry itself, as in {"registry.gitlab.com": {"gitlab.com"}}.
	// auth.docker.io is known to be Docker Hub's.
	TokenHosts map[string][]string
	// PlainHTTP names the hosts, with their ports, that are spoken to without
	// TLS.
	PlainHTTP []string
	// Transport sends the requests, for a proxy or for further certificate
	// authorities. Nil is one of the client's own, without a proxy.
	Transport http.RoundTripper
	// Retries is how often a request, and a blob, is sent again after the
	// first time: 0 is 5, below 0 never.
	Retries int
	// MaxWait is the longest time between two attempts, 0 is one minute. A
	// registry that asks to wait longer fails the call, with
	// appspan.RetryAfter saying how long.
	MaxWait time.Duration
	// Stall is how long no byte may move, 0 is two minutes. Registries need
	// some time to store a big blob after its last byte.
	Stall time.Duration
}

// Client copies images between registries. It is safe for concurrent use.
type Client struct {
	opts      ClientOptions
	transport http.RoundTripper
	own       *http.Transport // the client's own, to be closed
	plain     map[string]bool
	cache     auth.Cache

	mu         sync.Mutex
	registries map[string]*auth.Client
}

// NewClient returns a client. It does no I/O.
func NewClient(opts *ClientOptions) *Client {
	c := &Client{registries: map[string]*auth.Client{}, plain: map[string]bool{}, cache: auth.NewCache()}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Retries == 0 {
		c.opts.Retries = 5
	}
	if c.opts.MaxWait <= 0 {
		c.opts.MaxWait = time.Minute
	}
	if c.opts.Stall <= 0 {
		c.opts.Stall = 2 * time.Minute
	}
	for _, host := range c.opts.PlainHTTP {
		c.plain[strings.TrimSuffix(strings.ToLower(host), ":80")] = true
	}
	if c.transport = c.opts.Transport; c.transport == nil {
		dialer := &net.Dialer{Timeout: 30 * time.Second}
		c.own = &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: 20 * time.Second, ForceAttemptHTTP2: true,
			DisableCompression:  true, // what has a digest must come as it is
			MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second, MaxResponseHeaderBytes: 256 << 10}
		c.transport = c.own
	}
	return c
}

// Format writes what it is; what it knows of registries is left out.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "image client") }

// Close closes the idle connections of the client's own transport. Calls that
// run are not affected.
func (c *Client) Close() error {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
	return nil
}

// repository is the way to the repository of a reference.
func (c *Client) repository(ref Ref) *remote.Repository {
	name := registry.Reference{Registry: ref.Registry, Repository: ref.Repository}
	plain := c.plain[strings.TrimSuffix(ref.Registry, ":80")]
	return &remote.Repository{
		Client: c.registry(ref.Registry, name.Host(), plain), Reference: name, PlainHTTP: plain,
		MaxMetadataBytes: maxManifest, ReferrerListMaxPages: 20, SkipReferrersGC: true,
	}
}

// registry is the client for one registry; dial is the host that is dialled
// for it.
func (c *Client) registry(host, dial string, plain bool) *auth.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if there := c.registries[host]; there != nil {
		return there
	}
	own := &url.URL{Scheme: "https", Host: dial}
	if plain {
		own.Scheme = "http"
	}
	g := &guard{base: c.transport, registry: hostOf(own), plain: c.plain, tokens: map[string]bool{}, stall: c.opts.Stall, secrets: &secrets{}}
	for _, t := range c.opts.TokenHosts[host] {
		g.tokens[strings.ToLower(t)] = true
	}
	if host == dockerHub {
		g.tokens["auth.docker.io"] = true
	}
	client := &auth.Client{
		Client: &http.Client{Transport: &retrier{base: g, retries: c.opts.Retries, maxWait: c.opts.MaxWait}},
		Header: http.Header{"User-Agent": {"appspan"}}, Cache: c.cache, ClientID: "appspan",
		Credential: func(ctx context.Context, _ string) (auth.Credential, error) {
			if c.opts.Credentials == nil {
				return auth.EmptyCredential, nil
			}
			known, err := c.opts.Credentials(ctx, host)
			if err != nil && !hasCategory(err) && ctx.Err() == nil {
				err = fmt.Errorf("%w: %w", appspan.ErrDenied, err)
			}
			if err != nil {
				return auth.EmptyCredential, fmt.Errorf("the credential of %s: %w", host, err)
			}
			g.secrets.add(known.Password, known.IdentityToken, known.RegistryToken, base64.StdEncoding.EncodeToString([]byte(known.Username+":"+known.Password)))
			return auth.Credential{Username: known.Username, Password: known.Password, RefreshToken: known.IdentityToken, AccessToken: known.RegistryToken}, nil
		},
	}
	c.registries[host] = client
	return client
}

// Resolve returns the digest that a reference stands for now: its own, or that
// of its tag in the registry. A digest in the reference is checked to be there.
func (c *Client) Resolve(ctx context.Context, ref Ref) (string, error) {
	if err := ref.check(); err != nil {
		return "", wrap("resolve", ref, err)
	}
	desc, err := resolve(ctx, c.repository(ref), ref)
	return desc.Digest.String(), wrap("resolve", ref, err)
}
