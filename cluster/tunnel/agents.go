package tunnel

import (
	"cmp"
	"slices"
	"time"
)

// Agent is what a Server knows of one cluster's agent.
type Agent struct {
	// Cluster is the cluster's name.
	Cluster string
	// Connected says whether there is a tunnel, and Since when that began to be
	// so.
	Connected bool
	Since     time.Time
	// Key names the agent's key.
	Key KeyID
	// HubKey names the hub's key that the agent would expect were it started
	// again. One that is not the hub's is needed among Options.Previous.
	HubKey KeyID
	// Version is that of the agent's program, and Address where it connects
	// from, as the last connection told.
	Version, Address string
	// Heartbeat is when the agent last answered, and RoundTrip how long that
	// took; zero before the first time.
	Heartbeat time.Time
	RoundTrip time.Duration
	// Streams is how many connections to the cluster are open.
	Streams int
}

// Agents lists the clusters that have been connected since the server began, by
// name.
func (s *Server) Agents() []Agent {
	s.mu.Lock()
	defer s.mu.Unlock()
	agents := make([]Agent, 0, len(s.peers))
	for _, p := range s.peers {
		if p.current != nil {
			agents = append(agents, p.current.state())
		} else {
			agents = append(agents, p.last)
		}
	}
	slices.SortFunc(agents, func(a, b Agent) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return agents
}

// Disconnect ends the cluster's tunnel and forgets that it was there. An agent
// that is still a member comes again.
func (s *Server) Disconnect(cluster string) {
	s.mu.Lock()
	p := s.peers[cluster]
	delete(s.peers, cluster)
	s.notify()
	s.mu.Unlock()
	if p == nil {
		return
	}
	for _, ses := range []*session{p.current, p.draining} {
		if ses != nil {
			_ = ses.mux.Close()
		}
	}
}
