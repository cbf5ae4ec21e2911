package tunnel_test

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/stretchr/testify/require"
)

func redemption(tok tunnel.Token, agent byte) tunnel.Redemption {
	return tunnel.Redemption{TokenID: tok.ID, SecretHash: sha256.Sum256(tok.Secret()), Agent: tunnel.KeyID{agent}}
}

func TestAGrantIsUsedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var m tunnel.MemoryMembers
		tok, grant, err := tunnel.NewToken("https://hub", tunnel.KeyID{1}, "edge-1", time.Now().Add(time.Hour))
		require.NoError(t, err)
		require.NoError(t, m.Add(grant))
		require.ErrorIs(t, m.Add(grant), appspan.ErrExists)
		redeem := func(r tunnel.Redemption) error { _, err := m.Redeem(t.Context(), r); return err }

		wrong := redemption(tok, 1)
		wrong.SecretHash[0]++
		require.ErrorIs(t, redeem(wrong), appspan.ErrDenied)
		unknown := redemption(tok, 1)
		unknown.TokenID = "x"
		require.ErrorIs(t, redeem(unknown), appspan.ErrDenied)
		_, err = m.Member(t.Context(), tunnel.KeyID{1})
		require.ErrorIs(t, err, appspan.ErrNotFound)

		require.NoError(t, redeem(redemption(tok, 1)))
		require.ErrorContains(t, redeem(redemption(tok, 2)), "used already")
		time.Sleep(2 * time.Hour)
		require.NoError(t, redeem(redemption(tok, 1)), "the same agent repeats a join whose answer was lost")
		cluster, err := m.Member(t.Context(), tunnel.KeyID{1})
		require.NoError(t, err)
		require.Equal(t, "edge-1", cluster)

		late, grant, err := tunnel.NewToken("https://hub", tunnel.KeyID{1}, "edge-1", time.Now().Add(time.Hour))
		require.NoError(t, err)
		require.NoError(t, m.Add(grant))
		time.Sleep(2 * time.Hour)
		require.ErrorContains(t, redeem(redemption(late, 3)), "expired")

		next, grant, err := tunnel.NewToken("https://hub", tunnel.KeyID{1}, "edge-1", time.Now().Add(time.Hour))
		require.NoError(t, err)
		require.NoError(t, m.Add(grant))
		require.NoError(t, redeem(redemption(next, 4)))
		_, err = m.Member(t.Context(), tunnel.KeyID{1})
		require.ErrorIs(t, err, appspan.ErrNotFound, "a new agent takes the place of the old one")
		require.ErrorIs(t, redeem(redemption(tok, 1)), appspan.ErrDenied, "which its old token does not bring back")
		m.Forget("edge-1")
		require.ErrorIs(t, redeem(redemption(next, 4)), appspan.ErrDenied)
	})
}

func TestOfManyAgentsWithOneTokenOneJoins(t *testing.T) {
	t.Parallel()
	var m tunnel.MemoryMembers
	tok, grant, err := tunnel.NewToken("https://hub", tunnel.KeyID{1}, "edge-1", time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.NoError(t, m.Add(grant))
	var joined atomic.Int64
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			if _, err := m.Redeem(t.Context(), redemption(tok, byte(i+1))); err == nil {
				joined.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, joined.Load())
}
