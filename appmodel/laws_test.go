package appmodel

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireSame fails unless the two applications say the same.
func requireSame(t *testing.T, want, got *Application, seed uint64) {
	t.Helper()
	x, err := newTree(want)
	require.NoError(t, err)
	y, err := newTree(got)
	require.NoError(t, err)
	if !same(x, y) {
		for _, c := range Changes(want, got) {
			t.Errorf("%s %s: %s, not %s", c.Path, c.Kind, c.New, c.Old)
		}
		require.Fail(t, "differ", "seed %d", seed)
	}
}

func TestLaws(t *testing.T) {
	t.Parallel()
	merge := func(t *testing.T, b, o, th *Application) *MergeResult {
		r, err := Merge(b, o, th, nil)
		require.NoError(t, err)
		return r
	}
	laws := map[string]func(t *testing.T, g dice, seed uint64){
		"a tree gives its application back": func(t *testing.T, g dice, seed uint64) {
			a := g.application()
			tree, err := newTree(a)
			require.NoError(t, err)
			requireSame(t, a, tree.application(), seed)
		},
		"Apply(a, Diff(a, b)) is b": func(t *testing.T, g dice, seed uint64) {
			a := g.application()
			b := g.edited(a, g.IntN(6))
			if g.rarely() {
				b = g.application()
			}
			o, err := Diff(a, b)
			require.NoError(t, err, "seed %d", seed)
			got, faults, err := applyUnchecked(a, o)
			require.NoError(t, err, "seed %d", seed)
			require.Empty(t, faults, "seed %d", seed)
			requireSame(t, b, got, seed)
		},
		"Diff of the same is empty": func(t *testing.T, g dice, seed uint64) {
			a := g.application()
			o, err := Diff(a, g.shuffled(a))
			require.NoError(t, err)
			require.Nil(t, o.Set, "seed %d", seed)
			require.Empty(t, o.Remove, "seed %d", seed)
			require.Empty(t, Changes(a, g.shuffled(a)), "seed %d", seed)
		},
		"Changes are none when nothing differs": func(t *testing.T, g dice, seed uint64) {
			a := g.application()
			b := g.edited(a, g.IntN(3))
			o, err := Diff(a, b)
			require.NoError(t, err)
			if o.Set == nil && len(o.Remove) == 0 {
				require.Empty(t, Changes(a, b), "seed %d", seed)
			}
		},
		"Merge(b, x, b) is x": func(t *testing.T, g dice, seed uint64) {
			b := g.application()
			x := g.edited(b, 5)
			r := merge(t, b, x, b)
			requireSame(t, x, r.Application, seed)
			require.Empty(t, withoutDangling(r.Conflicts), "seed %d", seed)
		},
		"Merge(b, b, x) is x": func(t *testing.T, g dice, seed uint64) {
			b := g.application()
			x := g.edited(b, 5)
			r := merge(t, b, b, x)
			for i := range x.Secrets { // what is generated stays
				for j := range x.Secrets[i].Items {
					if x.Secrets[i].Items[j].Generate != nil {
						t.Skip("a policy speaks")
					}
				}
			}
			requireSame(t, x, r.Application, seed)
			require.Empty(t, withoutDangling(r.Conflicts), "seed %d", seed)
		},
		"merging is idempotent": func(t *testing.T, g dice, seed uint64) {
			b := g.application()
			o, th := g.edited(b, 4), g.edited(b, 4)
			th.Policies = g.policies()
			r := merge(t, b, o, th).Application
			requireSame(t, r, merge(t, b, r, th).Application, seed)
			requireSame(t, r, merge(t, r, r, r).Application, seed)
		},
		"merging does not depend on an order without meaning": func(t *testing.T, g dice, seed uint64) {
			b := g.application()
			o, th := g.edited(b, 4), g.edited(b, 4)
			th.Policies = g.policies()
			r := merge(t, b, o, th)
			s := merge(t, g.shuffled(b), g.shuffled(o), g.shuffled(th))
			requireSame(t, r.Application, s.Application, seed)
			require.ElementsMatch(t, places(r.Conflicts), places(s.Conflicts), "seed %d", seed)
		},
		"the sides agree without a conflict": func(t *testing.T, g dice, seed uint64) {
			b := g.application()
			x := g.edited(b, 4)
			r := merge(t, b, x, g.shuffled(x))
			requireSame(t, x, r.Application, seed)
			require.Empty(t, withoutDangling(r.Conflicts), "seed %d", seed)
		},
		"decisions settle every conflict": func(t *testing.T, g dice, seed uint64) {
			b := g.application()
			o, th := g.edited(b, 4), g.edited(b, 4)
			d := map[string]Decision{}
			for _, c := range merge(t, b, o, th).Conflicts {
				d[c.Path] = Decision(g.pick("ours", "theirs"))
			}
			r, err := Merge(b, o, th, &MergeOptions{Decisions: d})
			require.NoError(t, err, "seed %d", seed)
			require.Empty(t, withoutDangling(r.Conflicts), "seed %d", seed)
		},
		"the arguments stay as they are": func(t *testing.T, g dice, seed uint64) {
			b := g.application()
			o, th := g.edited(b, 4), g.edited(b, 4)
			before := []*Application{Clone(b), Clone(o), Clone(th)}
			merge(t, b, o, th)
			d, err := Diff(b, o)
			require.NoError(t, err)
			_, _, err = applyUnchecked(b, d)
			require.NoError(t, err)
			require.Equal(t, before, []*Application{b, o, th})
		},
	}
	for name, law := range laws {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(rounds(60)) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { law(t, newDice(seed), seed) })
			}
		})
	}
}

// policies are some that speak of much.
func (g dice) policies() []Policy {
	return many(g.somePaths(), func(p string) Policy {
		return Policy{Path: p, Policy: PolicyKind(g.pick("locked", "external", "generated", "default"))}
	})
}

func (g dice) somePaths() []string {
	var paths []string
	for _, p := range []string{"components[*].image", "components[*].env[E1]", "components[c1].env", "components[c2]", "components[*].scale",
		"secrets[*].items[*]", "routes[r0].http.rules", "components[*].resources.limits[cpu]", "components[*].aliases"} {
		if g.rarely() {
			paths = append(paths, p)
		}
	}
	return paths
}

func withoutDangling(conflicts []Conflict) []Conflict {
	var out []Conflict
	for _, c := range conflicts {
		if c.Reason != ConflictDangling {
			out = append(out, c)
		}
	}
	return out
}

func places(conflicts []Conflict) []string {
	var out []string
	for _, c := range conflicts {
		out = append(out, c.Path+": "+string(c.Reason))
	}
	return out
}
