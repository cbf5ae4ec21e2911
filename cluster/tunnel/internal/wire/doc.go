// Package wire is what the two ends of a tunnel say to each other: a WebSocket,
// TLS 1.3 inside of it with keys that both ends know by their hash, one message
// each way, and then a multiplexer. It is for cluster/tunnel and its agent:
//
//	conn := wire.Conn(ctx, socket)
//	secure, key, err := wire.Serve(ctx, conn, certificate)
//	err = wire.Read(secure, &hello)
//
// # Errors
//
// A peer that proves another key than the expected one is an [UnexpectedKey];
// what is not of the protocol wraps appspan.ErrInvalid.
//
// # Concurrency
//
// A handshake belongs to one goroutine.
package wire
