package members

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/seal"
)

const (
	hubKey     = "tunnel/hub"
	maxHubKeys = 8
)

// sealedHub is the hub's keys as they are stored: the seeds, newest first.
type sealedHub struct {
	storage.Envelope
	Sealed []byte `json:"sealed"`
}

// HubKey is the hub's key, made at the first call and sealed with keys. All
// processes over the same records have the same.
func (m *Members) HubKey(ctx context.Context, keys *seal.Keyring) (ed25519.PrivateKey, error) {
	current, _, err := m.HubKeys(ctx, keys)
	return current, err
}

// HubKeys is the hub's key, and those that it had before, newest first: what
// tunnel.NewServer and its Options.Previous take.
func (m *Members) HubKeys(ctx context.Context, keys *seal.Keyring) (current ed25519.PrivateKey, previous []ed25519.PrivateKey, err error) {
	all, err := m.hub(ctx, keys, func(all []ed25519.PrivateKey) ([]ed25519.PrivateKey, error) { return all, nil })
	if err != nil {
		return nil, nil, err
	}
	return all[0], all[1:], nil
}

// RotateHubKey gives the hub a new key, and keeps those before. It counts from
// when the hub's processes have been started with [Members.HubKeys] again:
// agents that knew an earlier key are told the new one as they connect. Eight
// keys are the most (appspan.ErrExhausted).
func (m *Members) RotateHubKey(ctx context.Context, keys *seal.Keyring) error {
	_, err := m.hub(ctx, keys, func(all []ed25519.PrivateKey) ([]ed25519.PrivateKey, error) {
		if len(all) >= maxHubKeys {
			return nil, fmt.Errorf("%w: the hub has %d keys, which is the most; retire those that no agent needs", appspan.ErrExhausted, len(all))
		}
		_, private, err := ed25519.GenerateKey(nil)
		return slices.Insert(all, 0, private), err
	})
	return err
}

// RetireHubKeys forgets all of the hub's keys but the newest. An agent that has
// not been told of that one by then needs a new token: tunnel.Agent.HubKey shows
// which key each one expects.
func (m *Members) RetireHubKeys(ctx context.Context, keys *seal.Keyring) error {
	_, err := m.hub(ctx, keys, func(all []ed25519.PrivateKey) ([]ed25519.PrivateKey, error) { return all[:1], nil })
	return err
}

// Reseal seals the hub's keys with the newest of keys, if they are not yet.
// After it, older ones are not needed for them.
func (m *Members) Reseal(ctx context.Context, keys *seal.Keyring) error {
	_, _, err := m.HubKeys(ctx, keys)
	return err
}

// hub changes the hub's keys, of which there is one at least, and returns them.
// What is sealed with an old key is sealed again.
func (m *Members) hub(ctx context.Context, keys *seal.Keyring, change func([]ed25519.PrivateKey) ([]ed25519.PrivateKey, error)) ([]ed25519.PrivateKey, error) {
	var all []ed25519.PrivateKey
	_, err := m.records.Update(ctx, hubKey, func(old []byte) ([]byte, error) {
		stored, stale, err := unseal(old, keys)
		if err != nil {
			return nil, err
		}
		if all, err = change(slices.Clone(stored)); err != nil {
			return nil, err
		}
		if !stale && slices.EqualFunc(all, stored, func(a, b ed25519.PrivateKey) bool { return a.Equal(b) }) {
			return old, nil
		}
		var seeds []byte
		for _, key := range all {
			seeds = append(seeds, key.Seed()...)
		}
		sealed, err := keys.Seal(seeds, []byte(hubKey))
		if err != nil {
			return nil, err
		}
		return json.Marshal(sealedHub{storage.Envelope{Format: format, MinReader: format}, sealed})
	})
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", hubKey, err)
	}
	return all, nil
}

// unseal reads the hub's keys, or makes the first one, and says whether they are
// to be sealed anew.
func unseal(record []byte, keys *seal.Keyring) (all []ed25519.PrivateKey, stale bool, err error) {
	if record == nil {
		_, private, err := ed25519.GenerateKey(nil)
		return []ed25519.PrivateKey{private}, true, err
	}
	var s sealedHub
	if err := storage.Decode(record, format, &s); err != nil {
		return nil, false, err
	}
	seeds, err := keys.Open(s.Sealed, []byte(hubKey))
	if err != nil {
		return nil, false, err
	}
	if len(seeds) == 0 || len(seeds)%ed25519.SeedSize != 0 || len(seeds) > maxHubKeys*ed25519.SeedSize {
		return nil, false, fmt.Errorf("%w: it holds no keys", appspan.ErrCorrupt)
	}
	for seed := range slices.Chunk(seeds, ed25519.SeedSize) {
		all = append(all, ed25519.NewKeyFromSeed(seed))
	}
	return all, keys.Stale(s.Sealed), nil
}
