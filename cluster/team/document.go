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

// document is a team as it is stored.
type document struct {
	storage.Envelope
	Team
	// Leaving are clusters on which the team has nothing any more, but where
	// something of it may still have to be taken away.
	Leaving []string `json:"leaving,omitempty"`
	// Deleting is set while the team is being deleted.
	Deleting *deletion `json:"deleting,omitempty"`
}

// deletion is how a team is being deleted.
type deletion struct {
	Since time.Time `json:"since"`
	Data  Data      `json:"data"`
}

const (
	teamFormat = 1
	teamPrefix = "teams/"
)

func teamKey(id string) string { return teamPrefix + id }

func (d document) encode() ([]byte, error) {
	d.Envelope = storage.Envelope{Format: teamFormat, MinReader: teamFormat}
	return json.Marshal(d)
}

func decodeTeam(rec storage.Record) (document, error) {
	var d document
	if err := storage.Decode(rec.Value, teamFormat, &d); err != nil {
		return document{}, fmt.Errorf("record %s: %w", rec.Key, err)
	}
	if teamKey(d.ID) != rec.Key {
		return document{}, fmt.Errorf("record %s: %w: it holds team %q", rec.Key, appspan.ErrCorrupt, d.ID)
	}
	for _, place := range d.Leaving {
		if clusterName, namespace := splitPlace(place); clusterName == "" || namespace == "" {
			return document{}, fmt.Errorf("record %s: %w: it is leaving %q", rec.Key, appspan.ErrCorrupt, place)
		}
	}
	d.Revision = rec.Revision
	return d, nil
}

// load reads a team.
func load(ctx context.Context, records *storage.Records, id string) (document, error) {
	if wrong := checkID(id); wrong != "" {
		return document{}, fmt.Errorf("team: %w: %q %s", appspan.ErrInvalid, id, wrong)
	}
	rec, err := records.Get(ctx, teamKey(id))
	if errors.Is(err, appspan.ErrNotFound) {
		return document{}, fmt.Errorf("team %s: %w; create it first", id, appspan.ErrNotFound)
	}
	if err != nil {
		return document{}, fmt.Errorf("team %s: %w", id, err)
	}
	return decodeTeam(rec)
}

// claim says whose a namespace on a cluster is, among the teams of these
// records. It is made before the team is stored.
type claim struct {
	storage.Envelope
	Team string    `json:"team"`
	At   time.Time `json:"at"`
}

// claimGrace is how long a claim whose team does not have the namespace is
// taken for one that is about to get it.
const claimGrace = time.Minute

func claimKey(clusterName, namespace string) string {
	return "team-namespaces/" + clusterName + "/" + namespace
}

// claimNamespace makes a namespace on a cluster the team's; one of another team
// is appspan.ErrConflict.
func claimNamespace(ctx context.Context, records *storage.Records, clusterName, namespace, team string) error {
	_, err := records.Update(ctx, claimKey(clusterName, namespace), func(old []byte) ([]byte, error) {
		if old != nil {
			var c claim
			if err := storage.Decode(old, 1, &c); err != nil {
				return nil, err
			}
			if c.Team == team {
				return old, nil
			}
			owner, err := load(ctx, records, c.Team)
			gone := errors.Is(err, appspan.ErrNotFound)
			if err != nil && !gone {
				return nil, err
			}
			if !gone && owner.has(clusterName, namespace) || time.Since(c.At) < claimGrace {
				return nil, fmt.Errorf("namespace %s on %s: %w: it is that of team %s; choose another name", namespace, clusterName, appspan.ErrConflict, c.Team)
			}
		}
		return json.Marshal(claim{Envelope: storage.Envelope{Format: 1, MinReader: 1}, Team: team, At: time.Now().UTC()})
	})
	return err
}

// unclaimNamespace ends a claim of the team, if it has it.
func unclaimNamespace(ctx context.Context, records *storage.Records, clusterName, namespace, team string) error {
	_, err := records.Update(ctx, claimKey(clusterName, namespace), func(old []byte) ([]byte, error) {
		var c claim
		if old == nil || storage.Decode(old, 1, &c) == nil && c.Team == team {
			return nil, nil
		}
		return old, nil
	})
	return err
}

// moveClaim makes a claim of one team that of another.
func moveClaim(ctx context.Context, records *storage.Records, clusterName, namespace, from, to string) error {
	_, err := records.Update(ctx, claimKey(clusterName, namespace), func(old []byte) ([]byte, error) {
		var c claim
		if old != nil {
			if err := storage.Decode(old, 1, &c); err != nil {
				return nil, err
			}
			if c.Team != from && c.Team != to {
				return nil, fmt.Errorf("namespace %s on %s: %w: it is that of team %s", namespace, clusterName, appspan.ErrConflict, c.Team)
			}
		}
		return json.Marshal(claim{Envelope: storage.Envelope{Format: 1, MinReader: 1}, Team: to, At: time.Now().UTC()})
	})
	return err
}

// places are the namespaces of a team as "cluster/namespace", sorted.
func places(t Team) []string {
	var out []string
	for name := range t.Clusters {
		for _, n := range t.Namespaces(name) {
			out = append(out, name+"/"+n)
		}
	}
	slices.Sort(out)
	return out
}

func splitPlace(place string) (clusterName, namespace string) {
	clusterName, namespace, _ = strings.Cut(place, "/")
	return clusterName, namespace
}
