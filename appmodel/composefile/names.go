package composefile

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// extensionKey is where foreign data is kept.
const extensionKey = "compose.appspan.dev"

// maxID is the length of an id of the model.
const maxID = 40

// label turns a name into a DNS-1035 label of at most 40 characters.
func label(name string) string {
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(name)) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b.WriteByte(c)
		default:
			b.WriteByte('-')
		}
	}
	s := strings.Trim(b.String(), "-")
	if s == "" || s[0] < 'a' {
		s = strings.TrimSuffix("x-"+s, "-")
	}
	if len(s) > maxID {
		sum := sha256.Sum256([]byte(name))
		s = strings.TrimRight(s[:maxID-7], "-") + "-" + hex.EncodeToString(sum[:3])
	}
	return s
}

// namer gives names that are not taken yet.
type namer map[string]bool

// take is label(name), with a number behind it if that is taken.
func (n namer) take(name string) string { return n.takeAs(label(name)) }

func (n namer) takeAs(base string) string {
	id := base
	for i := 2; n[id]; i++ {
		suffix := "-" + strconv.Itoa(i)
		id = strings.TrimRight(base[:min(len(base), maxID-len(suffix))], "-") + suffix
	}
	n[id] = true
	return id
}

// isDNSLabel reports whether a Service may be called so.
func isDNSLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] < 'a' || s[0] > 'z' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
