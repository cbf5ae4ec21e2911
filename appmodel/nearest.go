package appmodel

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// nearest is the candidate that was probably meant, or "".
func nearest(name string, candidates []string) string {
	best, bestCost := "", -1
	for _, c := range candidates {
		if cost := distance(name, c); cost >= 0 && (bestCost < 0 || cost < bestCost) {
			best, bestCost = c, cost
		}
	}
	return best
}

// didYouMean is `did you mean "x"?`, or a list of what there is, or "".
func didYouMean(name string, candidates []string) string {
	if near := nearest(name, candidates); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(candidates) == 0 || len(candidates) > 12 {
		return ""
	}
	sorted := slices.Clone(candidates)
	slices.Sort(sorted)
	return "there is " + strings.Join(slices.Compact(sorted), ", ")
}

// maxCompared is how long names may be that are compared.
const maxCompared = 64

// distance is how far two names are apart, -1 if too far to be meant: letters
// changed, added, removed or swapped, and a known name with something before
// or behind it.
func distance(a, b string) int {
	if len(a) > maxCompared || len(b) > maxCompared || b == "" || a == "" {
		return -1
	}
	la, lb := strings.ToLower(a), strings.ToLower(b)
	if la == lb {
		return 0
	}
	limit := typos(a, b)
	if max(len(la)-len(lb), len(lb)-len(la)) <= limit {
		if d := edits(la, lb); d <= limit {
			return d
		}
	}
	if short, long := min(len(la), len(lb)), max(len(la), len(lb)); short >= 4 && short*3 >= long {
		if strings.HasPrefix(la, lb) || strings.HasPrefix(lb, la) || strings.HasSuffix(la, lb) {
			return limit + 1
		}
	}
	if len(la) >= 4 && strings.HasPrefix(lb, la) {
		return limit + 1
	}
	return -1
}

// typos is how many edits still leave a name recognisable.
func typos(a, b string) int { return max(1, min(len(a), len(b))/3) }

// edits is the distance of Damerau and Levenshtein (optimal alignment).
func edits(a, b string) int {
	var rows [3][maxCompared + 1]int
	prev2, prev, row := rows[0][:len(b)+1], rows[1][:len(b)+1], rows[2][:len(b)+1]
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
		prev2, prev, row = prev, row, prev2
	}
	return prev[len(b)]
}

// nearestField is the field of t, or of what t holds, that was probably meant
// by name: "scale.replicas". A name near it in t itself comes first, then the
// block of a component's own kind, then the other blocks; those of other kinds
// come last, and for the very name alone.
func nearestField(t reflect.Type, name string, kind ComponentKind) string {
	type candidate struct {
		path              string
		rank, cost, depth int
	}
	var found []candidate
	var visit func(t reflect.Type, prefix string, rank, depth int)
	visit = func(t reflect.Type, prefix string, rank, depth int) {
		s := shapeOf(t)
		if s == nil || depth > 2 { // deeper down a name says nothing about what was meant
			return
		}
		for _, f := range s.fields {
			inner, below := f.typ, max(rank, 2)
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if t == reflect.TypeFor[Component]() {
				below = blockRank(f.name, kind)
			}
			cost := distance(name, f.name)
			if cost == 0 || cost > 0 && (rank < 2 || rank == 2 && cost <= typos(name, f.name)) {
				found = append(found, candidate{prefix + f.name, rank, cost, depth})
			}
			visit(inner, prefix+f.name+".", below, depth+1)
		}
	}
	visit(t, "", 0, 0)
	if len(found) == 0 {
		return ""
	}
	return slices.MinFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.cost, b.cost),
			cmp.Compare(a.depth, b.depth), cmp.Compare(a.path, b.path))
	}).path
}

// blockRank says how near a block of a component is to one of a kind: 1 is its
// own, 2 that of every kind, 3 another kind's.
func blockRank(block string, kind ComponentKind) int {
	switch ComponentKind(block) {
	case kind:
		return 1
	case KindJob:
		if kind == KindCron {
			return 1
		}
	case KindCron, KindFunction, KindExternal, KindChart:
	default:
		return 2
	}
	return 3
}
