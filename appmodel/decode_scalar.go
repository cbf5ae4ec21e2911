package appmodel

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// scalarKind is what a scalar of a document is.
type scalarKind uint8

const (
	scalarString scalarKind = iota
	scalarNull
	scalarBool
	scalarOldBool   // a boolean in YAML 1.1 alone: yes, no, on, off
	scalarNumber    // as JSON writes numbers
	scalarOddNumber // a number to YAML, in one of its versions, but not to JSON: 0777, 0x1F, 1_000, .inf
)

var (
	jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	yamlNumber = regexp.MustCompile(`^[-+]?(0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?` +
		`|\.[0-9][0-9_]*([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))$|^\.(nan|NaN|NAN)$`)
)

// resolve says what a scalar is: by YAML 1.2's rules where it agrees with
// JSON, and told apart where versions of YAML disagree.
func resolve(n *yaml.Node) scalarKind {
	const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	if n.Style&quoted != 0 || n.Style&yaml.TaggedStyle != 0 { // the only tag that passes is !!str
		return scalarString
	}
	switch n.Value {
	case "", "~", "null", "Null", "NULL":
		return scalarNull
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return scalarBool
	}
	if len(n.Value) <= 3 {
		switch strings.ToLower(n.Value) {
		case "yes", "no", "on", "off":
			return scalarOldBool
		}
	}
	switch {
	case jsonNumber.MatchString(n.Value):
		return scalarNumber
	case yamlNumber.MatchString(n.Value):
		return scalarOddNumber
	}
	return scalarString
}

// describe names what a node is, for people.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch resolve(n) {
	case scalarNull:
		return "empty"
	case scalarBool:
		return "a boolean"
	case scalarNumber, scalarOddNumber:
		return "a number"
	}
	return "text"
}

// text reads a string. What YAML would take for something else has to be
// quoted; yes, no, on and off are text, as in YAML 1.2.
func (d *decoder) text(n *yaml.Node, at Path) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.fault(n, at, "is "+describe(n)+", not text", "write text")
		return "", false
	}
	switch resolve(n) {
	case scalarBool, scalarNumber, scalarOddNumber:
		d.fault(n, at, cut(n.Value)+" is "+describe(n)+", not text", fmt.Sprintf("quote it: %q", cut(n.Value)))
		return "", false
	}
	return n.Value, true
}

// scalar reads text or a number as it is written.
func (d *decoder) scalar(n *yaml.Node, at Path, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.fault(n, at, "is "+describe(n), "write "+what)
		return "", false
	}
	switch resolve(n) {
	case scalarBool, scalarOddNumber:
		d.fault(n, at, fmt.Sprintf("%q is not %s", cut(n.Value), what), "write "+what)
		return "", false
	}
	return n.Value, true
}

func (d *decoder) boolean(n *yaml.Node, at Path) (value, ok bool) {
	if n.Kind == yaml.ScalarNode {
		switch resolve(n) {
		case scalarBool:
			return strings.EqualFold(n.Value, "true"), true
		case scalarOldBool:
			means := strings.EqualFold(n.Value, "yes") || strings.EqualFold(n.Value, "on")
			d.fault(n, at, fmt.Sprintf("%q is no boolean", n.Value), fmt.Sprintf("write %t", means))
			return false, false
		}
		if strings.EqualFold(n.Value, "true") || strings.EqualFold(n.Value, "false") {
			d.fault(n, at, fmt.Sprintf("%q is text", n.Value), "write it without quotes")
			return false, false
		}
	}
	d.fault(n, at, "is "+describe(n)+", not a boolean", "write true or false")
	return false, false
}

func (d *decoder) integer(n *yaml.Node, at Path, bits int) (int64, bool) {
	if n.Kind != yaml.ScalarNode {
		d.fault(n, at, "is "+describe(n)+", not a whole number", "write digits")
		return 0, false
	}
	i, err := strconv.ParseInt(n.Value, 10, bits)
	switch kind := resolve(n); {
	case kind == scalarNumber && err == nil:
		return i, true
	case kind == scalarString && err == nil:
		d.fault(n, at, fmt.Sprintf("%q is text", cut(n.Value)), "write it without quotes")
	case kind == scalarOddNumber && err == nil:
		d.fault(n, at, cut(n.Value)+" may be read in more than one way", fmt.Sprintf("write %d", i))
	case kind == scalarNumber || kind == scalarOddNumber:
		d.fault(n, at, cut(n.Value)+" is not a whole number that fits", "write digits alone")
	default:
		d.fault(n, at, fmt.Sprintf("%q is not a whole number", cut(n.Value)), "write digits")
	}
	return 0, false
}
