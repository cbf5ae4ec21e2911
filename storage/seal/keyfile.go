package seal

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/appspan-dev/appspan"
)

// maxKeyFile bounds a key file.
const maxKeyFile = 1 << 20

// keyFile is the stored form of a keyring.
type keyFile struct {
	Kind      string      `json:"kind"`
	Format    int         `json:"format"`
	MinReader int         `json:"minReader"`
	Keys      []storedKey `json:"keys"` // as in Keyring
}

type storedKey struct {
	ID      string `json:"id"`
	Secret  []byte `json:"secret,omitempty"`
	Wrapped []byte `json:"wrapped,omitempty"` // by a Wrapper, instead of Secret
}

const keyFileKind = "appspan keys"

// Wrapper wraps keys for storage, as a KMS does, so that a key file is of no
// use without it. Implementations are safe for concurrent use.
type Wrapper interface {
	// WrapKey encrypts the secret of the key with this id, at most 64 KiB.
	WrapKey(ctx context.Context, id string, secret []byte) ([]byte, error)
	// UnwrapKey is its reverse.
	UnwrapKey(ctx context.Context, id string, wrapped []byte) ([]byte, error)
}

// MarshalKeyFile encodes the keyring, secrets included: JSON, with a format.
// Keep it where nobody else can read it.
func (k *Keyring) MarshalKeyFile() []byte {
	data, _ := k.marshal(func(key Key) (storedKey, error) { return storedKey{ID: key.ID(), Secret: (*key.secret)[:]}, nil })
	return data
}

// MarshalWrapped encodes the keyring with its secrets wrapped by w. The error
// is w's.
func (k *Keyring) MarshalWrapped(ctx context.Context, w Wrapper) ([]byte, error) {
	return k.marshal(func(key Key) (storedKey, error) {
		wrapped, err := w.WrapKey(ctx, key.ID(), append([]byte(nil), (*key.secret)[:]...))
		if err == nil && len(wrapped) == 0 {
			err = fmt.Errorf("%w: the wrapper returned nothing", appspan.ErrInvalid)
		}
		if err != nil {
			return storedKey{}, fmt.Errorf("wrap %s: %w", key, err)
		}
		return storedKey{ID: key.ID(), Wrapped: wrapped}, nil
	})
}

func (k *Keyring) marshal(store func(Key) (storedKey, error)) ([]byte, error) {
	file := keyFile{Kind: keyFileKind, Format: format, MinReader: format}
	for _, key := range k.Keys() {
		stored, err := store(key)
		if err != nil {
			return nil, err
		}
		file.Keys = append(file.Keys, stored)
	}
	data, err := json.MarshalIndent(file, "", "  ")
	return append(data, '\n'), err
}

// ParseKeyFile decodes what [Keyring.MarshalKeyFile] returned. It fails with
// appspan.ErrCorrupt when the data is not a key file or a key does not fit its
// id, with appspan.ErrUnsupported when a newer version wrote it, and with
// appspan.ErrDenied when the keys are wrapped ([ParseWrapped]).
func ParseKeyFile(data []byte) (*Keyring, error) {
	return parseKeyFile(data, func(s storedKey) ([]byte, error) {
		if len(s.Wrapped) > 0 {
			return nil, fmt.Errorf("key file: %w: its keys are wrapped; read it with ParseWrapped and the Wrapper that made it", appspan.ErrDenied)
		}
		return s.Secret, nil
	})
}

// ParseWrapped decodes what [Keyring.MarshalWrapped] returned, with the same
// wrapper. It fails as [ParseKeyFile] does, or with w's error.
func ParseWrapped(ctx context.Context, data []byte, w Wrapper) (*Keyring, error) {
	return parseKeyFile(data, func(s storedKey) ([]byte, error) {
		if len(s.Wrapped) == 0 {
			return nil, fmt.Errorf("key file: %w: its keys are not wrapped; read it with ParseKeyFile", appspan.ErrInvalid)
		}
		secret, err := w.UnwrapKey(ctx, s.ID, s.Wrapped)
		if err != nil {
			return nil, fmt.Errorf("unwrap key %s: %w", s.ID, err)
		}
		return secret, nil
	})
}

func parseKeyFile(data []byte, secret func(storedKey) ([]byte, error)) (*Keyring, error) {
	corrupt := func(why string) error {
		return fmt.Errorf("key file: %w: %s; restore it from a copy", appspan.ErrCorrupt, why)
	}
	file, err := decodeKeyFile(data)
	if err != nil {
		return nil, err
	}
	if len(file.Keys) == 0 || len(file.Keys) > maxKeys {
		return nil, corrupt(fmt.Sprintf("it has %d keys, not one to %d", len(file.Keys), maxKeys))
	}
	keys := make([]Key, 0, len(file.Keys))
	for i, s := range file.Keys {
		b, err := secret(s)
		if err != nil {
			return nil, err
		}
		key, err := NewKey(b)
		if err != nil || key.ID() != s.ID {
			return nil, corrupt(fmt.Sprintf("key %d is not the key of its id", i+1))
		}
		keys = append(keys, key)
	}
	ring, err := NewKeyring(keys...)
	if err != nil {
		return nil, corrupt("a key is there twice")
	}
	return ring, nil
}

// decodeKeyFile checks what says how to read the rest. The text of a JSON
// error may quote the input: it is not passed on.
func decodeKeyFile(data []byte) (keyFile, error) {
	var file keyFile
	if len(data) > maxKeyFile {
		return file, fmt.Errorf("key file: %w: %d bytes; at most %d are read", appspan.ErrCorrupt, len(data), maxKeyFile)
	}
	var head struct {
		Kind      string `json:"kind"`
		Format    int    `json:"format"`
		MinReader int    `json:"minReader"`
	}
	if err := json.Unmarshal(data, &head); err != nil || head.Kind != keyFileKind || head.Format < 1 || head.MinReader < 1 {
		return file, fmt.Errorf("key file: %w: it is not a key file; name the right one, or restore it from a copy", appspan.ErrCorrupt)
	}
	if head.MinReader > format {
		return file, fmt.Errorf("key file: %w: format %d is newer than this version reads (%d); use the version that wrote it", appspan.ErrUnsupported, head.Format, format)
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return file, fmt.Errorf("key file: %w: its keys do not decode; restore it from a copy", appspan.ErrCorrupt)
	}
	return file, nil
}
