package storage

import (
	"fmt"
	"strings"

	"github.com/appspan-dev/appspan"
)

// Bounds of records.
const (
	MaxKey   = 512     // bytes of a key
	MaxValue = 1 << 20 // bytes of a value; a driver may keep less, and says so
)

// CheckKey checks that key is one that every store can keep: segments of
// letters, digits and -_.@:~+= with slashes between them, none of them empty,
// "." or "..", at most [MaxKey] bytes.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return fmt.Errorf("%w: a key has 1 to %d bytes, this one has %d", appspan.ErrInvalid, MaxKey, len(key))
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("%w: key %q has a segment that is empty or consists of one or two dots", appspan.ErrInvalid, key)
		}
	}
	for _, c := range []byte(key) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("-_.@:~+=/", rune(c)) {
			return fmt.Errorf("%w: key %q has a %q; use letters, digits and -_.@:~+=", appspan.ErrInvalid, key, c)
		}
	}
	return nil
}

// checkPrefix checks what a list or a watch is confined to.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	whole, ok := strings.CutSuffix(prefix, "/")
	if !ok {
		return fmt.Errorf("%w: prefix %q does not end with a slash", appspan.ErrInvalid, prefix)
	}
	return CheckKey(whole)
}
