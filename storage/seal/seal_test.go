package seal

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata")

func testKey(t testing.TB, fill byte) Key {
	t.Helper()
	k, err := NewKey(bytes.Repeat([]byte{fill}, 32))
	require.NoError(t, err)
	return k
}

func testRing(t testing.TB, fills ...byte) *Keyring {
	t.Helper()
	var keys []Key
	for _, f := range fills {
		keys = append(keys, testKey(t, f))
	}
	ring, err := NewKeyring(keys...)
	require.NoError(t, err)
	return ring
}

func TestOpenReturnsWhatWasSealed(t *testing.T) {
	t.Parallel()
	ring := testRing(t, 1)
	for _, size := range []int{0, 1, 31, 4096, 1 << 20} {
		for _, ctx := range [][]byte{nil, []byte("team blue")} {
			plain := bytes.Repeat([]byte("x"), size)
			sealed, err := ring.Seal(plain, ctx)
			require.NoError(t, err)
			require.Len(t, sealed, size+Overhead)
			opened, err := ring.Open(sealed, ctx)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plain, opened))
		}
	}
	a, err := ring.Seal([]byte("same"), nil)
	require.NoError(t, err)
	b, err := ring.Seal([]byte("same"), nil)
	require.NoError(t, err)
	require.NotEqual(t, a, b)
}

func TestOpenRefusesEveryChangedBit(t *testing.T) {
	t.Parallel()
	ring := testRing(t, 1, 2)
	ctx := []byte("context")
	sealed, err := ring.Seal([]byte("password"), ctx)
	require.NoError(t, err)
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			_, err := ring.Open(changed, ctx)
			switch {
			case i == 0 && changed[0] > format:
				require.ErrorIs(t, err, appspan.ErrUnsupported)
			case i == 0:
				require.ErrorIs(t, err, appspan.ErrCorrupt)
			case i < headerSize:
				require.ErrorIs(t, err, ErrUnknownKey)
				require.ErrorIs(t, err, appspan.ErrDenied)
			default:
				require.ErrorIs(t, err, appspan.ErrCorrupt)
			}
		}
	}
	for n := range sealed {
		_, err := ring.Open(sealed[:n], ctx)
		require.ErrorIs(t, err, appspan.ErrCorrupt, "cut to %d bytes", n)
	}
	_, err = ring.Open(append(bytes.Clone(sealed), 0), ctx)
	require.ErrorIs(t, err, appspan.ErrCorrupt)
	other := bytes.Clone(sealed) // another key of the ring, named in the header
	id := testKey(t, 2).id
	copy(other[1:], id[:])
	_, err = ring.Open(other, ctx)
	require.ErrorIs(t, err, appspan.ErrCorrupt)
}

func TestOpenRefusesAnotherContext(t *testing.T) {
	t.Parallel()
	ring := testRing(t, 1)
	sealed, err := ring.Seal([]byte("password"), []byte("team blue"))
	require.NoError(t, err)
	for _, ctx := range []string{"", "team red", "team blue ", "team blu"} {
		_, err := ring.Open(sealed, []byte(ctx))
		require.ErrorIs(t, err, appspan.ErrCorrupt)
		require.NotContains(t, err.Error(), "password")
	}
}

func TestOpenDoesNotWriteToItsInput(t *testing.T) {
	t.Parallel()
	ring := testRing(t, 1)
	sealed, err := ring.Seal([]byte("password"), []byte("c"))
	require.NoError(t, err)
	before := bytes.Clone(sealed)
	opened, err := ring.Open(sealed, []byte("c"))
	require.NoError(t, err)
	clear(opened)
	require.Equal(t, before, sealed)
}

