package tunnel_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/stretchr/testify/require"
)

func token(t testing.TB) tunnel.Token {
	t.Helper()
	tok, _, err := tunnel.NewToken("https://hub.example.org/tunnel", tunnel.KeyID{1}, "edge-1", time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	require.NoError(t, err)
	return tok
}

func TestATokenIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	tok := token(t)
	read, err := tunnel.ParseToken(" " + tok.Encode() + "\n")
	require.NoError(t, err)
	require.Equal(t, tok, read)
	require.Equal(t, tok.Secret(), read.Secret())
}

func TestATokenKeepsItsSecret(t *testing.T) {
	t.Parallel()
	tok := token(t)
	marshalled, err := json.Marshal(tok)
	require.NoError(t, err)
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "token", tok)
	all := fmt.Sprintf("%v %+v %#v %s %q %v", tok, tok, tok, tok, tok, &tok) + string(marshalled) + logged.String()
	for _, form := range []string{
		base64.StdEncoding.EncodeToString(tok.Secret()), base64.RawURLEncoding.EncodeToString(tok.Secret()),
		fmt.Sprintf("%x", tok.Secret()), fmt.Sprint(tok.Secret()), string(tok.Secret()), tok.Encode(),
	} {
		require.NotContains(t, all, form)
	}
	require.Contains(t, all, "edge-1")
}

func TestTokensThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(time.Hour)
	for name, make := range map[string]func() error{
		"a hub without a host":          func() error { _, _, err := tunnel.NewToken("https://", tunnel.KeyID{1}, "a", later); return err },
		"a hub with another scheme":     func() error { _, _, err := tunnel.NewToken("ftp://x", tunnel.KeyID{1}, "a", later); return err },
		"a hub with a password":         func() error { _, _, err := tunnel.NewToken("https://u:p@x", tunnel.KeyID{1}, "a", later); return err },
		"a hub without a key":           func() error { _, _, err := tunnel.NewToken("https://x", tunnel.KeyID{}, "a", later); return err },
		"a cluster that is no label":    func() error { _, _, err := tunnel.NewToken("https://x", tunnel.KeyID{1}, "a.b", later); return err },
		"a token that never expires":    func() error { _, _, err := tunnel.NewToken("https://x", tunnel.KeyID{1}, "a", time.Time{}); return err },
		"a text that is no token":       func() error { _, err := tunnel.ParseToken("hello"); return err },
		"a token that has been cut":     func() error { _, err := tunnel.ParseToken(token(t).Encode()[:80]); return err },
		"a token of a megabyte":         func() error { _, err := tunnel.ParseToken(token(t).Encode() + strings.Repeat("A", 1<<20)); return err },
		"a token with something behind": func() error { _, err := tunnel.ParseToken(token(t).Encode() + "!"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ErrorIs(t, make(), appspan.ErrInvalid)
		})
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(token(f).Encode())
	f.Add("appspan-join-1.e30")
	f.Fuzz(func(t *testing.T, text string) {
		tok, err := tunnel.ParseToken(text)
		if err != nil {
			require.ErrorIs(t, err, appspan.ErrInvalid)
			return
		}
		again, err := tunnel.ParseToken(tok.Encode())
		require.NoError(t, err)
		require.Equal(t, tok, again)
	})
}

func TestAKeysNameIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	id, err := tunnel.ParseKeyID(tunnel.KeyID{0xab, 31: 0xcd}.String())
	require.NoError(t, err)
	require.Equal(t, tunnel.KeyID{0xab, 31: 0xcd}, id)
	for _, wrong := range []string{"", "ab", strings.Repeat("x", 64)} {
		_, err := tunnel.ParseKeyID(wrong)
		require.ErrorIs(t, err, appspan.ErrInvalid)
	}
	_, err = tunnel.KeyIDOf(nil)
	require.ErrorIs(t, err, appspan.ErrInvalid)
}
