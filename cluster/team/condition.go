package team

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/appspan-dev/appspan"
	"github.com/appspan-dev/appspan/storage"
)

// State is how a team was last found on a cluster.
type State string

// The states.
const (
	// Synced: all is as it is recorded.
	Synced State = "synced"
	// Drifted: something is not as it is recorded, and was not repaired.
	Drifted State = "drifted"
	// Unknown: the cluster did not answer, or could not be looked at, or nobody
	// has looked yet.
	Unknown State = "unknown"
)

// Condition is how a team is on one cluster, as [Teams.Run] or
// [Teams.Reconcile] last found it.
type Condition struct {
	Cluster string `json:"cluster"`
	State   State  `json:"state"`
	// Since is when the state began; zero if nobody has looked yet.
	Since time.Time `json:"since,omitzero"`
	// Checked is when the cluster last answered, zero if it never did: how old
	// Changes, Refused and Warnings are.
	Checked time.Time `json:"checked,omitzero"`
	// Changes are what was not as it should be and was left so, at most a
	// hundred.
	Changes []Change `json:"changes,omitempty"`
	// Refused are namespaces that were not touched, and why.
	Refused []string `json:"refused,omitempty"`
	// Warnings are for people.
	Warnings []string `json:"warnings,omitempty"`
	// Error is why the state is unknown, or what failed.
	Error string `json:"error,omitempty"`
	// History is what was found and done, the newest last, at most fifty.
	History []Finding `json:"history,omitempty"`
}

