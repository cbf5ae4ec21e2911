package members_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/members"
	"github.com/appspan-dev/appspan/storage"
	"github.com/appspan-dev/appspan/storage/memstore"
	"github.com/appspan-dev/appspan/storage/seal"
)

// redemption is what an agent shows of a token.
func redemption(t *testing.T, token tunnel.Token, agent byte) tunnel.Redemption {
	t.Helper()
	return tunnel.Redemption{TokenID: token.ID, SecretHash: token.SecretHash(), Agent: tunnel.KeyID{agent}}
}

func TestATokenIsForOneAgentOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := storage.NewRecords(memstore.NewRecords(), nil)
		defer records.Close()
		m := members.New(records)
		token, err := m.Invite(t.Context(), "https://hub.example.com/tunnel", tunnel.KeyID{1}, "edge-7", time.Hour)
		require.NoError(t, err)
		wrong := redemption(t, token, 1)
		wrong.SecretHash = sha256.Sum256([]byte("guess"))
		_, err = m.Redeem(t.Context(), wrong)
		require.ErrorIs(t, err, appspan.ErrDenied)
		_, err = m.Member(t.Context(), tunnel.KeyID{1})
		require.ErrorIs(t, err, appspan.ErrNotFound, "who tried is no member")
		for rec, err := range records.List(t.Context(), "tunnel/agents/") {
			require.NoError(t, err)
			t.Errorf("who tried has written %s", rec.Key)
		}

		var joined atomic.Int32
		var wg sync.WaitGroup
		for agent := range byte(20) {
			wg.Go(func() {
				if _, err := m.Redeem(t.Context(), redemption(t, token, agent+1)); err == nil {
					joined.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, joined.Load())
		var agent byte
		for a := range byte(20) {
			if cluster, err := m.Member(t.Context(), tunnel.KeyID{a + 1}); err == nil {
				require.Equal(t, "edge-7", cluster)
				agent = a + 1
			}
		}
		_, err = m.Redeem(t.Context(), redemption(t, token, agent))
		require.NoError(t, err, "an agent whose answer was lost asks again")

		other, err := members.New(records).Invite(t.Context(), "https://hub.example.com/tunnel", tunnel.KeyID{1}, "edge-8", time.Hour)
		require.NoError(t, err)
		_, err = m.Redeem(t.Context(), redemption(t, other, agent))
		require.ErrorContains(t, err, "belongs to cluster edge-7")
		time.Sleep(2 * time.Hour)
		_, err = m.Redeem(t.Context(), redemption(t, other, 99))
		require.ErrorContains(t, err, "expired")

		require.NoError(t, m.Forget(t.Context(), "edge-7"))
		_, err = m.Member(t.Context(), tunnel.KeyID{agent})
		require.ErrorIs(t, err, appspan.ErrNotFound)
		_, err = m.Redeem(t.Context(), redemption(t, token, agent))
		require.ErrorIs(t, err, appspan.ErrDenied)
	})
}

func TestTheHubsKeyIsMadeOnceAndSealed(t *testing.T) {
	t.Parallel()
	records := storage.NewRecords(memstore.NewRecords(), nil)
	defer records.Close()
	key, err := seal.GenerateKey(nil)
	require.NoError(t, err)
	keys, err := seal.NewKeyring(key)
	require.NoError(t, err)
	first, err := members.New(records).HubKey(t.Context(), keys)
	require.NoError(t, err)
	again, err := members.New(records).HubKey(t.Context(), keys)
	require.NoError(t, err)
	require.True(t, first.Equal(again))
	rec, err := records.Get(t.Context(), "tunnel/hub")
	require.NoError(t, err)
	seed, err := json.Marshal([]byte(first.Seed()))
	require.NoError(t, err)
	require.NotContains(t, string(rec.Value), strings.Trim(string(seed), `"`))
}

func TestTheHubsKeysAreRotatedRetiredAndSealedAnew(t *testing.T) {
	t.Parallel()
	records := storage.NewRecords(memstore.NewRecords(), nil)
	defer records.Close()
	key, err := seal.GenerateKey(nil)
	require.NoError(t, err)
	keys, err := seal.NewKeyring(key)
	require.NoError(t, err)
	m := members.New(records)
	first, previous, err := m.HubKeys(t.Context(), keys)
	require.NoError(t, err)
	require.Empty(t, previous)

	require.NoError(t, m.RotateHubKey(t.Context(), keys))
	second, previous, err := m.HubKeys(t.Context(), keys)
	require.NoError(t, err)
	require.False(t, second.Equal(first))
	require.Equal(t, []ed25519.PrivateKey{first}, previous)

	newest, err := keys.Rotate(nil)
	require.NoError(t, err)
	require.NoError(t, m.Reseal(t.Context(), keys))
	alone, err := seal.NewKeyring(newest)
	require.NoError(t, err)
	again, previous, err := m.HubKeys(t.Context(), alone)
	require.NoError(t, err, "the old key is not needed")
	require.True(t, second.Equal(again))
	require.Len(t, previous, 1)

	require.NoError(t, m.RetireHubKeys(t.Context(), keys))
	again, previous, err = m.HubKeys(t.Context(), keys)
	require.NoError(t, err)
	require.True(t, second.Equal(again))
	require.Empty(t, previous)
	for range 7 {
		require.NoError(t, m.RotateHubKey(t.Context(), keys))
	}
	require.ErrorIs(t, m.RotateHubKey(t.Context(), keys), appspan.ErrExhausted)
	_, err = m.HubKey(t.Context(), stranger(t))
	require.Error(t, err, "nobody else opens it")
}

func stranger(t *testing.T) *seal.Keyring {
	t.Helper()
	key, err := seal.GenerateKey(nil)
	require.NoError(t, err)
	keys, err := seal.NewKeyring(key)
	require.NoError(t, err)
	return keys
}
