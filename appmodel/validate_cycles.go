package appmodel

import (
	"fmt"
	"slices"
	"strings"
)

// cycles finds components that wait for each other.
func (v *checker) cycles() {
	waits := map[string][]string{}
	for i := range v.app.Components {
		c := &v.app.Components[i]
		for _, n := range c.Needs {
			waiting := n.Condition != "" && n.Condition != "none"
			if waiting && n.Application == "" && n.Component != "" && n.Component != c.ID && v.byID[n.Component] != nil {
				waits[c.ID] = append(waits[c.ID], n.Component)
			}
		}
	}
	for _, cycle := range findCycles(v.ids, waits) {
		var parts []string
		for i, id := range cycle {
			parts = append(parts, fmt.Sprintf("%s waits for %s", id, cycle[(i+1)%len(cycle)]))
		}
		next := fmt.Sprintf(`set "condition: none" on one of the %s`, number(len(cycle)))
		at := Path{}.field("components").entry(cycle[0])
		for _, n := range v.byID[cycle[0]].Needs {
			if n.Component == cycle[1] && n.Condition != "none" {
				at = at.field("needs").entry(n.Name)
			}
		}
		v.errorf(at, next, "%s", strings.Join(parts, ", "))
	}
}

func number(n int) string {
	if n == 2 {
		return "two"
	}
	return fmt.Sprint(n)
}

// findCycles returns a cycle of each group of nodes that lead to each other,
// beginning with the node that comes first in order. It takes time linear in
// nodes and edges, and no recursion.
func findCycles(order []string, edges map[string][]string) [][]string {
	const (
		white = iota
		grey
		black
	)
	color := map[string]int{}
	var cycles [][]string
	type frame struct {
		node string
		next int
	}
	for _, start := range order {
		if color[start] != white {
			continue
		}
		stack := []frame{{node: start}}
		color[start] = grey
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(edges[top.node]) {
				color[top.node] = black
				stack = stack[:len(stack)-1]
				continue
			}
			to := edges[top.node][top.next]
			top.next++
			switch color[to] {
			case white:
				color[to] = grey
				stack = append(stack, frame{node: to})
			case grey:
				i := slices.IndexFunc(stack, func(f frame) bool { return f.node == to })
				var cycle []string
				for _, f := range stack[i:] {
					cycle = append(cycle, f.node)
				}
				cycles = append(cycles, cycle)
			}
		}
	}
	return cycles
}
