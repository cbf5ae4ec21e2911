package appmodel

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSmoke(t *testing.T) {
	two := 2
	a := &Application{APIVersion: APIVersion, Kind: KindApplication, Metadata: Metadata{Name: "shop"},
		Parameters: []Parameter{{Name: "webMin", Sets: []string{"components[web].scale.auto.min"}}, {Name: "v", Default: JSON(`"3"`), Sets: []string{"components[web].image"}}},
		Components: []Component{{ID: "web", Kind: KindService, Container: Container{Image: "x:1", Env: []Env{{Name: "A", Value: "1"}, {Name: "B", Template: "t"}}},
			Ports: []Port{{Port: 80}}, Scale: &Scale{Auto: &AutoScale{Min: &two, Max: 4}}}},
	}
	r, vals, err := Resolve(a, map[string]JSON{"webMin": JSON("3")})
	require.NoError(t, err)
	require.Equal(t, 3, *r.Components[0].Scale.Auto.Min)
	require.Equal(t, "3", r.Components[0].Image)
	require.Equal(t, map[string]JSON{"webMin": JSON("3"), "v": JSON(`"3"`)}, vals)
	_, _, err = Resolve(a, map[string]JSON{"webMin": JSON(`"x"`), "webmin": JSON("3")})
	t.Log(err)
	o := &Override{Metadata: Metadata{Name: "prod"}, Set: &OverrideSet{JSON(`{"components":[{"id":"web","scale":{"auto":{"max":9}},"env":[{"name":"Z","value":"0"},{"name":"B","value":"v"}],"labels":{"a":"b"}},{"id":"n","kind":"service","image":"y"}]}`)},
		Remove: []string{"components[web].env[A]", "components[web].ports[81]"}}
	b, f, err := Apply(a, o)
	require.NoError(t, err)
	t.Log(f)
	n, err := newTree(b)
	require.NoError(t, err)
	t.Log(n.json())
	_, _, err = Apply(a, &Override{Set: &OverrideSet{JSON(`{"components":[{"id":"web","kind":"job","scale":{"auto":{"max":"9"}},"env":[{"name":"B","value":null}],"lables":{"a":"b"}}], "policies":[], "metadata":{"name":"x"}}`)}, Remove: []string{"components[web].id", "components"}})
	t.Log(err)
}
