// Package tunnel reaches clusters that cannot be reached: behind NAT, at the
// edge, in a customer's network. An agent in the cluster dials in to the hub,
// and the hub sends its requests back through that connection. It is for
// programs that manage such clusters beside others.
//
//	server, err := tunnel.NewServer(hubKey, members, nil)
//	mux.Handle("/tunnel", server)
//	…
//	c, err := kube.New(&rest.Config{Host: "http://edge-1.tunnel", Dial: server.Dialer("edge-1")}, nil)
//
// A cluster joins with a [Token], which [NewToken] makes and [Manifest] puts
// into what one `kubectl apply` installs.
//
// # Who trusts whom
//
// The outer connection is a WebSocket, whose TLS a reverse proxy may end. Inside
// of it is TLS 1.3 between the two ends: the agent knows the hub by the hash of
// its key, which the token carries; the hub knows the agent by that of its own,
// which the agent makes itself, never sends, and registers once with the
// token's secret. No credential of the cluster leaves it: the agent removes
// what the hub sends and adds its own service account's token.
//
// # Errors
//
// A cluster that is not connected, and a connection that is cut, are
// appspan.ErrUnavailable. What had been sent by then may have happened: only
// dials are free of effects.
//
// # Concurrency
//
// All methods may be called at the same time. The goroutines of a tunnel run
// inside of its ServeHTTP and end with it, at the latest with Close. One process
// has the tunnels of the agents that are connected to it; of several behind one
// address only that one reaches the cluster.
package tunnel
