package appmodel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/appspan-dev/appspan"
	"go.yaml.in/yaml/v3"
)

// EncodeOptions are the options of [Encode] and its sisters; nil is the zero
// value.
type EncodeOptions struct {
	// Secrets writes inline secret values too. Without it their items are
	// written without a value: what is read back is what [Redact] returns.
	Secrets bool
	// JSON writes JSON in place of YAML.
	JSON bool
}

// Encode writes an application so that [Decode] reads the same, lists in the
// author's order, fields in that of the model. It does not validate; an error
// wraps [appspan.ErrInvalid] and means text that is not UTF-8 or foreign data
// that is not JSON.
func Encode(a *Application, opts *EncodeOptions) ([]byte, error) { return encodeDocument(a, opts) }

// EncodeOverride writes an override as [Encode] writes an application.
func EncodeOverride(o *Override, opts *EncodeOptions) ([]byte, error) { return encodeDocument(o, opts) }

// EncodeEnvironment writes an environment as [Encode] writes an application.
func EncodeEnvironment(e *Environment, opts *EncodeOptions) ([]byte, error) {
	return encodeDocument(e, opts)
}

func encodeDocument(doc any, opts *EncodeOptions) ([]byte, error) {
	if opts == nil {
		opts = &EncodeOptions{}
	}
	v := reflect.ValueOf(doc)
	if v.IsNil() {
		return nil, fmt.Errorf("%w: there is no document; give one", appspan.ErrInvalid)
	}
	w := &encoder{secrets: opts.Secrets}
	n, err := w.node(v.Elem())
	if err != nil {
		return nil, err
	}
	if opts.JSON {
		var out bytes.Buffer
		if err := json.Indent(&out, appendNode(nil, n), "", "  "); err != nil {
			return nil, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
		}
		out.WriteByte('\n')
		return out.Bytes(), nil
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	if err := enc.Close(); err != nil {
		return nil, fmt.Errorf("%w: %w", appspan.ErrInvalid, err)
	}
	return out.Bytes(), nil
}

// encoder turns values of the model into nodes.
type encoder struct{ secrets bool }

// node is the node of a value, nil if it is absent.
func (w *encoder) node(v reflect.Value) (*yaml.Node, error) {
	switch x := v.Interface().(type) {
	case JSON:
		return foreignNode(x)
	case OverrideSet:
		raw := x.JSON
		if !w.secrets {
			raw = withoutSecretValues(raw)
		}
		return foreignNode(raw)
	case Sensitive:
		if x.IsZero() || !w.secrets {
			return nil, nil
		}
		return textNode(x.Reveal()), nil
	case Duration:
		return textNode(x.String()), nil
	case PortRef:
		return numberOrText(string(x)), nil
	case IntOrPercent:
		return numberOrText(string(x)), nil
	}
	switch v.Kind() {
	case reflect.Pointer:
		return w.node(v.Elem())
	case reflect.String:
		return textNode(v.String()), nil
	case reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatBool(v.Bool())}, nil
	case reflect.Int, reflect.Int64:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatInt(v.Int(), 10)}, nil
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			e, err := w.node(v.Index(i))
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, e)
		}
		return n, nil
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, key := range sortedStrings(v) {
			e, err := w.node(v.MapIndex(key))
			if err != nil {
				return nil, err
			}
			if e != nil {
				n.Content = append(n.Content, textNode(key.String()), e)
			}
		}
		return n, nil
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, f := range shapeOf(v.Type()).fields {
		fv := v.FieldByIndex(f.index)
		if isEmpty(fv) && !(f.required && fv.Kind() != reflect.Slice) {
			continue
		}
		e, err := w.node(fv)
		if err != nil {
			return nil, err
		}
		if e != nil {
			n.Content = append(n.Content, textNode(f.name), e)
		}
	}
	return n, nil
}

// isEmpty reports whether a field is absent; a list without entries is.
func isEmpty(v reflect.Value) bool {
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		return v.Len() == 0
	}
	return v.IsZero()
}

