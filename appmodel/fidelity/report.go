package fidelity

import (
	"fmt"
	"strings"
)

// Status says what became of one leaf of a foreign document.
type Status string

// The statuses, the best first.
const (
	// Mapped: a typed field of the application says the same.
	Mapped Status = "mapped"
	// Implied: the application behaves so without saying it.
	Implied Status = "implied"
	// Raw: kept as it is, in a patch or an object of its own. Nothing is lost,
	// but the application does not know what it means.
	Raw Status = "raw"
	// Degraded: something of it is lost or only approximated.
	Degraded Status = "degraded"
	// Unsupported: the application has no place for it.
	Unsupported Status = "unsupported"
)

// Worse reports whether s says less than o. What is mapped counts as less than
// what is implied, as it depends on the document.
func (s Status) Worse(o Status) bool { return s.rank() > o.rank() }

func (s Status) rank() int {
	switch s {
	case Implied:
		return 0
	case Mapped:
		return 1
	case Raw:
		return 2
	case Degraded:
		return 3
	}
	return 4
}

// Leaf is one scalar, alias, or empty collection of a document as its author
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
	// a degraded one, and why one is raw or unsupported.
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

// Report says what became of every leaf of a document. It holds no value of a
// secret.
type Report struct {
	// Leaves are all leaves in the order of the document, each exactly once.
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
func (r *Report) Fidelity() float64 { return r.share(Mapped, Implied) }

// Kept is the share of leaves, from 0 to 1, of which nothing is lost: those
// that are mapped, implied or raw; 1 of none.
func (r *Report) Kept() float64 { return r.share(Mapped, Implied, Raw) }

func (r *Report) share(statuses ...Status) float64 {
	if len(r.Leaves) == 0 {
		return 1
	}
	n := 0
	for _, s := range statuses {
		n += r.Count(s)
	}
	return float64(n) / float64(len(r.Leaves))
}

// String is a summary for people: the counts, then a line for each leaf that
// is degraded or unsupported, then the notes.
func (r *Report) String() string {
	var b strings.Builder
	raw := ""
	if n := r.Count(Raw); n > 0 {
		raw = fmt.Sprintf(" %d raw,", n)
	}
	fmt.Fprintf(&b, "%d leaves: %d mapped, %d implied,%s %d degraded, %d unsupported (%.0f %% kept)\n", len(r.Leaves),
		r.Count(Mapped), r.Count(Implied), raw, r.Count(Degraded), r.Count(Unsupported), 100*r.Kept())
	for _, l := range r.Leaves {
		if l.Status == Degraded || l.Status == Unsupported {
			b.WriteString(l.String() + "\n")
		}
	}
	for _, n := range r.Notes {
		b.WriteString("note: " + n + "\n")
	}
	return b.String()
}
