// Package members keeps what a tunnel's hub has to remember in records: join
// tokens that were given out, the agents that have joined, and the hub's own
// keys.
//
//	m := members.New(records)
//	key, previous, err := m.HubKeys(ctx, keyring)
//	hub, err := tunnel.NewServer(key, m, &tunnel.Options{Previous: previous})
//	token, err := m.Invite(ctx, "https://hub.example.com/tunnel", hub.KeyID(), "edge-7", time.Hour)
//
// # Errors
//
// Those of storage, and those that tunnel.Members asks for.
//
// # Concurrency
//
// Everything is safe for concurrent use, by several processes over the same
// records too.
package members
