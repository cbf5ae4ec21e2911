package status

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// TreeOptions say how [Application.Tree] draws. Nil is the default.
type TreeOptions struct {
	// Color adds ANSI colours; symbols and words say the same without.
	Color bool
	// Width cuts lines longer than so many characters; zero does not.
	Width int
}

// Tree draws the application, its clusters, components and causes for people:
// lines that end in a newline. Every value is a symbol and a word.
func (a Application) Tree(opts *TreeOptions) string {
	if opts == nil {
		opts = &TreeOptions{}
	}
	t := &tree{opts: *opts}
	t.line("", a.Name+"  "+a.counts(), "")
	for i, c := range a.Clusters {
		head, below := branch("", i == len(a.Clusters)-1)
		where := c.Name
		if c.Namespace != "" {
			where += "/" + c.Namespace
		}
		if c.Revision > 0 {
			where += fmt.Sprintf("  revision %d", c.Revision)
		}
		if !c.Fresh {
			where += "  " + stale(c)
		}
		value := c.Value
		if !c.Fresh {
			value = Worst(value, Unknown)
		}
		t.line(head, where, value)
		t.causes(below, c.Causes, len(c.Components) == 0)
		for j, comp := range c.Components {
			t.component(below, comp, j == len(c.Components)-1, c.Fresh)
		}
	}
	return t.b.String()
}

// counts is the summary, the worst first.
func (a Application) counts() string {
	values := make([]Value, 0, len(a.Summary))
	for v := range a.Summary {
		values = append(values, v)
	}
	slices.SortFunc(values, func(x, y Value) int { return y.rank() - x.rank() })
	parts := make([]string, 0, len(values))
	for _, v := range values {
		parts = append(parts, fmt.Sprintf("%d %s", a.Summary[v], v))
	}
	if len(parts) == 0 {
		return "on no cluster"
	}
	return strings.Join(parts, ", ")
}

func stale(c Cluster) string {
	text := "(never seen)"
	if c.LastKnown != "" {
		text = "(was " + string(c.LastKnown)
		if c.Age > 0 {
			text += " " + c.Age.Round(time.Second).String() + " ago"
		}
		text += ")"
	}
	if c.Error != "" {
		text += " " + line(c.Error)
	}
	return text
}

type tree struct {
	opts TreeOptions
	b    strings.Builder
}

func (t *tree) component(prefix string, c Component, last, fresh bool) {
	head, below := branch(prefix, last)
	text := c.ID
	if c.Kind != "" {
		text += "  " + c.Kind
	}
	if c.Optional {
		text += " (optional)"
	}
	if c.Replicas.Desired > 0 {
		text += fmt.Sprintf("  %d/%d", c.Replicas.Ready, c.Replicas.Desired)
	}
	value := c.Value
	if !fresh {
		text += "  was " + string(value)
		value = Unknown
	}
	if len(c.Causes) == 0 && value != Ready && value != Stopped && c.Message != "" {
		text += "  " + line(c.Message)
	}
	t.line(head, text, value)
	t.causes(below, c.Causes, true)
}

// causes draws causes; last says that nothing comes after them.
func (t *tree) causes(prefix string, causes []Cause, last bool) {
	for i, cause := range causes {
		head, under := branch(prefix, last && i == len(causes)-1)
		text := string(cause.Reason)
		if cause.Count > 1 {
			text += fmt.Sprintf(" ×%d", cause.Count)
		}
		text += ": " + cause.Message
		t.line(head, text, "")
		if cause.Next != "" {
			t.line(under, "→ "+cause.Next, "")
		}
	}
}

func branch(prefix string, last bool) (head, below string) {
	if last {
		return prefix + "└─ ", prefix + "   "
	}
	return prefix + "├─ ", prefix + "│  "
}

// line writes one line: the branch, the value's symbol and word, the text.
func (t *tree) line(head, text string, v Value) {
	if v != "" {
		text = symbol(v) + " " + string(v) + "  " + text
	}
	if room := t.opts.Width - utf8.RuneCountInString(head); t.opts.Width > 0 && utf8.RuneCountInString(text) > max(room, 1) {
		text = string([]rune(text)[:max(room, 1)-1]) + "…"
	}
	if t.opts.Color && v != "" {
		text = "\x1b[" + color(v) + "m" + text + "\x1b[0m"
	}
	t.b.WriteString(head + text + "\n")
}

func symbol(v Value) string {
	switch v {
	case Ready:
		return "✔"
	case Stopped:
		return "■"
	case Progressing:
		return "◐"
	case Degraded:
		return "▲"
	case Absent:
		return "○"
	case Failed:
		return "✘"
	}
	return "?"
}

func color(v Value) string {
	switch v {
	case Ready:
		return "32"
	case Progressing:
		return "36"
	case Degraded:
		return "33"
	case Failed, Absent:
		return "31"
	case Stopped:
		return "2"
	}
	return "35"
}
