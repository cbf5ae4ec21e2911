package appmodel

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPathsAreReadAndWrittenInOneSpelling(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"components[api].env[TZ]":            "",
		"components[web].ports[53/UDP]":      "",
		`components[api].files["/a]b"].mode`: "",
		`components[api].files["/ab"]`:       "components[api].files[/ab]",
		"components[*].image":                "",
		`labels["*"]`:                        "",
		`labels[""]`:                         "",
		"metadata":                           "",
	} {
		p, err := ParsePath(in)
		require.NoError(t, err)
		if want == "" {
			want = in
		}
		require.Equal(t, want, p.String())
	}
	for _, bad := range []string{"", "[a]", "a.", ".a", "a[", "a[]", "a[b", `a["b]`, "a]b", "a[b]c", "a..b", `a["b"`, "a b"} {
		_, err := ParsePath(bad)
		require.Error(t, err, bad)
	}
}

func TestPathsInTheModel(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"components[web].ports[53/TCP]":           "components[web].ports[53]",
		"components[web].ports[53/UDP]":           "components[web].ports[53/UDP]",
		"components[web].resources.limits.memory": "components[web].resources.limits[memory]",
		"components[web].monitors[http//metrics]": "components[web].monitors[http]",
		`components[c].chart.values["image"].tag`: "components[c].chart.values.image.tag",
		"components[web].env[A].valueFrom":        "components[web].env[A].valueFrom",
		"routes[shop].http.rules[/].to[web/http]": "routes[shop].http.rules[/].to[web/http]",
	} {
		p, _, err := parseLocated(in)
		require.NoError(t, err)
		require.Equal(t, want, p.String())
	}
	for in, want := range map[string]string{
		"components[web].imgae":      `did you mean "image"?`,
		"components.web":             "name an entry in brackets",
		"components[web].args[0]":    "replaced as a whole",
		"components[web].scale[min]": "has fields, no entries",
	} {
		_, _, err := parseLocated(in)
		require.ErrorContains(t, err, want)
	}
}

func TestSpecificity(t *testing.T) {
	t.Parallel()
	parse := func(s string) Path {
		p, err := ParsePath(s)
		require.NoError(t, err)
		return p
	}
	order := []string{"components[web].env[TZ]", "components[web].env[*]", "components[*].env[TZ]", "components[*].env[*]", "components[web].env", "components[*].env", "components"}
	for i := range order {
		for j := range order {
			got := parse(order[i]).Specificity(parse(order[j]))
			require.Equal(t, i < j, got < 0, "%s %s", order[i], order[j])
			require.Equal(t, i == j, got == 0)
		}
	}
	require.True(t, parse("components[web].env[TZ].value").Under(parse("components[*].env")))
	require.False(t, parse("components[web].env[TZ].value").Match(parse("components[*].env")))
	require.True(t, parse("components[web].env").Match(parse("components[*].env")))
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"components[api].env[TZ]", `files["/a]b"].content`, "ports[53/UDP]", "a[*].b", `a["\x00"]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil {
			return
		}
		again, err := ParsePath(p.String())
		require.NoError(t, err)
		require.Equal(t, p, again)
		if q, _, err := locate(p); err == nil {
			r, _, err := parseLocated(q.String())
			require.NoError(t, err)
			require.Equal(t, q.String(), r.String())
		}
	})
}
