package appmodel

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// withEnv is an application whose component web has one variable, or none.
func withEnv(value string) *Application {
	a := &Application{APIVersion: APIVersion, Kind: KindApplication, Metadata: Metadata{Name: "shop"},
		Components: []Component{{ID: "web", Kind: KindService, Container: Container{Image: "web:1"}}}}
	if value != "–" {
		a.Components[0].Env = []Env{{Name: "TZ", Value: value}}
	}
	return a
}

func envOf(a *Application) string {
	if len(a.Components[0].Env) == 0 {
		return "–"
	}
	return a.Components[0].Env[0].Value
}

func TestMergeTable(t *testing.T) {
	t.Parallel()
	const entry, field = "components[web].env[TZ]", "components[web].env[TZ].value"
	tests := map[string]struct {
		base, ours, theirs, want string
		reason                   ConflictReason
		path                     string
	}{
		"x x y is y":                                  {"x", "x", "y", "y", "", ""},
		"x y x is y":                                  {"x", "y", "x", "y", "", ""},
		"x y y is y":                                  {"x", "y", "y", "y", "", ""},
		"x y z is bothChanged, by default y":          {"x", "y", "z", "y", ConflictBothChanged, field},
		"– y z is bothAdded, by default y":            {"–", "y", "z", "y", ConflictBothAdded, field},
		"– y y is y":                                  {"–", "y", "y", "y", "", ""},
		"– y – is y":                                  {"–", "y", "–", "y", "", ""},
		"– – y is y":                                  {"–", "–", "y", "y", "", ""},
		"x x – is removed":                            {"x", "x", "–", "–", "", ""},
		"x y – is changedRemoved, by default y":       {"x", "y", "–", "y", ConflictChangedRemoved, entry},
		"x – y is removedChanged, by default removed": {"x", "–", "y", "–", ConflictRemovedChanged, entry},
		"x – x is removed":                            {"x", "–", "x", "–", "", ""},
		"x – – is removed":                            {"x", "–", "–", "–", "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := Merge(withEnv(tt.base), withEnv(tt.ours), withEnv(tt.theirs), nil)
			require.NoError(t, err)
			require.Equal(t, tt.want, envOf(r.Application))
			if tt.reason == "" {
				require.Empty(t, r.Conflicts)
				return
			}
			require.Len(t, r.Conflicts, 1)
			c := r.Conflicts[0]
			require.Equal(t, []any{tt.path, tt.reason, TakeOurs}, []any{c.Path, c.Reason, c.Default})
			for d, want := range map[Decision]string{TakeOurs: tt.ours, TakeTheirs: tt.theirs} {
				decided, err := Merge(withEnv(tt.base), withEnv(tt.ours), withEnv(tt.theirs), &MergeOptions{Decisions: map[string]Decision{c.Path: d}})
				require.NoError(t, err)
				require.Empty(t, decided.Conflicts)
				require.Equal(t, want, envOf(decided.Application))
			}
		})
	}
}

func TestMergePolicies(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		policies                 []Policy
		base, ours, theirs, want string
		overruled                bool
	}{
		"locked is theirs, ours is reported":             {one("components[*].env[TZ]", PolicyLocked), "x", "y", "z", "z", true},
		"locked brings back what we removed":             {one("components[web].env", PolicyLocked), "x", "–", "x", "x", true},
		"locked drops what we added":                     {one("components[web].env", PolicyLocked), "–", "y", "–", "–", true},
		"locked and unchanged by us is not reported":     {one("components[*]", PolicyLocked), "x", "x", "z", "z", false},
		"default is ours once changed":                   {one("components[*].env", PolicyDefault), "x", "y", "z", "y", false},
		"default keeps what we changed and they removed": {one("components[*].env", PolicyDefault), "x", "y", "–", "y", false},
		"default is theirs while unchanged":              {one("components[*].env", PolicyDefault), "x", "x", "z", "z", false},
		"generated is ours, kept":                        {one("components[*].env", PolicyGenerated), "x", "x", "z", "x", false},
		"generated is theirs where we have none":         {one("components[*].env", PolicyGenerated), "–", "–", "z", "z", false},
		"external is ours":                               {one("components[*].env", PolicyExternal), "x", "y", "z", "y", false},
		"the most specific path wins": {append(one("components[*].env", PolicyLocked), one("components[web].env[TZ]", PolicyDefault)...),
			"x", "y", "z", "y", false},
		"at a tie the stricter wins": {[]Policy{{"components[web].env", PolicyDefault}, {"components[web].env", PolicyLocked}},
			"x", "y", "z", "z", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			theirs := withEnv(tt.theirs)
			scope, err := newPolicies(tt.policies)
			require.NoError(t, err)
			require.Len(t, scope.below, len(tt.policies))
			if theirs.Policies = tt.policies; len(tt.policies) == 2 && tt.policies[0].Path == tt.policies[1].Path {
				theirs.Policies = []Policy{tt.policies[0], {"components[*].env", PolicyDefault}}
				theirs.Policies[0].Policy = PolicyLocked
			}
			r, err := Merge(withEnv(tt.base), withEnv(tt.ours), theirs, nil)
			require.NoError(t, err)
			require.Empty(t, r.Conflicts)
			require.Equal(t, tt.want, envOf(r.Application))
			require.Equal(t, tt.overruled, len(r.Overruled) == 1, "%v", r.Overruled)
		})
	}
}

