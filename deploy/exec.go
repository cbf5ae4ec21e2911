package deploy

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// ExecOptions say what is executed, and where.
type ExecOptions struct {
	// Component is whose replica it is; one that is ready is taken, unless Pod
	// names another. One of both is required.
	Component, Pod string
	// Container is the container's name; default: the pod's main one.
	Container string
	// Command is the program and its arguments; no shell reads them.
	Command []string
	// Stdin may be nil: there is none. Stdout and Stderr may be nil: discarded.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// TTY gives the command a terminal; its stderr comes on Stdout.
	TTY bool
}

// Exec runs a command in a replica of an application, on the one cluster of
// the target, to its end. It asks for appspan.VerbExec, and the Auditor is
// told before and after who ran a command in which pod, but not the command, which
// may hold secrets; without the first nothing is run. A command that ended with another status than zero is a
// *driver.ExitError; no replica that fits is appspan.ErrNotFound, one that is
// not ready appspan.ErrPrecondition, and a cluster that executes nothing
// appspan.ErrUnsupported. What the cluster was asked to run is never repeated.
func (d *Deployer) Exec(ctx context.Context, application string, to Target, opts *ExecOptions) error {
	if opts == nil || len(opts.Command) == 0 {
		return fmt.Errorf("exec in %s: %w: no command; set ExecOptions.Command", application, appspan.ErrInvalid)
	}
	r, err := d.reach(ctx, application, to, opts.Component, opts.Pod)
	if err != nil {
		return fmt.Errorf("exec in %s: %w", application, err)
	}
	container := opts.Container
	switch {
	case container == "":
		container = r.pod.mainContainer()
	case !slices.Contains(r.pod.containers(), container):
		return fmt.Errorf("exec in %s: %w: pod %s has no container %q; it has %s", application, appspan.ErrNotFound, r.pod.Name, container, strings.Join(r.pod.containers(), ", "))
	}
	execer, ok := cluster.As[driver.Execer](r.cluster)
	if !ok {
		return fmt.Errorf("exec in %s: %w: the driver of %s executes nothing", application, appspan.ErrUnsupported, r.cluster.Name())
	}
	if err := r.begins(ctx, "exec"); err != nil {
		return err
	}
	err = execer.Exec(ctx, r.pod.ref, driver.ExecOptions{Container: container, Command: slices.Clone(opts.Command), Stdin: opts.Stdin, Stdout: opts.Stdout, Stderr: opts.Stderr, TTY: opts.TTY})
	return r.told(ctx, "exec", err)
}

// ForwardOptions say where a connection goes.
type ForwardOptions struct {
	// Component and Pod choose the replica as in [ExecOptions].
	Component, Pod string
	// Port is a number, or the name of a port of the component, or of a
	// container of the pod.
	Port string
}

// Forward opens one connection to a port of a replica, on the one cluster of
// the target; the caller closes it. The context bounds the opening. Rights,
// audit and errors are those of [Deployer.Exec]; a port that nobody knows by
// its name is appspan.ErrNotFound. Nobody listens on this machine: whoever
// wants that calls Forward for each connection that a listener accepts.
func (d *Deployer) Forward(ctx context.Context, application string, to Target, opts *ForwardOptions) (io.ReadWriteCloser, error) {
	if opts == nil || opts.Port == "" {
		return nil, fmt.Errorf("forward to %s: %w: no port; set ForwardOptions.Port", application, appspan.ErrInvalid)
	}
	r, err := d.reach(ctx, application, to, opts.Component, opts.Pod)
	if err != nil {
		return nil, fmt.Errorf("forward to %s: %w", application, err)
	}
	port, err := d.port(ctx, r, opts.Port)
	if err != nil {
		return nil, fmt.Errorf("forward to %s: %w", application, err)
	}
	forwarder, ok := cluster.As[driver.PortForwarder](r.cluster)
	if !ok {
		return nil, fmt.Errorf("forward to %s: %w: the driver of %s forwards no ports", application, appspan.ErrUnsupported, r.cluster.Name())
	}
	if err := r.begins(ctx, "forward"); err != nil {
		return nil, err
	}
	conn, err := forwarder.Forward(ctx, r.pod.ref, port)
	if err = r.told(ctx, "forward", err); err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		return nil, err
	}
	return conn, nil
}

