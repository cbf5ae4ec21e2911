// Command rig builds and starts real Kubernetes control planes for tests. See the README beside its module.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/appspan-dev/appspan/internal/rig"
)

const usage = `rig: real Kubernetes control planes for tests

  rig build [-with helm]                        build the programs, once per version; prints their directory
  rig up    [flags]                             start control planes, print the kubeconfig's path, stay until interrupted
  rig exec  [flags] [-C dir] -- command args    start control planes, run the command with them, stop them

Flags of up and exec:
  -clusters n          how many, named rig-1 to rig-n (1)
  -profile p           full or bare (full)
  -nodes n             simulated nodes of each (2)
  -with helm           build helm too
  -logs dir            keep the logs of the processes there
  -apiserver-flag f    for kube-apiserver, may be repeated
  -controller-flag f   for kube-controller-manager, may be repeated

The command gets
  APPSPAN_RIG_KUBECONFIG   a kubeconfig with the contexts rig-1 to rig-n; KUBECONFIG is the same
  APPSPAN_RIG_BIN          the directory with kubectl and the others; it is first in PATH
  APPSPAN_RIG_PIDS         rig-1/kube-apiserver=123,...: to pause one with SIGSTOP and SIGCONT
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "rig:", err)
	}
	os.Exit(code)
}

type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

func (l *list) Set(v string) error {
	*l = append(*l, v)
	return nil
}

// run returns the exit code of the program.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2, nil
	}
	verb := args[0]
	flags := flag.NewFlagSet("rig "+verb, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage) }
	var opts rig.Options
	clusters := flags.Int("clusters", 1, "")
	profile := flags.String("profile", string(rig.Full), "")
	flags.IntVar(&opts.Nodes, "nodes", 2, "")
	flags.StringVar(&opts.LogDir, "logs", "", "")
	flags.Var((*list)(&opts.APIServerFlags), "apiserver-flag", "")
	flags.Var((*list)(&opts.ControllerFlags), "controller-flag", "")
	with := flags.String("with", "", "")
	dir := flags.String("C", "", "")
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0, nil
		}
		return 2, nil // the flag set has said what is wrong
	}
	opts.Profile = rig.Profile(*profile)
	command := flags.Args()
	switch {
	case verb != "build" && verb != "up" && verb != "exec":
		fmt.Fprint(stderr, usage)
		return 2, fmt.Errorf("no such command: %s", verb)
	case *with != "" && *with != "helm":
		return 2, fmt.Errorf("-with %s: only helm can be added", *with)
	case verb == "exec" && len(command) == 0:
		return 2, errors.New("exec: give the command after --")
	case verb != "exec" && len(command) > 0:
		return 2, fmt.Errorf("%s: unexpected argument %s", verb, command[0])
	case *clusters < 1:
		return 2, errors.New("-clusters: at least 1")
	}

	bin, err := rig.Build(ctx, &rig.BuildOptions{Helm: *with == "helm", Log: stderr})
	if err != nil {
		return 1, err
	}
	if verb == "build" {
		fmt.Fprintln(stdout, bin.Dir)
		return 0, nil
	}
	begin := time.Now()
	all, err := rig.StartAll(ctx, bin, *clusters, opts)
	if err != nil {
		return 1, err
	}
	fmt.Fprintf(stderr, "rig: %d control plane(s), %s, started in %.1f s\n", len(all), opts.Profile, time.Since(begin).Seconds())
	code := 0
	err = withKubeconfig(all, func(kubeconfig string) error {
		if verb == "up" {
			fmt.Fprintln(stdout, kubeconfig)
			<-ctx.Done()
			return nil
		}
		err := announce(bin, kubeconfig, all)
		if err == nil {
			code, err = execute(ctx, command, *dir)
		}
		return err
	})
	for _, c := range all {
		err = errors.Join(err, c.Stop())
	}
	if err != nil && code == 0 {
		code = 1
	}
	return code, err
}

// withKubeconfig calls f with the path of a kubeconfig for all, in the directory of the first, which Stop removes.
func withKubeconfig(all []*rig.ControlPlane, f func(path string) error) error {
	path := filepath.Join(all[0].Dir(), "kubeconfig-all")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(rig.WriteKubeconfig(file, all...), file.Close()); err != nil {
		return err
	}
	return f(path)
}

// announce puts what the command needs to know into the environment, which it inherits.
func announce(bin *rig.Binaries, kubeconfig string, all []*rig.ControlPlane) error {
	var pids []string
	for _, c := range all {
		for name, pid := range c.PIDs() {
			pids = append(pids, fmt.Sprintf("%s/%s=%d", c.Context(), name, pid))
		}
	}
	slices.Sort(pids)
	return errors.Join(
		os.Setenv("APPSPAN_RIG_KUBECONFIG", kubeconfig), os.Setenv("KUBECONFIG", kubeconfig),
		os.Setenv("APPSPAN_RIG_BIN", bin.Dir), os.Setenv("APPSPAN_RIG_PIDS", strings.Join(pids, ",")),
		os.Setenv("PATH", bin.Dir+string(os.PathListSeparator)+os.Getenv("PATH")),
	)
}

// execute runs the command and returns its exit code. When ctx ends, the command is asked to end, and ended a while later.
func execute(ctx context.Context, command []string, dir string) (int, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return 127, err // it did not start
	}
	if code := cmd.ProcessState.ExitCode(); code >= 0 {
		return code, nil
	}
	return 1, fmt.Errorf("%s: %w", command[0], err)
}
