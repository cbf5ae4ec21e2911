package kube

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// Options shape a [Cluster]. The zero value, like nil, is the default.
type Options struct {
	// UserAgent goes into the server's audit log; default "appspan".
	UserAgent string
	// MaxConcurrency is how many calls run at a time at most; default 64.
	MaxConcurrency int
	// Compress asks for compressed answers: it saves bandwidth, and costs time
	// where there is enough of it.
	Compress bool
	// AllowExec lets a kubeconfig run commands and auth-provider plug-ins.
	AllowExec bool
	// AllowFiles lets a kubeconfig name files of this machine.
	AllowFiles bool
	// AllowProxy lets a kubeconfig name a proxy.
	AllowProxy bool
	// AllowLinkLocal lets a kubeconfig lead to addresses of the machine's own link,
	// as 169.254.169.254, at which clouds serve credentials.
	AllowLinkLocal bool
}

// Cluster is one Kubernetes cluster, as a driver.
type Cluster struct {
	config  *rest.Config
	client  *http.Client
	base    string // scheme, host and path prefix, without a slash at the end
	kinds   *kinds
	limiter *limiter
	own     bool // connections are its own, not another Cluster's

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	once   sync.Once
}

var (
	_ driver.Cluster       = (*Cluster)(nil)
	_ driver.Watcher       = (*Cluster)(nil)
	_ driver.Subresourcer  = (*Cluster)(nil)
	_ driver.LogStreamer   = (*Cluster)(nil)
	_ driver.Execer        = (*Cluster)(nil)
	_ driver.PortForwarder = (*Cluster)(nil)
	_ driver.UsageReader   = (*Cluster)(nil)
	_ driver.Impersonator  = (*Cluster)(nil)
)

// New returns a driver for the cluster that config describes. It copies
// config, whose rate limits and Timeout are ignored. It does no I/O; a config
// that contradicts itself is appspan.ErrInvalid.
func New(config *rest.Config, opts *Options) (*Cluster, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if config == nil {
		return nil, fmt.Errorf("%w: the rest.Config is nil", appspan.ErrInvalid)
	}
	config = rest.CopyConfig(config)
	config.Timeout, config.QPS, config.RateLimiter = 0, -1, nil
	config.DisableCompression = !o.Compress
	config.UserAgent = "appspan"
	if o.UserAgent != "" {
		config.UserAgent = o.UserAgent
	}
	window := defaultWindow
	if o.MaxConcurrency > 0 {
		window = o.MaxConcurrency
	}
	inner := config.WrapTransport
	config.WrapTransport = func(trip http.RoundTripper) http.RoundTripper {
		trip = &discreet{RoundTripper: trip, proxy: proxyOf(config)}
		if inner != nil {
			trip = inner(trip)
		}
		return trip
	}
	trip, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("%w: the server's address: %s", appspan.ErrInvalid, withoutValues(err))
	}
	c := &Cluster{config: config, client: clientOf(trip), kinds: &kinds{}, limiter: newLimiter(window), own: true}
	c.base = (&url.URL{Scheme: base.Scheme, Host: base.Host}).String() + strings.TrimSuffix(base.EscapedPath(), "/")
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// clientOf follows no redirects: the transport adds the credentials to
// whatever it sends, wherever that goes.
func clientOf(trip http.RoundTripper) *http.Client {
	return &http.Client{Transport: trip, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// As implements driver.Impersonator: the same cluster as the server shows it
// to id. The credentials must be allowed to impersonate. It shares the
// connections, the window of calls and what is known of the kinds.
func (c *Cluster) As(id driver.Identity) (driver.Cluster, error) {
	if id.User == "" {
		return nil, fmt.Errorf("%w: Identity.User is empty; name whom to act as", appspan.ErrInvalid)
	}
	other := &Cluster{base: c.base, kinds: c.kinds, limiter: c.limiter}
	other.config = rest.CopyConfig(c.config) // for what upgrades its connection
	other.config.Impersonate = rest.ImpersonationConfig{UserName: id.User, Groups: slices.Clone(id.Groups)}
	other.client = clientOf(transport.NewImpersonatingRoundTripper(
		transport.ImpersonationConfig{UserName: id.User, Groups: slices.Clone(id.Groups)}, c.client.Transport))
	other.ctx, other.cancel = context.WithCancel(c.ctx)
	return other, nil
}

// Close ends what is open and frees idle connections. Calls in flight fail
// with ErrUnavailable, as later ones do.
func (c *Cluster) Close() error {
	c.once.Do(func() {
		c.cancel()
		if c.own {
			utilnet.CloseIdleConnectionsFor(c.client.Transport)
		}
	})
	return nil
}
