package members

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/tunnel"
	"github.com/appspan-dev/appspan/storage"
)

// Keys of Records. The record of a cluster is the truth; the others lead to it.
const (
	clusterKeys = "tunnel/clusters/"
	grantKeys   = "tunnel/grants/"
	agentKeys   = "tunnel/agents/"
)

const (
	format    = 1
	maxGrants = 20 // of one cluster
)

// Members is a tunnel.Members over records.
type Members struct{ records *storage.Records }

var _ tunnel.Members = (*Members)(nil)

// New returns what is remembered in records.
func New(records *storage.Records) *Members { return &Members{records: records} }

// place is what is remembered of one cluster.
type place struct {
	storage.Envelope
	Grants []grant `json:"grants,omitempty"`
	// Agent is the key of the agent that has joined, in hexadecimal.
	Agent string `json:"agent,omitempty"`
}

// grant is a tunnel.Grant as it is stored. The hash lets nobody join.
type grant struct {
	ID      string    `json:"id"`
	Hash    []byte    `json:"sha256"`
	Expires time.Time `json:"expires"`
	By      string    `json:"by,omitempty"` // the agent that has used it
}

// place is what is remembered of a cluster.
func (m *Members) place(ctx context.Context, cluster string) (place, error) {
	var p place
	rec, err := m.records.Get(ctx, clusterKeys+cluster)
	if err != nil {
		return p, err
	}
	if err := storage.Decode(rec.Value, format, &p); err != nil {
		return p, fmt.Errorf("record %s: %w", rec.Key, err)
	}
	return p, nil
}

// edit changes what is remembered of a cluster.
func (m *Members) edit(ctx context.Context, cluster string, change func(*place) error) error {
	_, err := m.records.Update(ctx, clusterKeys+cluster, func(old []byte) ([]byte, error) {
		var p place
		if old != nil {
			if err := storage.Decode(old, format, &p); err != nil {
				return nil, fmt.Errorf("record %s: %w", clusterKeys+cluster, err)
			}
		}
		if err := change(&p); err != nil {
			return nil, err
		}
		if len(p.Grants) == 0 && p.Agent == "" {
			return nil, nil
		}
		p.Envelope = storage.Envelope{Format: format, MinReader: format}
		return json.Marshal(p)
	})
	return err
}

// lead writes that a key leads to a cluster.
func (m *Members) lead(ctx context.Context, key, cluster string) error {
	_, err := m.records.Update(ctx, key, func([]byte) ([]byte, error) { return []byte(cluster), nil })
	return err
}

// drop deletes what leads nowhere any more.
func (m *Members) drop(ctx context.Context, key string) error {
	_, err := m.records.Update(ctx, key, func([]byte) ([]byte, error) { return nil, nil })
	return err
}

// Invite makes a join token for a cluster and remembers its grant. hub is the
// URL under which agents reach the hub. The token is for one use, for as long as
// valid says, which is more than nothing; of unused ones a cluster has twenty at
// most, then the oldest is dropped.
func (m *Members) Invite(ctx context.Context, hub string, key tunnel.KeyID, cluster string, valid time.Duration) (tunnel.Token, error) {
	if valid <= 0 {
		return tunnel.Token{}, fmt.Errorf("invitation of %s: %w: a token that is valid for %v opens nothing; give it an hour", cluster, appspan.ErrInvalid, valid)
	}
	token, g, err := tunnel.NewToken(hub, key, cluster, time.Now().Add(valid))
	if err != nil {
		return tunnel.Token{}, err
	}
	if err := m.lead(ctx, grantKeys+g.ID, cluster); err != nil {
		return tunnel.Token{}, err
	}
	var gone []string
	err = m.edit(ctx, cluster, func(p *place) error {
		gone = nil
		p.Grants = slices.DeleteFunc(p.Grants, func(g grant) bool {
			over := g.By == "" && time.Now().After(g.Expires)
			if over {
				gone = append(gone, g.ID)
			}
			return over
		})
		p.Grants = append(p.Grants, grant{ID: g.ID, Hash: g.SecretHash[:], Expires: g.Expires})
		if n := len(p.Grants) - maxGrants; n > 0 {
			for _, g := range p.Grants[:n] {
				gone = append(gone, g.ID)
			}
			p.Grants = slices.Delete(p.Grants, 0, n)
		}
		return nil
	})
	if err != nil {
		return tunnel.Token{}, err
	}
	for _, id := range gone {
		if err := m.drop(ctx, grantKeys+id); err != nil {
			return tunnel.Token{}, err
		}
	}
	return token, nil
}

