// Package members keeps what a tunnel's hub has to remember in records: join
// tokens that were given out, the agents that have joined, and the hub's own
// key.
//
//	m := members.New(records)
//	key, err := m.HubKey(ctx, keyring)
//	hub, err := tunnel.NewServer(key, m, nil)
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
