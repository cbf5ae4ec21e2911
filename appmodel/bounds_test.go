package appmodel

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const header = "apiVersion: appspan.dev/v1alpha1\nkind: Application\nmetadata: {name: shop}\n"

// allocated is how many bytes f allocates. It must not run in parallel.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHostileDocumentsAreRefusedInBoundedMemory(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString(header + "extensions:\n  a.example.com:\n    - &a [" + strings.Repeat("x,", 100) + "x]\n")
	for c := 'b'; c <= 'z'; c++ {
		fmt.Fprintf(&bomb, "    - &%c [%s]\n", c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 100), ","))
	}
	for name, c := range map[string]struct {
		data []byte
		most uint64
		want string
	}{
		"a file of 50 MB is not parsed":      {bytes.Repeat([]byte("a: b\n"), 10<<20), 1 << 20, "more than 4 MiB"},
		"a JSON file of 50 MB is not parsed": {[]byte(`{"a":"` + strings.Repeat("b", 50<<20) + `"}`), 1 << 20, "more than 4 MiB"},
		"an alias bomb is not expanded":      {[]byte(bomb.String()), 8 << 20, "more than 200000 nodes"},
		"deep nesting in YAML":               {[]byte(header + "extensions: " + strings.Repeat("[", 9000)), 64 << 20, ""},
		"deep nesting in JSON":               {[]byte(`{"a":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}"), 8 << 20, "64 levels"},
		"deeper nesting than parsers go":     {[]byte(strings.Repeat("[", 1<<20)), 256 << 20, ""},
		"too many nodes in JSON":             {[]byte("{\"a\":[" + strings.Repeat("1,", 1<<20) + "1]}"), 256 << 20, "more than 200000 nodes"},
		"too many nodes in YAML":             {[]byte(strings.Repeat("- a\n", 1<<20)), 512 << 20, "more than 200000 nodes"},
		"many faults are counted":            {[]byte(header + "components:\n" + strings.Repeat("  - {id: 1, kind: 2}\n", 5000)), 256 << 20, "and 9801 more"},
	} {
		t.Run(name, func(t *testing.T) {
			used := allocated(func() {
				a, faults, err := Decode(c.data, nil)
				require.Error(t, err)
				require.Nil(t, a)
				require.LessOrEqual(t, len(faults), maxFaults+1)
				require.Contains(t, err.Error(), c.want)
				require.Less(t, len(err.Error()), 1<<20)
			})
			require.Less(t, used, c.most)
		})
	}
}
