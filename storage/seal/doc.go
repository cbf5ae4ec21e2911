// Package seal keeps secrets at rest: it seals bytes so that they cannot be
// read or changed without the keys, and authenticates bytes that need not be
// secret.
//
// It is for everything of the SDK that is stored outside of the process
// (releases in clusters, credentials in records) and for programs that store
// something next to it. A [Keyring] holds the keys; it comes from a file on
// disk, or from a file whose keys a KMS has wrapped ([Wrapper]).
//
//	keys, err := seal.OpenOrCreateKeyFile("/var/lib/portal/keys.json")
//	if err != nil {
//		return err
//	}
//	sealed, err := keys.Seal(password, []byte("registry of team blue"))
//	…
//	password, err := keys.Open(sealed, []byte("registry of team blue"))
//
// The context is not stored: it says what the bytes are and where they belong,
// so that nobody can move them elsewhere. Whoever loses the key file loses
// what was sealed with it: keep a copy of it apart from the data.
//
// # Format
//
// Sealed bytes are a format byte (1), eight bytes of key id, and AES-256-GCM's
// nonce, ciphertext and tag. The header and the context are authenticated. A
// MAC is the same header and an HMAC-SHA256. Each purpose has a key of its own,
// derived by HKDF-SHA256 (RFC 5869). Nonces are random, so one key is good for
// 2^32 seals; rotate before.
//
// # Rotation
//
// [Keyring.Rotate] adds a key that seals from then on; older keys go on
// opening. Store the ring ([Keyring.WriteKeyFile]) before anything is sealed
// with it, then seal again what [Keyring.Stale] reports.
//
// # Errors
//
// [Keyring.Open] fails with appspan.ErrCorrupt when the bytes were changed,
// were cut or belong to another context, with [ErrUnknownKey] (an
// appspan.ErrDenied) when the ring does not have their key, and with
// appspan.ErrUnsupported when a newer version wrote them. Key files fail with
// appspan.ErrCorrupt, ErrUnsupported, ErrNotFound, ErrExists, and ErrDenied
// when others may read them. No error holds a key or a plaintext.
//
// # Concurrency
//
// A Keyring is safe for concurrent use, also during Rotate.
package seal
