// Quickstart tells the main story of Appspan in one run: a Docker Compose file
// becomes a running application on two clusters, is changed, broken, explained
// and rolled back.
//
//	go run ./examples/quickstart                     # on in-memory clusters
//	go run ./examples/quickstart -kubeconfig ~/.kube/config -contexts eu,us
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/fake"
	"github.com/appspan-dev/appspan/cluster/kube"
	"github.com/appspan-dev/appspan/storage/seal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return
		}
		if ctx.Err() != nil {
			fmt.Fprintln(os.Stderr, "quickstart: interrupted")
			os.Exit(130)
		}
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// settings are what the command line says.
type settings struct {
	kubeconfig string
	contexts   string
	namespace  string
	keyFile    string
	keep       bool
	plain      bool
	timeout    time.Duration
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig file; without it the clusters are in memory")
	flags.StringVar(&s.contexts, "contexts", "", "contexts of the kubeconfig, separated by commas (default: its current one)")
	flags.StringVar(&s.namespace, "namespace", "appspan-quickstart", "namespace for the application")
	flags.StringVar(&s.keyFile, "keys", "", "file with the keys that seal secrets, made if absent (default: with -kubeconfig appspan/quickstart.keys of your configuration directory, else keys of this run alone)")
	flags.BoolVar(&s.keep, "keep", false, "leave the application running at the end")
	flags.BoolVar(&s.plain, "plain", false, "plain lines instead of a live display")
	flags.DurationVar(&s.timeout, "timeout", 5*time.Minute, "how long the application may take to become ready")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "quickstart: from a compose file to two clusters, through a change, a failure and a rollback\n\nFlags:")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see -h", flags.Arg(0))
	}
	if s.contexts != "" && s.kubeconfig == "" {
		return errors.New("-contexts are those of a -kubeconfig; name one")
	}
	clusters, err := connect(s)
	if err != nil {
		return err
	}
	defer clusters.Close()
	keys, err := openKeys(s)
	if err != nil {
		return err
	}
	err = story(ctx, s, clusters, keys, out)
	if err != nil && s.kubeconfig != "" {
		err = fmt.Errorf("%w\nWhat has been deployed, if anything, is in namespace %s; run it again to go on", err, s.namespace)
	}
	return err
}

// connect opens the clusters: two in memory, or contexts of a kubeconfig.
func connect(s settings) (*cluster.Set, error) {
	if s.kubeconfig == "" {
		var members []*cluster.Cluster
		for _, name := range []string{"eu-1", "us-1"} {
			members = append(members, cluster.New(name, fake.New(&fake.Options{Name: name, ReadyAfter: 300 * time.Millisecond}), nil))
		}
		return cluster.NewSet(members...)
	}
	config, err := os.ReadFile(s.kubeconfig)
	if err != nil {
		return nil, err
	}
	var members []*cluster.Cluster
	closeAll := func() {
		for _, c := range members {
			_ = c.Close()
		}
	}
	for _, name := range strings.Split(s.contexts, ",") {
		name = strings.TrimSpace(name)
		driver, err := kube.FromKubeconfig(config, name, nil)
		if err != nil {
			closeAll()
			return nil, err
		}
		if name == "" {
			name = "current"
		}
		members = append(members, cluster.New(name, driver, nil))
	}
	set, err := cluster.NewSet(members...)
	if err != nil {
		closeAll()
	}
	return set, err
}

// openKeys opens the keys. Clusters that outlive the run need keys that do: what
// it stores there could not be read again, after a failure or with -keep.
func openKeys(s settings) (*seal.Keyring, error) {
	if s.keyFile == "" && s.kubeconfig != "" {
		dir, err := os.UserConfigDir()
		if err != nil {
			return nil, fmt.Errorf("where to keep the keys: %w; name a file with -keys", err)
		}
		dir = filepath.Join(dir, "appspan")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("where to keep the keys: %w; name a file with -keys", err)
		}
		s.keyFile = filepath.Join(dir, "quickstart.keys")
	}
	if s.keyFile != "" {
		return seal.OpenOrCreateKeyFile(s.keyFile)
	}
	key, err := seal.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	return seal.NewKeyring(key)
}
