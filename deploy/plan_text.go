package deploy

import (
	"fmt"
	"io"
	"strings"

	"github.com/appspan-dev/appspan/deploy/render"
)

// String is the plan as a person reads it: for each cluster how much changes,
// then every change with its fields.
//
//	eu-1: 1 to create, 1 to update, 20 unchanged
//	  create Service shop/cache (drift: it was deleted)
//	  update Deployment shop/web
//	    .spec.replicas: 3 → 2 (drift, by kubectl)
func (p *Plan) String() string {
	parts := make([]string, len(p.Clusters))
	for i := range p.Clusters {
		parts[i] = p.Clusters[i].String()
	}
	return strings.Join(parts, "\n")
}

// Format writes String for every verb: what is meant holds secrets.
func (p Plan) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, p.String()) }

// Format writes String for every verb: what is meant holds secrets.
func (c ClusterPlan) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.String()) }

// String is the cluster's part as a person reads it, see [Plan.String].
func (c *ClusterPlan) String() string {
	var b strings.Builder
	switch c.State {
	case ClusterUnknown:
		fmt.Fprintf(&b, "%s: unknown: %s", c.Cluster, c.Error)
	case ClusterRefused:
		fmt.Fprintf(&b, "%s: refused", c.Cluster)
	default:
		fmt.Fprintf(&b, "%s: %s", c.Cluster, c.summary())
	}
	for _, r := range c.Refusals {
		b.WriteString("\n  refused: " + r.String())
	}
	for _, change := range c.Changes {
		b.WriteString("\n  " + strings.ReplaceAll(change.String(), "\n", "\n  "))
	}
	for _, a := range c.Additions {
		b.WriteString("\n  beside ours: " + a.String())
	}
	for _, n := range c.Notes {
		if n.Severity == render.Warning {
			b.WriteString("\n  warning: " + n.Path + ": " + n.Message)
		}
	}
	return b.String()
}

// summary counts the changes.
func (c *ClusterPlan) summary() string {
	var parts []string
	for _, a := range []Action{ActionCreate, ActionUpdate, ActionAdopt, ActionReplace, ActionDelete, ActionKeep} {
		n := 0
		for _, change := range c.Changes {
			if change.Action == a {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", n, a))
		}
	}
	switch {
	case len(parts) > 0:
	case c.Unfinished:
		parts = append(parts, "the last release is to be settled")
	default:
		parts = append(parts, "nothing to change")
	}
	return strings.Join(append(parts, fmt.Sprintf("%d unchanged", c.Unchanged)), ", ")
}

// String is the change with its fields, a line each.
func (c Change) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.Action, c.Object)
	switch {
	case c.Drift:
		b.WriteString(" (drift: " + c.Reason + ")")
	case c.Reason != "":
		b.WriteString(" (" + c.Reason + ")")
	}
	for _, f := range c.Fields {
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}

// String is the field with both values, each of at most 60 characters.
func (f FieldChange) String() string {
	s := f.Path + ": " + shown(f.Old) + " → " + shown(f.New)
	switch {
	case f.Drift && f.Manager != "":
		s += " (drift, by " + f.Manager + ")"
	case f.Drift:
		s += " (drift)"
	}
	return s
}

// shown is a value that fits on a line.
func shown(v []byte) string {
	const most = 60
	text := []rune(string(v))
	switch {
	case len(text) == 0:
		return "–"
	case len(text) > most:
		return string(text[:most-1]) + "…"
	}
	return string(text)
}
