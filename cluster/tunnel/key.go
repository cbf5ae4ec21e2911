package tunnel

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/tunnel/internal/wire"
)

// KeyID names a public key: the SHA-256 of its SubjectPublicKeyInfo. It is no
// secret.
type KeyID [32]byte

// KeyIDOf is the name of an ed25519 key. Anything else is
// appspan.ErrInvalid.
func KeyIDOf(public ed25519.PublicKey) (KeyID, error) {
	return wire.KeyOf(public)
}

// String is the name in hexadecimal.
func (k KeyID) String() string { return hex.EncodeToString(k[:]) }

// IsZero reports whether k names no key.
func (k KeyID) IsZero() bool { return k == KeyID{} }

// ParseKeyID reads what String wrote.
func ParseKeyID(s string) (KeyID, error) {
	var k KeyID
	if len(s) != 2*len(k) {
		return KeyID{}, fmt.Errorf("%w: the name of a key has %d hexadecimal digits, not %d characters", appspan.ErrInvalid, 2*len(k), len(s))
	}
	if _, err := hex.Decode(k[:], []byte(s)); err != nil {
		return KeyID{}, fmt.Errorf("%w: the name of a key is hexadecimal: %w", appspan.ErrInvalid, err)
	}
	return k, nil
}
