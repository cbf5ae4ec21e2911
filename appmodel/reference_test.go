package appmodel

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const exampleHead = "apiVersion: appspan.dev/v1alpha1\nkind: Application\nmetadata: {name: shop}\n"

func TestEveryExampleOfTheReferenceIsValid(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/appmodel.md")
	require.NoError(t, err)
	kinds := map[ComponentKind]bool{}
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(doc, -1) {
		text := string(m[1])
		if !strings.HasPrefix(text, "apiVersion:") {
			text = exampleHead + text
		}
		var faults Faults
		var err error
		switch {
		case strings.Contains(text, "kind: "+KindOverride+"\n"):
			_, faults, err = DecodeOverride([]byte(text), nil)
		case strings.Contains(text, "kind: "+KindEnvironment+"\n"):
			_, faults, err = DecodeEnvironment([]byte(text), nil)
		default:
			var a *Application
			a, faults, err = Decode([]byte(text), nil)
			require.NoError(t, err, text)
			for _, c := range a.Components {
				kinds[c.Kind] = true
				if c.Kind == KindChart {
					require.Contains(t, faults[0].Problem, "not rendered yet")
					faults = faults[1:]
				}
			}
		}
		require.NoError(t, err, text)
		require.Empty(t, faults, text)
	}
	for _, kind := range shapeOf(reflect.TypeFor[Component]()).byName["kind"].enum {
		require.True(t, kinds[ComponentKind(kind)], "no example of kind %s", kind)
	}
}
