package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

const maxKubeconfig = 4 << 20

// Provider opens clusters from kubeconfigs: Spec.Config is one, Spec.Context
// chooses its context, empty is the current one.
type Provider struct {
	// Options are for every cluster; nil is the default.
	Options *Options
}

var _ driver.Provider = Provider{}

// Open returns the cluster that spec describes, see [FromKubeconfig].
func (p Provider) Open(_ context.Context, spec driver.Spec) (driver.Cluster, error) {
	c, err := FromKubeconfig(spec.Config, spec.Context, p.Options)
	if err != nil {
		return nil, err // not c: a nil *Cluster is not a nil driver.Cluster
	}
	return c, nil
}

// InClusterProvider opens the cluster that this program runs in, see
// [InCluster]; Spec.Config and Spec.Context are empty.
type InClusterProvider struct {
	// Options are for the cluster; nil is the default.
	Options *Options
}

var _ driver.Provider = InClusterProvider{}

// Open returns the cluster that this program runs in.
func (p InClusterProvider) Open(_ context.Context, spec driver.Spec) (driver.Cluster, error) {
	if len(spec.Config) > 0 || spec.Context != "" {
		return nil, fmt.Errorf("%w: the cluster that this program runs in takes no configuration; leave it out", appspan.ErrInvalid)
	}
	c, err := InCluster(p.Options)
	if err != nil {
		return nil, err // not c: a nil *Cluster is not a nil driver.Cluster
	}
	return c, nil
}

// InCluster returns the cluster that this program runs in as a pod, with the
// pod's service account. Elsewhere it is appspan.ErrUnsupported.
func InCluster(opts *Options) (*Cluster, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrUnsupported, err)
	}
	return New(config, opts)
}

// FromKubeconfig returns the cluster of a context of a kubeconfig; an empty
// contextName is the current one. A kubeconfig that cannot be read, that lacks
// the context, or that asks for what opts do not allow is appspan.ErrInvalid.
func FromKubeconfig(kubeconfig []byte, contextName string, opts *Options) (*Cluster, error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	if len(kubeconfig) > maxKubeconfig {
		return nil, fmt.Errorf("kubeconfig: %w: it is larger than %d bytes", appspan.ErrInvalid, maxKubeconfig)
	}
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w: it cannot be read: %s", appspan.ErrInvalid, withoutValues(err))
	}
	if contextName == "" {
		contextName = config.CurrentContext
	}
	chosen := config.Contexts[contextName]
	if chosen == nil {
		return nil, fmt.Errorf("kubeconfig: %w: there is no context %q; it has %s",
			appspan.ErrInvalid, contextName, strings.Join(slices.Sorted(maps.Keys(config.Contexts)), ", "))
	}
	if config.Clusters[chosen.Cluster] == nil {
		return nil, fmt.Errorf("kubeconfig: %w: context %q names a cluster %q that is not there", appspan.ErrInvalid, contextName, chosen.Cluster)
	}
	if err := o.check(config.Clusters[chosen.Cluster], config.AuthInfos[chosen.AuthInfo]); err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	loaded, err := clientcmd.NewNonInteractiveClientConfig(*config, contextName, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w: %s", appspan.ErrInvalid, withoutValues(err))
	}
	if !o.AllowLinkLocal {
		loaded.Dial = dialFar()
	}
	return New(loaded, &o)
}

// check refuses what a kubeconfig must not do.
func (o Options) check(c *api.Cluster, user *api.AuthInfo) error {
	if user == nil {
		user = &api.AuthInfo{}
	}
	for _, rule := range []struct {
		broken  bool
		what    string
		allowed bool
		option  string
	}{
		{user.Exec != nil, "user.exec (a command)", o.AllowExec, "AllowExec"},
		{user.AuthProvider != nil, "user.auth-provider", o.AllowExec, "AllowExec"},
		{c.CertificateAuthority != "", "cluster.certificate-authority (a file)", o.AllowFiles, "AllowFiles"},
		{user.ClientCertificate != "", "user.client-certificate (a file)", o.AllowFiles, "AllowFiles"},
		{user.ClientKey != "", "user.client-key (a file)", o.AllowFiles, "AllowFiles"},
		{user.TokenFile != "", "user.tokenFile", o.AllowFiles, "AllowFiles"},
		{c.ProxyURL != "", "cluster.proxy-url", o.AllowProxy, "AllowProxy"},
	} {
		if rule.broken && !rule.allowed {
			return fmt.Errorf("%w: %s is refused; embed the data (kubectl config view --flatten), or set Options.%s if you trust it",
				appspan.ErrInvalid, rule.what, rule.option)
		}
	}
	return nil
}

// withoutValues is the text of an error without what it quotes, which may be, or
// hold, a credential.
func withoutValues(err error) string {
	text := err.Error()
	if quote := strings.IndexAny(text, "\"`'"); quote >= 0 {
		text = text[:quote]
	}
	const most = 120
	if len(text) > most {
		text = text[:most]
	}
	return strings.TrimRight(text, ": \n")
}
