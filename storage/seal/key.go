package seal

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"

	"github.com/appspan-dev/appspan"
)

const (
	secretSize = 32
	idSize     = 8
)

// Key is one key: 32 secret bytes and an id that is derived from them. It
// prints as its id whatever the verb, also in JSON and logs; only
// [Keyring.MarshalKeyFile] writes the secret. The zero Key is not valid.
type Key struct {
	id [idSize]byte
	// secret is behind two pointers, because fmt calls no method of what
	// stands in an unexported field, and follows one pointer for a bad verb.
	secret **[secretSize]byte
}

// NewKey makes a key of 32 bytes that are random and secret, for programs that
// keep their keys themselves. Another length, or all zeros, is
// appspan.ErrInvalid.
func NewKey(secret []byte) (Key, error) {
	if len(secret) != secretSize || [secretSize]byte(secret) == [secretSize]byte{} {
		return Key{}, fmt.Errorf("key: %w: %d random bytes are required", appspan.ErrInvalid, secretSize)
	}
	own := new([secretSize]byte)
	copy(own[:], secret)
	k := Key{secret: &own}
	k.id = [idSize]byte(k.derive("id", "")[:idSize])
	return k, nil
}

// GenerateKey draws a key from random, or from crypto/rand where random is
// nil. The error is random's.
func GenerateKey(random io.Reader) (Key, error) {
	if random == nil {
		random = rand.Reader
	}
	var secret [secretSize]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return Key{}, fmt.Errorf("key: random bytes: %w", err)
	}
	return NewKey(secret[:])
}

// ID names the key: 16 hexadecimal digits, which tell nothing about the
// secret.
func (k Key) ID() string { return hex.EncodeToString(k.id[:]) }

// IsZero reports whether the key is not valid.
func (k Key) IsZero() bool { return k.secret == nil }

// String is the id, in words that say that it is not the key.
func (k Key) String() string { return "key " + k.ID() + " (redacted)" }

// GoString is String.
func (k Key) GoString() string { return k.String() }

// Format prints String for every verb.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, k.String()) }

// MarshalText is String, for JSON and its like.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// LogValue is String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// derive is the sub key for one use and purpose: HKDF-SHA256 without a salt
// (RFC 5869), which for 32 bytes is two HMACs, and so cannot fail as crypto/hkdf
// can. The use is a word of this package without a slash, so that no purpose
// reaches another use's keys.
func (k Key) derive(use, purpose string) []byte {
	extract := hmac.New(sha256.New, make([]byte, sha256.Size))
	extract.Write((*k.secret)[:])
	expand := hmac.New(sha256.New, extract.Sum(nil))
	expand.Write([]byte("appspan seal 1 " + use + "/" + purpose + "\x01"))
	return expand.Sum(nil)
}
