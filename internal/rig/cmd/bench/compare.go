package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
)

// sample is one phase of one engine, measured once.
type sample struct {
	wall, cpu time.Duration
	memory    int64 // bytes, the most that was resident
	calls     int   // requests that the API server counted, those of controllers included
}

// results are samples by engine and phase.
type results map[string]map[string][]sample

// compare runs every engine, round after round, and prints the table.
func compare(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "appspan-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s.dir = dir
	all := results{}
	engines := strings.Split(s.engines, ",")
	for round := range s.rounds {
		order := slices.Clone(engines)
		for i := range round { // another engine goes first in each round
			_ = i
			order = append(order[1:], order[0])
		}
		for _, engine := range order {
			if err := one(ctx, s, engine, round, all); err != nil {
				return err
			}
		}
	}
	fmt.Println(table(s, engines, all))
	return nil
}

// one runs all phases of one engine in a namespace of its own.
func one(ctx context.Context, s settings, engine string, round int, all results) error {
	namespace := fmt.Sprintf("bench-%s-%d-%d", engine, round, time.Now().Unix()%100000)
	if err := makeNamespace(ctx, s, namespace); err != nil {
		return err
	}
	for _, state := range []string{stateFirst, stateChanged, stateOne} {
		if err := writeObjects(s, state, namespace); err != nil {
			return err
		}
	}
	for _, phase := range phases {
		if phase == "plan" && engine != "appspan" {
			continue
		}
		if err := quiet(ctx, s); err != nil {
			return err
		}
		before, err := requests(ctx, s)
		if err != nil {
			return err
		}
		cmd, err := command(ctx, s, engine, phase, namespace)
		if err != nil {
			return err
		}
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		began := time.Now()
		if err := cmd.Run(); err != nil {
			text := output.String()
			return fmt.Errorf("%s, %s: %w\n%s", engine, phase, err, text[max(0, len(text)-2000):])
		}
		wall := time.Since(began)
		after, err := requests(ctx, s)
		if err != nil {
			return err
		}
		usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		m := sample{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), memory: usage.Maxrss * 1024, calls: after - before}
		if all[engine] == nil {
			all[engine] = map[string][]sample{}
		}
		all[engine][phase] = append(all[engine][phase], m)
		fmt.Fprintf(os.Stderr, "round %d %-15s %-10s %8.2fs cpu %6.2fs %5d MiB %6d calls\n", round+1, engine, phase, wall.Seconds(), m.cpu.Seconds(), m.memory>>20, m.calls)
	}
	matches, err := filepath.Glob(filepath.Join(s.dir, namespace+"-*"))
	if err != nil {
		return err
	}
	for _, m := range matches {
		if err := os.RemoveAll(m); err != nil {
			return err
		}
	}
	return nil
}

// quiet waits until the control plane has nothing left to do from the phase
// before: with controllers, until few requests come.
func quiet(ctx context.Context, s settings) error {
	if s.profile == "bare" {
		return nil
	}
	for range 120 {
		before, err := requests(ctx, s)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
		after, err := requests(ctx, s)
		if err != nil {
			return err
		}
		if after-before < 40 {
			return nil
		}
	}
	return nil
}

var requestLine = regexp.MustCompile(`(?m)^apiserver_request_total\{[^}]*verb="(GET|LIST|APPLY|PATCH|POST|PUT|DELETE|DELETECOLLECTION)"[^}]*\} ([0-9.e+]+)$`)

// requests is how many requests the API server has answered, watches apart.
func requests(ctx context.Context, s settings) (int, error) {
	config, err := restConfig(s)
	if err != nil {
		return 0, err
	}
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return 0, err
	}
	data, err := c.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, err
	}
	total := 0.0
	for _, m := range requestLine.FindAllSubmatch(data, -1) {
		n, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return int(total), nil
}

// table is the result as Markdown: medians, spreads, and ratios to the best
// bare loop and to the best peer.
func table(s settings, engines []string, all results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s control plane: %d components (%d objects), %d rounds, interleaved; median (least–most)\n\n", s.profile, s.components, 3*s.components, s.rounds)
	for _, phase := range phases {
		limit, peer := best(all, phase, isLimit), best(all, phase, isPeer)
		fmt.Fprintf(&b, "### %s\n\n| engine | wall s | of the limit | of the best peer | client CPU s | peak MiB | API calls |\n|---|---|---|---|---|---|---|\n", phase)
		for _, e := range engines {
			list := all[e][phase]
			if len(list) == 0 {
				continue
			}
			wall := func(m sample) float64 { return m.wall.Seconds() }
			low, mid, high := spread(list, wall)
			_, cpu, _ := spread(list, func(m sample) float64 { return m.cpu.Seconds() })
			_, memory, _ := spread(list, func(m sample) float64 { return float64(m.memory >> 20) })
			_, calls, _ := spread(list, func(m sample) float64 { return float64(m.calls) })
			fmt.Fprintf(&b, "| %s | %.2f (%.2f–%.2f) | %s | %s | %.2f | %.0f | %.0f |\n", e, mid, low, high, ratio(mid, limit), ratio(mid, peer), cpu, memory, calls)
		}
		b.WriteString("\n")
	}
	b.WriteString(`Options: none of them waits for readiness; no server-side dry run. appspan removes data and waits until
everything is gone, records a release, and its namespace was there before; kubectl deletes with --wait=false; helm
records a release Secret; flux (fluxcd/pkg/ssa, 16 workers) does a server-side dry run of each object before it
applies, which is how it finds drift. limit-N is a bare loop of N parallel server-side applies, kind after kind
(mixed: the kinds of one component together), that reads nothing. Calls are the API server's own count, controllers'
included. Each figure is one process: start-up and discovery are in it.
`)
	return b.String()
}

func isLimit(engine string) bool { return strings.HasPrefix(engine, "limit-") }
func isPeer(engine string) bool  { return engine != "appspan" && !isLimit(engine) }

// best is the least median of a group of engines.
func best(all results, phase string, group func(string) bool) float64 {
	least := 0.0
	for engine, byPhase := range all {
		if !group(engine) || len(byPhase[phase]) == 0 {
			continue
		}
		_, mid, _ := spread(byPhase[phase], func(m sample) float64 { return m.wall.Seconds() })
		if least == 0 || mid < least {
			least = mid
		}
	}
	return least
}

func ratio(v, of float64) string {
	if of == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f ×", v/of)
}

func spread(list []sample, of func(sample) float64) (low, mid, high float64) {
	values := make([]float64, len(list))
	for i, m := range list {
		values[i] = of(m)
	}
	slices.Sort(values)
	n := len(values)
	return values[0], (values[(n-1)/2] + values[n/2]) / 2, values[n-1]
}