// textNode is a scalar that is read as text, whatever it looks like.
func textNode(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: s}
	switch {
	case readsInBlock(s):
		n.Style = yaml.LiteralStyle
	case !readsPlain(s):
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// readsPlain reports whether text may stand without quotes for every reader
// of YAML: words and paths alone.
func readsPlain(s string) bool {
	if s == "" || len(s) > 200 || resolve(&yaml.Node{Kind: yaml.ScalarNode, Value: s}) != scalarString {
		return false
	}
	letter := false
	for i, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
			letter = true
		case r >= '0' && r <= '9':
		case r == '/' || r == '_':
		case (r == '-' || r == '.') && i > 0:
		default:
			return false
		}
	}
	return letter && !yamlNumberLike(s)
}

// yamlNumberLike is wider than any reader of YAML: what begins like a number
// is quoted, dates and versions too; and so are one-letter booleans.
func yamlNumberLike(s string) bool {
	return s[0] >= '0' && s[0] <= '9' || len(s) == 1
}

// readsInBlock reports whether text of several lines may stand as a literal
// block, and is read back as it is.
func readsInBlock(s string) bool {
	if !strings.Contains(strings.TrimRight(s, "\n"), "\n") || strings.HasPrefix(s, " ") || strings.HasPrefix(s, "\n") ||
		strings.HasSuffix(s, "\n\n") || strings.Contains(s, " \n") || strings.HasSuffix(s, " ") {
		return false
	}
	for _, r := range s {
		if r != '\n' && (!unicode.IsPrint(r) || r == '\uFEFF') {
			return false
		}
	}
	return true
}

func numberOrText(s string) *yaml.Node {
	if n, err := strconv.Atoi(s); err == nil && strconv.Itoa(n) == s {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: s}
	}
	return textNode(s)
}

// foreignNode is the node of foreign JSON: members in their order, numbers as
// written.
func foreignNode(raw JSON) (*yaml.Node, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	d := &decoder{}
	if !json.Valid(raw) {
		return nil, fmt.Errorf("%w: foreign data is not JSON; give any JSON value", appspan.ErrInvalid)
	}
	n := d.parseJSON(raw)
	if err := d.list.faults.Err(); err != nil {
		return nil, err
	}
	restyle(n)
	return n, nil
}

func restyle(n *yaml.Node) {
	n.Line, n.Column = 0, 0
	if n.Kind == yaml.ScalarNode && n.Style == yaml.DoubleQuotedStyle {
		n.Style = textNode(n.Value).Style
	}
	if n.Kind != yaml.ScalarNode && len(n.Content) == 0 {
		n.Style = yaml.FlowStyle
	}
	for _, c := range n.Content {
		restyle(c)
	}
}

// withoutSecretValues is an override's partial document with the values of
// secret items left out.
func withoutSecretValues(raw JSON) JSON {
	d := &decoder{}
	if len(raw) == 0 || !json.Valid(raw) {
		return nil
	}
	n := d.parseJSON(raw)
	if n == nil {
		return nil
	}
	for _, secret := range yamlEntries(yamlMember(n, "secrets")) {
		for _, item := range yamlEntries(yamlMember(secret, "items")) {
			for i := 0; i+1 < len(item.Content); i += 2 {
				if item.Kind == yaml.MappingNode && item.Content[i].Value == "value" {
					item.Content = append(item.Content[:i:i], item.Content[i+2:]...)
					break
				}
			}
		}
	}
	return appendNode(nil, n)
}

func yamlEntries(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

func yamlMember(n *yaml.Node, name string) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// appendNode appends a node of ours as JSON.
func appendNode(b []byte, n *yaml.Node) []byte {
	switch n.Kind {
	case yaml.MappingNode:
		b = append(b, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, n.Content[i].Value), ':')
			b = appendNode(b, n.Content[i+1])
		}
		return append(b, '}')
	case yaml.SequenceNode:
		b = append(b, '[')
		for i, c := range n.Content {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendNode(b, c)
		}
		return append(b, ']')
	}
	if n.Style != 0 || resolve(n) == scalarString || resolve(n) == scalarOldBool || resolve(n) == scalarOddNumber {
		return appendString(b, n.Value)
	}
	return append(b, n.Value...)
}

func sortedStrings(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	sortValues(keys)
	return keys
}
