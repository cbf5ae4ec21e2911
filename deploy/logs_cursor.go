package deploy

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/appspan-dev/appspan"
)

// LogCursor remembers up to where lines were read, so that another call of
// [Deployer.Logs] goes on there: with no line twice, in another process too,
// for it can be stored as JSON, whose content is nobody's business. The zero
// value has read nothing. It remembers the 10,000 containers that spoke last.
// It is not safe for concurrent use.
type LogCursor struct {
	at map[logSource]logPosition
}

// maxPositions and maxCursor bound what a cursor holds, and its JSON.
const (
	maxPositions = 10_000
	maxCursor    = 8 << 20
)

// logSource is one container of one pod.
type logSource struct {
	Cluster   string `json:"c"`
	PodUID    string `json:"p"`
	Container string `json:"k"`
}

// logPosition is the last line that was read of a container.
type logPosition struct {
	Time    time.Time `json:"t"`
	Nth     int       `json:"n"` // of the lines with that time
	Restart int       `json:"r,omitempty"`
}

func (l LogLine) source() logSource { return logSource{l.Cluster, l.PodUID, l.Container} }

// Note says that a line was dealt with. Lines are to be noted in the order in
// which they came.
func (c *LogCursor) Note(l LogLine) {
	if l.Kind != LogText {
		return
	}
	if c.at == nil {
		c.at = map[logSource]logPosition{}
	}
	c.at[l.source()] = logPosition{l.Time, l.Nth, l.Restart}
	if len(c.at) > maxPositions {
		c.forget()
	}
}

// forget drops the tenth of the containers that have been silent for longest.
func (c *LogCursor) forget() {
	var all []logSource
	for s := range c.at {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b logSource) int { return c.at[a].Time.Compare(c.at[b].Time) })
	for _, s := range all[:len(all)-maxPositions*9/10] {
		delete(c.at, s)
	}
}

// positions is a copy.
func (c *LogCursor) positions() map[logSource]logPosition {
	out := map[logSource]logPosition{}
	if c != nil {
		for s, at := range c.at {
			out[s] = at
		}
	}
	return out
}

type cursorEntry struct {
	logSource
	logPosition
}

type cursorDoc struct {
	Format  int           `json:"format"`
	Entries []cursorEntry `json:"at"`
}

// MarshalJSON implements json.Marshaler.
func (c LogCursor) MarshalJSON() ([]byte, error) {
	doc := cursorDoc{Format: 1, Entries: []cursorEntry{}}
	for s, at := range c.at {
		doc.Entries = append(doc.Entries, cursorEntry{s, at})
	}
	slices.SortFunc(doc.Entries, func(a, b cursorEntry) int { return compareSources(a.logSource, b.logSource) })
	return json.Marshal(doc)
}

// UnmarshalJSON implements json.Unmarshaler. What no cursor was written as is
// appspan.ErrInvalid.
func (c *LogCursor) UnmarshalJSON(data []byte) error {
	invalid := func(why string) error {
		return fmt.Errorf("log cursor: %w: %s; begin without one", appspan.ErrInvalid, why)
	}
	if len(data) > maxCursor {
		return invalid("it is too large")
	}
	var doc cursorDoc
	if err := json.Unmarshal(data, &doc); err != nil {
		return invalid("it cannot be read")
	}
	if doc.Format != 1 || len(doc.Entries) > maxPositions {
		return invalid("its format is not known")
	}
	at := map[logSource]logPosition{}
	for _, e := range doc.Entries {
		if e.Cluster == "" || e.PodUID == "" || e.Container == "" || e.Nth < 1 || e.Restart < 0 || e.Time.IsZero() {
			return invalid("an entry is not complete")
		}
		at[e.logSource] = e.logPosition
	}
	c.at = at
	return nil
}
