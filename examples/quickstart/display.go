package main

import (
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"unicode"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/deploy"
)

// display shows progress: one live line for each cluster on a terminal, plain
// lines otherwise.
type display struct {
	out   io.Writer
	live  bool
	lines map[string]string // by cluster, on a terminal
	drawn int
}

func newDisplay(out io.Writer, plain bool) *display {
	terminal := false
	if f, ok := out.(*os.File); ok && os.Getenv("TERM") != "dumb" {
		info, err := f.Stat()
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return &display{out: out, live: terminal && !plain, lines: map[string]string{}}
}

// chapter begins a part of the story.
func (d *display) chapter(title string) {
	d.end()
	if d.live {
		fmt.Fprintf(d.out, "\n\x1b[1m▸ %s\x1b[0m\n", title)
		return
	}
	fmt.Fprintf(d.out, "\n== %s\n", title)
}

func (d *display) print(format string, args ...any) {
	d.end()
	fmt.Fprintf(d.out, format+"\n", args...)
}

// event shows one event of a long call.
func (d *display) event(e appspan.Event) {
	text := e.Message
	if e.Component != "" && e.Kind != appspan.EventProgress {
		text = e.Component + " " + text
	}
	text = strings.Map(func(r rune) rune { // it may come from a cluster: one line, and nothing that steers the terminal
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if e.Total > 0 {
		text = fmt.Sprintf("[%d/%d] %s", e.Done, e.Total, text)
	}
	if !d.live {
		if e.Kind != appspan.EventProgress {
			fmt.Fprintf(d.out, "  %-6s %-6s %s\n", e.Cluster, e.Phase, text)
		}
		return
	}
	d.lines[e.Cluster] = text
	d.draw()
}

// draw replaces the live lines.
func (d *display) draw() {
	if d.drawn > 0 {
		fmt.Fprintf(d.out, "\x1b[%dA", d.drawn)
	}
	names := make([]string, 0, len(d.lines))
	for name := range d.lines {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(d.out, "\r\x1b[2K  %-6s %s\n", name, clip(d.lines[name], 100))
	}
	d.drawn = len(names)
}

// end leaves the live lines as they are.
func (d *display) end() {
	d.drawn = 0
	d.lines = map[string]string{}
}

func clip(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return s
}

// plan shows what would change. Clusters of which the plan says the same are
// shown once.
func (d *display) plan(p *deploy.Plan) {
	d.end()
	said := map[string]string{}
	for _, c := range p.Clusters {
		text := strings.TrimPrefix(c.String(), c.Cluster+":")
		if first, ok := said[text]; ok {
			d.print("  %s: as on %s", c.Cluster, first)
			continue
		}
		said[text] = c.Cluster
		d.print("  %s", strings.ReplaceAll(c.String(), "\n", "\n  "))
		for _, n := range c.Notes {
			d.print("    note: %s", n.Message)
		}
	}
}