// Redeem implements tunnel.Members.
func (m *Members) Redeem(ctx context.Context, r tunnel.Redemption) (string, error) {
	unknown := fmt.Errorf("%w: this hub does not know the join token; make a new one here", appspan.ErrDenied)
	if storage.CheckKey(grantKeys+r.TokenID) != nil {
		return "", unknown
	}
	rec, err := m.records.Get(ctx, grantKeys+r.TokenID)
	if errors.Is(err, appspan.ErrNotFound) {
		return "", unknown
	}
	if err != nil {
		return "", err
	}
	cluster, agent := string(rec.Value), r.Agent.String()
	if other, err := m.Member(ctx, r.Agent); err == nil && other != cluster {
		return "", fmt.Errorf("%w: the agent's key belongs to cluster %s", appspan.ErrDenied, other)
	}
	before := ""
	redeem := func(p *place) error {
		before = ""
		i := slices.IndexFunc(p.Grants, func(g grant) bool {
			return g.ID == r.TokenID && subtle.ConstantTimeCompare(g.Hash, r.SecretHash[:]) == 1
		})
		if i < 0 {
			return unknown
		}
		switch g := &p.Grants[i]; {
		case g.By == agent && p.Agent == agent:
			return nil
		case g.By != "":
			return fmt.Errorf("%w: the join token has been used already; make a new one", appspan.ErrDenied)
		case !time.Now().Before(g.Expires):
			return fmt.Errorf("%w: the join token has expired on %s; make a new one", appspan.ErrDenied, g.Expires.UTC().Format(time.RFC3339))
		default:
			before = p.Agent
			g.By, p.Agent = agent, agent
		}
		return nil
	}
	p, err := m.place(ctx, cluster)
	if errors.Is(err, appspan.ErrNotFound) {
		return "", unknown
	}
	if err != nil {
		return "", err
	}
	if err := redeem(&p); err != nil { // who may not join writes nothing
		return "", err
	}
	if err := m.lead(ctx, agentKeys+agent, cluster); err != nil { // it counts only once the cluster says so
		return "", err
	}
	if err := m.edit(ctx, cluster, redeem); err != nil {
		return "", err
	}
	if before != "" && before != agent {
		_ = m.drop(ctx, agentKeys+before) // it leads to a cluster that knows it no more
	}
	return cluster, nil
}

// Member implements tunnel.Members.
func (m *Members) Member(ctx context.Context, agent tunnel.KeyID) (string, error) {
	none := fmt.Errorf("agent %s: %w", agent, appspan.ErrNotFound)
	rec, err := m.records.Get(ctx, agentKeys+agent.String())
	if errors.Is(err, appspan.ErrNotFound) {
		return "", none
	}
	if err != nil {
		return "", err
	}
	cluster := string(rec.Value)
	p, err := m.place(ctx, cluster)
	if err == nil && p.Agent != agent.String() || errors.Is(err, appspan.ErrNotFound) {
		return "", none
	}
	return cluster, err
}

// Forget drops the tokens and the agent of a cluster. A connection that it has
// ends with tunnel.Server.Disconnect.
func (m *Members) Forget(ctx context.Context, cluster string) error {
	var lost []string
	err := m.edit(ctx, cluster, func(p *place) error {
		lost = nil
		for _, g := range p.Grants {
			lost = append(lost, grantKeys+g.ID)
		}
		if p.Agent != "" {
			lost = append(lost, agentKeys+p.Agent)
		}
		*p = place{}
		return nil
	})
	for _, key := range lost {
		err = errors.Join(err, m.drop(ctx, key))
	}
	return err
}
