package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/cluster/driver"
)

// Status is what is known of a cluster of a fleet, without credentials.
type Status struct {
	Name        string            `json:"name"`
	UID         string            `json:"uid,omitempty"`
	Provider    string            `json:"provider"`
	Description string            `json:"description,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	// Health is how it does since Since; Reasons say why it is not Ready.
	Health  Health    `json:"health"`
	Since   time.Time `json:"since"`
	Reasons []string  `json:"reasons,omitempty"`
	// Checked is when it was last checked, LastAnswer when it last answered
	// anything; zero is never. What follows is as old as that.
	Checked    time.Time `json:"checked,omitzero"`
	LastAnswer time.Time `json:"lastAnswer,omitzero"`
	// Info and Inspection are the last ones that were read, nil if none was.
	// They are shared: do not change them.
	Info       *Info       `json:"info,omitempty"`
	Inspection *Inspection `json:"inspection,omitempty"`
}

// member is one registered cluster, open.
type member struct {
	name    string
	cluster *Cluster
	way     [sha256.Size]byte
	// revision is that of the record that it follows. The fleet's lock is over it.
	revision string

	checking chan struct{} // holds one token while a check runs

	mu         sync.Mutex
	reg        Registration
	judged     judgement
	since      time.Time
	checked    time.Time
	inspection *Inspection
	info       *Info
	views      map[string]*Cluster // by team
}

func newMember(c *Cluster, rec *storedRecord) *member {
	m := &member{name: rec.Name, cluster: c, way: way(rec), revision: rec.revision, reg: rec.Registration,
		checking: make(chan struct{}, 1), judged: judgement{health: Connecting}, since: time.Now().UTC()}
	m.reg.Config = nil
	return m
}

// way is a digest of all that leads to a cluster, so that credentials are kept
// by its driver alone.
func way(r *storedRecord) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%q %q %q %v", r.Provider, r.Context, r.Config, r.broken))
}

// follow takes over what a record says, and reports false if that is another
// way to the cluster, or to another cluster.
func (m *member) follow(rec *storedRecord) bool {
	if m.way != way(rec) {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	uid := rec.UID
	if uid == "" && rec.Added.Equal(m.reg.Added) {
		uid = m.reg.UID // of the same registration, from before it was recognised
	}
	if m.reg.UID != uid && (m.reg.UID != "" || !m.cluster.info.is(uid)) {
		return false
	}
	m.revision, m.reg = rec.revision, rec.Registration
	m.reg.UID = uid
	m.reg.Config = nil
	m.cluster.labels.Store(&m.reg.Labels)
	return true
}

// inherit takes over what is known of the same cluster.
func (m *member) inherit(old *member) {
	old.mu.Lock()
	defer old.mu.Unlock()
	if old.reg.UID == m.reg.UID {
		m.judged, m.since, m.checked, m.info, m.inspection = old.judged, old.since, old.checked, old.info, old.inspection
	}
}

func (m *member) status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := Status{Name: m.name, UID: m.reg.UID, Provider: m.reg.Provider, Description: m.reg.Description, Labels: m.reg.Labels,
		Health: m.judged.health, Since: m.since, Reasons: m.judged.reasons, Checked: m.checked, LastAnswer: m.cluster.LastAnswer(),
		Info: m.info, Inspection: m.inspection}
	if m.reg.Maintenance != "" {
		st.Health, st.Reasons = Maintenance, append([]string{m.reg.Maintenance}, st.Reasons...)
	}
	return st
}

// as is the cluster as it shows itself to a subject: to the team, where it
// acts for one.
func (m *member) as(subject appspan.Subject) (*Cluster, error) {
	if subject.Team == "" {
		return m.cluster, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.views[subject.Team]; c != nil {
		return c, nil
	}
	if m.unopened() {
		return nil, m.cluster.wrap("open", Ref{}, m.cluster.driver.(*reopener).why()) // it is not known what it can do
	}
	view, err := m.cluster.As(TeamIdentity(subject.Team))
	if errors.Is(err, appspan.ErrUnsupported) {
		return m.cluster, nil // what is rendered is checked instead
	}
	if err != nil {
		return nil, err
	}
	if m.views == nil {
		m.views = map[string]*Cluster{}
	}
	m.views[subject.Team] = view
	return view, nil
}

// TeamIdentity is whom the servers see when something is done for a team.
func TeamIdentity(team string) driver.Identity {
	return driver.Identity{User: "appspan:team:" + team, Groups: []string{"appspan:teams", "system:authenticated"}}
}

func (m *member) close() error {
	m.mu.Lock()
	views := m.views
	m.views = nil
	m.mu.Unlock()
	var errs []error
	for _, v := range views {
		errs = append(errs, v.Close())
	}
	return errors.Join(append(errs, m.cluster.Close())...)
}

// set notes how a check ended, and reports whether the health changed.
func (m *member) set(j judgement, at time.Time) (Transition, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checked = at
	changed := m.judged.health != j.health || !slices.Equal(m.judged.reasons, j.reasons)
	if m.judged.health != j.health {
		m.since = at
	}
	m.judged = j
	return Transition{At: at, Health: j.health, Reasons: j.reasons}, changed
}

// check asks the cluster how it does. It returns when the cluster has answered
// or ctx has ended, whatever the driver does meanwhile. One check of a cluster
// runs at a time, so that a driver that hangs costs one goroutine and no more.
func (m *member) check(ctx context.Context, full bool) judgement {
	select {
	case m.checking <- struct{}{}:
	case <-ctx.Done():
		return judgement{health: Unreachable, reasons: []string{"it does not answer: an earlier check has not ended"}}
	}
	found := make(chan judgement, 1)
	go func() {
		defer func() { <-m.checking }()
		found <- m.examine(ctx, full)
	}()
	select {
	case j := <-found:
		return j
	case <-ctx.Done():
		select {
		case j := <-found:
			return j
		case <-time.After(100 * time.Millisecond): // the driver gets to give up by itself
		}
		return judgement{health: Unreachable, reasons: []string{"it does not answer: " + context.Cause(ctx).Error()}}
	}
}

// unopened reports whether the cluster could not be opened yet, so that no
// error is its answer.
func (m *member) unopened() bool {
	r, ok := m.cluster.driver.(*reopener)
	return ok && r.Unwrap() == nil
}

// examine is one check: is it there, is it the one that it was, and, if full,
// what does it have.
func (m *member) examine(ctx context.Context, full bool) judgement {
	uid := Ref{APIVersion: "v1", Kind: "Namespace", Name: "kube-system"}
	obj, err := m.cluster.Get(ctx, uid)
	m.mu.Lock()
	known, last := m.reg.UID, m.inspection
	full = full || last == nil || m.judged.health == Unreachable || m.judged.health == Connecting
	m.mu.Unlock()
	switch {
	case err != nil && m.unopened():
		return judgement{health: Unreachable, reasons: []string{reason(err)}}
	case errors.Is(err, appspan.ErrDenied):
		return judgement{health: Degraded, reasons: []string{"its credentials are not accepted, or may not read namespaces: " + err.Error()}}
	case err != nil:
		return judgement{health: Unreachable, reasons: []string{reason(err)}}
	case known != "" && obj.UID != known:
		return judgement{health: Unreachable, reasons: []string{fmt.Sprintf("another cluster answers in its place: its UID is %q, it was %q", obj.UID, known)}}
	}
	if full {
		info, err := m.cluster.Refresh(ctx)
		if err != nil {
			return judgement{health: Degraded, reasons: []string{"what it can do cannot be read: " + reason(err)}}
		}
		inspected, err := m.cluster.Inspect(ctx)
		if err != nil {
			return judgement{health: Degraded, reasons: []string{"its nodes cannot be read: " + reason(err)}}
		}
		m.mu.Lock()
		m.info, m.inspection, last = &info, &inspected, &inspected
		m.mu.Unlock()
	}
	return judge(last)
}

// reason is an error's text without what every line of it would repeat.
func reason(err error) string {
	var there *Error
	if errors.As(err, &there) {
		err = there.Err
	}
	const most = 300
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}
