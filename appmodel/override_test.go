package appmodel

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func override(set string, remove ...string) *Override {
	o := &Override{APIVersion: APIVersion, Kind: KindOverride, Metadata: Metadata{Name: "prod"}, Remove: remove}
	if set != "" {
		o.Set = &OverrideSet{JSON(set)}
	}
	return o
}

func TestApplyRefusesWhatIsOutOfReach(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		set, remove, want string
	}{
		"the name":                 {`{"metadata":{"name":"x"}}`, "", "metadata.name: is out of"},
		"parameters":               {`{"parameters":[]}`, "", "parameters: is out of"},
		"policies":                 {"", "policies", "out of an override's reach"},
		"the kind of a component":  {`{"components":[{"id":"web","kind":"job"}]}`, "", "components[web].kind: is out of"},
		"what is locked":           {`{"components":[{"id":"web","image":"x"}]}`, "", "components[web].image: is locked by the application's policy components[*].image"},
		"removing what is locked":  {"", "components[web].image", "is locked"},
		"null":                     {`{"components":[{"id":"web","env":[{"name":"TZ","value":null}]}]}`, "", `list "components[web].env[TZ].value" under remove`},
		"an unknown field":         {`{"components":[{"id":"web","lables":{}}]}`, "", `did you mean "labels"?`},
		"a wrong type":             {`{"components":[{"id":"web","stdin":"x"}]}`, "", "components[web].stdin: is not true or false"},
		"two members of a one-of":  {`{"components":[{"id":"web","env":[{"name":"TZ","value":"a","template":"b"}]}]}`, "", "only one of the two"},
		"an entry without its key": {`{"components":[{"image":"x"}]}`, "", "has no id"},
		"an incomplete new entry":  {`{"components":[{"id":"new","kind":"service"}]}`, "", "components[new].image: "},
		"a path to nowhere":        {"", "components[web].imagee", `did you mean "image"?`},
		"a pattern":                {"", "components[*]", "more than one thing"},
		"the key of an entry":      {"", "components[web].id", "named by"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := withEnv("x")
			a.Policies = one("components[*].image", PolicyLocked)
			o := override(tt.set)
			if tt.remove != "" {
				o.Remove = []string{tt.remove}
			}
			_, faults, err := Apply(a, o)
			require.ErrorContains(t, err, tt.want)
			for _, f := range faults {
				require.NotEmpty(t, f.Path)
			}
		})
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	a := withEnv("x")
	a.Components[0].Env = append(a.Components[0].Env, Env{Name: "B", Value: "1"})
	tests := map[string]struct {
		set, remove string
		want        []Env
		warnings    int
	}{
		"setting a member of a one-of drops the other": {set: `{"components":[{"id":"web","env":[{"name":"B","template":"${app.name}"}]}]}`, want: []Env{{Name: "TZ", Value: "x"}, {Name: "B", Template: "${app.name}"}}},
		"a new entry stands at the end":                {set: `{"components":[{"id":"web","env":[{"name":"N","value":"1"}]}]}`, want: []Env{{Name: "TZ", Value: "x"}, {Name: "B", Value: "1"}, {Name: "N", Value: "1"}}},
		"a new entry stands behind the one before it":  {set: `{"components":[{"id":"web","env":[{"name":"TZ"},{"name":"N","value":"1"}]}]}`, want: []Env{{Name: "TZ", Value: "x"}, {Name: "N", Value: "1"}, {Name: "B", Value: "1"}}},
		"a new entry stands before the one behind it":  {set: `{"components":[{"id":"web","env":[{"name":"N","value":"1"},{"name":"TZ"}]}]}`, want: []Env{{Name: "N", Value: "1"}, {Name: "TZ", Value: "x"}, {Name: "B", Value: "1"}}},
		"removal comes before setting":                 {set: `{"components":[{"id":"web","env":[{"name":"TZ","value":"z"}]}]}`, remove: "components[web].env[TZ]", want: []Env{{Name: "B", Value: "1"}, {Name: "TZ", Value: "z"}}},
		"removing what is not there is a warning":      {remove: "components[web].env[C]", want: a.Components[0].Env, warnings: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := override(tt.set)
			if tt.remove != "" {
				o.Remove = []string{tt.remove}
			}
			b, faults, err := Apply(a, o)
			require.NoError(t, err)
			require.Equal(t, tt.want, b.Components[0].Env)
			require.Len(t, faults, tt.warnings)
		})
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	a := withEnv("x")
	a.Components[0].Scale = &Scale{Replicas: ptr(2)}
	a.Parameters = []Parameter{
		{Name: "host", Default: JSON(`"example.com"`)},
		{Name: "replicas", Sets: []string{"components[web].scale.replicas"}},
		{Name: "token", Secret: true},
		{Name: "hidden", When: "params.replicas > 3"},
	}
	b, values, err := Resolve(a, map[string]JSON{"token": JSON(`"t"`)})
	require.NoError(t, err)
	require.Equal(t, map[string]JSON{"host": JSON(`"example.com"`), "replicas": JSON("2"), "token": JSON(`"t"`)}, values)
	require.Equal(t, a, b)
	b, values, err = Resolve(a, map[string]JSON{"token": JSON(`"t"`), "replicas": JSON("3")})
	require.NoError(t, err)
	require.Equal(t, "3", values["replicas"].String())
	require.Equal(t, 3, *b.Components[0].Scale.Replicas)
	require.Equal(t, 2, *a.Components[0].Scale.Replicas)
	_, _, err = Resolve(a, map[string]JSON{"replicas": JSON(`"x"`), "hots": JSON(`1`)})
	require.ErrorContains(t, err, `there is no parameter "hots"; did you mean "host"?`)
	require.ErrorContains(t, err, `parameters[replicas]: the answer "x" is not a whole number, as components[web].scale.replicas takes it`)
	require.ErrorContains(t, err, "parameters[token]: has no answer")
}

