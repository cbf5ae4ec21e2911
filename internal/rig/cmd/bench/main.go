// Bench deploys the same rendered objects with Appspan and with what a user
// would pick instead, on a real control plane, and prints medians and ratios
// of one run. Each phase of each engine is a process of its own, so that CPU
// and memory are the operating system's figures.
//
//	go -C internal/rig run ./cmd/rig exec -profile bare -with helm -clusters 1 -- go -C internal/rig run ./cmd/bench
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// settings are what the command line says, for the parent and its workers.
type settings struct {
	components int
	changed    int
	rounds     int
	engines    string
	kubeconfig string
	context    string
	dir        string
	bin        string
	profile    string

	// Of a worker.
	worker    bool
	engine    string
	phase     string
	namespace string
	parallel  int
	order     string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var s settings
	flag.IntVar(&s.components, "components", 1000, "components; each is a Deployment, a Service and a ConfigMap")
	flag.IntVar(&s.changed, "changed", 400, "components changed in the phase \"changed\"")
	flag.IntVar(&s.rounds, "rounds", 5, "interleaved rounds")
	flag.StringVar(&s.engines, "engines", strings.Join(engineNames(), ","), "engines, separated by commas")
	flag.StringVar(&s.kubeconfig, "kubeconfig", os.Getenv("APPSPAN_RIG_KUBECONFIG"), "kubeconfig of the control plane")
	flag.StringVar(&s.context, "context", "rig-1", "context of the kubeconfig")
	flag.StringVar(&s.bin, "bin", os.Getenv("APPSPAN_RIG_BIN"), "directory with kubectl and helm")
	flag.StringVar(&s.profile, "profile", "bare", "what the table says about the control plane")
	flag.BoolVar(&s.worker, "worker", false, "run one phase of one engine (used by bench itself)")
	flag.StringVar(&s.dir, "dir", "", "directory of the rendered objects (used by bench itself)")
	flag.StringVar(&s.engine, "engine", "", "engine of a worker")
	flag.StringVar(&s.phase, "phase", "", "phase of a worker")
	flag.StringVar(&s.namespace, "namespace", "", "namespace of a worker")
	flag.IntVar(&s.parallel, "parallel", 8, "writes at a time of the bare loop")
	flag.StringVar(&s.order, "order", "kind", "order of the bare loop: kind (kind after kind) or mixed")
	flag.Parse()
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	if s.kubeconfig == "" {
		return errors.New("no kubeconfig; run it through the rig: make bench")
	}
	if s.worker {
		return work(ctx, s)
	}
	return compare(ctx, s)
}
