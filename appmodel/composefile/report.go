package composefile

import (
	"fmt"
	"strings"
)

// Status says what became of one leaf of a compose file.
type Status string

// The statuses, the best first.
const (
	// StatusMapped: a typed field of the application says the same.
	StatusMapped Status = "mapped"
	// StatusImplied: the application behaves so without saying it.
	StatusImplied Status = "implied"
	// StatusDegraded: something of it is lost or only approximated.
	StatusDegraded Status = "degraded"
	// StatusUnsupported: the application has no place for it.
	StatusUnsupported Status = "unsupported"
)

// worse reports whether s says less than o.
func (s Status) worse(o Status) bool { return s.rank() > o.rank() }

func (s Status) rank() int {
	switch s {
	case StatusMapped:
		return 1
	case StatusImplied:
		return 0
	case StatusDegraded:
		return 2
	}
	return 3
}

// Leaf is one scalar, alias, or empty collection of the file as its author
// wrote it.
type Leaf struct {
	// File is the file that the leaf stands in.
	File string
	// Path is unique in the file: services.web.ports[0].
	Path string
	// Line counts from one.
	Line   int
	Status Status
	// To is the path in the application, where there is one.
	To string
	// Why says how a leaf was mapped where that is not plain, what is lost of
	// a degraded one, and why one is unsupported.
	Why string
}

// String is "shop.yaml:7: services.web.restart: implied: the kind says it".
func (l Leaf) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: %s: %s", l.File, l.Line, l.Path, l.Status)
	if l.To != "" {
		b.WriteString(" -> " + l.To)
	}
	if l.Why != "" {
		b.WriteString(": " + l.Why)
	}
	return b.String()
}

// Report says what became of every leaf of a compose file. It holds no value
// of a secret.
type Report struct {
	// Leaves are all leaves in the order of the file, each exactly once.
	Leaves []Leaf
	// Notes are what the importer decided for the whole application.
	Notes []string
}

// Count is the number of leaves with a status.
func (r *Report) Count(s Status) int {
	n := 0
	for _, l := range r.Leaves {
		if l.Status == s {
			n++
		}
	}
	return n
}

// Fidelity is the share of leaves, from 0 to 1, that are mapped or implied; 1
// of none.
func (r *Report) Fidelity() float64 {
	if len(r.Leaves) == 0 {
		return 1
	}
	return float64(r.Count(StatusMapped)+r.Count(StatusImplied)) / float64(len(r.Leaves))
}

// String is a summary for people: the counts, then a line for each leaf that
// is degraded or unsupported, then the notes.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d leaves: %d mapped, %d implied, %d degraded, %d unsupported (%.0f %% kept)\n", len(r.Leaves),
		r.Count(StatusMapped), r.Count(StatusImplied), r.Count(StatusDegraded), r.Count(StatusUnsupported), 100*r.Fidelity())
	for _, l := range r.Leaves {
		if l.Status == StatusDegraded || l.Status == StatusUnsupported {
			b.WriteString(l.String() + "\n")
		}
	}
	for _, n := range r.Notes {
		b.WriteString("note: " + n + "\n")
	}
	return b.String()
}
