package composefile

import "strings"

// key names a place of the compose model by identity, whatever syntax its
// author chose: services, db, environment, TZ.
type key string

func keyOf(parts ...string) key { return key(strings.Join(parts, "\x1f")) }

func (k key) child(part string) key {
	if k == "" {
		return key(part)
	}
	return k + "\x1f" + key(part)
}

// parent is the key above, and false at the top.
func (k key) parent() (key, bool) {
	i := strings.LastIndexByte(string(k), '\x1f')
	if i < 0 {
		return "", false
	}
	return k[:i], true
}

func (k key) parts() []string { return strings.Split(string(k), "\x1f") }

// note is what the importer did with a place.
type note struct {
	status Status
	to     string
	why    string
}

// notes are what the importer did with all places; a leaf takes the note of
// the nearest place above it.
type notes map[key]note

// add records; of two notes for one place the worse status stays, and both
// reasons.
func (n notes) add(k key, s Status, to, why string) {
	old, there := n[k]
	if !there {
		n[k] = note{s, to, why}
		return
	}
	if s.Worse(old.status) {
		old.status = s
	}
	if old.to == "" {
		old.to = to
	}
	switch {
	case old.why == "":
		old.why = why
	case why != "" && !strings.Contains(old.why, why):
		old.why += "; " + why
	}
	n[k] = old
}

func (n notes) mapped(to string, k key)        { n.add(k, StatusMapped, to, "") }
func (n notes) how(to, why string, k key)      { n.add(k, StatusMapped, to, why) }
func (n notes) implied(why string, k key)      { n.add(k, StatusImplied, "", why) }
func (n notes) degraded(to, why string, k key) { n.add(k, StatusDegraded, to, why) }
func (n notes) unsupported(why string, k key)  { n.add(k, StatusUnsupported, "", why) }
