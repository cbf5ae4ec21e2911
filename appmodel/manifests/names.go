package manifests

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// maxID is the length of an id of the model.
const maxID = 40

// label turns a name into a DNS-1035 label of at most 40 characters.
func label(name string) string {
	s := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name)), "-")
	if s == "" || s[0] < 'a' {
		s = strings.TrimSuffix("x-"+s, "-")
	}
	if len(s) > maxID {
		sum := sha256.Sum256([]byte(name))
		s = strings.TrimRight(s[:maxID-7], "-") + "-" + hex.EncodeToString(sum[:3])
	}
	return s
}

// isLabel reports whether the model takes a name as it is.
func isLabel(s string) bool { return len(s) <= maxID && len(validation.IsDNS1035Label(s)) == 0 }

// names are those that are taken.
type names map[string]bool

// take is label(name), with a number behind it if that is taken.
func (n names) take(name string) string {
	base := label(name)
	id := base
	for i := 2; n[id]; i++ {
		suffix := "-" + strconv.Itoa(i)
		id = strings.TrimRight(base[:min(len(base), maxID-len(suffix))], "-") + suffix
	}
	n[id] = true
	return id
}
