package cluster_test

import (
	"context"
	"errors"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/stretchr/testify/require"
)

var pods = cluster.Query{APIVersion: "v1", Kind: "Pod", Namespace: "shop"}

// pages answers by continue token. An answer is used once, the last of a
// token for ever.
type pages map[string][]any

func (p pages) list(_ context.Context, q driver.Query) (driver.Page, error) {
	answers := p[q.Continue]
	if len(answers) > 1 {
		p[q.Continue] = answers[1:]
	}
	if err, failed := answers[0].(error); failed {
		return driver.Page{}, err
	}
	return answers[0].(driver.Page), nil
}

func page(next string, items ...driver.Object) driver.Page {
	return driver.Page{Items: items, Continue: next, Revision: "9"}
}

func TestListGoesThroughThePages(t *testing.T) {
	t.Parallel()
	expired := errors.Join(appspan.ErrPrecondition, errors.New("the token is too old"))
	a, b, c := pod("a", "1"), pod("b", "1"), pod("c", "1")
	for name, test := range map[string]struct {
		pages pages
		from  string
		want  []string
		err   error
	}{
		"one page":                              {pages{"": {page("", a, b)}}, "", []string{"a", "b"}, nil},
		"no objects":                            {pages{"": {page("")}}, "", nil, nil},
		"several pages":                         {pages{"": {page("2", a)}, "2": {page("3")}, "3": {page("", b, c)}}, "", []string{"a", "b", "c"}, nil},
		"from a page on":                        {pages{"2": {page("", b)}}, "2", []string{"b"}, nil},
		"an expired token begins again":         {pages{"": {page("2"), page("", a, b)}, "2": {expired}}, "", []string{"a", "b"}, nil},
		"without what has come already":         {pages{"": {page("2", a), page("3", a, b)}, "2": {expired}, "3": {page("", c)}}, "", []string{"a", "b", "c"}, nil},
		"but not for ever":                      {pages{"": {page("2", a)}, "2": {expired}}, "", []string{"a"}, appspan.ErrPrecondition},
		"and not when the caller has the token": {pages{"2": {expired}}, "2", nil, appspan.ErrPrecondition},
		"a failure comes last":                  {pages{"": {page("2", a)}, "2": {appspan.ErrDenied}}, "", []string{"a"}, appspan.ErrDenied},
		"a token that leads nowhere is noticed": {pages{"": {page("2", a)}, "2": {page("2", b)}}, "", []string{"a"}, appspan.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held := cluster.New("eu-1", &stub{list: test.pages.list}, nil)
			q := pods
			q.Continue = test.from
			var names []string
			var failure error
			for obj, err := range held.List(t.Context(), q) {
				require.NoError(t, failure, "an error comes last")
				if failure = err; err == nil {
					names = append(names, obj.Name)
				}
			}
			require.Equal(t, test.want, names)
			require.ErrorIs(t, failure, test.err)
			if failure != nil {
				require.ErrorContains(t, failure, "list eu-1 Pod in shop: ")
			}
		})
	}
}

func TestAListIsReadOnce(t *testing.T) {
	t.Parallel()
	c := cluster.New("eu-1", &stub{list: pages{"": {page("", pod("a", "1"), pod("b", "1"))}}.list}, nil)
	seq := c.List(t.Context(), pods)
	for obj, err := range seq {
		require.NoError(t, err)
		require.Equal(t, "a", obj.Name)
		break
	}
	for _, err := range seq {
		require.ErrorIs(t, err, appspan.ErrInvalid)
	}
}
