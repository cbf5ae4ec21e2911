package appmodel

import (
	"errors"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/stretchr/testify/require"
)

func TestTemplates(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                 "",
		"plain $(NAME) $x $":               "plain $(NAME) $x $",
		"$$ $${param.a}":                   "$ ${param.a}",
		"a${param.host}b":                  "a<param host>b",
		"${config.collector.fluent.conf}":  "<config collector fluent.conf>",
		`${config.site["a}b"]}`:            "<config site a}b>",
		"${need.db.host}:${need.db.port}":  "<need db host>:<need db port>",
		"${self.host} ${self.port.http}":   "<self host> <self port http>",
		"${cluster.labels.example.com/zo}": "<cluster labels example.com/zo>",
		"${cluster.name}${app.name}":       "<cluster name><app name>",
		"${route.shop.host}":               "<route shop host>",
	} {
		tmpl, err := ParseTemplate(text)
		require.NoError(t, err, text)
		got, err := tmpl.Expand(func(r TemplateRef) (string, error) {
			s := "<" + r.Scope
			for _, p := range r.Path {
				s += " " + p
			}
			return s + ">", nil
		})
		require.NoError(t, err)
		require.Equal(t, want, got)
		again, err := ParseTemplate(tmpl.String())
		require.NoError(t, err)
		require.Equal(t, tmpl, again)
	}
}

func TestTemplatesThatAreNone(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a ${":               "column 3: ${ is never closed",
		"${param.a":          "never closed",
		"${}":                `unknown scope ""`,
		"${.a}":              "unknown scope",
		"${params.a}":        `did you mean "param"?`,
		"${param}":           "write ${param.NAME}",
		"${config.a}":        "write ${config.GROUP.ITEM}",
		"${route.a.port}":    "write ${route.ID.host}",
		"${app.version}":     "write ${app.name}",
		"${param.a ${b}}":    "is no reference",
		`${config.a["b}`:     "a bracket without a quoted name",
		"${param.a\n}":       "is no reference",
		"${secret.a.${b.c}}": "is no reference",
	} {
		_, err := ParseTemplate(text)
		require.ErrorIs(t, err, appspan.ErrInvalid, text)
		require.ErrorContains(t, err, want)
	}
	tmpl, err := ParseTemplate("${param.a}")
	require.NoError(t, err)
	cause := errors.New("nobody knows")
	_, err = tmpl.Expand(func(TemplateRef) (string, error) { return "", cause })
	require.ErrorIs(t, err, cause)
	require.EqualError(t, err, "${param.a}: nobody knows")
}
