package tunnel_test

import (
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"testing"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/cluster/tunnel/agent"
	"github.com/stretchr/testify/require"
)

// rotate gives a hub a new key; agents may still know it by those before.
func (h *hub) rotate(t *testing.T, key ed25519.PrivateKey, previous ...ed25519.PrivateKey) {
	t.Helper()
	h.key = key
	h.restart(t, &tunnel.Options{Previous: previous})
}

// expects is the hub's key that the agent would expect were it started again.
func (h *hub) expects(t *testing.T, key tunnel.KeyID) {
	t.Helper()
	require.Eventually(t, func() bool {
		agents := h.now().Agents()
		return len(agents) == 1 && agents[0].Connected && agents[0].HubKey == key
	}, long, tick)
}

func TestAHubsNewKeyCutsOffNoAgent(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]func(t *testing.T, to agent.Target, c driver.Cluster) agent.Keys{
		"that keeps its key in a file": func(t *testing.T, _ agent.Target, _ driver.Cluster) agent.Keys {
			return agent.FileKey(filepath.Join(t.TempDir(), "key.pem"))
		},
		"that keeps its key in a Secret": func(t *testing.T, to agent.Target, c driver.Cluster) agent.Keys {
			_, err := c.Apply(t.Context(), parse(t, `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"key","namespace":"default"}}`), driver.ApplyOptions{Manager: "test"})
			require.NoError(t, err)
			return agent.SecretKey(to, "default", "key")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, to := memory(t)
			h := newHub(t, nil)
			token, keys, old := h.invite(t, "edge-1"), store(t, to, c), h.key
			_, stop := run(t, token, keys, to, quick())
			h.connected(t, "edge-1")
			h.expects(t, h.KeyID())

			second := newKey(t)
			h.rotate(t, second, old)
			h.connected(t, "edge-1")
			h.expects(t, h.KeyID())

			// The old key is of no use any more, not even to whoever found it.
			h.rotate(t, second)
			h.connected(t, "edge-1")
			stop()
			_, stop = run(t, token, keys, to, quick()) // with the token of the old key
			h.connected(t, "edge-1")
			h.expects(t, h.KeyID())
			h.rotate(t, old)
			_, err := h.now().Dialer("edge-1")(t.Context(), "tcp", "")
			require.ErrorIs(t, err, appspan.ErrUnavailable, "an agent that has followed goes not back")

			// Nor does the way back, or a third key, cut it off.
			h.rotate(t, old, second)
			h.connected(t, "edge-1")
			h.expects(t, h.KeyID())
			h.rotate(t, newKey(t), second, old)
			h.connected(t, "edge-1")
			h.expects(t, h.KeyID())
			stop()
		})
	}
}

func TestANewKeyThatCannotBeKeptIsFollowedAndShown(t *testing.T) {
	t.Parallel()
	_, to := memory(t)
	h := newHub(t, nil)
	token, old, before := h.invite(t, "edge-1"), h.key, h.KeyID()
	keys := &memoryKeys{key: newKey(t)}
	keys.fail(errors.New("the disk is full"))
	run(t, token, keys, to, quick())
	h.connected(t, "edge-1")
	h.rotate(t, newKey(t), old)
	h.connected(t, "edge-1")
	h.expects(t, before) // so that the old key is not dropped yet
	keys.fail(nil)
	h.now().Disconnect("edge-1")
	h.connected(t, "edge-1")
	h.expects(t, h.KeyID())
}

func TestANewTokenSaysAnewWhichHubToExpect(t *testing.T) {
	t.Parallel()
	_, to := memory(t)
	h := newHub(t, nil)
	token, keys, old := h.invite(t, "edge-1"), fixed(newKey(t)), h.key
	_, stop := run(t, token, keys, to, quick())
	h.connected(t, "edge-1")
	h.rotate(t, newKey(t), old)
	h.connected(t, "edge-1")
	stop()
	h.rotate(t, newKey(t)) // the one before is lost
	run(t, h.invite(t, "edge-1"), keys, to, quick())
	h.connected(t, "edge-1")
	h.expects(t, h.KeyID())
}

func TestAHubWithAKeyThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	_, err := tunnel.NewServer(newKey(t), &tunnel.MemoryMembers{}, &tunnel.Options{Previous: []ed25519.PrivateKey{nil}})
	require.ErrorIs(t, err, appspan.ErrInvalid)
}