func FuzzApply(f *testing.F) {
	f.Add("kind: Override\napiVersion: appspan.dev/v1alpha1\nmetadata: {name: x}\nset: {components: [{id: web, env: [{name: TZ, value: y}]}]}\nremove: [\"components[web].env[TZ]\"]\n")
	f.Add(`{"kind":"Override","apiVersion":"appspan.dev/v1alpha1","metadata":{"name":"x"},"set":{"routes":[{"id":"r","http":{"rules":[{"to":[]}]}}]}}`)
	a := newDice(1).application()
	f.Fuzz(func(t *testing.T, doc string) {
		o, _, err := DecodeOverride([]byte(doc), nil)
		if err != nil {
			return
		}
		b, _, err := applyUnchecked(a, o)
		if err != nil {
			return
		}
		d, err := Diff(a, b)
		if err != nil {
			return
		}
		c, _, err := applyUnchecked(a, d)
		require.NoError(t, err)
		requireSame(t, b, c, 0)
	})
}

// large is an application of n components, as they are in real life.
func large(n int) *Application {
	g := newDice(3)
	a := &Application{APIVersion: APIVersion, Kind: KindApplication, Metadata: Metadata{Name: "large"}}
	for i := range n {
		c := g.component(fmt.Sprintf("c%d", i))
		for j := range c.Needs { // to what is there: faults are not what is measured
			c.Needs[j].Component = "c0"
			c.Needs[j].Name = fmt.Sprintf("n%d", j)
		}
		a.Components = append(a.Components, c)
	}
	return a
}

func BenchmarkDiff(b *testing.B) {
	x := large(1000)
	y := newDice(4).edited(x, 400)
	for b.Loop() {
		_, err := Diff(x, y)
		require.NoError(b, err)
	}
}

func BenchmarkMerge(b *testing.B) {
	x := large(1000)
	y, z := newDice(4).edited(x, 400), newDice(5).edited(x, 400)
	for b.Loop() {
		_, err := Merge(x, y, z, nil)
		require.NoError(b, err)
	}
}
