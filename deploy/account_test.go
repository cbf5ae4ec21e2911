package deploy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestAnAccountIsOneStableLineOfBoundedLengthWithoutSecrets(t *testing.T) {
	t.Parallel()
	a, b := errors.New("apply ConfigMap shop/a: invalid"), errors.New("apply ConfigMap shop/b: invalid")
	w := &work{values: secretValues{"db": {"password": "hunter22", "key": "line one of it\nline two of it", "pin": "1"}}}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"nothing":                     {nil, ""},
		"one error":                   {a, a.Error()},
		"two errors":                  {errors.Join(a, b), a.Error() + " (and 1 more)"},
		"the same in another order":   {errors.Join(b, a, b), a.Error() + " (and 1 more)"},
		"control characters":          {errors.New("a\x1b[31m\tb\x00c\xff\u202ed"), "a [31m b c d"},
		"no text":                     {errors.New("\n"), "failed, without saying why"},
		"a secret":                    {errors.New(`data.password: Invalid value: "hunter22": too short`), `data.password: Invalid value: "(redacted)": too short`},
		"a secret as the wire has it": {errors.New("aHVudGVyMjI= is wrong"), "(redacted) is wrong"},
		"a quoted secret of lines":    {fmt.Errorf("%q", "line one of it\nline two of it"), `"(redacted)"`},
		"a line of a secret":          {errors.New("at line two of it"), "at (redacted)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, account(c.err, w.secretTexts()))
		})
	}
	long := account(errors.Join(errors.New(strings.Repeat("ä", 1000)), errors.New("ö")), nil)
	require.LessOrEqual(t, len(long), maxAccount)
	require.True(t, utf8.ValidString(long))
	require.True(t, strings.HasSuffix(long, "… (and 1 more)"))
}