func one(path string, p PolicyKind) []Policy { return []Policy{{Path: path, Policy: p}} }

func TestMergeKeepsWhatIsGenerated(t *testing.T) {
	t.Parallel()
	with := func(i SecretItem) *Application {
		a := withEnv("x")
		i.Name = "password"
		a.Secrets = []Secret{{Name: "db", Items: []SecretItem{i}}}
		return a
	}
	ours := with(SecretItem{Value: NewSensitive("made-here")})
	r, err := Merge(with(SecretItem{Generate: &Generate{Length: 24}}), ours, with(SecretItem{Generate: &Generate{Length: 32}}), nil)
	require.NoError(t, err)
	require.Empty(t, r.Conflicts)
	require.Equal(t, "made-here", r.Application.Secrets[0].Items[0].Value.Reveal())
}

func TestMergeReportsDanglingReferencesAndOrphanedData(t *testing.T) {
	t.Parallel()
	base := withEnv("x")
	base.Components = append(base.Components, Component{ID: "db", Kind: KindStateful, Container: Container{Image: "db:1",
		Mounts: []Mount{{Path: "/data", Volume: "data"}}}, Ports: []Port{{Port: 3306}},
		Volumes: []Volume{{Name: "data", Kind: VolumePersistent, Size: "1Gi", Data: DataDatabase}}})
	ours, theirs := Clone(base), withEnv("x")
	ours.Components[0].Needs = []Need{{Component: "db"}}
	r, err := Merge(base, ours, theirs, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"components[db].volumes[data]"}, r.Orphaned)
	require.Len(t, r.Conflicts, 1)
	c := r.Conflicts[0]
	require.Equal(t, []any{"components[web].needs[db]", ConflictDangling, TakeOurs, "components[db]"}, []any{c.Path, c.Reason, c.Default, c.Gone})
	require.Error(t, r.Faults.Err())
	for path, d := range map[string]Decision{c.Path: TakeTheirs, c.Gone: TakeOurs} {
		r, err := Merge(base, ours, theirs, &MergeOptions{Decisions: map[string]Decision{path: d}})
		require.NoError(t, err)
		require.Empty(t, r.Conflicts)
		require.NoError(t, r.Faults.Err())
	}
	_, err = Merge(base, ours, theirs, &MergeOptions{Decisions: map[string]Decision{"components[nope]": TakeOurs}})
	require.ErrorContains(t, err, "components[nope]")
}

func TestMergeOneOfIsOneField(t *testing.T) {
	t.Parallel()
	theirs := withEnv("x")
	theirs.Components[0].Env[0] = Env{Name: "TZ", Template: "${app.name}"}
	r, err := Merge(withEnv("x"), withEnv("y"), theirs, nil)
	require.NoError(t, err)
	require.Len(t, r.Conflicts, 1)
	require.Equal(t, `{"value":"y"}`, r.Conflicts[0].Ours.String())
	require.Equal(t, `{"template":"${app.name}"}`, r.Conflicts[0].Theirs.String())
	require.Equal(t, Env{Name: "TZ", Value: "y"}, r.Application.Components[0].Env[0])
	r, err = Merge(withEnv("x"), withEnv("y"), theirs, &MergeOptions{Decisions: map[string]Decision{r.Conflicts[0].Path: TakeTheirs}})
	require.NoError(t, err)
	require.Empty(t, r.Conflicts)
	require.Equal(t, theirs.Components[0].Env, r.Application.Components[0].Env)
}