func TestAMACHoldsForItsPurposeAndPartsOnly(t *testing.T) {
	t.Parallel()
	ring := testRing(t, 1, 2)
	mac := ring.MAC("release", []byte("ab"), []byte("c"))
	require.True(t, ring.VerifyMAC("release", mac, []byte("ab"), []byte("c")))
	for name, ok := range map[string]bool{
		"another purpose":  ring.VerifyMAC("record", mac, []byte("ab"), []byte("c")),
		"shifted parts":    ring.VerifyMAC("release", mac, []byte("a"), []byte("bc")),
		"joined parts":     ring.VerifyMAC("release", mac, []byte("abc")),
		"a part more":      ring.VerifyMAC("release", mac, []byte("ab"), []byte("c"), nil),
		"no parts":         ring.VerifyMAC("release", mac),
		"no MAC":           ring.VerifyMAC("release", nil, []byte("ab"), []byte("c")),
		"a cut MAC":        ring.VerifyMAC("release", mac[:len(mac)-1], []byte("ab"), []byte("c")),
		"a header alone":   ring.VerifyMAC("release", mac[:headerSize], []byte("ab"), []byte("c")),
		"a foreign key":    testRing(t, 9).VerifyMAC("release", mac, []byte("ab"), []byte("c")),
		"sealed, not MACd": ring.VerifyMAC("", mac, []byte("ab"), []byte("c")),
	} {
		require.False(t, ok, name)
	}
	for i := range mac {
		changed := bytes.Clone(mac)
		changed[i] ^= 1
		require.False(t, ring.VerifyMAC("release", changed, []byte("ab"), []byte("c")), "byte %d", i)
	}
}

func TestRotationKeepsOldDataReadableAndDigestsStable(t *testing.T) {
	t.Parallel()
	ring := testRing(t, 1)
	sealed, err := ring.Seal([]byte("password"), nil)
	require.NoError(t, err)
	mac := ring.MAC("p", []byte("data"))
	digest := ring.Digest("p", []byte("data"))
	require.Len(t, digest, 64)
	require.False(t, ring.Stale(sealed))

	key, err := ring.Rotate(nil)
	require.NoError(t, err)
	require.Equal(t, key, ring.Keys()[0])
	require.True(t, ring.Stale(sealed))
	require.True(t, ring.Stale(nil))
	opened, err := ring.Open(sealed, nil)
	require.NoError(t, err)
	require.Equal(t, "password", string(opened))
	require.True(t, ring.VerifyMAC("p", mac, []byte("data")))
	require.Equal(t, digest, ring.Digest("p", []byte("data")))
	require.NotEqual(t, digest, ring.Digest("q", []byte("data")))
	require.NotEqual(t, digest, testRing(t, 2).Digest("p", []byte("data")))

	again, err := ring.Seal(opened, nil)
	require.NoError(t, err)
	require.False(t, ring.Stale(again))
	_, err = testRing(t, 1).Open(again, nil)
	require.ErrorIs(t, err, ErrUnknownKey)

	for len(ring.Keys()) < maxKeys {
		_, err = ring.Rotate(nil)
		require.NoError(t, err)
	}
	_, err = ring.Rotate(nil)
	require.ErrorIs(t, err, appspan.ErrExhausted)
}

func TestSubKeysAreThoseOfHKDF(t *testing.T) {
	t.Parallel()
	k := testKey(t, 7)
	want, err := hkdf.Key(sha256.New, (*k.secret)[:], nil, "appspan seal 1 mac/release", 32)
	require.NoError(t, err)
	require.Equal(t, want, k.derive("mac", "release"))
}

func TestKeysNeverPrint(t *testing.T) {
	t.Parallel()
	k := testKey(t, 'S')
	ring := testRing(t, 'S')
	wrap := struct{ K Key }{k}
	hidden := struct{ k Key }{k}
	var text strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, v := range []any{k, &k, wrap, hidden, ring} {
			fmt.Fprintf(&text, verb+"\n", v)
		}
	}
	for _, v := range []any{k, ring, wrap, map[string]any{"a": k}} {
		data, err := json.Marshal(v)
		require.NoError(t, err)
		text.Write(data)
	}
	slog.New(slog.NewJSONHandler(&text, nil)).Info("x", "key", k, "ring", ring)
	slog.New(slog.NewTextHandler(&text, nil)).Info("x", "key", k, "ring", ring)
	for _, leak := range []string{"SSSS", "5353", "83 83", "83, 83", "53, 0x53", "U1NT"} {
		require.NotContains(t, text.String(), leak)
	}
}