// port is the number of a port.
func (d *Deployer) port(ctx context.Context, r *reached, name string) (int, error) {
	if n, err := strconv.Atoi(name); err == nil {
		if n < 1 || n > 65535 {
			return 0, fmt.Errorf("%w: %d is no port", appspan.ErrInvalid, n)
		}
		return n, nil
	}
	for _, k := range r.pod.Spec.Containers {
		for _, p := range k.Ports {
			if p.Name == name {
				return int(p.ContainerPort), nil
			}
		}
	}
	st, s, err := d.readState(ctx, r.access.Application, r.to, r.cluster.Name())
	if err == nil && st != nil && st.record.runs() {
		body, err := d.readRelease(ctx, r.cluster, s, st.record.id(st.record.Revision))
		if err != nil {
			return 0, err
		}
		app, err := decodeApplication(body.Resolved)
		if err != nil {
			return 0, err
		}
		for _, c := range app.Components {
			for _, p := range c.Ports {
				if c.ID == r.pod.component && p.Name == name {
					return p.Port, nil
				}
			}
		}
	}
	if err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("%w: %s has no port %q; give its number", appspan.ErrNotFound, r.pod.ref, name)
}

// reached is a replica that may be talked to.
type reached struct {
	d       *Deployer
	cluster *cluster.Cluster
	to      Target
	pod     pod
	access  appspan.Access
}

// reach checks the right, and finds a replica.
func (d *Deployer) reach(ctx context.Context, application string, to Target, component, name string) (*reached, error) {
	to, err := d.reading(ctx, application, to)
	if err != nil {
		return nil, err
	}
	if len(to.Clusters) != 1 {
		return nil, fmt.Errorf("%w: the target has %d clusters; name one", appspan.ErrInvalid, len(to.Clusters))
	}
	if component == "" && name == "" {
		return nil, fmt.Errorf("%w: neither a component nor a pod is named", appspan.ErrInvalid)
	}
	if err := d.authorize(ctx, appspan.VerbExec, application, to, to.Clusters[0]); err != nil {
		return nil, err
	}
	c, err := d.clusters.Cluster(ctx, to.Clusters[0])
	if err != nil {
		return nil, err
	}
	limited, cancel := d.limit(ctx)
	defer cancel()
	pods, err := d.podsOf(limited, c, d.scopeOf(application, to))
	if err != nil {
		return nil, err
	}
	pods = slices.DeleteFunc(pods, func(p pod) bool {
		return name != "" && p.Name != name || component != "" && p.component != component
	})
	if len(pods) == 0 {
		return nil, fmt.Errorf("%w: no pod %s of component %q on %s", appspan.ErrNotFound, name, component, c.Name())
	}
	i := 0
	if name == "" {
		if i = slices.IndexFunc(pods, pod.isReady); i < 0 {
			return nil, fmt.Errorf("%w: none of the %d pods of %s on %s is ready; name one to reach it all the same", appspan.ErrPrecondition, len(pods), component, c.Name())
		}
	}
	return &reached{d: d, cluster: c, to: to, pod: pods[i], access: appspan.Access{Verb: appspan.VerbExec, Resource: "application",
		Team: to.Team, Cluster: c.Name(), Namespace: to.Namespace, Application: application}}, nil
}

// begins records that something is about to be done: a process that dies
// meanwhile leaves a trace of it. What cannot be recorded is not done.
func (r *reached) begins(ctx context.Context, what string) error {
	if r.d.opts.Auditor == nil {
		return nil
	}
	entry := appspan.AuditEntry{Time: time.Now().UTC(), Subject: r.d.subject, Access: r.access, Outcome: "begun"}
	entry.Access.Resource = what + " pod/" + r.pod.Name
	if err := r.d.opts.Auditor.Audit(context.WithoutCancel(ctx), entry); err != nil {
		return fmt.Errorf("audit of %s: nothing was done: %w", entry.Access, err)
	}
	return nil
}

// told records what was done, and returns how it ended, with where.
func (r *reached) told(ctx context.Context, what string, outcome error) error {
	if outcome != nil {
		outcome = fmt.Errorf("%s in %s %s: %w", what, r.cluster.Name(), r.pod.ref, outcome)
	}
	if r.d.opts.Auditor == nil {
		return outcome
	}
	entry := appspan.AuditEntry{Time: time.Now().UTC(), Subject: r.d.subject, Access: r.access, Outcome: "ok"}
	entry.Access.Resource = what + " pod/" + r.pod.Name
	if outcome != nil {
		entry.Outcome = account(outcome, nil)
	}
	if err := r.d.opts.Auditor.Audit(context.WithoutCancel(ctx), entry); err != nil {
		failed := fmt.Errorf("audit of %s: %w", entry.Access, err)
		if outcome != nil {
			return fmt.Errorf("%w; %w", outcome, failed)
		}
		return failed
	}
	return outcome
}
