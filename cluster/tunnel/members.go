package tunnel

import (
	"context"
	"crypto/subtle"
	"fmt"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
)

// Redemption is an agent's attempt to join.
type Redemption struct {
	// TokenID names the token, and SecretHash is the SHA-256 of the secret that
	// the agent showed.
	TokenID    string
	SecretHash [32]byte
	// Agent names the key that the agent proved to have.
	Agent KeyID
}

// Members is what a hub remembers: grants, and the keys of agents that have
// joined. A program implements it over what it stores durably. Its methods are
// called from several goroutines at once, with a context that ends with the
// handshake.
type Members interface {
	// Redeem uses up a grant: from then on the agent's key is the one of the
	// grant's cluster, in place of any that it had before. It is atomic, and it
	// is durable when it returns. A grant that the same key has used up already
	// succeeds again, so that an agent whose answer was lost can repeat it,
	// as long as the key is a member. Unknown, expired and used-up grants and
	// wrong secrets (compared in constant time) are appspan.ErrDenied, with a
	// text that the agent may see.
	Redeem(ctx context.Context, r Redemption) (cluster string, err error)
	// Member is the cluster of an agent's key, or appspan.ErrNotFound.
	Member(ctx context.Context, agent KeyID) (cluster string, err error)
}

// MemoryMembers is a Members that forgets everything with its process: for
// tests, and for programs whose clusters join anew each time. The zero value is
// empty and ready. All methods may be called at the same time.
type MemoryMembers struct {
	mu     sync.Mutex
	grants map[string]*grant
	agents map[KeyID]string
}

type grant struct {
	Grant
	by KeyID // zero as long as nobody has used it
}

// Add remembers a grant. One whose ID is known is appspan.ErrExists.
func (m *MemoryMembers) Add(g Grant) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.grants[g.ID]; known {
		return fmt.Errorf("grant %s: %w", g.ID, appspan.ErrExists)
	}
	if m.grants == nil {
		m.grants = map[string]*grant{}
	}
	m.grants[g.ID] = &grant{Grant: g}
	return nil
}

// Forget drops the grants and the agent of a cluster. A connection that it has
// ends with [Server.Disconnect].
func (m *MemoryMembers) Forget(cluster string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, g := range m.grants {
		if g.Cluster == cluster {
			delete(m.grants, id)
		}
	}
	m.remove(cluster)
}

func (m *MemoryMembers) remove(cluster string) {
	for key, name := range m.agents {
		if name == cluster {
			delete(m.agents, key)
		}
	}
}

// Redeem implements Members.
func (m *MemoryMembers) Redeem(_ context.Context, r Redemption) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.grants[r.TokenID]
	switch {
	case g == nil || subtle.ConstantTimeCompare(g.SecretHash[:], r.SecretHash[:]) != 1:
		return "", fmt.Errorf("%w: this hub does not know the join token; make a new one here", appspan.ErrDenied)
	case g.by == r.Agent && m.agents[r.Agent] == g.Cluster:
		return g.Cluster, nil
	case !g.by.IsZero():
		return "", fmt.Errorf("%w: the join token has been used already; make a new one", appspan.ErrDenied)
	case !time.Now().Before(g.Expires):
		return "", fmt.Errorf("%w: the join token has expired on %s; make a new one", appspan.ErrDenied, g.Expires.UTC().Format(time.RFC3339))
	}
	if other, known := m.agents[r.Agent]; known && other != g.Cluster {
		return "", fmt.Errorf("%w: the agent's key belongs to cluster %s", appspan.ErrDenied, other)
	}
	if m.agents == nil {
		m.agents = map[KeyID]string{}
	}
	m.remove(g.Cluster)
	g.by, m.agents[r.Agent] = r.Agent, g.Cluster
	return g.Cluster, nil
}

// Member implements Members.
func (m *MemoryMembers) Member(_ context.Context, agent KeyID) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	cluster, known := m.agents[agent]
	if !known {
		return "", fmt.Errorf("agent %s: %w", agent, appspan.ErrNotFound)
	}
	return cluster, nil
}
