package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/appspan-dev/appspan"
)

const (
	format     = 1
	headerSize = 1 + idSize
	// Overhead is by how many bytes sealed bytes are longer than what was
	// sealed.
	Overhead = headerSize + 12 + 16
)

// header is what sealed bytes and MACs begin with.
func header(k Key) []byte { return append([]byte{format}, k.id[:]...) }

// parse splits a header off and finds its key.
func (k *Keyring) parse(what string, data []byte) (key Key, head, rest []byte, err error) {
	if len(data) < headerSize || data[0] == 0 {
		return Key{}, nil, nil, fmt.Errorf("%s: %w: %d bytes without a header; they are cut, or were never sealed", what, appspan.ErrCorrupt, len(data))
	}
	if data[0] > format {
		return Key{}, nil, nil, fmt.Errorf("%s: %w: format %d is newer than this version reads (%d); use the version that wrote it", what, appspan.ErrUnsupported, data[0], format)
	}
	id := [idSize]byte(data[1:headerSize])
	key, ok := k.find(id)
	if !ok {
		return Key{}, nil, nil, fmt.Errorf("%s: %w: it was made with key %s; open the key file that has it", what, ErrUnknownKey, hex.EncodeToString(id[:]))
	}
	return key, data[:headerSize], data[headerSize:], nil
}

// Seal encrypts plaintext with the active key, bound to context: [Keyring.Open]
// needs the same context. Two seals of one plaintext differ. The result is
// [Overhead] bytes longer.
func (k *Keyring) Seal(plaintext, context []byte) ([]byte, error) {
	key := k.active()
	aead, err := key.aead()
	if err != nil {
		return nil, err
	}
	head := header(key)
	out := make([]byte, headerSize, len(plaintext)+Overhead)
	copy(out, head)
	return aead.Seal(out, nil, plaintext, append(head, context...)), nil
}

// Open decrypts what [Keyring.Seal] returned, with the same context. It fails
// with appspan.ErrCorrupt for changed or cut bytes and for another context,
// with [ErrUnknownKey], and with appspan.ErrUnsupported for a newer format. The
// result shares nothing with sealed.
func (k *Keyring) Open(sealed, context []byte) ([]byte, error) {
	key, head, rest, err := k.parse("sealed bytes", sealed)
	if err != nil {
		return nil, err
	}
	aead, err := key.aead()
	if err != nil {
		return nil, err
	}
	aad := append(head[:headerSize:headerSize], context...)
	plaintext, err := aead.Open(nil, nil, rest, aad)
	if err != nil {
		return nil, fmt.Errorf("sealed bytes: %w: they were changed or cut, or belong elsewhere; restore them from a copy", appspan.ErrCorrupt)
	}
	return plaintext, nil
}

// Stale reports whether bytes that were sealed, or a MAC, should be made again:
// their key is not the active one. Bytes that Open would refuse are not
// looked at closer: it says nothing about whether they open.
func (k *Keyring) Stale(sealed []byte) bool {
	id := k.active().id
	return len(sealed) < headerSize || sealed[0] != format || [idSize]byte(sealed[1:headerSize]) != id
}

func (k Key) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.derive("seal", ""))
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return aead, nil
}

// MAC authenticates data with the active key: whoever has no key cannot make
// one that [Keyring.VerifyMAC] accepts. Parts are told apart: ("ab", "c") and
// ("a", "bc") differ. The purpose keeps MACs of one use from another.
func (k *Keyring) MAC(purpose string, data ...[]byte) []byte {
	key := k.active()
	return append(header(key), key.mac(purpose, data)...)
}

// VerifyMAC reports whether mac is a [Keyring.MAC] of the same purpose and
// data, by any key of the ring. It takes the same time wherever they differ.
func (k *Keyring) VerifyMAC(purpose string, mac []byte, data ...[]byte) bool {
	return k.CheckMAC(purpose, mac, data...) == nil
}

// CheckMAC is [Keyring.VerifyMAC] with the reason: [ErrUnknownKey] for a MAC by
// a key that is not in the ring, and appspan.ErrCorrupt for one that does not
// hold.
func (k *Keyring) CheckMAC(purpose string, mac []byte, data ...[]byte) error {
	key, _, sum, err := k.parse("MAC", mac)
	if err != nil {
		return err
	}
	if !hmac.Equal(sum, key.mac(purpose, data)) {
		return fmt.Errorf("MAC: %w: it does not hold", appspan.ErrCorrupt)
	}
	return nil
}

func (k Key) mac(purpose string, data [][]byte) []byte {
	h := hmac.New(sha256.New, k.derive("mac", purpose))
	var length [8]byte
	for _, part := range data {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	return h.Sum(nil)
}

// Digest is a keyed hash of data, 64 hexadecimal digits: equal data have equal
// digests, and who has no key can't tell, nor guess by trying, what the data
// was. It is for noticing that a secret changed.
//
// It uses the oldest key, so that it stays the same when keys are added; it
// changes once, when the oldest key is dropped.
func (k *Keyring) Digest(purpose string, data []byte) string {
	h := hmac.New(sha256.New, k.oldest().derive("digest", purpose))
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}
