package cluster

import (
	"fmt"
	"strings"
	"time"
)

// Health is how a cluster does.
type Health string

// The states of a cluster.
const (
	// Connecting: it has not been heard of yet.
	Connecting Health = "connecting"
	// Ready: it answers, and nothing that was looked at is wrong.
	Ready Health = "ready"
	// Degraded: it answers, and something is wrong; see the reasons.
	Degraded Health = "degraded"
	// Unreachable: it does not answer, or something else answers in its place.
	// What is known of it is as old as its last answer.
	Unreachable Health = "unreachable"
	// Maintenance: people said so; nothing is expected of it meanwhile.
	Maintenance Health = "maintenance"
)

// Transition is one change of a cluster's health.
type Transition struct {
	At      time.Time `json:"at"`
	Health  Health    `json:"health"`
	Reasons []string  `json:"reasons,omitempty"`
}

// maxTransitions is how many changes of a cluster's health are remembered.
const maxTransitions = 100

// judgement is what follows from a check.
type judgement struct {
	health  Health
	reasons []string
}

// judge says how a cluster does that answered, by what was found on it.
func judge(found *Inspection) judgement {
	if found == nil {
		return judgement{health: Degraded, reasons: []string{"it has not been looked at yet"}}
	}
	reasons := append([]string(nil), found.Unreadable...)
	var bad []string
	ready, schedulable := 0, 0
	for _, n := range found.Nodes {
		if n.Ready {
			ready++
			if !n.Unschedulable {
				schedulable++
			}
		}
		if len(n.Problems) > 0 {
			bad = append(bad, n.Name+" ("+strings.Join(n.Problems, ", ")+")")
		}
	}
	switch {
	case len(found.Unreadable) > 0 && len(found.Nodes) == 0:
	case len(found.Nodes) == 0:
		reasons = append(reasons, "it has no nodes")
	case ready == 0:
		reasons = append(reasons, fmt.Sprintf("none of its %d nodes is ready", len(found.Nodes)))
	case schedulable == 0:
		reasons = append(reasons, "no ready node takes new pods: all are cordoned")
	}
	const show = 5
	if len(bad) > 0 {
		more := ""
		if len(bad) > show {
			more = fmt.Sprintf(" and %d more", len(bad)-show)
			bad = bad[:show]
		}
		reasons = append(reasons, "nodes with problems: "+strings.Join(bad, "; ")+more)
	}
	if len(reasons) > 0 {
		return judgement{health: Degraded, reasons: reasons}
	}
	return judgement{health: Ready}
}
