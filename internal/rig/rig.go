package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
)

// Profile says which programs a control plane has.
type Profile string

const (
	// Full has everything that makes workloads run: controllers, a scheduler, simulated nodes, storage and an ingress
	// class. It is the default.
	Full Profile = "full"
	// Bare has only etcd and the API server: objects are stored and nothing happens to them. Namespaces that are
	// deleted stay, because a controller removes them.
	Bare Profile = "bare"
)

// Options describe a control plane. The zero value is a full one with two nodes.
type Options struct {
	// Name is the context, cluster and user in the kubeconfig. Default: "rig".
	Name string
	// Profile defaults to Full.
	Profile Profile
	// Nodes is the number of simulated nodes of a full control plane. Default: 2.
	Nodes int
	// LogDir, if given, receives the logs of the processes and is kept; else they go with the control plane.
	LogDir string
	// APIServerFlags are added to those of kube-apiserver and win over them.
	APIServerFlags []string
	// ControllerFlags are added to those of kube-controller-manager and win over them.
	ControllerFlags []string
}

// ControlPlane is a running Kubernetes control plane. The caller has to Stop it.
type ControlPlane struct {
	name       string
	dir        string
	kubeconfig string
	config     *rest.Config
	launcher   *launcher
	provision  func() // stops the provisioner and waits for it
	release    func() error

	mu        sync.Mutex
	stopped   bool
	processes []*process
	apiserver *process
}

// Start starts a control plane and returns when it is of use: the API server is ready, and with the full profile the
// nodes are ready and the controllers work. Cancelling ctx ends the start, not the control plane.
func Start(ctx context.Context, bin *Binaries, opts Options) (*ControlPlane, error) {
	if opts.Name == "" {
		opts.Name = "rig"
	}
	if !regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`).MatchString(opts.Name) {
		return nil, fmt.Errorf("name %q: use a DNS label", opts.Name)
	}
	if opts.Profile == "" {
		opts.Profile = Full
	}
	if opts.Profile != Full && opts.Profile != Bare {
		return nil, fmt.Errorf("profile %q: use %q or %q", opts.Profile, Full, Bare)
	}
	if opts.Nodes == 0 {
		opts.Nodes = 2
	}
	// Between choosing a port and its use by the child, somebody else may take it.
	for attempt := 1; ; attempt++ {
		cp, err := start(ctx, bin, opts)
		if !errors.Is(err, errPortTaken) || attempt == 5 {
			return cp, err
		}
	}
}

// StartAll starts n control planes at once, named rig-1 to rig-n. If one does not start, none is left.
func StartAll(ctx context.Context, bin *Binaries, n int, opts Options) ([]*ControlPlane, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all, errs := make([]*ControlPlane, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		o := opts
		o.Name = fmt.Sprintf("rig-%d", i+1)
		if opts.LogDir != "" {
			o.LogDir = filepath.Join(opts.LogDir, o.Name)
		}
		wg.Go(func() {
			if all[i], errs[i] = Start(ctx, bin, o); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	if err := firstCause(errs); err != nil {
		for _, cp := range all {
			if cp != nil {
				err = errors.Join(err, cp.Stop())
			}
		}
		return nil, err
	}
	return all, nil
}

// firstCause prefers the error that made us cancel the others.
func firstCause(errs []error) error {
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return errors.Join(errs...)
}

// Kubeconfig returns the path of a kubeconfig with one context, whose user may do anything. It is gone after Stop.
func (c *ControlPlane) Kubeconfig() string { return c.kubeconfig }

// Context returns the name of the context in the kubeconfig, which is Options.Name.
func (c *ControlPlane) Context() string { return c.name }

// Config returns a copy of the configuration of a client that may do anything and is not throttled.
func (c *ControlPlane) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Dir returns the directory with all that belongs to the control plane. It is gone after Stop.
func (c *ControlPlane) Dir() string { return c.dir }

// PIDs returns the processes of the control plane by the name of their program.
func (c *ControlPlane) PIDs() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	pids := make(map[string]int, len(c.processes))
	for _, p := range c.processes {
		pids[p.name] = p.cmd.Process.Pid
	}
	return pids
}

// Pause makes the API server stop answering while its connections stay open, as when a network swallows packets.
func (c *ControlPlane) Pause() error { return c.apiserver.pause() }

// Resume ends a pause.
func (c *ControlPlane) Resume() error { return c.apiserver.signal(syscall.SIGCONT) }

// Kill ends the API server for good: connections are refused from then on. Stop is still to be called.
func (c *ControlPlane) Kill() { c.apiserver.kill() }

// Stop ends all processes and removes everything. It may be called again.
func (c *ControlPlane) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	if c.provision != nil {
		c.provision()
	}
	for _, p := range c.processes {
		_ = p.signal(syscall.SIGKILL)
	}
	for _, p := range c.processes {
		p.kill()
	}
	c.launcher.close()
	return c.release()
}

// run starts a program of the control plane.
func (c *ControlPlane) run(bin *Binaries, logDir, name string, args ...string) (*process, error) {
	p, err := c.launcher.start(bin.path(name), c.dir, logDir, args...)
	if err == nil {
		c.processes = append(c.processes, p)
	}
	return p, err
}

// until calls check every few milliseconds until it succeeds, ctx ends or a process of the control plane ends.
func (c *ControlPlane) until(ctx context.Context, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, p := range c.processes {
			select {
			case <-p.done:
				return c.ended(p)
			default:
			}
		}
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if context.Cause(ctx) == context.Canceled {
				return fmt.Errorf("control plane %s: waiting for %s: %w", c.name, what, ctx.Err())
			}
			return fmt.Errorf("control plane %s: waiting for %s: %w (last answer: %w)\n%s", c.name, what, ctx.Err(), err, c.tails())
		}
	}
}

func (c *ControlPlane) tails() string {
	var s string
	for _, p := range c.processes {
		s += fmt.Sprintf("--- %s\n%s\n", p.name, p.tail())
	}
	return s
}

var errPortTaken = errors.New("port taken by somebody else")

// ended describes a process that was not to end.
func (c *ControlPlane) ended(p *process) error {
	tail := p.tail()
	if regexp.MustCompile(`address already in use`).MatchString(tail) {
		return fmt.Errorf("control plane %s: %s: %w", c.name, p.name, errPortTaken)
	}
	return fmt.Errorf("control plane %s: %s ended (%v); its log ends with:\n%s", c.name, p.name, p.err, tail)
}

// WriteKubeconfig writes one kubeconfig with a context per control plane; the first is the current one.
func WriteKubeconfig(w io.Writer, all ...*ControlPlane) error {
	data, err := kubeconfig(all...)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