func TestBadKeysAndKeyringsAreRefused(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{nil, make([]byte, 31), make([]byte, 33), make([]byte, 32)} {
		_, err := NewKey(b)
		require.ErrorIs(t, err, appspan.ErrInvalid)
	}
	_, err := GenerateKey(strings.NewReader("short"))
	require.Error(t, err)
	k := testKey(t, 1)
	for _, keys := range [][]Key{nil, {{}}, {k, k}, make([]Key, maxKeys+1)} {
		_, err := NewKeyring(keys...)
		require.ErrorIs(t, err, appspan.ErrInvalid)
	}
}

func TestAKeyFileComesBack(t *testing.T) {
	t.Parallel()
	ring := testRing(t, 3, 2, 1)
	back, err := ParseKeyFile(ring.MarshalKeyFile())
	require.NoError(t, err)
	require.Equal(t, ring.Keys(), back.Keys())
}

func TestKeyFilesThatAreNotRightAreRefused(t *testing.T) {
	t.Parallel()
	good := string(testRing(t, 1).MarshalKeyFile())
	for name, c := range map[string]struct {
		data string
		want error
	}{
		"empty":                  {"", appspan.ErrCorrupt},
		"another document":       {`{"kind":"Secret","format":1,"minReader":1}`, appspan.ErrCorrupt},
		"no keys":                {`{"kind":"appspan keys","format":1,"minReader":1}`, appspan.ErrCorrupt},
		"a newer format":         {strings.Replace(strings.Replace(good, `"minReader": 1`, `"minReader": 2`, 1), `"format": 1`, `"format": 2`, 1), appspan.ErrUnsupported},
		"no format":              {strings.Replace(good, `"format": 1`, `"format": 0`, 1), appspan.ErrCorrupt},
		"another id":             {strings.Replace(good, testKey(t, 1).ID(), testKey(t, 2).ID(), 1), appspan.ErrCorrupt},
		"a changed secret":       {strings.Replace(good, "AQEB", "AQEC", 1), appspan.ErrCorrupt},
		"a secret that is short": {strings.Replace(good, "AQEB", "", 1), appspan.ErrCorrupt},
		"cut":                    {good[:len(good)/2], appspan.ErrCorrupt},
		"too large":              {good + strings.Repeat(" ", maxKeyFile), appspan.ErrCorrupt},
		"the secret of no type":  {strings.Replace(good, `"secret": "`, `"secret": 7, "x": "`, 1), appspan.ErrCorrupt},
	} {
		_, err := ParseKeyFile([]byte(c.data))
		require.ErrorIs(t, err, c.want, name)
		require.NotContains(t, err.Error(), "AQEB", name)
	}
	later := strings.Replace(good, `"format": 1`, `"format": 2, "hint": "new"`, 1) // newer, but said to be readable
	_, err := ParseKeyFile([]byte(later))
	require.NoError(t, err)
}

// xorWrapper stands for a KMS. It binds the id.
type xorWrapper struct{ err error }

func (w xorWrapper) WrapKey(_ context.Context, id string, b []byte) ([]byte, error) {
	out := []byte(id)
	for _, c := range b {
		out = append(out, c^0x5a)
	}
	return out, w.err
}

func (w xorWrapper) UnwrapKey(_ context.Context, id string, b []byte) ([]byte, error) {
	rest, ok := bytes.CutPrefix(b, []byte(id))
	if !ok {
		return nil, appspan.ErrDenied
	}
	var out []byte
	for _, c := range rest {
		out = append(out, c^0x5a)
	}
	return out, w.err
}

func TestAWrappedKeyFileNeedsItsWrapper(t *testing.T) {
	t.Parallel()
	ring := testRing(t, 2, 1)
	data, err := ring.MarshalWrapped(t.Context(), xorWrapper{})
	require.NoError(t, err)
	require.NotContains(t, string(data), `"secret"`)
	back, err := ParseWrapped(t.Context(), data, xorWrapper{})
	require.NoError(t, err)
	require.Equal(t, ring.Keys(), back.Keys())

	_, err = ParseKeyFile(data)
	require.ErrorIs(t, err, appspan.ErrDenied)
	_, err = ParseWrapped(t.Context(), ring.MarshalKeyFile(), xorWrapper{})
	require.ErrorIs(t, err, appspan.ErrInvalid)
	down := errors.New("kms is down")
	_, err = ParseWrapped(t.Context(), data, xorWrapper{down})
	require.ErrorIs(t, err, down)
	_, err = ring.MarshalWrapped(t.Context(), xorWrapper{down})
	require.ErrorIs(t, err, down)
}

func TestAKeyFileIsForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	_, err := OpenKeyFile(path)
	require.ErrorIs(t, err, appspan.ErrNotFound)
	ring, err := CreateKeyFile(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, err = CreateKeyFile(path)
	require.ErrorIs(t, err, appspan.ErrExists)
	again, err := OpenOrCreateKeyFile(path)
	require.NoError(t, err)
	require.Equal(t, ring.Keys(), again.Keys())
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
		require.NoError(t, os.Chmod(path, mode))
		_, err = OpenKeyFile(path)
		require.ErrorIs(t, err, appspan.ErrDenied)
		require.ErrorContains(t, err, "chmod 600 "+path)
		require.ErrorIs(t, ring.WriteKeyFile(path), appspan.ErrDenied)
	}
	_, err = OpenKeyFile(t.TempDir())
	require.Error(t, err)
	_, err = CreateKeyFile(filepath.Join(t.TempDir(), "no", "dir"))
	require.ErrorIs(t, err, appspan.ErrNotFound)
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file is left")
}

func TestWriteKeyFileLosesNoKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	a, err := CreateKeyFile(path)
	require.NoError(t, err)
	b, err := OpenKeyFile(path)
	require.NoError(t, err)
	_, err = a.Rotate(nil)
	require.NoError(t, err)
	_, err = b.Rotate(nil)
	require.NoError(t, err)
	require.NoError(t, a.WriteKeyFile(path))
	require.ErrorIs(t, b.WriteKeyFile(path), appspan.ErrConflict)
	back, err := OpenKeyFile(path)
	require.NoError(t, err)
	require.Equal(t, a.Keys(), back.Keys())
	require.NoError(t, testRing(t, 1).WriteKeyFile(filepath.Join(t.TempDir(), "new.json")))
}

func TestProcessesThatStartTogetherGetOneKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	rings := make([]*Keyring, 16)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() { rings[i], _ = OpenOrCreateKeyFile(path) })
	}
	wg.Wait()
	for _, r := range rings {
		require.NotNil(t, r)
		require.Equal(t, rings[0].Keys(), r.Keys())
	}
}

// Each process rotates the ring that it has read, and reads it again when it
// was too late.
func TestProcessesThatRotateTogetherLoseNoKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys.json")
	_, err := CreateKeyFile(path)
	require.NoError(t, err)
	var mu sync.Mutex
	var written []Key
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for done := false; !done; {
				ring, err := OpenKeyFile(path)
				if err != nil {
					t.Error(err)
					return
				}
				key, _ := ring.Rotate(nil)
				switch err := ring.WriteKeyFile(path); {
				case err == nil:
					mu.Lock()
					written = append(written, key)
					mu.Unlock()
					done = true
				case !errors.Is(err, appspan.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	ring, err := OpenKeyFile(path)
	require.NoError(t, err)
	for _, key := range written {
		_, ok := ring.find(key.id)
		require.True(t, ok, "%s was written and is lost", key)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file stays")
}

func TestAKeyFileBehindALinkIsReplacedThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, link := filepath.Join(dir, "keys.json"), filepath.Join(dir, "link")
	ring, err := CreateKeyFile(file)
	require.NoError(t, err)
	require.NoError(t, os.Symlink("keys.json", link))
	_, err = ring.Rotate(nil)
	require.NoError(t, err)
	require.NoError(t, ring.WriteKeyFile(link))
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.Equal(t, os.ModeSymlink, info.Mode().Type())
	stored, err := OpenKeyFile(file)
	require.NoError(t, err)
	require.Equal(t, ring.Keys(), stored.Keys())
}

func TestAPipeIsNoKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := exec.Command("mkfifo", "-m", "600", path).Run(); err != nil {
		t.Skip("no mkfifo: ", err)
	}
	_, err := OpenKeyFile(path)
	require.ErrorIs(t, err, appspan.ErrInvalid, "and nobody waits for its other end")
	require.ErrorIs(t, testRing(t, 1).WriteKeyFile(path), appspan.ErrInvalid)
}

func TestAKeyringIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	ring := testRing(t, 1)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 7 {
				sealed, err := ring.Seal([]byte("p"), nil)
				if err == nil {
					_, err = ring.Open(sealed, nil)
				}
				if err != nil || !ring.VerifyMAC("p", ring.MAC("p")) || ring.Digest("p", nil) == "" {
					t.Error(err)
				}
				_, _ = ring.Rotate(nil)
			}
		})
	}
	wg.Wait()
	require.Len(t, ring.Keys(), 57)
}