// Finding is one time that something was found that was not so before.
type Finding struct {
	At    time.Time `json:"at"`
	State State     `json:"state"`
	// Changes are what was not as it should be, at most a hundred; those that
	// are Done were repaired.
	Changes []Change `json:"changes,omitempty"`
	Refused []string `json:"refused,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// Drift is how a team is on all its clusters, sorted by their names.
type Drift struct {
	Team string `json:"team"`
	// At is when it was read.
	At         time.Time   `json:"at"`
	Conditions []Condition `json:"conditions"`
}

const (
	maxChanges  = 100
	maxFindings = 50
)

// String is the drift for people, with the age of what is known.
func (d Drift) String() string {
	var b strings.Builder
	ago := func(at time.Time) string { return d.At.Sub(at).Round(time.Second).String() + " ago" }
	for _, c := range d.Conditions {
		fmt.Fprintf(&b, "%s: %s", c.Cluster, c.State)
		if !c.Since.IsZero() {
			fmt.Fprintf(&b, " since %s", c.Since.Format(time.RFC3339))
		}
		if c.Checked.IsZero() {
			b.WriteString(", it never answered")
		} else {
			fmt.Fprintf(&b, ", looked at %s", ago(c.Checked))
		}
		if c.Error != "" {
			fmt.Fprintf(&b, ": %s", c.Error)
		}
		b.WriteByte('\n')
		b.WriteString(ClusterPlan{Cluster: c.Cluster, Changes: c.Changes, Refused: c.Refused, Warnings: c.Warnings}.details())
	}
	return b.String()
}

// Drift reads how a team was last found on its clusters, and asks none of them:
// [Teams.Plan] does. A cluster that nobody has looked at yet is Unknown.
func (t *Teams) Drift(ctx context.Context, id string) (Drift, error) {
	if err := t.authorize(ctx, appspan.VerbRead, "team", id, ""); err != nil {
		return Drift{}, err
	}
	d, err := load(ctx, t.records, id)
	if err != nil {
		return Drift{}, err
	}
	out := Drift{Team: id, At: time.Now().UTC(), Conditions: []Condition{}}
	for _, name := range d.involved() {
		c, err := t.condition(ctx, id, name)
		if err != nil {
			return Drift{}, err
		}
		out.Conditions = append(out.Conditions, c.Condition)
	}
	return out, nil
}

// conditionDoc is a condition as it is stored.
type conditionDoc struct {
	storage.Envelope
	Condition
	// Namespaces are the UIDs of those of the team's that were there, by name.
	Namespaces map[string]string `json:"namespaces,omitempty"`
}

const conditionFormat = 1

func conditionKeys(team string) string { return "team-conditions/" + team + "/" }

// condition reads a condition; one that is not stored is unknown.
func (t *Teams) condition(ctx context.Context, team, clusterName string) (conditionDoc, error) {
	rec, err := t.records.Get(ctx, conditionKeys(team)+clusterName)
	if err != nil && !errors.Is(err, appspan.ErrNotFound) {
		return conditionDoc{}, fmt.Errorf("condition of team %s on %s: %w", team, clusterName, err)
	}
	d, err := decodeCondition(rec.Value, clusterName)
	if err != nil {
		return d, fmt.Errorf("condition of team %s on %s: %w", team, clusterName, err)
	}
	return d, nil
}

func decodeCondition(data []byte, clusterName string) (conditionDoc, error) {
	d := conditionDoc{Condition: Condition{State: Unknown}}
	if data != nil {
		if err := storage.Decode(data, conditionFormat, &d); err != nil {
			return conditionDoc{}, err
		}
	}
	d.Cluster = clusterName
	return d, nil
}

// note stores how a team was found on a cluster, and reports whether that is
// news. A cluster that the team has left is forgotten.
func (t *Teams) note(ctx context.Context, d document, p ClusterPlan) (news bool, err error) {
	key, now := conditionKeys(d.ID)+p.Cluster, time.Now().UTC()
	if _, ok := d.Clusters[p.Cluster]; !ok && (p.Clean() || p.Gone) {
		_, err := t.records.Update(ctx, key, func([]byte) ([]byte, error) { return nil, nil })
		return changed(Plan{Clusters: []ClusterPlan{p}}), err
	}
	_, err = t.records.Update(ctx, key, func(old []byte) ([]byte, error) {
		c, err := decodeCondition(old, p.Cluster)
		if err != nil {
			return nil, err
		}
		said := c.Error
		if news = c.take(p, now); !news && c.State == Unknown && c.Error == said {
			return old, nil
		}
		c.keep(d.Namespaces(p.Cluster), p.namespaces)
		return c.encode()
	})
	if err != nil {
		err = fmt.Errorf("condition of team %s on %s: %w", d.ID, p.Cluster, err)
	}
	return news, err
}

// maxCondition bounds a stored condition, in bytes.
const maxCondition = 256 << 10

// encode leaves out the oldest of the history where it is too long.
func (c conditionDoc) encode() ([]byte, error) {
	c.Envelope = storage.Envelope{Format: conditionFormat, MinReader: conditionFormat}
	for {
		data, err := json.Marshal(c)
		if err != nil || len(data) <= maxCondition || len(c.History)+len(c.Changes) <= 2 {
			return data, err
		}
		if c.History = c.History[(len(c.History)+1)/2:]; len(c.History) == 0 {
			c.Changes = c.Changes[:len(c.Changes)/2]
		}
	}
}

// take makes a condition what was found just now, and reports whether that is
// news.
func (c *Condition) take(p ClusterPlan, now time.Time) (news bool) {
	f := Finding{At: now, State: Drifted, Refused: atMost(p.Refused, maxChanges), Error: p.Error}
	for _, change := range p.Changes {
		change.Error = cut(change.Error, maxField)
		if len(f.Changes) < maxChanges {
			f.Changes = append(f.Changes, change)
		}
	}
	f.Error = cut(f.Error, maxOutcome)
	switch {
	case p.Unknown || p.Error != "":
		f.State = Unknown
	case p.Clean():
		f.State = Synced
	}
	first := c.Since.IsZero()
	news = first || f.State != c.State || f.State == Drifted && !f.same(c.History)
	news = news || slices.ContainsFunc(f.Changes, func(x Change) bool { return x.Done })
	if first || f.State != c.State {
		c.State, c.Since = f.State, now
	}
	if c.Error = f.Error; f.State != Unknown {
		c.Checked, c.Refused, c.Warnings = now, f.Refused, atMost(p.Warnings, maxChanges)
		c.Changes = slices.DeleteFunc(slices.Clone(f.Changes), func(x Change) bool { return x.Done })
	}
	if news {
		c.History = append(c.History, f)
		c.History = c.History[max(0, len(c.History)-maxFindings):]
	}
	return news
}

// same reports whether the last of a history found the same.
func (f Finding) same(history []Finding) bool {
	if len(history) == 0 {
		return false
	}
	last := history[len(history)-1]
	return f.State == last.State && slices.Equal(f.Refused, last.Refused) && f.Error == last.Error &&
		slices.EqualFunc(f.Changes, last.Changes, func(a, b Change) bool {
			return a.Object == b.Object && a.Action == b.Action && a.Done == b.Done && slices.Equal(a.Fields, b.Fields)
		})
}

// keep remembers which namespaces were found, of those that are the team's.
func (c *conditionDoc) keep(names []string, found map[string]string) {
	kept := map[string]string{}
	for _, name := range names {
		if uid := found[name]; uid != "" {
			kept[name] = uid
		} else if uid := c.Namespaces[name]; uid != "" {
			kept[name] = uid
		}
	}
	c.Namespaces = kept
}

func atMost(texts []string, n int) []string { return slices.Clone(texts[:min(len(texts), n)]) }

// forgetConditions forgets how a team was found, for one that is gone or new.
func (t *Teams) forgetConditions(ctx context.Context, id string) error {
	for rec, err := range t.records.List(ctx, conditionKeys(id)) {
		if err == nil {
			err = t.records.Delete(ctx, rec.Key, rec.Revision)
		}
		if err != nil && !errors.Is(err, appspan.ErrNotFound) && !errors.Is(err, appspan.ErrPrecondition) {
			return fmt.Errorf("conditions of team %s: %w", id, err)
		}
	}
	return nil
}
