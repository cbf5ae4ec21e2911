package leaktest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

const (
	piece     = 12 // bytes of a credential that are enough to find it
	keySize   = 8  // bytes by which pieces are looked up, and the shortest credential
	maxDepth  = 8  // of encodings within one another
	maxOutput = 256 << 20
)

// Finding is one place where a credential is.
type Finding struct {
	// Credential is the name that it was added under.
	Credential string
	// Encodings are those around it, from the outermost on.
	Encodings []string
	// Around is the text about it, with the credential left out.
	Around string
}

// String is the finding on one line.
func (f Finding) String() string {
	how := "in clear"
	if len(f.Encodings) > 0 {
		how = "in " + strings.Join(f.Encodings, " of ")
	}
	return fmt.Sprintf("%s, %s: %q", f.Credential, how, f.Around)
}

// part is a piece of a credential.
type part struct {
	name string
	text []byte
}

// Finder knows credentials.
type Finder struct {
	mu    sync.Mutex
	parts map[[keySize]byte][]part
}

// NewFinder returns a finder that knows none.
func NewFinder() *Finder { return &Finder{parts: map[[keySize]byte][]part{}} }

// Add makes a credential known. It panics when value has less than 8 bytes,
// which would be found everywhere.
func (f *Finder) Add(name string, value []byte) {
	if len(value) < keySize {
		panic("leaktest: " + name + " is too short to be told from other text")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	size := min(piece, len(value))
	add := func(at int) {
		text := bytes.Clone(value[at : at+size])
		k := [keySize]byte(text)
		f.parts[k] = append(f.parts[k], part{name, text})
	}
	for at := 0; at+size <= len(value); at += size {
		add(at)
	}
	if len(value)%size != 0 {
		add(len(value) - size)
	}
}

// Names are the credentials that are known, sorted.
func (f *Finder) Names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	names := map[string]bool{}
	for _, parts := range f.parts {
		for _, p := range parts {
			names[p.name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Find returns which credentials are in data, each once.
func (f *Finder) Find(data []byte) ([]Finding, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := search{parts: f.parts, told: map[string]bool{}, seen: map[[sha256.Size]byte]bool{}}
	err := s.look(data, nil)
	return s.found, err
}

type search struct {
	parts  map[[keySize]byte][]part
	told   map[string]bool            // credentials that were found
	seen   map[[sha256.Size]byte]bool // what was decoded
	found  []Finding
	output int // bytes that were decoded
}

// look searches data as it is, and then whatever is encoded in it.
func (s *search) look(data []byte, within []string) error {
	for i := 0; i+keySize <= len(data); i++ {
		for _, p := range s.parts[[keySize]byte(data[i:])] {
			if s.told[p.name] || !bytes.HasPrefix(data[i:], p.text) {
				continue
			}
			s.told[p.name] = true
			before, after := data[max(0, i-60):i], data[i+len(p.text):min(len(data), i+len(p.text)+20)]
			s.found = append(s.found, Finding{Credential: p.name, Encodings: slices.Clone(within), Around: string(before) + "…" + string(after)})
		}
	}
	for _, e := range encodings() {
		for decoded := range e.decode(data) {
			if len(decoded) < keySize {
				continue
			}
			sum := sha256.Sum256(decoded)
			if s.seen[sum] {
				continue
			}
			s.seen[sum] = true
			if s.output += len(decoded); len(within) == maxDepth || s.output > maxOutput {
				return fmt.Errorf("it is nested too deep to be searched in full: %d bytes in %s", len(decoded), strings.Join(within, " of "))
			}
			if err := s.look(decoded, append(slices.Clip(within), e.name)); err != nil {
				return err
			}
		}
	}
	return nil
}