func TestOrderIsTheirsThenOursByPredecessor(t *testing.T) {
	t.Parallel()
	list := func(names string) *Application {
		a := withEnv("–")
		for n := range strings.FieldsSeq(names) {
			a.Components[0].Env = append(a.Components[0].Env, Env{Name: n, Value: "1"})
		}
		return a
	}
	for _, tt := range [][4]string{
		{"A B", "A X B", "A B C", "A X B C"},
		{"A B", "X A B", "B A", "X B A"},
		{"A B", "B A", "A B C", "B C A"},
		{"A B", "A B X", "A C B", "A C B X"},
	} {
		r, err := Merge(list(tt[0]), list(tt[1]), list(tt[2]), nil)
		require.NoError(t, err)
		require.Empty(t, r.Conflicts)
		var got []string
		for _, e := range r.Application.Components[0].Env {
			got = append(got, e.Name)
		}
		require.Equal(t, strings.Fields(tt[3]), got)
	}
}

func TestAMovePastWhatIsGoneIsNone(t *testing.T) {
	env := func(names ...string) *Application {
		a := withEnv("x")
		a.Components[0].Env = nil
		for _, n := range names {
			a.Components[0].Env = append(a.Components[0].Env, Env{Name: n, Value: n})
		}
		return a
	}
	base, ours, theirs := env("A", "B"), env("B", "X", "Y", "A"), env("B", "Y", "X")
	once, err := Merge(base, ours, theirs, nil)
	require.NoError(t, err)
	twice, err := Merge(base, once.Application, theirs, nil)
	require.NoError(t, err)
	require.Empty(t, Changes(once.Application, twice.Application), "merging again changes nothing")
}

func TestNoResultShowsASecret(t *testing.T) {
	t.Parallel()
	const needle = "hunter2"
	with := func(v string) *Application {
		a := withEnv("x")
		a.Secrets = []Secret{{Name: "s", Items: []SecretItem{{Name: "i", Value: NewSensitive(needle + v)}}}}
		a.Parameters = []Parameter{{Name: "p", Secret: true, Default: JSON(`"` + needle + v + `"`)}}
		return a
	}
	a, b, c := with("a"), with("b"), with("c")
	r, err := Merge(a, b, c, nil)
	require.NoError(t, err)
	require.Len(t, r.Conflicts, 2)
	require.True(t, r.Conflicts[0].Secret && r.Conflicts[1].Secret)
	gone := with("a")
	gone.Secrets = nil
	removed, err := Merge(a, gone, c, nil)
	require.NoError(t, err)
	locked := with("c")
	locked.Policies = one("secrets[s]", PolicyLocked)
	overruled, err := Merge(a, b, locked, nil)
	require.NoError(t, err)
	require.Len(t, overruled.Overruled, 1)
	b2 := Clone(b)
	b2.Parameters = a.Parameters
	o, err := Diff(a, b2)
	require.NoError(t, err)
	require.Contains(t, string(o.Set.JSON), needle)
	got, _, err := applyUnchecked(a, o)
	require.NoError(t, err)
	require.Equal(t, needle+"b", got.Secrets[0].Items[0].Value.Reveal())
	_, err = Diff(a, b)
	require.Error(t, err)
	_, _, resolveErr := Resolve(a, map[string]JSON{"p": JSON(`"` + needle + `"`), "q": JSON(`"` + needle + `"`)})
	require.Error(t, resolveErr)
	for _, v := range []any{Changes(a, b), Changes(a, gone), Changes(gone, a), r.Conflicts, removed.Conflicts, overruled.Overruled, o, *o, o.Set, *o.Set, err, resolveErr, r.Faults} {
		text, jsonErr := json.Marshal(v)
		require.NoError(t, jsonErr)
		for _, s := range []string{string(text), fmt.Sprintf("%v", v), fmt.Sprintf("%+v", v), fmt.Sprintf("%#v", v), fmt.Sprintf("%s", v), fmt.Sprintf("%q", v), fmt.Sprint(v)} {
			require.NotContains(t, s, needle)
		}
	}
}
