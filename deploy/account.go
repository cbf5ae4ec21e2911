package deploy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/appspan-dev/appspan/appmodel"
)

const (
	maxAccount = 500 // bytes of a recorded text
	minSecret  = 4   // bytes: shorter values stand in any text
)

// account is the text of an error as releases and audit records keep it: one
// line of bounded length without control characters, the same whatever order
// parallel writes failed in, and with no value of a secret of the application.
func account(err error, secrets []string) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, appmodel.Redacted)
	}
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	for i, line := range lines {
		lines[i] = printable(line)
	}
	lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" })
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if len(lines) == 0 {
		return "failed, without saying why"
	}
	more := ""
	if n := len(lines) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return cut(lines[0], maxAccount-len(more)) + more
}

// discreet is an error whose text has no value of a secret of the application,
// which a server may have repeated: results and journals keep it whole.
type discreet struct {
	text string
	err  error
}

func (e *discreet) Error() string { return e.text }
func (e *discreet) Unwrap() error { return e.err }

// withhold takes secrets out of the text of an error.
func withhold(err error, secrets []string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, appmodel.Redacted)
	}
	if text == err.Error() {
		return err
	}
	return &discreet{text, err}
}

// printable replaces what does not print by spaces, several by one.
func printable(line string) string {
	line = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, line)
	return strings.Join(strings.Fields(line), " ")
}

// cut shortens a text at a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit - len("…")
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// secretTexts are the secret values that a cluster gets or has, in the forms in
// which a server may repeat them, longest first.
func (w *work) secretTexts() []string {
	if w == nil {
		return nil
	}
	var out []string
	add := func(value string) {
		if len(value) < minSecret {
			return
		}
		quoted, _ := json.Marshal(value)
		out = append(out, value, strings.Trim(string(quoted), `"`), base64.StdEncoding.EncodeToString([]byte(value)))
		for _, line := range strings.Split(value, "\n") {
			if len(line) < len(value) && len(line) >= 2*minSecret {
				out = append(out, line)
			}
		}
	}
	known := []secretValues{w.values}
	if w.live != nil && w.live.state != nil {
		known = append(known, w.live.state.generated)
	}
	for _, values := range known {
		for _, items := range values {
			for _, value := range items {
				add(value)
			}
		}
	}
	for _, o := range w.objects {
		if o.Kind != kindSecret.Kind && !o.Sensitive {
			continue
		}
		for _, field := range []string{"data", "stringData"} {
			data, _ := o.tree[field].(map[string]any)
			for _, v := range data {
				text, _ := v.(string)
				if plain, err := base64.StdEncoding.DecodeString(text); err == nil && field == "data" && o.Kind == kindSecret.Kind {
					text = string(plain)
				}
				add(text)
			}
		}
	}
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(out)
}
