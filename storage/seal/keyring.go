package seal

import (
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/appspan-dev/appspan"
)

// maxKeys bounds a keyring.
const maxKeys = 64

// ErrUnknownKey says that bytes were sealed with a key that the keyring does
// not have. It wraps appspan.ErrDenied.
var ErrUnknownKey = fmt.Errorf("unknown key: %w", appspan.ErrDenied)

// Keyring holds one key that seals, and older ones that still open. It is safe
// for concurrent use. It prints without its secrets. The zero Keyring holds no
// key and is not valid.
type Keyring struct {
	mu   sync.RWMutex
	keys []Key // the active one first, then the others from the newest to the oldest
}

// NewKeyring makes a keyring. The first key seals; the others open what was
// sealed with them and come from the newest to the oldest. No key, more than
// 64, a zero key or the same one twice is appspan.ErrInvalid.
func NewKeyring(keys ...Key) (*Keyring, error) {
	if len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("keyring: %w: %d keys; one to %d are required", appspan.ErrInvalid, len(keys), maxKeys)
	}
	for i, k := range keys {
		if k.IsZero() {
			return nil, fmt.Errorf("keyring: %w: key %d is the zero key; make it with GenerateKey or NewKey", appspan.ErrInvalid, i+1)
		}
		if slices.ContainsFunc(keys[:i], func(o Key) bool { return o.id == k.id }) {
			return nil, fmt.Errorf("keyring: %w: %s is there twice; name it once", appspan.ErrInvalid, k)
		}
	}
	return &Keyring{keys: slices.Clone(keys)}, nil
}

// Keys are the keys, the active one first, then from the newest to the oldest.
func (k *Keyring) Keys() []Key {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return slices.Clone(k.keys)
}

// Rotate draws a key from random (crypto/rand where it is nil), which seals
// from now on. The keyring in memory alone changes: store it, before anything
// is sealed. More than 64 keys are appspan.ErrExhausted: seal again what the
// oldest ones sealed, and make a keyring without them.
func (k *Keyring) Rotate(random io.Reader) (Key, error) {
	key, err := GenerateKey(random)
	if err != nil {
		return Key{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.keys) >= maxKeys {
		return Key{}, fmt.Errorf("keyring: %w: it has %d keys; seal again what the oldest sealed and drop them", appspan.ErrExhausted, maxKeys)
	}
	k.keys = slices.Insert(k.keys, 0, key)
	return key, nil
}

// String names the active key and counts the others.
func (k *Keyring) String() string {
	keys := k.Keys()
	return fmt.Sprintf("keyring of %d, active %s", len(keys), keys[0])
}

// GoString is String.
func (k *Keyring) GoString() string { return k.String() }

// MarshalText is String, for JSON and its like: a keyring is stored by
// MarshalKeyFile alone.
func (k *Keyring) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func (k *Keyring) active() Key {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys[0]
}

func (k *Keyring) oldest() Key {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.keys[len(k.keys)-1]
}

func (k *Keyring) find(id [idSize]byte) (Key, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, key := range k.keys {
		if key.id == id {
			return key, true
		}
	}
	return Key{}, false
}
