package refserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/cluster/team"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/members"
	"github.com/appspan-dev/appspan/deploy"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/boltrecords"
	"github.com/appspan-dev/appspan/storage/journal"
	"github.com/appspan-dev/appspan/storage/seal"
)

// Options shape [Open]. The zero value needs a Dir.
type Options struct {
	HandlerOptions
	// Dir is the directory with everything that is kept: records and keys. It is
	// made if it is not there. Required, unless Records and Keys are given.
	Dir string
	// Records, when set, take the place of the file in Dir, as those of a hub
	// that several servers share; they are closed by who opened them.
	Records *storage.Records
	// Keys, when set, take the place of the key file in Dir.
	Keys *seal.Keyring
	// Installation tells this server from others on the same clusters; default
	// "appspan".
	Installation string
	// Operators are IDs of subjects that may do everything, OperatorGroups groups
	// of such.
	Operators, OperatorGroups []string
	// Authorizer decides in place of roles in teams.
	Authorizer appspan.Authorizer
	// Providers are further ones of clusters, beside "kubeconfig" and "tunnel".
	Providers map[string]driver.Provider
	// Kube is for clusters by kubeconfig: what those may contain.
	Kube *kube.Provider
	// Checks are what gates of environments may name.
	Checks map[string]deploy.Check
	// Holder names this process among those that share the records; default: a
	// random name.
	Holder string
}

// system acts for the server itself, in the background.
const system = "appspan:server"

// Open puts a server together: one data directory, and nothing else, or the
// records of a hub. [Server.Run] does what goes on in the background, and Close
// closes it.
func Open(ctx context.Context, opts *Options) (_ *Server, err error) {
	var o Options
	if opts != nil {
		o = *opts
	}
	var opened closers
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.Close())
		}
	}()
	if o.Dir == "" && (o.Records == nil || o.Keys == nil) {
		return nil, fmt.Errorf("refserver: %w: give a directory in Options.Dir", appspan.ErrInvalid)
	}
	if o.Dir != "" {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return nil, fmt.Errorf("refserver: %w", err)
		}
	}
	p := &Parts{Records: o.Records, Keys: o.Keys, Authorizer: o.Authorizer}
	if p.Records == nil {
		file, err := boltrecords.Open(filepath.Join(o.Dir, "appspan.db"), nil)
		if err != nil {
			return nil, err
		}
		p.Records = storage.NewRecords(file, nil)
		opened = append(opened, p.Records)
	}
	if p.Keys == nil {
		if p.Keys, err = seal.OpenOrCreateKeyFile(filepath.Join(o.Dir, "appspan.key")); err != nil {
			return nil, err
		}
	}
	installation := cmp.Or(o.Installation, "appspan")
	if p.Authorizer == nil {
		p.Authorizer = team.NewAuthorizer(p.Records, &team.AuthorizerOptions{Operators: append([]string{system}, o.Operators...), OperatorGroups: o.OperatorGroups})
	}
	p.Audit = team.NewAudit(p.Records, nil)
	p.Authorizer = witness{p.Authorizer}
	self := appspan.Subject{ID: system}

	if err := p.tunnel(ctx, &o); err != nil {
		return nil, err
	}
	opened = append(opened, p.Tunnel)
	applications := &late{}
	if p.Fleet, err = cluster.NewFleet(p.Records, &cluster.FleetOptions{Keys: p.Keys, Providers: p.providers(&o), Authorizer: p.Authorizer, Auditor: p.Audit,
		Applications: applications, Logger: o.Logger}); err != nil {
		return nil, err
	}
	opened = append(opened, p.Fleet)
	if p.Journal, err = journal.New(p.Records, &journal.Options{Holder: o.Holder, Logger: o.Logger}); err != nil {
		return nil, err
	}
	own := p.Fleet.For(self)
	p.Fleet = own
	if p.Teams, err = team.New(p.Records, own, &team.Options{Installation: installation, Keys: p.Keys, Authorizer: p.Authorizer, Auditor: p.Audit}); err != nil {
		return nil, err
	}
	p.Teams = p.Teams.For(self)
	d, err := deploy.New(own, &deploy.Options{Installation: installation, Keys: p.Keys, Authorizer: p.Authorizer, Auditor: p.Audit, Gate: team.NewGate(p.Records),
		Journal: p.Journal, Records: p.Records, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	p.Deployer = d.For(self)
	applications.Applications = p.Deployer.Applications()
	if p.Environments, err = deploy.NewEnvironments(p.Records, p.Deployer); err != nil {
		return nil, err
	}
	if p.Pipeline, err = deploy.NewPipeline(p.Environments, &deploy.PipelineOptions{Checks: o.Checks, Apply: o.Apply, Holder: o.Holder, Logger: o.Logger}); err != nil {
		return nil, err
	}
	if p.Keeper, err = deploy.NewKeeper(p.Deployer, p.Records, &deploy.KeeperOptions{Holder: o.Holder, Logger: o.Logger}); err != nil {
		return nil, err
	}
	if p.Overview, err = deploy.NewOverview(p.Deployer, nil); err != nil {
		return nil, err
	}
	s, err := New(p, &o.HandlerOptions)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, opened...)
	s.runs = append(s.runs, own.Run, p.Journal.Run, p.Pipeline.Run, p.Keeper.Run, p.Overview.Run,
		func(ctx context.Context) error {
			return p.Teams.Run(ctx, &team.RunOptions{Reclaim: true, Holder: o.Holder, Logger: o.Logger})
		})
	return s, nil
}

// tunnel makes the end of the tunnels that clusters dial in through.
func (p *Parts) tunnel(ctx context.Context, o *Options) error {
	p.Members = members.New(p.Records)
	key, previous, err := p.Members.HubKeys(ctx, p.Keys)
	if err != nil {
		return err
	}
	p.Tunnel, err = tunnel.NewServer(key, p.Members, &tunnel.Options{Previous: previous, Logger: o.Logger})
	return err
}

// providers are where clusters come from.
func (p *Parts) providers(o *Options) map[string]driver.Provider {
	out := map[string]driver.Provider{"kubeconfig": kube.Provider{}}
	if o.Kube != nil {
		out["kubeconfig"] = *o.Kube
	}
	out["tunnel"] = driver.ProviderFunc(func(_ context.Context, spec driver.Spec) (driver.Cluster, error) {
		c, err := kube.New(&rest.Config{Host: "http://" + spec.Name + ".tunnel", Dial: p.Tunnel.Dialer(spec.Name),
			Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}, nil)
		if err != nil {
			return nil, err
		}
		return c, nil
	})
	for name, provider := range o.Providers {
		out[name] = provider
	}
	return out
}

// late are applications of a deployer that is made after the fleet.
type late struct{ cluster.Applications }

// closers are what was opened, in this order.
type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for i := len(c) - 1; i >= 0; i-- {
		errs = append(errs, c[i].Close())
	}
	return errors.Join(errs...)
}
