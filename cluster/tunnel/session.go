package tunnel

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/tunnel/internal/wire"
	"github.com/hashicorp/yamux"
)

// recheck is how often a connected agent is looked up again, so that one that
// another process has forgotten does not stay.
const recheck = time.Minute

// session is one tunnel.
type session struct {
	mux      *yamux.Session
	control  *yamux.Stream
	instance string // of the agent's process

	retire  sync.Once
	retired chan struct{} // closed when another session has taken over
	streams atomic.Int64  // that dials have opened

	mu    sync.Mutex
	agent Agent
}

// peer is a cluster that has been connected since the server began.
type peer struct {
	current  *session // nil: not connected
	draining *session
	last     Agent // of the last connection, when there is none
}

// serve keeps a tunnel until it ends.
func (s *Server) serve(ses *session) {
	stop := context.AfterFunc(s.ctx, func() { ses.mux.Close() })
	defer stop()
	s.attach(ses)
	log := s.opts.Logger.With("cluster", ses.agent.Cluster, "address", ses.agent.Address)
	log.Info("an agent has connected", "version", ses.agent.Version)
	reason := s.watch(ses)
	_ = ses.mux.Close()
	s.detach(ses)
	log.Info("an agent is gone", "reason", reason)
}

// attach makes a session the one of its cluster. The one before it ends what is
// under way, unless it is dead (its own agent has come again) or another's (the
// cluster's key has changed).
func (s *Server) attach(ses *session) {
	s.mu.Lock()
	p := s.peers[ses.agent.Cluster]
	if p == nil {
		p = &peer{}
		s.peers[ses.agent.Cluster] = p
	}
	old, oldest := p.current, p.draining
	p.current, p.draining = ses, old
	s.notify()
	s.mu.Unlock()
	if oldest != nil {
		oldest.mux.Close()
	}
	if old == nil {
		return
	}
	if old.instance == ses.instance || old.agent.Key != ses.agent.Key {
		old.mux.Close()
	}
	old.retire.Do(func() { close(old.retired) })
}

// detach forgets a session that has ended.
func (s *Server) detach(ses *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[ses.agent.Cluster]
	if p == nil {
		return
	}
	if p.draining == ses {
		p.draining = nil
	}
	if p.current == ses {
		p.current, p.last = nil, ses.state()
		p.last.Connected, p.last.Since, p.last.Streams = false, time.Now(), 0
		s.notify()
	}
}

// notify wakes whoever waits for a change. The caller holds the lock.
func (s *Server) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// watch looks after a session until it has ended, and says why.
func (s *Server) watch(ses *session) string {
	beat := time.NewTicker(s.opts.Heartbeat)
	defer beat.Stop()
	checked := time.Now()
	for {
		select {
		case <-ses.mux.CloseChan():
			return "the connection ended"
		case <-ses.retired:
			s.drain(ses)
			return "another agent of the cluster took over"
		case <-beat.C:
		}
		roundTrip, err := wire.Ping(ses.mux, 3*s.opts.Heartbeat)
		if err != nil {
			return "no heartbeat: " + err.Error()
		}
		ses.mu.Lock()
		ses.agent.Heartbeat, ses.agent.RoundTrip = time.Now(), roundTrip
		ses.mu.Unlock()
		if time.Since(checked) < recheck {
			continue
		}
		checked = time.Now()
		if !s.belongs(ses) {
			return "the agent is no member any more"
		}
	}
}

// belongs reports whether a session's agent is still a member. When that cannot
// be known it stays.
func (s *Server) belongs(ses *session) bool {
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.Handshake)
	defer cancel()
	cluster, err := s.members.Member(ctx, ses.agent.Key)
	if err != nil {
		return !errors.Is(err, appspan.ErrNotFound)
	}
	return cluster == ses.agent.Cluster
}

// drain lets the agent finish what is under way.
func (s *Server) drain(ses *session) {
	_ = ses.control.SetWriteDeadline(time.Now().Add(s.opts.Drain))
	if _, err := ses.control.Write([]byte{wire.Drain}); err != nil {
		return
	}
	timer := time.NewTimer(s.opts.Drain)
	defer timer.Stop()
	select {
	case <-ses.mux.CloseChan():
	case <-timer.C:
	}
}

// state is what the program is told of a session.
func (ses *session) state() Agent {
	ses.mu.Lock()
	defer ses.mu.Unlock()
	a := ses.agent
	a.Streams = int(ses.streams.Load())
	return a
}
