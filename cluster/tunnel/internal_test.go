package tunnel

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/stretchr/testify/require"
)

// answer is a Members that says the same of everybody.
type answer struct {
	cluster string
	err     error
}

func (a answer) Redeem(context.Context, Redemption) (string, error) { return a.cluster, a.err }
func (a answer) Member(context.Context, KeyID) (string, error)      { return a.cluster, a.err }

func TestWhoIsLookedUpAgainStaysUnlessForgotten(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		members answer
		stays   bool
	}{
		"a member stays":                               {answer{cluster: "edge-1"}, true},
		"one of another cluster goes":                  {answer{cluster: "edge-2"}, false},
		"a stranger goes":                              {answer{err: fmt.Errorf("x: %w", appspan.ErrNotFound)}, false},
		"one who cannot be looked up stays until then": {answer{err: appspan.ErrUnavailable}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &Server{members: test.members, opts: (*Options)(nil).withDefaults(), ctx: t.Context()}
			require.Equal(t, test.stays, s.belongs(&session{agent: Agent{Cluster: "edge-1"}}))
		})
	}
}

func TestFailuresAreForgivenAndBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var f failures
		for range maxFailures {
			require.False(t, f.blocked("a"))
			f.add("a")
		}
		require.True(t, f.blocked("a"))
		require.False(t, f.blocked("b"))
		time.Sleep(forgiving)
		require.False(t, f.blocked("a"))
		for i := range 3 * maxAddrs {
			f.add(net.IPv4(10, 0, byte(i>>8), byte(i)).String())
		}
		require.LessOrEqual(t, len(f.count), maxAddrs+1)
		require.True(t, f.blocked("somebody else"), "of too many all others are one")
	})
}