// What an earlier version wrote stays readable.
func TestWhatWasReleasedStaysReadable(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("testdata", "compat", "1")
	keyFile, sealedFile, macFile, digestFile := filepath.Join(dir, "keys.json"), filepath.Join(dir, "sealed"), filepath.Join(dir, "mac"), filepath.Join(dir, "digest")
	if *update {
		ring := testRing(t, 2, 1)
		sealed, err := ring.Seal([]byte("a secret of format 1"), []byte("compat"))
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		for name, data := range map[string][]byte{keyFile: ring.MarshalKeyFile(), sealedFile: sealed,
			macFile: ring.MAC("compat", []byte("a"), []byte("b")), digestFile: []byte(ring.Digest("compat", []byte("a")))} {
			require.NoError(t, os.WriteFile(name, data, 0o644))
		}
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		return data
	}
	ring, err := ParseKeyFile(read(keyFile))
	require.NoError(t, err)
	opened, err := ring.Open(read(sealedFile), []byte("compat"))
	require.NoError(t, err)
	require.Equal(t, "a secret of format 1", string(opened))
	require.True(t, ring.VerifyMAC("compat", read(macFile), []byte("a"), []byte("b")))
	require.Equal(t, string(read(digestFile)), ring.Digest("compat", []byte("a")))
	require.Equal(t, string(read(keyFile)), string(ring.MarshalKeyFile()))
}

func FuzzOpen(f *testing.F) {
	ring := testRing(f, 2, 1)
	sealed, err := os.ReadFile(filepath.Join("testdata", "compat", "1", "sealed")) // the same in every process
	require.NoError(f, err)
	f.Add(sealed, []byte("compat"))
	f.Add([]byte{}, []byte{})
	f.Add(sealed[:headerSize], []byte("compat"))
	f.Fuzz(func(t *testing.T, data, ctx []byte) {
		plain, err := ring.Open(data, ctx)
		if err == nil && !(bytes.Equal(data, sealed) && string(ctx) == "compat") {
			t.Fatalf("a forgery was opened: %q", plain)
		}
		if err != nil && !errors.Is(err, appspan.ErrCorrupt) && !errors.Is(err, appspan.ErrDenied) && !errors.Is(err, appspan.ErrUnsupported) {
			t.Fatalf("an error without a category: %v", err)
		}
	})
}

func FuzzParseKeyFile(f *testing.F) {
	f.Add(testRing(f, 2, 1).MarshalKeyFile())
	f.Add([]byte(`{"kind":"appspan keys","format":1,"minReader":1,"keys":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ring, err := ParseKeyFile(data)
		if err != nil {
			if !errors.Is(err, appspan.ErrCorrupt) && !errors.Is(err, appspan.ErrDenied) && !errors.Is(err, appspan.ErrUnsupported) {
				t.Fatalf("an error without a category: %v", err)
			}
			return
		}
		back, err := ParseKeyFile(ring.MarshalKeyFile())
		require.NoError(t, err)
		require.Equal(t, ring.Keys(), back.Keys())
	})
}

func BenchmarkDigest(b *testing.B) {
	ring := testRing(b, 1)
	for b.Loop() {
		ring.Digest("purpose", []byte("data"))
	}
}
